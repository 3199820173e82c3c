"""Runs that differ by their seed alone, as one: mean and deviation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnet_dsl.language.recipe import write
from resnet_dsl.records.balance import unequal
from resnet_dsl.records.request import LASTING
from resnet_dsl.records.results import Results
from resnet_dsl.records.run import Run
from resnet_dsl.table import Answer, Column, Layout, Table, count, share

_OWN = frozenset(("logger", "tensorboard"))
"""What a run was asked for that changes none of its figures."""


FIGURES: Mapping[str, Callable[[Results], float | None]] = {
    "test": lambda results: results.test.top1,
    "balanced_accuracy": lambda results: results.test.balanced_accuracy,
    "macro_f1": lambda results: results.test.macro_f1,
    "train": lambda results: results.train_accuracy,
}
"""What is told of the runs of a group: top-1 accuracy and the scores in which classes count the same on test images, and training accuracy."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the finished runs of a group: its mean, and the sample's standard deviation (None of one run). None where none has it."""

    mean: float | None
    sd: float | None
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Of the runs that have the figure."""
        return Spread(
            statistics.fmean(values) if values else None,
            statistics.stdev(values) if len(values) > 1 else None,
            len(values),
        )

    def __str__(self) -> str:
        if self.mean is None:
            return "-"
        return share(self.mean) if self.sd is None else f"{share(self.mean)} ({100 * self.sd:.2f})"


@dataclass(frozen=True, slots=True)
class SeedGroup:
    """Runs of one network, recipe and data that differ by their seed alone, in the order of the seeds."""

    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """What the folders have in common: the folder that holds them, else the first one's own."""
        homes = {run.path.parent for run in self.runs}
        return str(self.runs[0].path if len(self.runs) == 1 or len(homes) > 1 else homes.pop())

    @property
    def seeds(self) -> tuple[int, ...]:
        """The recipes' seeds."""
        return tuple(run.recipe.seed for run in self.runs)

    def spread(self, figure: str) -> Spread:
        """Of one of `FIGURES`."""
        values = [FIGURES[figure](run.results) for run in self.runs if run.results is not None]
        return Spread.of([v for v in values if v is not None])

    @property
    def unequal(self) -> bool:
        """Are the classes of its training images of unequal size, as a run says at its start?"""
        counts = self.runs[0].record.class_counts or ()
        return unequal(counts, tuple(map(str, range(len(counts))))) is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        first = self.runs[0].overview
        return {
            "group": self.name, "name": first.name, "data": first.data, "runs": [str(run.path) for run in self.runs], "seeds": list(self.seeds),
            "finished": sum(run.results is not None for run in self.runs),
            **{figure: asdict(self.spread(figure)) for figure in FIGURES},
        }  # fmt: skip


@dataclass(frozen=True, slots=True, repr=False)
class SeedGroups(Answer):
    """Runs by group. Iterating gives each group, the best mean first."""

    groups: tuple[SeedGroup, ...]

    def __iter__(self) -> Iterator[SeedGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, place: int) -> SeedGroup:
        return self.groups[place]

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One row for each group."""
        if format == "csv":
            keys = ("group", "name", "data", "n", "seeds", *(f"{figure}_{part}" for figure in FIGURES for part in ("mean", "sd")))
            return [Table(tuple(Column(k, k) for k in keys), [_plain_row(g) for g in self.groups])]
        shown = {"test": "test", **({"balanced_accuracy": "balanced"} if any(g.unequal for g in self.groups) else {}), "train": "train"}
        columns = (
            Column("group", "runs in"),
            Column("name", "network"),
            Column("data", "data"),
            Column("n", "n", count, right=True),
            Column("seeds", "seeds"),
            *(Column(figure, title, right=True) for figure, title in shown.items()),
        )
        rows = [
            [
                g.name,
                (o := g.runs[0].overview).name,
                o.data,
                g.spread("test").n,
                _numbers(g.seeds),
                *(str(g.spread(figure)) for figure in shown),
            ]
            for g in self.groups
        ]
        notes = ["mean top-1 accuracy (standard deviation in percentage points) of the n runs that are finished"]
        if "balanced_accuracy" in shown:
            notes.append("balanced: balanced accuracy on test images, the mean recall of the classes")
        notes += [
            f"{g.name}: {len(g.runs) - g.spread('test').n} of {len(g.runs)} runs are not finished"
            for g in self.groups
            if g.spread("test").n < len(g.runs)
        ]
        return [Table(columns, rows, notes=tuple(notes))]

    def to_dict(self) -> dict[str, Any]:
        """Every group."""
        return {"groups": [g.to_dict() for g in self.groups]}

    def summary(self) -> str:
        """The best group."""
        if not self.groups:
            return "no groups"
        best = self.groups[0]
        return f"{len(self.groups):,}, the best {best.name}: test {best.spread('test')}, n {best.spread('test').n}"


def grouped(runs: Sequence[Run]) -> SeedGroups:
    """Runs of equal spec, recipe, data and request but for the seed, together; the best mean first. Raises SpecError where a run is damaged."""
    found: dict[tuple[object, ...], list[Run]] = {}
    for run in runs:
        found.setdefault(_identity(run), []).append(run)
    groups = [SeedGroup(tuple(sorted(of, key=lambda r: (r.recipe.seed, Path(r.path))))) for of in found.values()]
    return SeedGroups(tuple(sorted(groups, key=lambda g: -(g.spread("test").mean or -1.0))))


def _identity(run: Run) -> tuple[object, ...]:
    record = run.record
    asked = [getattr(record, name) for name in LASTING if name not in _OWN]
    return (run.spec_text, write(run.recipe.model_copy(update={"seed": 0})), repr(asked), record.data_sha256)


def _plain_row(group: SeedGroup) -> list[object]:
    first = group.runs[0].overview
    spreads = [group.spread(figure) for figure in FIGURES]
    return [group.name, first.name, first.data, spreads[0].n, _numbers(group.seeds), *(v for s in spreads for v in (s.mean, s.sd))]


def _numbers(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))
