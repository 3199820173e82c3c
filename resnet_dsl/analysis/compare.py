"""Networks side by side, each with its differences and ratios to the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from resnet_dsl.analysis.apart import apart
from resnet_dsl.analysis.cost import CONVENTION
from resnet_dsl.analysis.inspect import Report, inspect
from resnet_dsl.analysis.report import Part
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.graph.graph import Graph
from resnet_dsl.table import Answer, Column, Layout, Table, count, shape_text, short, signed, times

By = Literal["net", "stage"]


@dataclass(frozen=True, slots=True)
class ComparedNetwork:
    """A network of a comparison. `label` says what sets it apart."""

    label: str
    report: Report


SORTS: Mapping[str, Callable[[ComparedNetwork], int]] = {
    "params": lambda e: e.report.params,
    "macs": lambda e: e.report.macs,
    "activations": lambda e: e.report.activations,
    "depth": lambda e: e.report.depth,
}
"""What rows may be sorted by."""


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Answer):
    """Networks and the `first` of those given, with which all are compared. `by` is what a row of the table is."""

    entries: tuple[ComparedNetwork, ...]
    first: ComparedNetwork
    by: By = "net"

    def sorted(self, key: str, *, largest_first: bool = False) -> Comparison:
        """The same with its rows in another order; equal ones keep theirs. Raises SpecError for a key that is not in `SORTS`."""
        if key not in SORTS:
            help = did_you_mean(key, SORTS, what="a key")
            raise refuse("unknown-name", f"no such key: {quote(key)}", help, at=Argument("sort"))
        return replace(self, entries=tuple(sorted(self.entries, key=SORTS[key], reverse=largest_first)))

    def summary(self) -> str:
        """How many networks, and which."""
        return f"{len(self.entries)} networks: {', '.join(e.label for e in self.entries)}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """The one table of `compare`."""
        return [self.table()]

    def to_dict(self) -> list[dict[str, object]]:
        """The JSON document of `compare --format json`: `inspect`'s, each with `label`, `delta` and `ratio`."""
        first = self.first.report
        return [
            {
                "label": e.label,
                **e.report.to_dict(),
                "delta": {"params": e.report.params - first.params, "macs": e.report.macs - first.macs},
                "ratio": {"params": _ratio(e.report.params, first.params), "macs": _ratio(e.report.macs, first.macs)},
            }
            for e in self.entries
        ]

    def table(self, by: By | None = None) -> Table:
        """One row per network, or one row per network of every stage."""
        return self._by_stage() if (by or self.by) == "stage" else self._by_network()

    def _by_network(self) -> Table:
        first = self.first.report
        rows = [[e.label, e.report.depth, *_against(e.report, first)] for e in self.entries]
        columns = (Column("label", "network", wrap=True), Column("depth", "depth", count, True), *_FIGURES)
        return Table(columns, rows, self._title(), notes=(self._measure(), CONVENTION))

    def _by_stage(self) -> Table:
        parts, measure = [_parts(e.report) for e in self.entries], _parts(self.first.report)
        places = sorted(dict.fromkeys(place for found in parts for place in found), key=lambda place: place[0])
        rows = [
            [place[1], entry.label, *_against(found[place], measure.get(place))]
            for place in places
            for entry, found in zip(self.entries, parts, strict=True)
            if place in found
        ]
        return Table(
            (Column("stage", "stage"), Column("label", "network", wrap=True), *_FIGURES),
            rows,
            self._title(),
            notes=(self._measure(), CONVENTION),
        )

    def _measure(self) -> str:
        moved = self.entries[0] is not self.first
        return f"Differences and ratios are to {self.first.label if moved else 'the first network'}."

    def _title(self) -> str:
        """What all have in common."""
        names = {e.report.name for e in self.entries}
        sizes = {(e.report.input, e.report.classes) for e in self.entries}
        name = f"{names.pop()}: " if len(names) == 1 else ""
        ((shape, classes),) = sizes if len(sizes) == 1 else (((), 0),)
        return f"{name}{shape_text(shape)} to {classes} classes" if shape else name.rstrip(": ")


def compare(graphs: Sequence[Graph], labels: Sequence[str] = (), by: By = "net", sort: str | None = None) -> Comparison:
    """The networks against the first of them.

    `labels` tell them apart; left out, their names do, with what differs between networks of one name. `sort` is a key of
    `SORTS`, with `-` before it for the largest first. Raises SpecError for another key.
    """
    entries = tuple(ComparedNetwork(*pair) for pair in zip(labels or apart(graphs), map(inspect, graphs), strict=True))
    found = Comparison(entries, entries[0], by)
    return found if sort is None else found.sorted(sort.removeprefix("-"), largest_first=sort.startswith("-"))


def _parts(report: Report) -> dict[tuple[int, str], Part]:
    """A report's parts by place in the network and name; a stage may well be called `head`."""
    stages = {(1, s.name): s for s in report.stages}
    return {(0, "stem"): report.stem, **stages, (2, "head"): report.head}


_FIGURES = (
    Column("params", "params", count, True),
    Column("delta_params", "difference", signed(count), True),
    Column("ratio_params", "ratio", times, True),
    Column("macs", "MACs", short, True),
    Column("delta_macs", "difference", signed(short), True),
    Column("ratio_macs", "ratio", times, True),
)


def _against(part: Report | Part, first: Report | Part | None) -> list[object]:
    if first is None:
        return [part.params, None, None, part.macs, None, None]
    return [
        part.params, part.params - first.params, _ratio(part.params, first.params),
        part.macs, part.macs - first.macs, _ratio(part.macs, first.macs),
    ]  # fmt: skip


def _ratio(value: int, first: int) -> float | None:
    return round(value / first, 4) if first else None
