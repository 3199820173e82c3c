"""The log of a run, metrics.jsonl: its rows, read. The rows are what every other form of the log is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field, model_validator

from resnet_dsl.records.document import Number, StoredDocument, Text, Whole, damaged, read_bytes
from resnet_dsl.records.folder import METRICS

MAX_BYTES = 2**30
"""The largest log that is read: some ten million rows."""

Seconds = Annotated[float, Field(ge=0, le=1e12)]


_NOW = {"loss": "train_loss", "accuracy": "train_accuracy"}


class LogRow(StoredDocument):
    """One row. `event` is train, or what was evaluated on: test, validation or batch. `step` counts batches, `epoch` passes over the data.

    A key means the same in every row. `train_loss` and `train_accuracy` are of the training batches since the row of this event before;
    `loss`, `top1`, `top5`, `balanced_accuracy`, `macro_f1` and `images` of what was evaluated. `lr` and `images_per_s` (since the process began) are in rows of training.
    Accuracies are shares. A loss that is not finite is None.

    Older versions called the first two `loss` and `accuracy` in rows of training; they are read as what they are.
    """

    event: Text
    step: Whole
    epoch: Annotated[float, Field(ge=0, le=1e15)]
    lr: Number | None = None
    loss: Number | None = None
    images_per_s: Number | None = None
    top1: Number | None = None
    top5: Number | None = None
    balanced_accuracy: Number | None = None
    macro_f1: Number | None = None
    images: Whole | None = None
    train_loss: Number | None = None
    train_accuracy: Number | None = None
    seconds: Seconds | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_older_versions(cls, row: object) -> object:
        if isinstance(row, dict) and row.get("event") == "train" and "train_loss" not in row:
            return {_NOW.get(key, key): value for key, value in row.items()}
        return row

    def line(self) -> bytes:
        """The row as a line of metrics.jsonl."""
        return json.dumps(self.to_dict(), allow_nan=False).encode() + b"\n"


Figures = Mapping[str, str | int | float | None]
"""A row as metrics.jsonl has it, for loggers of other packages: `event` (train, test, validation), `step`, `epoch` and figures."""


class ForeignLogger(Protocol):
    """A logger that is not ours: an object from Python, or one that an installed package made."""

    def log(self, row: Figures, /) -> object:
        """One more row."""


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
