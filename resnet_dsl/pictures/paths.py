"""The paths through networks side by side: as a document, as tables, as a picture of how many paths have each length."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal

from resnet_dsl.analysis.paths import NetworkPaths
from resnet_dsl.diagnostics import inline, refuse
from resnet_dsl.files import write_output
from resnet_dsl.pictures.drawing.lines import Series, chart
from resnet_dsl.table import Answer, Column, Layout, Table, count, shape_text, share, short

By = Literal["net", "length", "cut", "group"]
BYS: tuple[By, ...] = ("net", "length", "cut", "group")


def number(paths: int) -> str:
    """As people read it: 81, 2^27, 4.05e+17."""
    for base in (2, 3) if paths > 1000 else ():
        power = round(math.log(paths, base))
        if base**power == paths:
            return f"{base}^{power}"
    return f"{paths:,}" if paths < 10**9 else f"{Decimal(paths):.2e}"


@dataclass(frozen=True, repr=False)
class Paths(Answer):
    """The paths through one network or several, in their order. `by` is what a row of the table is."""

    networks: tuple[NetworkPaths, ...]
    by: By = "net"

    def __getitem__(self, i: int) -> NetworkPaths:
        return self.networks[i]

    def __iter__(self) -> Iterator[NetworkPaths]:
        return iter(self.networks)

    def __len__(self) -> int:
        return len(self.networks)

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """What `paths` prints in this format: one table, or one per network where a row is a part of it."""
        columns, rows, notes = _TABLES[self.by](self, format)
        if self.by != "net" and format != "csv":
            titles = [inline(p.name) for p in self.networks]
            last = len(rows) - 1
            return [
                Table(columns, held, title, notes=notes if i == last else ())
                for i, (title, held) in enumerate(zip(titles, rows, strict=True))
            ]
        named = [(p.name, *row) for p, held in zip(self.networks, rows, strict=True) for row in held]
        return [Table((Column("name", "network", inline), *columns), named, notes=notes)]

    def to_dict(self) -> dict[str, object]:
        """The document of `paths --format json`: everything, whatever a row of the table is."""
        return {"networks": [p.to_dict() for p in self.networks]}

    def summary(self) -> str:
        """In a line."""
        told = [f"{inline(p.name)}: {number(p.count)} through {_span(p)} layers" for p in self.networks[:3]]
        return "; ".join(told) + ("; ..." if len(self.networks) > 3 else "")

    @cached_property
    def svg(self) -> str:
        """Lines, one per network: how many of its paths have each length, against the commonest length."""
        series = []
        for i, p in enumerate(self.networks):
            most = max(n for _, n in p.lengths)
            series.append(Series(inline(p.name), [(float(length), n / most) for length, n in p.lengths], i))
        return chart(series, x="weighted layers on a path", y="paths (commonest length = 100%)", y_text=lambda v: f"{v:.0%}")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture; gives the path. Raises SpecError: exit 2 for another ending than .svg, 3 where it cannot be written."""
        target = Path(path)
        if target.suffix.lower() != ".svg":
            raise refuse("usage", f"paths are drawn as SVG, not as {inline(target.name)}", "name a file that ends in .svg", at=str(path))
        return write_output(target, self.svg)

    def _repr_svg_(self) -> str:
        return self.svg


_Rows = tuple[tuple[Column, ...], list[list[tuple[object, ...]]], tuple[str, ...]]


def _span(p: NetworkPaths) -> str:
    return f"{p.shortest:,}" if p.shortest == p.longest else f"{p.shortest:,} to {p.longest:,}"


def _by_net(found: Paths, format: Layout) -> _Rows:
    columns = (
        Column("shortest", "shortest", count, True), Column("longest", "longest", count, True),
        Column("mean", "mean", lambda v: f"{v:,.1f}", True), Column("paths", "paths", number, True),
        Column("cuts", "cut points", count, True), Column("tied", "tied groups", count, True),
    )  # fmt: skip
    rows: list[list[tuple[object, ...]]] = [[(p.shortest, p.longest, p.mean, p.count, len(p.cuts), len(p.tied))] for p in found.networks]
    return columns, rows, (
        "Lengths are weighted layers (conv and linear) on a path from the input to the",
        "classes. A cut point is a value that lies on every path. A tied group is a set",
        "of layers whose widths an elementwise merge makes equal.",
    )  # fmt: skip


def _by_length(found: Paths, format: Layout) -> _Rows:
    columns = (
        Column("length", "length", count, True), Column("paths", "paths", number, True),
        Column("share", "share", share, True), Column("up_to", "up to here", share, True),
    )  # fmt: skip
    rows: list[list[tuple[object, ...]]] = []
    for p in found.networks:
        below, held = 0, list[tuple[object, ...]]()
        for length, n in p.lengths:
            below += n
            held.append((length, n, n / p.count, below / p.count))
        rows.append(held)
    return columns, rows, ("Length: weighted layers (conv and linear) on a path.",)


def _by_cut(found: Paths, format: Layout) -> _Rows:
    columns = (
        Column("path", "after"), Column("op", "op"), Column("out", "out", shape_text, True), Column("elements", "elements", count, True),
        Column("params", "params", short, True), Column("macs", "MACs", short, True),
    )  # fmt: skip
    rows: list[list[tuple[object, ...]]] = [
        [(c.path, c.label, c.out, c.elements, c.params, c.macs) for c in p.cuts] for p in found.networks
    ]
    return columns, rows, (
        "Every path leads through these values. Elements: what crosses for one input;",
        "params and MACs: of the network up to there.",
    )  # fmt: skip


def _by_group(found: Paths, format: Layout) -> _Rows:
    columns = (
        Column("width", "width", count, True), Column("count", "layers", count, True),
        Column("layers", "which", wrap=True),
    )  # fmt: skip
    names = " ".join if format == "csv" else lambda layers: ", ".join(_runs(layers))
    rows: list[list[tuple[object, ...]]] = [[(t.width, len(t.layers), names(t.layers)) for t in p.tied] for p in found.networks]
    told = "Layers of one group keep the same number of output channels." if any(rows) else "No merge ties the widths of two layers."
    return columns, rows, (told,)


_TABLES = {"net": _by_net, "length": _by_length, "cut": _by_cut, "group": _by_group}


def _runs(layers: Sequence[str]) -> Iterator[str]:
    """Names with the numbers of equal layers in consecutive blocks drawn together: layer1.0-2.conv3."""
    runs: dict[tuple[str, str], list[list[int]]] = {}
    for name in layers:
        found = re.fullmatch(r"(.*?\.)(\d+)(\..+)", name)
        before, number, after = (found[1], int(found[2]), found[3]) if found is not None else (name, -1, "")
        held = runs.setdefault((before, after), [])
        if held and held[-1][1] + 1 == number:
            held[-1][1] = number
        else:
            held.append([number, number])
    for (before, after), held in runs.items():
        for first, last in held:
            yield before if first < 0 else f"{before}{first}{after}" if first == last else f"{before}{first}-{last}{after}"
