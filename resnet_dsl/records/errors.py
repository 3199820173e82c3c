"""What ends a run before its end."""

from __future__ import annotations

from pathlib import Path


class Interrupted(Exception):
    """A signal came, or the time was up (`why`); the state after `step` is saved in `folder`."""

    def __init__(self, folder: Path, step: int, total: int, why: str = "interrupted") -> None:
        super().__init__(f"{why} after step {step:,} of {total:,}; saved in {folder}")
        self.folder, self.step, self.total = folder, step, total
