"""A scene as strokes: rectangles, lines of text by their baselines, curves with their arrowheads. Points, y downwards.

What the writers of formats without a layout of their own (TikZ, PDF) share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.curves import ARROW
from resnet_dsl.pictures.drawing.scene import Edge, PlacedBox, PlacedFrame, Point, Scene
from resnet_dsl.pictures.drawing.text import SOFT, TAIL_GAP, Line, block_size, text_width
from resnet_dsl.pictures.drawing.theme import Paint, Theme

ROUND = 6.0
"""Radius of a corner, in points."""

_MIDDLE = 0.36
"""From a line's middle down to its baseline, in font sizes."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """By its left upper corner. `dash` is empty for a solid outline."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: str
    thick: float
    dash: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Words:
    """Text by the left end of its baseline, and how wide it is in Helvetica."""

    x: float
    y: float
    width: float
    text: str
    size: float
    bold: bool
    ink: str


@dataclass(frozen=True, slots=True)
class Bezier:
    """A chain of cubic Bezier curves (3n+1 points), and the three corners of its head, if it has one."""

    points: tuple[Point, ...]
    head: tuple[Point, Point, Point] | None
    line: str
    thick: float
    dash: tuple[float, ...] = ()


Stroke = Rectangle | Words | Bezier


def strokes(scene: Scene, theme: Theme) -> Iterator[Stroke]:
    """Everything in the order in which it is painted: frames, lines, boxes."""
    yield from _frames(scene.inside, theme)
    for edge in scene.edges:
        yield _curve(edge, theme)
    yield from _boxes(scene.inside, theme)


def _frames(inside: Sequence[PlacedBox | PlacedFrame], theme: Theme) -> Iterator[Stroke]:
    for item in inside:
        if isinstance(item, PlacedFrame):
            paint = theme.frame(item.frame, item.hue)
            size = item.right - item.left, item.bottom - item.top
            yield Rectangle(item.left, item.top, *size, paint.fill, paint.line, 0.8)
            yield from _block(item.header, (item.header_x, item.header_y), paint, left=True)
            yield from _frames(item.inside, theme)


def _boxes(inside: Sequence[PlacedBox | PlacedFrame], theme: Theme) -> Iterator[Stroke]:
    for item in inside:
        if isinstance(item, PlacedFrame):
            yield from _boxes(item.inside, theme)
            continue
        box = item.box
        paint = theme.box(box.look, box.hue)
        if box.look not in ("text", "joint"):
            corner = item.x - item.width / 2, item.y - item.height / 2
            thick = 1.6 if "bold" in paint.style else 0.8
            yield Rectangle(*corner, item.width, item.height, paint.fill, paint.line, thick, _dash(paint.style))
        yield from _block(box.lines, (item.x, item.y), paint, left=box.look == "text")


def _dash(style: str) -> tuple[float, ...]:
    return (4.0, 2.5) if "dashed" in style else (0.8, 2.6) if "dotted" in style else ()


def _block(lines: Sequence[Line], centre: Point, paint: Paint, *, left: bool) -> Iterator[Words]:
    width, height = block_size(lines)
    top = centre[1] - height / 2
    for line in lines:
        x = centre[0] - (width if left else line.width) / 2
        y = top + line.height / 2 + line.size * _MIDDLE
        text = clean(line.text).replace("\n", " ")
        if text.strip():
            yield Words(
                x, y, text_width(text, line.size, line.bold), text, line.size, line.bold, paint.soft if line.size == SOFT else paint.ink
            )
        if line.tail:
            after = x + text_width(line.text, line.size, line.bold) + text_width(TAIL_GAP, SOFT)
            tail = clean(line.tail).replace("\n", " ")
            yield Words(after, y, text_width(tail, SOFT), tail, SOFT, False, paint.soft)
        top += line.height


def _curve(edge: Edge, theme: Theme) -> Bezier:
    head = None
    if edge.tip is not None:
        (x, y), (tx, ty) = edge.curve[-1], edge.tip
        length = hypot(tx - x, ty - y) or 1.0
        ux, uy = (tx - x) / length, (ty - y) / length
        half = ARROW * 0.38
        base = (tx - ux * ARROW, ty - uy * ARROW)
        head = ((tx, ty), (base[0] - uy * half, base[1] + ux * half), (base[0] + uy * half, base[1] - ux * half))
    thick, dash = (1.4, (0.3, 3.2)) if edge.dotted else (0.9, ())
    return Bezier(edge.curve, head, theme.line, thick, dash)
