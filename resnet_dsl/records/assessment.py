"""How good a network is on images, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from resnet_dsl.diagnostics import Argument
from resnet_dsl.records import balance
from resnet_dsl.table import Answer, Column, Layout, Table, count, share

Part = Literal["test", "validation", "train"]
"""The images of a data set that a network is evaluated on."""

Matrix = Sequence[Sequence[int]]
"""Counts of images: rows are true classes, columns predicted ones."""

SHOWN = 20
"""Rows of a table for a person; CSV and JSON hold everything."""

_WIDTH = 80


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class. `recall`: the share of its images that were found; `precision`: of the images taken for it, the share that are of it;
    `f1`: their harmonic mean. Each is None where there is nothing to divide by.

    `confused_with` is the class that most of its other images were taken for, `confused` how many.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None
    f1: float | None
    confused_with: str | None
    confused: int

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        values = asdict(self)
        return {"class": values.pop("name"), **values}


def by_class(confusion: Matrix, names: Sequence[str]) -> tuple[ClassScores, ...]:
    """The scores of each class, in order."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    found = []
    for i, row in enumerate(confusion):
        images, hits = sum(row), row[i]
        wrong = max((j for j in range(len(row)) if j != i), key=lambda j: row[j], default=i)
        confused = row[wrong] if wrong != i else 0
        shares = balance.recall(hits, images), balance.precision(hits, predicted[i]), balance.f1(hits, images, predicted[i])
        found.append(ClassScores(names[i], images, *shares, names[wrong] if confused else None, confused))
    return tuple(found)


@dataclass(frozen=True, repr=False)
class Assessment(Answer):
    """What an evaluation found. `top1` and `top5` are shares of the images whose class is the first guess, or among the first five.

    `balanced_accuracy` is the mean recall of the classes and `macro_f1` their mean F1, of the classes that have one: every class counts
    the same. `loss` is the mean cross-entropy (natural logarithm), None where it is not finite. `crops` and `scales` say what was seen of each
    picture, if it was more than one middle crop. `confusion` counts images: rows are true classes, columns predicted ones.
    `show_classes` and `show_confusion` say what the tables hold besides the scores. `notes` are lines about the data: what of it was not read,
    say.
    """

    name: str
    data: str
    part: Part
    loss: float | None
    top1: float
    top5: float
    images: int
    device: str
    precision: str
    classes: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    crops: int = 1
    scales: tuple[int, ...] = ()
    show_classes: bool = False
    show_confusion: bool = False
    notes: tuple[str, ...] = ()

    @property
    def balanced_accuracy(self) -> float:
        """The mean recall of the classes that have images."""
        return balance.balanced_accuracy([c.images for c in self.classes], self._hits)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that have images or were guessed."""
        guesses = [sum(column) for column in zip(*self.confusion, strict=True)]
        return balance.macro_f1([c.images for c in self.classes], guesses, self._hits)

    @property
    def _hits(self) -> list[int]:
        return [row[i] for i, row in enumerate(self.confusion)]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the confusion matrix."""
        return tuple(c.name for c in self.classes)

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """The scores, and the confusion matrix and the classes where they are shown; CSV is one of the three."""
        more = [confusion_table(self.confusion, self.class_names, format)] if self.show_confusion else []
        more += [classes_table(self.classes, format)] if self.show_classes else []
        return more if format == "csv" and more else [self._scores(), *more]

    def _scores(self) -> Table:
        columns = (
            Column("name", "network"),
            Column("data", "data"),
            Column("part", "images of"),
            Column("images", "images", count, right=True),
            Column("top1", "top-1", share, right=True),
            Column("top5", "top-5", share, right=True),
            Column("balanced_accuracy", "balanced accuracy", share, right=True),
            Column("macro_f1", "macro F1", share, right=True),
            Column("loss", "loss", lambda v: f"{v:.4f}", right=True),
        )
        return Table(columns, [[getattr(self, c.key) for c in columns]], upright=True)

    def to_dict(self) -> dict[str, Any]:
        """What `evaluate` prints as JSON: it always holds the classes and the confusion matrix."""
        seen: dict[str, Any] = {"crops": self.crops} if self.crops > 1 else {"scales": list(self.scales)} if self.scales else {}
        return {
            "name": self.name,
            "data": self.data,
            "part": self.part,
            **seen,
            "loss": self.loss,
            "top1": self.top1,
            "top5": self.top5,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "images": self.images,
            "device": self.device,
            "precision": self.precision,
            "classes": [c.to_dict() for c in self.classes],
            "confusion": [list(row) for row in self.confusion],
        }

    def summary(self) -> str:
        """Network, images and scores."""
        scores = f"top-1 {share(self.top1)}, top-5 {share(self.top5)}, balanced accuracy {share(self.balanced_accuracy)}"
        return f"{self.name:.80} on {self.images:,} {self.part} images of {self.data:.80}: {scores}"


@dataclass(frozen=True, slots=True)
class Sample:
    """A test image that the network was asked about: names of its class and of the guess, and the guess's probability.

    `pixels` are the bytes of (height, width, channels).
    """

    index: int
    true: str
    guess: str
    probability: float
    pixels: bytes
    height: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True)
class Sampled:
    """An assessment with some of its images: mistakes, the most confident first, then right guesses."""

    scores: Assessment
    samples: tuple[Sample, ...]


def confusion_table(confusion: Matrix, names: Sequence[str], format: Layout) -> Table:
    """The matrix, one row per true class and one column per predicted class.

    For a person, where 80 columns do not hold it, it is the most frequent confusions instead.
    """
    if format == "csv":
        return Table((Column("true", "true"), *(Column(n, n) for n in names)), [[n, *row] for n, row in zip(names, confusion, strict=True)])
    # Numbers head the columns where the names would not fit; the rows then say which is which.
    numbered = [f"{i} {n}" for i, n in enumerate(names)]
    for heads, rows in ((names, names), ([str(i) for i in range(len(names))], numbered)):
        table = _matrix(confusion, heads, rows)
        if len(names) <= SHOWN and (format != "table" or table.width <= _WIDTH):
            return table
    return _pairs(confusion, names)


def _matrix(confusion: Matrix, heads: Sequence[str], names: Sequence[str]) -> Table:
    columns = (Column("true", "true"), *(Column(h, h, _cell, right=True) for h in heads))
    rows = [[name, *row] for name, row in zip(names, confusion, strict=True)]
    return Table(columns, rows, notes=("Rows are true classes, columns predicted ones; counts of images (. is none).",))


def _cell(value: int) -> str:
    return count(value) if value else "."


def _pairs(confusion: Matrix, names: Sequence[str]) -> Table:
    wrong = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j]
    # Counts fall, classes rise: equal counts stand in the order of the classes.
    worst = sorted(wrong, key=lambda x: (-x[0], x[1:]))[:SHOWN]
    columns = (
        Column("true", "true", wrap=True),
        Column("predicted", "predicted", wrap=True),
        Column("images", "images", count, right=True),
        Column("share", "of the class", share, right=True),
    )
    rows = [[names[i], names[j], n, n / sum(confusion[i])] for n, i, j in worst]
    whole = f"{Argument('format', 'csv')} holds the whole matrix of {len(names):,} classes."
    return Table(columns, rows, notes=(f"The most frequent confusions, {len(worst)} of {len(wrong):,}; {whole}",))


def classes_table(classes: Sequence[ClassScores], format: Layout) -> Table:
    """One row per class. For a person, the 20 with the lowest F1 where there are more."""
    columns = (
        Column("class", "class", wrap=True),
        Column("images", "images", count, right=True),
        Column("recall", "recall", share, right=True),
        Column("precision", "precision", share, right=True),
        Column("f1", "F1", share, right=True),
        Column("confused_with", "most taken for", wrap=True),
        Column("confused", "times", _cell, right=True),
    )
    chosen = list(classes)
    notes: tuple[str, ...] = ()
    if format != "csv" and len(classes) > SHOWN:
        # A class without images and without guesses has no F1, and is no finding.
        chosen = sorted((c for c in classes if c.f1 is not None), key=lambda c: c.f1 or 0.0)[:SHOWN]
        notes = (f"The {len(chosen)} of {len(classes):,} classes with the lowest F1; {Argument('format', 'csv')} holds all.",)
    return Table(columns, [list(c.to_dict().values()) for c in chosen], notes=notes)
