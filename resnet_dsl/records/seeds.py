"""Runs that differ by their seed alone, as one: mean and deviation."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from resnet_dsl.language.recipe import write
from resnet_dsl.records.request import LASTING
from resnet_dsl.records.run import Run
from resnet_dsl.table import Answer, Column, Layout, Table, count, share

_OWN = frozenset(("logger", "tensorboard"))
"""What a run was asked for that changes none of its figures."""


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
        """Of `test` or `train`: top-1 accuracy of the results."""
        done = [run.results for run in self.runs if run.results is not None]
        values = [r.test.top1 if figure == "test" else r.train_accuracy for r in done]
        return Spread.of([v for v in values if v is not None])

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        first = self.runs[0].overview
        return {
            "group": self.name, "name": first.name, "data": first.data, "runs": [str(run.path) for run in self.runs], "seeds": list(self.seeds),
            "finished": sum(run.results is not None for run in self.runs),
            **{figure: asdict(self.spread(figure)) for figure in ("test", "train")},
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
            keys = ("group", "name", "data", "n", "seeds", "test_mean", "test_sd", "train_mean", "train_sd")
            return [Table(tuple(Column(k, k) for k in keys), [_plain_row(g) for g in self.groups])]
        columns = (
            Column("group", "runs in"),
            Column("name", "network"),
            Column("data", "data"),
            Column("n", "n", count, right=True),
            Column("seeds", "seeds"),
            Column("test", "test", right=True),
            Column("train", "train", right=True),
        )
        rows = [
            [
                g.name,
                (o := g.runs[0].overview).name,
                o.data,
                g.spread("test").n,
                _numbers(g.seeds),
                str(g.spread("test")),
                str(g.spread("train")),
            ]
            for g in self.groups
        ]
        notes = ["mean top-1 accuracy (standard deviation in percentage points) of the n runs that are finished"]
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
    test, train, first = group.spread("test"), group.spread("train"), group.runs[0].overview
    return [group.name, first.name, first.data, test.n, _numbers(group.seeds), test.mean, test.sd, train.mean, train.sd]


def _numbers(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))
