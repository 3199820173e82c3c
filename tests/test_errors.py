"""Every mistake of the corpus (data/errors) gives exactly the message that is written there.

`python tests/test_errors.py --update` writes what is said now into the corpus: read the difference before you commit it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest
from cases import DATA, Case, read

from resnet_dsl.analysis.expect import check_expect
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load

FILES = sorted((DATA / "errors").glob("*.md"))
CASES = [pytest.param(case, id=f"{path.stem}-{case.name}") for path in FILES for case in read(path)]


def refusal(case: Case, folder: Path) -> SpecError:
    """What is said about a case; the folder is the working directory, so that names stay short."""
    name = case.write(folder)
    try:
        spec = load(name, case.overrides)
        check_expect(spec, compile(spec))
    except SpecError as error:
        return error
    raise AssertionError(f"{case.name} is accepted")


@pytest.mark.parametrize("case", CASES)
def test_message(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = refusal(case, tmp_path)
    assert f"{error}\n" == case.expected
    assert error.exit_code == 2
    places = [(d.location.line, d.location.column) for d in error.diagnostics if d.location.source.name == "spec.yaml"]
    assert places == sorted(places)
    assert all(d.help and d.message for d in error.diagnostics)
    # A source line, its caret and a help line belong to each error that has a place.
    shown = [d for d in error.diagnostics[:20] if d.location.line]
    assert len(re.findall(r"^ +\| +\^+$", case.expected, re.M)) == len(shown)


def update() -> None:
    """Write the messages of now into the corpus files."""
    start = Path.cwd()
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for case in read(path):
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                said = str(refusal(case, Path(folder)))
                os.chdir(start)
            heading = f"## {case.name}\n"
            at = text.index(heading)
            body = re.sub(r"^```text\n.*?^```$", lambda _, said=said: f"```text\n{said}\n```", text[at:], count=1, flags=re.M | re.S)
            text = text[:at] + body
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python tests/test_errors.py --update")
    update()
