"""What a probe found: a table, named figures, a picture. Plain values; no torch here."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from resnet_dsl.pictures.drawing.lines import Series, chart
from resnet_dsl.pictures.picture import Picture
from resnet_dsl.table import Answer, Column, Layout, Table

_SUMMARY = 280


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


@dataclass(frozen=True, slots=True, repr=False)
class Finding(Answer):
    """What a probe found of one network, at one moment or, put together by `across`, at several.

    `about` says in one sentence where the weights and the images are from. `figures` are the named numbers that an assertion can
    test; their names are identifiers. `rows` are the table's bare values, by `columns`. A `chart` is a `Plot`, or an SVG that the
    probe has drawn itself.
    """

    probe: str
    network: str
    about: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[object, ...], ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    chart: Plot | str | None = None

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """The one table."""
        return [self.table(80 if format == "table" else None)]

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The text that the command prints; without title and notes, but with the figures, where `quiet`."""
        return self.table(width if format == "table" else None, prose=not quiet).render(format, bold=bold, width=width)

    def table(self, width: int | None = None, *, prose: bool = True) -> Table:
        """The rows, with the figures below them. `prose` adds a title and notes, broken into lines of `width` where it is given."""

        def lines(text: str) -> list[str]:
            return textwrap.wrap(text, width) if width is not None else [text]

        widest = max(map(len, self.figures), default=0)
        figures = [f"{name:{widest}} = {figure_text(value)}" for name, value in self.figures.items()]
        notes = [line for note in self.notes for line in lines(note)] if prose else []
        title = "\n".join(lines(f"{self.network}: {self.about}")) if prose else ""
        return Table(self.columns, self.rows, title=title, notes=(*figures, *([""] if figures and notes else []), *notes))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document. A number that is not finite is null: JSON has no such numbers."""
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
        """The picture as the text of an SVG; None where there is none."""
        return self.chart.svg() if isinstance(self.chart, Plot) else self.chart

    @property
    def plot(self) -> Picture | None:
        """The picture, for a notebook or a file; None where there is none."""
        svg = self.svg()
        return None if svg is None else Picture(svg, f"{self.probe} of {self.network}")

    def summary(self) -> str:
        """Probe, network and the first figures."""
        figures = ", ".join(f"{name} {figure_text(value)}" for name, value in self.figures.items())
        text = f"{self.probe} of {self.network}: {figures or f'{len(self.rows):,} rows'}"
        return text if len(text) <= _SUMMARY else f"{text[:_SUMMARY]}..."

    def _repr_svg_(self) -> str | None:
        return self.svg()

    def _repr_html_(self) -> str:
        # A notebook shows one form of a value, and this comes first: the picture stands below the table.
        return self.render("html") + (self.plot.html() if self.plot is not None else "")


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
