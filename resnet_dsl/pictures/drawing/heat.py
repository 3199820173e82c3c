"""Numbers over two axes, as an SVG: cells in a few steps of colour, lines where one step meets the next, and a legend of the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.lines import LIGHT, Inks
from resnet_dsl.pictures.drawing.text import text_width

# Nine steps of matplotlib's `viridis` (Smith and van der Walt 2015): lightness rises evenly, so grey prints and colour-blind readers see the order.
_RAMP = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
_NOTHING = "#bbbbbb"
_FAMILIES = "Helvetica,Arial,'Liberation Sans',Arimo,sans-serif"
_SIZE = 11.0
_PAD, _LEGEND, _BAR = 16.0, 120.0, 18.0
_WIDEST, _TALLEST = 520.0, 420.0


@dataclass(frozen=True, slots=True)
class Axis:
    """What runs along a side: its name, which may be empty, and one label per row or column; empty labels are not written."""

    name: str
    labels: Sequence[str]


def heat(
    values: Sequence[Sequence[float]],
    x: Axis,
    y: Axis,
    *,
    title: str,
    log: bool = False,
    floor: float = 0.0,
    text: Callable[[float], str] | None = None,
    inks: Inks = LIGHT,
) -> str:
    """The picture of `values`, rows from top to bottom; the same values give the same bytes.

    `log`: colours are spread over the logarithm, and what lies below `floor` (above 0) has the lowest colour. Values that are not
    finite are grey and crossed. `text` writes each value into its cell; else lines show where colours meet, as contours do.
    Raises ValueError where no value is finite.
    """
    bounds = _bounds(values, log, floor)
    steps = [[_step(v, bounds) for v in row] for row in values]
    # Fonts that stand in for Helvetica run wider.
    labels = 1.15 * max(text_width(label, _SIZE) for label in y.labels)
    left = _PAD + labels + 8 + (18 if y.name else 0)
    top = _PAD + 20
    side = (72.0, 34.0) if text else (min(_WIDEST, _TALLEST) / max(len(values), len(values[0])),) * 2
    right, bottom = left + side[0] * len(values[0]), top + side[1] * len(values)
    width, height = right + _PAD + _LEGEND, max(bottom + (46 if x.name else 28), top + _BAR * (len(_RAMP) + 2) + _PAD)

    body = [
        _text(left, _PAD + 8, title, "start", inks.ink),
        *_cells(values, steps, (left, top), side, text),
        *([] if text else _contours(steps, (left, top), side)),
        f'<rect x="{_n(left)}" y="{_n(top)}" width="{_n(right - left)}" height="{_n(bottom - top)}" fill="none" stroke="{inks.soft}"/>',
        *(_text(left + (i + 0.5) * side[0], bottom + 16, s, "middle", inks.soft) for i, s in enumerate(x.labels) if s),
        *(_text(left - 6, top + (i + 0.5) * side[1] + 4, s, "end", inks.soft) for i, s in enumerate(y.labels) if s),
        *([_text((left + right) / 2, bottom + 36, x.name, "middle", inks.ink)] if x.name else []),
        *([_sideways(_PAD, (top + bottom) / 2, y.name, inks)] if y.name else []),
        *_legend(bounds, any(s is None for row in steps for s in row), (right + _PAD, top), inks),
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'font-family="{_FAMILIES}" font-size="{_n(_SIZE)}" role="img">\n<title>{escape(clean(title), quote=False)}</title>\n'
        f'<rect width="{_n(width)}" height="{_n(height)}" fill="{inks.ground}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _bounds(values: Sequence[Sequence[float]], log: bool, floor: float) -> list[float]:
    """Where the colours' steps begin and end, one more than there are colours, rising."""
    finite = [v for row in values for v in row if math.isfinite(v)]
    if not finite:
        raise ValueError("a map needs a finite value")
    low, high = min(finite), max(finite)
    if log:
        low = max(low, floor)
        high = max(high, low)
        if low <= 0:
            raise ValueError("a map over the logarithm needs values, or a floor, above 0")
    n = len(_RAMP)
    if low == high:
        low, high = (low / 1.5, high * 1.5) if log else (low - 0.5, high + 0.5)
    if log:
        return [low * (high / low) ** (i / n) for i in range(n + 1)]
    return [low + (high - low) * i / n for i in range(n + 1)]


def _step(value: float, bounds: Sequence[float]) -> int | None:
    """The number of a value's colour; None where it is not finite."""
    if not math.isfinite(value):
        return None
    return min(sum(value >= b for b in bounds[1:-1]), len(_RAMP) - 1)


def _cells(
    values: Sequence[Sequence[float]],
    steps: Sequence[Sequence[int | None]],
    corner: tuple[float, float],
    side: tuple[float, float],
    text: Callable[[float], str] | None,
) -> Iterator[str]:
    for i, row in enumerate(steps):
        for j, step in enumerate(row):
            x, y = corner[0] + j * side[0], corner[1] + i * side[1]
            fill = _NOTHING if step is None else _RAMP[step]
            # A hair wider than it is, so that no ground shines through between cells.
            yield f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(side[0] + 0.3)}" height="{_n(side[1] + 0.3)}" fill="{fill}"/>'
            if step is None and text is None:
                yield f'<path d="M{_n(x)} {_n(y)}l{_n(side[0])} {_n(side[1])}m0 {_n(-side[1])}l{_n(-side[0])} {_n(side[1])}" stroke="#777777"/>'
            if text is not None:
                dark = step is not None and step < 5
                yield _text(x + side[0] / 2, y + side[1] / 2 + 4, text(values[i][j]), "middle", "#ffffff" if dark else "#000000")


def _contours(steps: Sequence[Sequence[int | None]], corner: tuple[float, float], side: tuple[float, float]) -> Iterator[str]:
    """Lines along the sides of cells whose neighbours have another colour."""
    path = []
    for i, row in enumerate(steps):
        for j, step in enumerate(row):
            x, y = corner[0] + j * side[0], corner[1] + i * side[1]
            if j + 1 < len(row) and row[j + 1] != step:
                path.append(f"M{_n(x + side[0])} {_n(y)}v{_n(side[1])}")
            if i + 1 < len(steps) and steps[i + 1][j] != step:
                path.append(f"M{_n(x)} {_n(y + side[1])}h{_n(side[0])}")
    if path:
        yield f'<path d="{"".join(path)}" stroke="#ffffff" stroke-opacity="0.55" stroke-width="0.8" fill="none"/>'


def _legend(bounds: Sequence[float], gaps: bool, corner: tuple[float, float], inks: Inks) -> Iterator[str]:
    """The colours from high to low, with what lies between them."""
    x, y = corner
    n = len(_RAMP)
    for i, fill in enumerate(reversed(_RAMP)):
        yield f'<rect x="{_n(x)}" y="{_n(y + i * _BAR)}" width="{_n(_BAR)}" height="{_n(_BAR + 0.3)}" fill="{fill}"/>'
    for i, bound in enumerate(reversed(bounds)):
        yield _text(x + _BAR + 6, y + i * _BAR + 4, f"{bound:.3g}", "start", inks.soft)
    if gaps:
        yield f'<rect x="{_n(x)}" y="{_n(y + (n + 1) * _BAR)}" width="{_n(_BAR)}" height="{_n(_BAR)}" fill="{_NOTHING}"/>'
        yield _text(x + _BAR + 6, y + (n + 1.5) * _BAR + 4, "not finite", "start", inks.soft)


def _sideways(x: float, y: float, text: str, inks: Inks) -> str:
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="middle" fill="{inks.ink}" transform="rotate(-90 {_n(x)} {_n(y)})">'
        f"{escape(clean(text), quote=False)}</text>"
    )


def _text(x: float, y: float, text: str, anchor: str, ink: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}" fill="{ink}">{escape(clean(text), quote=False)}</text>'


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
