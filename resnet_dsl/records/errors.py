"""What ends a run before its end."""

from __future__ import annotations

from pathlib import Path


class Interrupted(Exception):
    """A signal came, or the time was up (`why`); the state after `step` is saved in `folder`."""

    def __init__(self, folder: Path, step: int, total: int, why: str = "interrupted") -> None:
        super().__init__(f"{why} after step {step:,} of {total:,}; saved in {folder}")
        self.folder, self.step, self.total, self.why = folder, step, total, why

    def __reduce__(self) -> tuple[object, ...]:
        """It goes from one process to another."""
        return type(self), (self.folder, self.step, self.total, self.why)


class SeedsInterrupted(Interrupted):
    """A run of several seeds was interrupted (`why`): `step` of `total` have ended, and the state of the one under way is saved in `folder`."""

    def __init__(self, folder: Path, done: int, total: int, why: str = "interrupted") -> None:
        Exception.__init__(self, f"{why} after {done} of {total} seeds; what was begun is saved in {folder}")
        self.folder, self.step, self.total, self.why = folder, done, total, why


class StudyInterrupted(Interrupted):
    """A signal came while a study ran: `step` of `total` runs are finished, and the state of those under way is saved in `folder`."""

    def __init__(self, folder: Path, done: int, total: int) -> None:
        Exception.__init__(self, f"interrupted after {done} of {total} runs; what was begun is saved in {folder}")
        self.folder, self.step, self.total, self.why = folder, done, total, "interrupted"

    def __reduce__(self) -> tuple[object, ...]:
        """It goes from one process to another."""
        return type(self), (self.folder, self.step, self.total)
