"""What a probe found: a table, named figures, a picture. Plain values; no torch here."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_dsl.pictures.drawing.lines import Series, chart
from resnet_dsl.table import Column, Table


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines over a number, before they are drawn; `log` says that y grows by factors. Values that cannot be drawn are left out."""

    series: tuple[Series, ...]
    x: str
    y: str
    log: bool = False

    def svg(self) -> str | None:
        """The picture; None where no line has a point."""
        drawn = [replace(s, points=[p for p in s.points if self._has(p)]) for s in self.series]
        if not any(s.points for s in drawn):
            return None
        return chart(drawn, x=self.x, y=self.y, log=self.log)

    def _has(self, point: tuple[float, float]) -> bool:
        return math.isfinite(point[1]) and (point[1] > 0 or not self.log)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found of one network, at one moment or, put together by `across`, at several.

    `about` says in one sentence where the weights are from and which images were looked at. `figures` are the scalars that an
    assertion can speak of; their names are identifiers. A `chart` is a `Plot`, or an SVG that the probe has drawn itself.
    """

    probe: str
    network: str
    about: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[object, ...], ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    chart: Plot | str | None = None

    def table(self, width: int | None = None, *, prose: bool = True) -> Table:
        """The rows for a person, the figures below them, with `prose` under a title and over notes, in lines of `width` where it is given."""

        def lines(text: str) -> list[str]:
            return textwrap.wrap(text, width) if width is not None else [text]

        widest = max(map(len, self.figures), default=0)
        figures = [f"{name:{widest}} = {figure_text(value)}" for name, value in self.figures.items()]
        notes = [line for note in self.notes for line in lines(note)] if prose else []
        title = "\n".join(lines(f"{self.network}: {self.about}")) if prose else ""
        return Table(self.columns, self.rows, title=title, notes=(*figures, *([""] if figures and notes else []), *notes))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document. A number that is not finite, which JSON lacks, is null."""
        keys = [c.key for c in self.columns]
        return {
            "probe": self.probe,
            "network": self.network,
            "about": self.about,
            "figures": {name: _plain(value) for name, value in self.figures.items()},
            "rows": [{k: _plain(v) for k, v in zip(keys, row, strict=True)} for row in self.rows],
            "notes": list(self.notes),
        }

    def svg(self) -> str | None:
        """The picture; None where there is none."""
        return self.chart.svg() if isinstance(self.chart, Plot) else self.chart


def across(findings: Sequence[tuple[int, Finding]], side_by_side: str = "") -> Finding:
    """One finding out of those at several steps of a training, in order; that of one step is itself.

    With `side_by_side`, the key of a column, the tables are one with that column once for each step; else the rows follow one
    another, the step before them. Figures are named NAME_at_STEP, the lines of plots `step STEP`.
    """
    if len(findings) == 1:
        return findings[0][1]
    last = findings[-1][1]
    columns, rows = _beside(findings, side_by_side) if side_by_side else _below(findings)
    plots = [(step, f.chart) for step, f in findings if isinstance(f.chart, Plot)]
    notes = dict.fromkeys(n for _, f in findings for n in f.notes)
    if isinstance(last.chart, str):
        notes[f"The picture shows step {findings[-1][0]}."] = None
    return Finding(
        last.probe,
        last.network,
        last.about,
        columns,
        rows,
        {f"{name}_at_{step}": f.figures[name] for name in last.figures for step, f in findings if name in f.figures},
        tuple(notes),
        _together(plots) if plots else last.chart,
    )


def figure_text(value: float) -> str:
    """Four digits: 0.5312, 1,390, 1.2e+07."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if (value == round(value) and abs(value) < 1e6) or 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def number_text(value: float) -> str:
    """Three digits for a column: 0.531, 1.39e+03."""
    return f"{value:.3g}"


def ratio(a: float, b: float) -> float:
    """a / b; nan where b is zero."""
    return a / b if b else math.nan


_Parts = tuple[tuple[Column, ...], tuple[tuple[object, ...], ...]]


def _below(findings: Sequence[tuple[int, Finding]]) -> _Parts:
    rows = tuple((step, *row) for step, f in findings for row in f.rows)
    return (Column("step", "step", right=True), *findings[-1][1].columns), rows


def _beside(findings: Sequence[tuple[int, Finding]], key: str) -> _Parts:
    columns = findings[-1][1].columns
    (at,) = (i for i, c in enumerate(columns) if c.key == key)
    beside = tuple(replace(columns[at], key=f"{key}_at_{step}", title=f"step {step:,}") for step, _ in findings)
    rows = tuple(
        (*row[:at], *(f.rows[i][at] for _, f in findings), *row[at + 1 :]) for i, row in enumerate(findings[-1][1].rows)
    )  # fmt: skip
    return (*columns[:at], *beside, *columns[at + 1 :]), rows


def _together(plots: Sequence[tuple[int, Plot]]) -> Plot:
    several = len(plots[-1][1].series) > 1
    series = [
        replace(s, name=f"step {step:,}{f', {s.name}' if several else ''}", number=i * len(p.series) + s.number)
        for i, (step, p) in enumerate(plots)
        for s in p.series
    ]
    return replace(plots[-1][1], series=tuple(series))


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
