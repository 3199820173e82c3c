"""A chart as marks with their places, in points, y downwards, and as DOT, which the drawing engine makes SVG and PNG of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.dot import FONT, quoted
from resnet_dsl.pictures.drawing.text import text_width

_INCH = 72
_MARGIN = 12


@dataclass(frozen=True, slots=True)
class BarMark:
    """A rectangle by its left upper corner; without an outline where `line` is empty."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: str = ""


@dataclass(frozen=True, slots=True)
class DotMark:
    """A round mark by its middle."""

    x: float
    y: float
    radius: float
    fill: str
    line: str


@dataclass(frozen=True, slots=True)
class RuleMark:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    line: str
    thick: float = 0.8


@dataclass(frozen=True, slots=True)
class TextMark:
    """A line of text, by the point that its side (`start`, `middle`, `end`) and its middle height lie at.

    `ground` is a colour that hides what lies behind it.
    """

    x: float
    y: float
    text: str
    ink: str
    size: float = 9.0
    side: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    ground: str = ""

    @property
    def width(self) -> float:
        """In points."""
        return text_width(self.text, self.size, self.bold)

    @property
    def left(self) -> float:
        """Where it begins."""
        return self.x - {"start": 0.0, "middle": 0.5, "end": 1.0}[self.side] * self.width


Mark = BarMark | DotMark | RuleMark | TextMark


@dataclass(slots=True)
class Chart:
    """Marks on paper: straight lines, and over them the others, later ones over earlier ones."""

    width: float
    height: float
    paper: str
    marks: list[Mark] = field(default_factory=list)

    def dot(self, name: str) -> str:
        """A DOT file that renders without any layout."""
        return "\n".join(self._lines(name)) + "\n"

    def _lines(self, name: str) -> Iterator[str]:
        yield f"digraph {quoted(name)} {{"
        yield f'  graph [layout=nop2, pad={_MARGIN / _INCH:.4f}, bgcolor="{self.paper}", fontname={FONT}, outputorder=edgesfirst]'
        yield f'  node [fontname={FONT}, fixedsize=true, margin=0, penwidth=0.8, label=""]'
        yield '  edge [dir=none, penwidth=0.8]\n  corner [shape=point, style=invis, width=0, height=0, pos="0,0"]'
        yield f'  other [shape=point, style=invis, width=0, height=0, pos="{_n(self.width)},{_n(self.height)}"]'
        for i, mark in enumerate(self.marks):
            yield from self._mark(i, mark)
        yield "}"

    def _mark(self, i: int, m: Mark) -> Iterator[str]:
        if isinstance(m, RuleMark):
            # A straight line as the Bezier curve that DOT knows.
            ends = [(m.x1 + (m.x2 - m.x1) * t, m.y1 + (m.y2 - m.y1) * t) for t in (0.0, 1 / 3, 2 / 3, 1.0)]
            places = " ".join(self._at(x, y) for x, y in ends)
            yield f'  corner -> other [pos="{places}", color="{m.line}", penwidth={_n(m.thick)}]'
        elif isinstance(m, BarMark):
            middle = self._at(m.x + m.width / 2, m.y + m.height / 2)
            line = f'color="{m.line}"' if m.line else f'color="{m.fill}", penwidth=0'
            size = f"width={m.width / _INCH:.5f}, height={m.height / _INCH:.5f}"
            yield f'  m{i} [shape=box, style=filled, fillcolor="{m.fill}", {line}, {size}, pos="{middle}"]'
        elif isinstance(m, DotMark):
            size = f"width={2 * m.radius / _INCH:.5f}"
            yield f'  m{i} [shape=circle, style=filled, fillcolor="{m.fill}", color="{m.line}", {size}, pos="{self._at(m.x, m.y)}"]'
        elif m.text.strip():
            text = escape(clean(m.text).replace("\n", " ").replace("\\", "\\\\"))
            words = f"<B>{text}</B>" if m.bold else text
            label = f'<<FONT POINT-SIZE="{_n(m.size)}" COLOR="{m.ink}">{words}</FONT>>'
            size = f"width={m.width / _INCH:.5f}, height={m.size * 1.2 / _INCH:.5f}"
            ground = f'style=filled, fillcolor="{m.ground}", color="{m.ground}", ' if m.ground else ""
            yield f'  m{i} [shape=plaintext, {ground}{size}, label={label}, pos="{self._at(m.left + m.width / 2, m.y)}"]'

    def _at(self, x: float, y: float) -> str:
        return f"{_n(x)},{_n(self.height - y)}"


def apart(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], box: tuple[float, float, float, float]
) -> list[tuple[float, float] | None]:
    """For each point the left upper corner of its label, so that labels lie in `box` and on no label and no point; None where
    there is no such place near it. Points to the right are served first, whose labels have least room."""
    left, top, right, bottom = box
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    places: list[tuple[float, float] | None] = [None] * len(points)
    for i in sorted(range(len(points)), key=lambda i: (-points[i][0], points[i][1])):
        (x, y), (width, height) = points[i], sizes[i]
        for far in (6, 14, 26, 40, 56, 76):
            rings = [(x + far, y - height / 2), (x - far - width, y - height / 2), (x - width / 2, y - far - height), (x - width / 2, y + far),
                     (x + far, y - far - height / 2), (x + far, y + far - height / 2), (x - far - width, y - far - height / 2),
                     (x - far - width, y + far - height / 2)]  # fmt: skip
            free = [(a, b) for a, b in rings if left <= a and a + width <= right and top <= b and b + height <= bottom
                    and not any(a < t[2] and t[0] < a + width and b < t[3] and t[1] < b + height for t in taken)]  # fmt: skip
            if free:
                places[i] = free[0]
                taken.append((free[0][0], free[0][1], free[0][0] + width, free[0][1] + height))
                break
    return places


def _n(x: float) -> str:
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
