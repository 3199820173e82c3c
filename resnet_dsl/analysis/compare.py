"""Networks side by side, each with its differences and ratios to the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from resnet_dsl.analysis.cost import CONVENTION
from resnet_dsl.analysis.inspect import Part, Report, inspect
from resnet_dsl.graph.graph import Graph
from resnet_dsl.table import Column, Table, count, shape_text, short, signed, times


@dataclass(frozen=True, slots=True)
class Entry:
    """A network of a comparison. `label` says what sets it apart."""

    label: str
    report: Report


SORTS: Mapping[str, Callable[[Entry], int]] = {
    "params": lambda e: e.report.params,
    "macs": lambda e: e.report.macs,
    "activations": lambda e: e.report.activations,
    "depth": lambda e: e.report.depth,
}
"""What rows may be sorted by."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Networks and the `first` of those given, which all are measured by."""

    entries: tuple[Entry, ...]
    first: Entry

    def sorted(self, key: str, *, largest_first: bool = False) -> Comparison:
        """The same with its rows in another order; equal ones keep theirs."""
        return replace(self, entries=tuple(sorted(self.entries, key=SORTS[key], reverse=largest_first)))

    def __str__(self) -> str:
        return self.table().render("table")

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

    def table(self, by: Literal["net", "stage"] = "net") -> Table:
        """One row a network, or one row a network of every stage."""
        return self._by_stage() if by == "stage" else self._by_network()

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


def compare(graphs: Sequence[Graph], labels: Iterable[str] = ()) -> Comparison:
    """The networks against the first of them; `labels` tell them apart where their names do not."""
    names = tuple(labels) or tuple(g.name for g in graphs)
    entries = tuple(Entry(name, inspect(graph)) for name, graph in zip(names, graphs, strict=True))
    return Comparison(entries, entries[0])


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
