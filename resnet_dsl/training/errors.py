"""What goes wrong around a run, in the form of every other message of the program."""

from __future__ import annotations

from pathlib import Path

from resnet_dsl.diagnostics import Diagnostic, Location, Source, SpecError


class RunError(SpecError):
    """A run that cannot start or go on: one diagnostic about a whole file or folder, and the exit code.

    2 the request does not fit (spec against data, options), 1 the run failed (loss not finite), 3 the environment.
    """

    def __init__(self, code: str, message: str, help: str, *, at: str | Path, exit_code: int = 3) -> None:
        super().__init__([Diagnostic(code, message, Location(Source(str(at), "")), help)], exit_code)


class Interrupted(Exception):
    """A signal came, or the time was up (`why`); the state after `step` is saved in `folder`."""

    def __init__(self, folder: Path, step: int, total: int, why: str = "interrupted") -> None:
        super().__init__(f"{why} after step {step:,} of {total:,}; saved in {folder}")
        self.folder, self.step, self.total = folder, step, total
