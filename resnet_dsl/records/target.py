"""What a user names when asked for a network: a run's folder, a file of weights that holds its spec, or a spec."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from resnet_dsl.diagnostics import Argument, quote_path, refuse
from resnet_dsl.language import Spec, load
from resnet_dsl.language.files import shipped_name
from resnet_dsl.language.programs import READERS
from resnet_dsl.language.stored import ENDING
from resnet_dsl.records.folder import SPEC, WEIGHTS, RunFolder

Kind = Literal["run", "weights", "program", "spec"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a name stands for. `text` is what `language.load` reads its spec from: a path, a shipped name, or `-`.

    A `program` is an exported .onnx or .pt2 file: it holds its spec, and computes, but its weights cannot be taken out.
    """

    name: str
    kind: Kind
    text: str

    @property
    def folder(self) -> Path:
        """The run's folder."""
        assert self.kind == "run"
        return Path(self.name)

    @property
    def weights(self) -> Path | None:
        """The file that holds the network's weights; None for a spec, which has none, and for a run that has none yet."""
        if self.kind == "spec":
            return None
        file = Path(self.name) / WEIGHTS if self.kind == "run" else Path(self.name)
        return None if self.kind == "run" and not file.is_file() else file

    def refuse_folder(self) -> None:
        """Raises SpecError (exit 3) where this names a folder that holds no run, and no shipped spec of that name."""
        if self.kind == "spec" and shipped_name(self.name) is None and Path(self.name).is_dir():
            RunFolder.open(Path(self.name))

    def load(self, overrides: Mapping[str, str] | Iterable[str] = (), *, recipe: str | None = None) -> Spec:
        """The spec, with `KEY=VALUE` settings. Raises SpecError."""
        return load(self.text, overrides, recipe=recipe)


def find(target: str | os.PathLike[str]) -> Target:
    """What `target` is: a folder that holds a run, a `.safetensors`, `.onnx` or `.pt2` file, or else a spec (a path, `-`, a shipped name).

    A shipped name wins over a folder of that name which holds no run. Any other folder without one is refused as a file would be.
    Raises SpecError (exit 3) for a folder that holds a part of a run.
    """
    name = os.fspath(target)
    path = Path(name)
    if RunFolder.is_run(path):
        return Target(name, "run", str(path / SPEC))
    if name.endswith(ENDING):
        return Target(name, "weights", name)
    if name.endswith(tuple(READERS)):
        return Target(name, "program", name)
    if RunFolder.was_run(path) and shipped_name(name) is None:
        RunFolder.open(path)
    return Target(name, "spec", name)


def find_trained(target: str | os.PathLike[str], weights: str | os.PathLike[str] | None = None) -> Target:
    """As `find`, for a network that must have weights: its own, or those of the file `weights`.

    Raises SpecError: exit 2 where there are none, or two; 3 for a folder that holds no run.
    """
    found = find(target)
    if weights is not None and found.kind in ("run", "program"):
        raise refuse("usage", f"{quote_path(found.name)} has its own weights", f"leave out {Argument('weights')}", at=Argument("weights"))
    if weights is None and found.kind == "spec":
        found.refuse_folder()
        raise refuse(
            "usage",
            f"{found.name} is not a run's folder",
            f"give a run's folder, or add {Argument('weights', 'FILE')} to a spec",
            at=found.name,
        )
    return found
