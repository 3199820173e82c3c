"""A run's log for TensorBoard (the extra `tensorboard`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.extras import require
from resnet_dsl.files import discard
from resnet_dsl.records.log import LogRow

FOLDER = "tensorboard"

_NO_FIGURES = frozenset(("event", "step", "epoch", "images", "seconds"))


def require_tensorboard() -> None:
    """Raises SpecError (exit 3) where the package is not installed."""
    require("tensorboard", "needs the package", at=Argument("tensorboard", True))


class TensorBoard:
    """Scalars for TensorBoard, under RUN/tensorboard: `train/loss`, `test/top1`, ...: the row's event and the figure's name.

    What a former process wrote there is replaced by the rows of the log, so no step is there twice or missing; the file
    begins by telling a TensorBoard that watches to drop what it has shown of this run.
    """

    def __init__(self, folder: Path, rows: Sequence[LogRow]) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        home = folder / FOLDER
        for old in home.glob("events.out.tfevents.*"):
            discard(old)
        try:
            self._writer = SummaryWriter(str(home), purge_step=0)
        except OSError as e:
            raise refuse("disk", f"cannot be written: {e.strerror}", "free some space, or leave it out", at=home, exit_code=3) from None
        # The times of rows are the run's own seconds, so that TensorBoard's relative time leaves out the pauses.
        self._zero = time.time() - ((rows[-1].seconds or 0.0) if rows else 0.0)
        for row in rows:
            self._add(row)
        self._writer.flush()

    def log(self, row: LogRow) -> None:
        """One more row, on the disk at each evaluation."""
        self._add(row)
        if row.event != "train":
            self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _add(self, row: LogRow) -> None:
        for key, value in row.to_dict().items():
            if key not in _NO_FIGURES and value is not None:
                name = key.removeprefix("train_") if row.event == "train" else key
                self._writer.add_scalar(f"{row.event}/{name}", value, row.step, walltime=self._zero + (row.seconds or 0.0))
