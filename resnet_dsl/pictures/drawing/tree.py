"""What a picture shows, before anything has a place: boxes, and scopes that hold them.

A scope has one input and one output, as in the graph. One operand of every merge continues the scope's *spine*, the
line down the middle; the others (shortcuts, gates, further paths) run in lanes beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from resnet_dsl.pictures.drawing.text import Line, block_size

Look = Literal["box", "light", "pill", "merge", "side", "text", "joint", "same", "added", "removed", "changed", "ghost"]
"""How a box looks: a layer or a summary; a norm or activation; the input; a merge; a part of a shortcut; a caption; nothing
but a point where two lines meet; and in a comparison what is alike, what differs, and the gap that something leaves."""

Frame = Literal["none", "stage", "repeat", "scope"]
"""What is drawn around a scope: nothing, a tinted stage, a plate around what repeats, a thin line."""

INPUT = -1
"""The source of a link that comes from the scope's input."""

WIDE, TIGHT, CLOSE = 15.0, 11.0, 8.0
"""Gaps between boxes: of summaries, of single operations, and of the paper's flat layers."""

FORK = 5.0
"""From a box to where a shortcut leaves the line below it."""

_PADDING = {
    "box": (8.0, 4.0),
    "light": (8.0, 2.0),
    "pill": (9.0, 3.0),
    "merge": (5.0, 2.0),
    "side": (7.0, 4.0),
    "text": (0.0, 0.0),
    "joint": (0.0, 0.0),
    "same": (8.0, 4.0),
    "added": (8.0, 4.0),
    "removed": (8.0, 4.0),
    "changed": (8.0, 4.0),
    "ghost": (8.0, 4.0),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A leaf. `hue` is the number of its stage, from 0; None is neutral. `tip` says what it is in full."""

    lines: tuple[Line, ...]
    look: Look = "box"
    hue: int | None = None
    tip: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height that its text needs, in points."""
        width, height = block_size(self.lines)
        x, y = _PADDING[self.look]
        width, height = width + 2 * x, height + 2 * y
        return (max(width, height), height) if self.look == "merge" else (width, height)


@dataclass(frozen=True, slots=True)
class Link:
    """Where an operand comes from: an earlier part of the same scope or `INPUT`; dotted where a shortcut changes the shape."""

    source: int
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class TreePart:
    """A box or a scope with its operands. `main` is the operand on the spine; `note` is written on the line that enters there."""

    item: Box | TreeScope
    links: tuple[Link, ...]
    main: int = 0
    note: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class TreeScope:
    """Parts in topological order; the last one gives what the scope gives. A scope without parts is the identity.

    `header` is written beside the spine, at the frame's corner. `gap` is the room for an arrow between two boxes and
    `lead` the least room before the first, in points.
    """

    parts: tuple[TreePart, ...]
    frame: Frame = "none"
    header: tuple[Line, ...] = ()
    hue: int | None = None
    gap: float = WIDE
    lead: float = 0.0

    @property
    def spine(self) -> tuple[int, ...]:
        """The parts on the spine, in order."""
        found = []
        here = len(self.parts) - 1
        while here != INPUT:
            found.append(here)
            part = self.parts[here]
            here = part.links[part.main].source
        return tuple(reversed(found))


def boxes(item: Box | TreeScope) -> Iterator[Box]:
    """Every box, in order."""
    if isinstance(item, Box):
        yield item
        return
    for part in item.parts:
        yield from boxes(part.item)
