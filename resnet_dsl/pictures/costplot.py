"""The picture of a comparison: parameters against multiply-accumulates, and both by stage as stacked bars."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from resnet_dsl.analysis.compare import ComparedNetwork, Comparison
from resnet_dsl.analysis.cost import Cost
from resnet_dsl.diagnostics import clean, inline, refuse
from resnet_dsl.files import write_output
from resnet_dsl.pictures.drawing.chart import BarMark, Chart, DotMark, Mark, RuleMark, TextMark, apart
from resnet_dsl.pictures.drawing.engine import dress, render
from resnet_dsl.pictures.drawing.text import text_width
from resnet_dsl.pictures.drawing.theme import THEMES, mix
from resnet_dsl.table import short

ENDINGS = (".svg", ".png", ".html")
MAX_BARS = 40
"""Networks that are drawn as bars; of more, the first."""

DPI = 144.0
_THEME = THEMES["light"]
_WIDTH = 720.0
_PLOT = 300.0
_ROW, _GAP = 16.0, 26.0
_LABEL = 8.5
_CLIP = 34


@dataclass(frozen=True, slots=True)
class CostPlot:
    """The plot of a comparison, ready to be written as svg, png, or an html page with the table."""

    comparison: Comparison

    def __repr__(self) -> str:
        return f"<CostPlot of {len(self.comparison.entries)} networks>"

    def _repr_svg_(self) -> str:
        return svg(self.comparison)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the plot in the format of the path's ending; gives the path. Raises SpecError as `Drawing.save` does."""
        target = Path(path)
        ending = target.suffix.lower()
        if ending not in ENDINGS:
            help = f"end the file's name in one of {', '.join(ENDINGS)}"
            raise refuse("usage", f"no plot ends in '{inline(ending)}'", help, at=str(path))
        if ending == ".png":
            return write_output(target, render(chart(self.comparison).dot("costs"), "png", DPI))
        return write_output(target, (page if ending == ".html" else svg)(self.comparison))


def svg(comparison: Comparison) -> str:
    """The picture as SVG; its text is text."""
    told = "; ".join(f"{e.label}: {e.report.params:,} parameters, {e.report.macs:,} MACs" for e in comparison.entries)
    return dress(
        render(chart(comparison).dot("costs"), "svg").decode(),
        "Parameters and multiply-accumulates",
        told,
        comparison.table().render("csv"),
    )


def page(comparison: Comparison) -> str:
    """A page of its own: the picture, and the same figures as a table."""
    table = comparison.table()
    head = "".join(f'<th scope="col"{" class=n" if c.right else ""}>{escape(c.title)}</th>' for c in table.columns)
    rows = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=n' if c.right else ''}>{escape(clean('' if v is None else c.text(v)))}</td>"
            for c, v in zip(table.columns, row, strict=True)
        )
        + "</tr>\n"
        for row in table.rows
    )
    picture = svg(comparison).partition("\n")[2]
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Costs of {len(comparison.entries)} networks</title>
<style>
body {{ font: 15px/1.5 Helvetica, Arial, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #111 }}
svg {{ max-width: 100%; height: auto }}
table {{ border-collapse: collapse; margin: 1rem 0 }}
th, td {{ padding: .25rem .75rem; border-bottom: 1px solid #ccc; text-align: left }}
.n {{ text-align: right; font-variant-numeric: tabular-nums }}
</style>
<h1>Costs of {len(comparison.entries)} networks</h1>
{picture}
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}</tbody>
</table>
{notes}</html>
"""


def chart(comparison: Comparison) -> Chart:
    """The whole picture: the scatter above, the bars of parameters and of multiply-accumulates under it."""
    bars = comparison.entries[:MAX_BARS]
    parts = _parts(bars)
    panel = 24 + _ROW * len(bars)
    key = _legend(parts, 0)[1]
    height = _PLOT + _GAP + 2 * (panel + _GAP) + key + 20
    chart = Chart(_WIDTH, height, _THEME.paper)
    chart.marks += _scatter(comparison.entries)
    top = _PLOT + _GAP + 18
    for title, figure in (("Parameters by stage", lambda c: c.params), ("MACs by stage", lambda c: c.macs)):
        chart.marks += _stacked(bars, parts, title, figure, top)
        top += panel + _GAP
    chart.marks += _legend(parts, top - 10)[0]
    if len(bars) < len(comparison.entries):
        chart.marks.append(TextMark(0, height - 6, f"Bars: the first {len(bars)} of {len(comparison.entries)} networks.", _THEME.soft))
    return chart


def _parts(entries: Sequence[ComparedNetwork]) -> list[str]:
    """The parts of all networks in order; stages by their number where their names differ."""
    most = max((len(e.report.stages) for e in entries), default=0)
    names = []
    for i in range(most):
        called = {e.report.stages[i].name for e in entries if i < len(e.report.stages)}
        names.append(called.pop() if len(called) == 1 else f"stage {i + 1}")
    return ["stem", *names, "head"]


def _colour(i: int, parts: Sequence[str]) -> str:
    return _THEME.hue(i - 1 if 0 < i < len(parts) - 1 else None) if i else mix(_THEME.neutral, "#000000", 0.25)


def _legend(parts: Sequence[str], top: float) -> tuple[list[Mark], float]:
    """The key of the bars' colours, in as many lines as it takes, and its height."""
    marks: list[Mark] = []
    x, y = 0.0, top
    for i, name in enumerate(parts):
        width = 20 + text_width(name, _LABEL)
        if x + width > _WIDTH:
            x, y = 0.0, y + _ROW
        marks += [BarMark(x, y - 4, 9, 9, _colour(i, parts), _THEME.line), TextMark(x + 13, y, name, _THEME.ink, _LABEL)]
        x += width + 8
    return marks, y - top + _ROW


def _stacked(entries: Sequence[ComparedNetwork], parts: Sequence[str], title: str, figure: Callable[[Cost], int], top: float) -> list[Mark]:
    labels = [_clipped(e.label) for e in entries]
    left = max((text_width(x, _LABEL) for x in labels), default=0) + 8
    most = max((figure(e.report) for e in entries), default=0) or 1
    scale = (_WIDTH - left - 56) / most
    marks: list[Mark] = [TextMark(0, top - 4, title, _THEME.ink, 11, bold=True)]
    for row, (entry, label) in enumerate(zip(entries, labels, strict=True)):
        y = top + 10 + row * _ROW
        marks.append(TextMark(left - 6, y + 6, label, _THEME.ink, _LABEL, "end"))
        x = left
        stages = entry.report.stages
        for i, part in [(0, entry.report.stem), *enumerate(stages, 1), (len(parts) - 1, entry.report.head)]:
            width = figure(part) * scale
            if width >= 0.05:
                marks.append(BarMark(x, y, width, 12, _colour(i, parts), _THEME.line if width > 3 else ""))
            x += width
        marks.append(TextMark(x + 5, y + 6, short(figure(entry.report)), _THEME.soft, _LABEL))
    return marks


def _scatter(entries: Sequence[ComparedNetwork]) -> list[Mark]:
    left, top, right, bottom = 56.0, 20.0, _WIDTH - 10, _PLOT - 10
    x_at, x_ticks = _axis([e.report.params for e in entries], left, right)
    y_at, y_ticks = _axis([e.report.macs for e in entries], bottom, top)
    grid = mix(_THEME.paper, _THEME.line, 0.15)
    marks: list[Mark] = [TextMark(0, 4, "MACs against parameters", _THEME.ink, 11, bold=True)]
    for value in x_ticks:
        marks += [
            RuleMark(x_at(value), top, x_at(value), bottom, grid),
            TextMark(x_at(value), bottom + 10, _tick(value), _THEME.soft, _LABEL, "middle"),
        ]
    for value in y_ticks:
        marks += [
            RuleMark(left, y_at(value), right, y_at(value), grid),
            TextMark(left - 6, y_at(value), _tick(value), _THEME.soft, _LABEL, "end"),
        ]
    marks += [RuleMark(left, bottom, right, bottom, _THEME.line), RuleMark(left, top, left, bottom, _THEME.line)]
    marks.append(TextMark(right, bottom + 24, "parameters", _THEME.soft, _LABEL, "end"))
    points = [(x_at(e.report.params), y_at(e.report.macs)) for e in entries]
    labels = [_clipped(e.label) for e in entries]
    places = apart(points, [(text_width(x, _LABEL), 11.0) for x in labels], (left + 2, top, right, bottom - 2))
    for (x, y), place, label in zip(points, places, labels, strict=True):
        if place is not None:
            width = text_width(label, _LABEL)
            near = (min(max(x, place[0]), place[0] + width), min(max(y, place[1]), place[1] + 11.0))
            if abs(near[0] - x) + abs(near[1] - y) > 12:
                marks.append(RuleMark(x, y, *near, mix(_THEME.paper, _THEME.line, 0.5), 0.5))
            marks.append(TextMark(place[0], place[1] + 5.5, label, _THEME.ink, _LABEL, ground=_THEME.paper))
    marks += [DotMark(x, y, 3.5, _THEME.hues[0], _THEME.line) for x, y in points]
    return marks


def _axis(values: Sequence[int], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """A scale from values to places, with round ticks: from 0, or logarithmic where the largest is 30 times the smallest."""
    low, high = min(values, default=1), max(values, default=1) or 1
    if low > 0 and high > 30 * low:
        first, last = floor(log10(low)), ceil(log10(high))
        ticks = [10.0**i for i in range(first, last + 1)]
        return lambda v: start + (log10(v) - first) / (last - first) * (end - start), ticks
    rough = high / 5
    unit = 10 ** floor(log10(rough)) if rough > 0 else 1
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= rough)
    count = max(1, ceil(high / step))
    return lambda v: start + v / (count * step) * (end - start), [i * step for i in range(count + 1)]


def _tick(value: float) -> str:
    text = short(value)
    number, _, unit = text.partition(" ")
    plain = number.rstrip("0").rstrip(".") if "." in number else number
    return f"{plain} {unit}".strip().replace(".0", "") if unit else f"{value:g}"


def _clipped(label: str) -> str:
    text = inline(label)
    return text if len(text) <= _CLIP else text[: _CLIP - 3] + "..."
