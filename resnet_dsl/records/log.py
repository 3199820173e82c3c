"""The log of a run, metrics.jsonl: its rows, read. The rows are what every other form of the log is made from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from resnet_dsl.records.document import Number, StoredDocument, Text, Whole, damaged, read_bytes
from resnet_dsl.records.folder import METRICS

MAX_BYTES = 2**30
"""The largest log that is read: some ten million rows."""

Seconds = Annotated[float, Field(ge=0, le=1e12)]


class LogRow(StoredDocument):
    """One row. `event` is train, or what was evaluated on: test, validation or batch. `step` counts batches, `epoch` passes over the data.

    Rows of training have lr, loss, accuracy and images_per_s since the row before; rows of evaluation loss, top1, top5, images,
    balanced_accuracy and macro_f1, and train_loss and train_accuracy since the evaluation before. Accuracies are shares. A loss that is not finite is None.
    """

    event: Text
    step: Whole
    epoch: Annotated[float, Field(ge=0, le=1e15)]
    lr: Number | None = None
    loss: Number | None = None
    accuracy: Number | None = None
    images_per_s: Number | None = None
    top1: Number | None = None
    top5: Number | None = None
    balanced_accuracy: Number | None = None
    macro_f1: Number | None = None
    images: Whole | None = None
    train_loss: Number | None = None
    train_accuracy: Number | None = None
    seconds: Seconds | None = None

    def line(self) -> bytes:
        """The row as a line of metrics.jsonl."""
        return json.dumps(self.to_dict(), allow_nan=False).encode() + b"\n"


def read_rows(folder: Path) -> tuple[LogRow, ...]:
    """The rows of a run's metrics.jsonl, none where there is no such file. A last line that was cut off by a kill is no row.

    Raises SpecError (exit 3) where a line is no row.
    """
    path = folder / METRICS
    if not (path.exists() or path.is_symlink()):
        return ()
    content = read_bytes(path, MAX_BYTES)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise damaged(path, "it is not text") from None
    *lines, _ = content.split(b"\n")
    return tuple(LogRow.parse(line, path, line=number) for number, line in enumerate(lines, 1))
