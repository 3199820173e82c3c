"""What a training ends with, and what is known before it begins: results, a rehearsal, a search for the learning rate. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, either, speak
from resnet_dsl.records.document import Number, StoredDocument, Text, Texts, Whole
from resnet_dsl.records.log import Seconds
from resnet_dsl.table import Answer, Column, Layout, Table, count, duration, share, size

ROWS = 12
"""Rows of a curve that are shown."""


class Scores(StoredDocument):
    """How good a network is on a set of images: mean cross-entropy (natural logarithm; None where it is not finite), and the shares of
    images whose class is the first guess, and among the first five. Balanced accuracy and macro F1 (`records/balance`) weigh each class
    the same; they are None in what older versions wrote.
    """

    loss: Number | None
    top1: Number
    top5: Number
    images: Whole
    balanced_accuracy: Number | None = None
    macro_f1: Number | None = None

    @classmethod
    def measured(cls, loss: float | None, top1: float, top5: float, images: int, **by_class: float) -> Self:
        """From what was computed, where the loss may be nan: the running statistics of a network can leave the range of numbers."""
        return cls(loss=loss if loss is not None and math.isfinite(loss) else None, top1=top1, top5=top5, images=images, **by_class)


_SOMETIMES = frozenset(("stopped_early", "best_step", "best_epoch", "overfit_batch", "validation", "said"))


class Results(Answer, StoredDocument):
    """results.json: what a training has come to. `test` is of the weights that the run ended with, on the test images; train_loss and
    train_accuracy are means over the last stretch between two evaluations. `best_step` and `best_epoch` are of the weights that are kept, and
    `said` tells in words what became of the run: that it was stopped early and why, which epoch is kept. Keys that do not apply are None.
    Accuracies are shares.
    """

    name: Text
    data: Text
    folder: Text | None = None
    params: Whole
    steps: Whole
    epochs: Number
    stopped_early: bool | None = None
    best_step: Whole | None = None
    best_epoch: Number | None = None
    said: Texts | None = None
    overfit_batch: bool | None = None
    train_loss: Number | None = None
    train_accuracy: Number | None = None
    test: Scores
    validation: Scores | None = None
    seconds: Seconds
    images_per_s: Number | None = None
    device: Text | None = None
    precision: Text | None = None
    weights_sha256: Text | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as results.json holds them: what does not apply is left out."""
        return {key: value for key, value in StoredDocument.to_dict(self).items() if value is not None or key not in _SOMETIMES}

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """As `train` prints it."""
        return [replace(results_table([self]), notes=self.said or ())]

    def summary(self) -> str:
        """Network, data and test accuracy."""
        return f"{self.name} on {self.data}: test {share(self.test.top1)} after {self.epochs:,.6g} epochs"


def results_table(results: Sequence[Results]) -> Table:
    """One row for each run."""
    alone = len(results) == 1
    columns = [
        Column("name", "network"),
        Column("data", "data"),
        Column("params", "params", count, right=True),
        Column("epochs", "epochs", _number, right=True),
        Column("train_loss", "train loss", _loss, right=True),
        Column("train_accuracy", "train", share, right=True),
        Column("test_top1", "the batch" if all(r.overfit_batch for r in results) else "test", share, right=True),
        Column("seconds", "seconds", lambda v: f"{v:,.1f}", right=True),
        Column("folder", "run folder"),
    ]
    rows = [[r.name, r.data, r.params, r.epochs, r.train_loss, r.train_accuracy, r.test.top1, r.seconds, r.folder] for r in results]
    if alone and (test := results[0].test).balanced_accuracy is not None:
        columns[7:7] = [
            Column("balanced_accuracy", "balanced accuracy", share, right=True),
            Column("macro_f1", "macro F1", share, right=True),
        ]
        rows[0][7:7] = [test.balanced_accuracy, test.macro_f1]
    return Table(tuple(columns), rows, upright=alone)


@dataclass(frozen=True, slots=True, repr=False)
class Rehearsal(Answer):
    """What a run would take: `train --dry-run`. `images` are training images, `memory_bytes` what a step needs, `free_bytes` what the
    device has (None where it does not say), `seconds` the training without evaluation and checkpoints.
    """

    name: str
    data: str
    images: int
    params: int
    plan: str
    batch: int
    steps: int
    epochs: float
    memory_bytes: int
    free_bytes: int | None
    seconds_per_step: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One table of names and values."""
        columns = (
            Column("name", "network"),
            Column("data", "data"),
            Column("images", "images", count, right=True),
            Column("params", "params", count, right=True),
            Column("plan", "device plan"),
            Column("batch", "batch", count, right=True),
            Column("epochs", "epochs", _number, right=True),
            Column("steps", "steps", count, right=True),
            Column("memory_bytes", "memory", lambda v: f"about {size(v)}", right=True),
            Column("free_bytes", "free", size, right=True),
            Column("seconds_per_step", "a step", lambda v: f"{v * 1000:,.1f} ms", right=True),
            Column("seconds", "training", duration, right=True),
        )
        notes = ("Nothing was written. Evaluation and checkpoints come on top of the training time.",)
        return [Table(columns, [[getattr(self, c.key) for c in columns]], upright=True, notes=notes)]

    def summary(self) -> str:
        """Network, data, steps and time."""
        return f"{self.name} on {self.data}: {self.steps:,} steps, {duration(self.seconds)}, about {size(self.memory_bytes)}"


@dataclass(frozen=True, slots=True)
class RatePoint:
    """One step of a search for the learning rate: its rate, its loss, and the smoothed loss."""

    lr: float
    loss: float
    smoothed: float


@dataclass(frozen=True, slots=True, repr=False)
class RateSearch(Answer):
    """A search for the learning rate: `train --find-lr`. `lowest` is the rate at which the smoothed loss is lowest, `suggested` a tenth
    of it, `steepest` where the loss falls fastest along the logarithm of the rate.
    """

    name: str
    data: str
    optimizer: str
    batch: int
    suggested: float
    lowest: float
    steepest: float
    curve: tuple[RatePoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name; the curve as a list."""
        return {**asdict(self), "curve": [asdict(p) for p in self.curve]}

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """Some points of the curve, and what it suggests."""
        columns = (
            Column("lr", "lr", lambda v: f"{v:.3g}", right=True),
            Column("loss", "loss", _loss, right=True),
            Column("smoothed", "smoothed", _loss, right=True),
        )
        last = len(self.curve) - 1
        shown = [self.curve[i] for i in sorted({round(i * last / (ROWS - 1)) for i in range(ROWS)})]
        rate = f"{self.suggested:g}"
        use = either(f"lr={rate}", speak(str(Argument("lr", rate)), COMMAND_LINE))
        notes = (
            f"suggested: {use} (a tenth of {self.lowest:.3g}, where the smoothed loss is lowest;",
            f"it falls fastest at {self.steepest:.3g}). Nothing was written.",
        )
        return [Table(columns, [[p.lr, p.loss, p.smoothed] for p in shown], notes=notes)]

    def summary(self) -> str:
        """What it suggests."""
        return f"{self.name} on {self.data}: {self.suggested:g} suggested, the loss is lowest at {self.lowest:.3g}"


def _loss(value: float) -> str:
    return f"{value:.4f}"


def _number(value: float) -> str:
    return f"{value:,.6g}"
