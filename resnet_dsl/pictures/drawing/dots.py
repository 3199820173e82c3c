"""Values of several runs as dots, as an SVG: one panel per measure, one row per group, with its mean and interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.lines import FAMILIES, HUES, LIGHT, Inks, coordinate, text_at, ticks
from resnet_dsl.pictures.drawing.text import text_width

_WIDTH, _RIGHT, _TOP = 720.0, 28.0, 44.0
_ROW, _HEAD, _FOOT = 30.0, 22.0, 30.0
_SIZE = 11.0
_SPREAD = 2.6
"""Dots of a row are set apart by this much, up and down in turn, so that equal ones are seen."""


@dataclass(frozen=True, slots=True)
class DotGroup:
    """A row: its values, values that count less (`others`), and the mean of `values` with its interval where they are known."""

    name: str
    values: tuple[float, ...]
    others: tuple[float, ...] = ()
    mean: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """Groups over one measure."""

    title: str
    groups: tuple[DotGroup, ...]


def dots(panels: Sequence[Panel], *, title: str, note: str = "", inks: Inks = LIGHT) -> str:
    """The picture as text; the same values give the same bytes. An axis spans the dots; a wider interval is cut off at its edge, open.

    Raises ValueError where there is no value at all.
    """
    if not any(g.values or g.others for p in panels for g in p.groups):
        raise ValueError("a picture of dots needs one")
    left = 34 + max(text_width(g.name, _SIZE) for p in panels for g in p.groups)
    heights = [_HEAD + _ROW * len(p.groups) + _FOOT for p in panels]
    height = _TOP + sum(heights) + (22 if note else 4)
    body: list[str] = [text_at(16, 24, title, "start", inks.ink).replace("<text ", '<text font-weight="bold" ', 1)]
    down = _TOP
    for panel, tall in zip(panels, heights, strict=True):
        body += _panel(panel, left, down, inks)
        down += tall
    if note:
        body.append(text_at(16, height - 10, note, "start", inks.soft))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{coordinate(_WIDTH)}" height="{coordinate(height)}" '
        f'viewBox="0 0 {coordinate(_WIDTH)} {coordinate(height)}" font-family="{FAMILIES}" font-size="{coordinate(_SIZE)}" role="img">\n'
        f"<title>{escape(clean(title), quote=False)}</title>\n"
        f'<rect width="{coordinate(_WIDTH)}" height="{coordinate(height)}" fill="{inks.ground}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _panel(panel: Panel, left: float, top: float, inks: Inks) -> Iterator[str]:
    values = [v for g in panel.groups for v in (*g.values, *g.others)]
    yield text_at(left, top + 12, panel.title, "start", inks.ink)
    if not values:
        return
    marks = ticks(values)
    bottom = top + _HEAD + _ROW * len(panel.groups)

    def across(value: float) -> float:
        return left + (value - marks[0]) / (marks[-1] - marks[0]) * (_WIDTH - _RIGHT - left)

    for v in marks:
        yield f'<path d="M{coordinate(across(v))} {coordinate(top + _HEAD)}V{coordinate(bottom)}" stroke="{inks.grid}"/>'
        yield text_at(across(v), bottom + 15, f"{v:,.10g}", "middle", inks.soft)
    for number, group in enumerate(panel.groups):
        middle, hue = top + _HEAD + _ROW * (number + 0.5), HUES[number % len(HUES)]
        yield text_at(left - 10, middle + 4, group.name, "end", inks.ink)
        if group.interval is not None:
            yield _bar(group.interval, marks[0], marks[-1], across, middle, hue)
        for i, v in enumerate(group.others):
            yield f'<circle cx="{coordinate(across(v))}" cy="{coordinate(_apart(middle, i))}" r="2.2" fill="none" stroke="{hue}" stroke-opacity="0.6"/>'
        for i, v in enumerate(group.values):
            yield f'<circle cx="{coordinate(across(v))}" cy="{coordinate(_apart(middle, i))}" r="3.4" fill="{hue}"/>'
        if group.mean is not None:
            x = coordinate(across(group.mean))
            yield f'<path d="M{x} {coordinate(middle - 10)}V{coordinate(middle + 10)}" stroke="{inks.ink}" stroke-width="1.6"/>'


def _bar(interval: tuple[float, float], first: float, last: float, across: Callable[[float], float], middle: float, hue: str) -> str:
    """A broad soft bar, with a cap at each end that lies on the axis."""
    low, high = max(first, interval[0]), min(last, interval[1])
    a, b = coordinate(across(low)), coordinate(across(high))
    caps = "".join(
        f"M{coordinate(across(v))} {coordinate(middle - 6)}v12"
        for v, inside in ((low, interval[0] >= first), (high, interval[1] <= last))
        if inside
    )
    line = f'<path d="M{a} {coordinate(middle)}H{b}" stroke="{hue}" stroke-width="8" stroke-opacity="0.25"/>'
    return line + (f'<path d="{caps}" stroke="{hue}" stroke-opacity="0.7"/>' if caps else "")


def _apart(middle: float, number: int) -> float:
    return middle + (-_SPREAD if number % 2 else _SPREAD) * ((number + 1) // 2)
