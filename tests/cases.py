"""The corpus files: Markdown with one case a heading, its texts in fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parent / "data"
_HEADING = re.compile(r"^## (.+)\n", re.M)
_BLOCK = re.compile(r"^```(yaml|set|text)(?: (\S+))?\n(.*?)^```\n", re.M | re.S)


@dataclass(frozen=True)
class Case:
    """One case: `files` by name (the first is the one to load), `overrides`, and the text that is expected."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    expected: str = ""

    def write(self, folder: Path) -> str:
        """Write the files into a folder; gives the name of the one to load."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="")
        return next(iter(self.files))


def read(path: Path) -> list[Case]:
    """The cases of one corpus file. ```` ```yaml NAME ```` is a further file, ```` ```set ```` holds overrides, one a line."""
    _, *parts = _HEADING.split(path.read_text(encoding="utf-8"))
    cases = []
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        blocks = _BLOCK.findall(body)
        files = {at or "spec.yaml": text for kind, at, text in blocks if kind == "yaml"}
        overrides = [line for kind, _, text in blocks if kind == "set" for line in text.splitlines()]
        cases.append(Case(name, files, tuple(overrides), "".join(text for kind, _, text in blocks if kind == "text")))
    return cases
