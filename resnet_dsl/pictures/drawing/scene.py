"""A finished layout: everything has its place, in points, x to the right and y down. Writers need nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnet_dsl.pictures.drawing.text import Line
from resnet_dsl.pictures.drawing.tree import Box, Frame

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """A box by its centre and size. `id` is a number of its own: nothing that a user wrote gets into an id."""

    id: int
    box: Box
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class PlacedFrame:
    """A scope's frame by its corners, with its header's centre and what lies in it."""

    id: int
    frame: Frame
    header: tuple[Line, ...]
    hue: int | None
    left: float
    top: float
    right: float
    bottom: float
    header_x: float
    header_y: float
    inside: tuple[PlacedBox | PlacedFrame, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A line from box to box. `curve` is a cubic Bezier chain (3n+1 points) that ends where the arrowhead begins, at `tip`.

    `tip` is None where the line has no head.
    """

    source: int
    target: int
    curve: tuple[Point, ...]
    tip: Point | None
    dotted: bool


@dataclass(slots=True)
class Scene:
    """A whole picture."""

    width: float
    height: float
    inside: list[PlacedBox | PlacedFrame] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
