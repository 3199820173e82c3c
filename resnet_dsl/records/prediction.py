"""What pictures show, as a network says."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.records.leftout import LeftOut, left_out_line
from resnet_dsl.table import Answer, Column, Layout, Table, share


@dataclass(frozen=True, slots=True)
class Guess:
    """A class and its probability (softmax)."""

    name: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"class": self.name, "probability": self.probability}

    def __str__(self) -> str:
        return f"{self.name} {share(self.probability)}"


@dataclass(frozen=True, repr=False)
class Prediction(Answer):
    """One picture. `top` are the likeliest classes, the likeliest first; `changed` says what was done to fit it to the network, or is None."""

    file: str
    top: tuple[Guess, ...]
    changed: str | None = None

    @property
    def label(self) -> str:
        """The name of the likeliest class."""
        return self.top[0].name

    @property
    def probability(self) -> float:
        """The probability of the likeliest class."""
        return self.top[0].probability

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """A table of one row."""
        return Predictions((self,)).tables(format)

    def to_dict(self) -> dict[str, Any]:
        """The entry of `predict`'s JSON."""
        return {"file": self.file, **self.top[0].to_dict(), "changed": self.changed, "top": [g.to_dict() for g in self.top]}

    def summary(self) -> str:
        """The file and the likeliest class."""
        return f"{self.file[-120:]}: {self.label:.120} {share(self.probability)}"


@dataclass(frozen=True, repr=False)
class Predictions(Answer, Sequence[Prediction]):
    """The pictures that could be read, in order. `failed` holds one error for each picture that could not.

    `left_out` counts the files in the folders that are no pictures to read.
    """

    pictures: tuple[Prediction, ...]
    failed: tuple[SpecError, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Prediction]: ...
    def __getitem__(self, index: int | slice) -> Prediction | Sequence[Prediction]:
        return self.pictures[index]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Prediction]:
        return iter(self.pictures)

    @property
    def changes(self) -> Counter[str]:
        """How many pictures were changed to fit the network, by what was done to them."""
        return Counter(p.changed for p in self.pictures if p.changed)

    @property
    def left_out_line(self) -> str | None:
        """What was left out, in a line; None where nothing was."""
        return left_out_line(self.left_out, "the folders")

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One row per picture.

        CSV has a pair of columns for each of the likeliest classes, a person sees those after the first on one line.
        """
        first = (Column("file", "picture"), Column("class", "class"), Column("probability", "probability", share, right=True))
        ranks = range(1, max((len(p.top) for p in self.pictures), default=1))
        if format == "csv":
            further = [Column(f"{key}{i + 1}", "") for i in ranks for key in ("class", "probability")]
            return [Table((*first, *further), [[p.file, *(v for g in p.top for v in (g.name, g.probability))] for p in self.pictures])]
        rows = [[p.file, p.label, p.probability] for p in self.pictures]
        if not ranks:
            return [Table(first, rows)]
        rest = [", ".join(map(str, p.top[1:])) for p in self.pictures]
        return [Table((*first, Column("next", "then", wrap=True)), [[*row, text] for row, text in zip(rows, rest, strict=True)])]

    def __str__(self) -> str:
        """The table, and below it why pictures could not be used."""
        return "\n".join([*([super().__str__()] if self.pictures else []), *map(str, self.failed)])

    def _repr_html_(self) -> str:
        return super()._repr_html_() + "".join(f"<pre>{html.escape(str(error))}</pre>" for error in self.failed)

    def to_dict(self) -> list[dict[str, Any]]:
        """What `predict` prints as JSON: one entry per picture."""
        return [p.to_dict() for p in self.pictures]

    def summary(self) -> str:
        """How many pictures, and what is most often seen on them."""
        first = (
            f" ({str(self.failed[0].diagnostics[0].location)[-60:]}: {self.failed[0].diagnostics[0].message:.80})" if self.failed else ""
        )
        failed = f", {len(self.failed):,} could not be used{first}" if self.failed else ""
        seen = ", ".join(f"{n:,} {name:.40}" for name, n in Counter(p.label for p in self.pictures).most_common(4))
        return f"of {len(self.pictures):,} picture{'' if len(self.pictures) == 1 else 's'}{failed}{': ' + seen if seen else ''}"
