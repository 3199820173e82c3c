"""How large everything is and where it lies in its scope.

A network is series-parallel, so one recursion does it, and no line crosses a box.
Everything is computed along the flow and across it; `Axes` turns that into x and y, downwards or to the right. A scope's
spine runs at across 0. Lanes lie on the positive side (right of the spine, or under it), headers on the negative side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from resnet_dsl.pictures.drawing.scene import Point
from resnet_dsl.pictures.drawing.text import block_size
from resnet_dsl.pictures.drawing.tree import FORK, INPUT, TIGHT, Box, TreePart, TreeScope, boxes

Direction = Literal["TB", "LR"]

LANE_GAP = 13.0
HEADER_GAP = 12.0
NOTE_GAP = 10.0

FRAME_PADDING = {"none": 0.0, "stage": 10.0, "repeat": 8.0, "scope": 8.0}
_EQUAL = ("box", "light", "same", "added", "removed", "changed", "ghost")


@dataclass(frozen=True, slots=True)
class Axes:
    """Turns (along, across) into (x, y)."""

    direction: Direction

    def size(self, width: float, height: float) -> tuple[float, float]:
        """(across, along) of something upright, and back."""
        return (width, height) if self.direction == "TB" else (height, width)

    def point(self, along: float, across: float) -> Point:
        """Where that is in the picture."""
        return (across, along) if self.direction == "TB" else (along, across)


@dataclass(frozen=True, slots=True)
class Lane:
    """A way beside the spine, from `source` over the parts `through` to operand `slot` of the merge `target`."""

    source: int
    through: tuple[int, ...]
    target: int
    slot: int


@dataclass(slots=True)
class Measured:
    """An item with its size: it reaches `lo` and `hi` across from its spine, and `length` along it."""

    item: Box | TreeScope
    lo: float
    hi: float
    length: float
    children: list[Measured] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    centres: list[float] = field(default_factory=list)
    forks: dict[int, float] = field(default_factory=dict)
    lanes: dict[Lane, float] = field(default_factory=dict)

    def end(self, part: int) -> float:
        """Where a part ends, along."""
        return self.starts[part] + self.children[part].length


def measure(item: Box | TreeScope, axes: Axes) -> Measured:
    """Sizes of everything. Downwards, the boxes of a picture share one width."""
    widest = max((b.size[0] for b in boxes(item) if b.look in _EQUAL), default=0.0) if axes.direction == "TB" else 0.0
    return _measure(item, axes, widest)


def _measure(item: Box | TreeScope, axes: Axes, widest: float) -> Measured:
    if isinstance(item, Box):
        width, height = item.size
        if item.look in _EQUAL:
            width = max(width, widest)
        across, along = axes.size(width, height)
        return Measured(item, across / 2, across / 2, along)
    plan = Measured(item, 0.0, 0.0, 0.0, [_measure(p.item, axes, widest) for p in item.parts])
    if item.frame in ("none", "stage"):
        _equal_frames(plan)
    spine = item.spine
    lanes = _lanes(item, spine)
    _along(plan, item, spine, lanes, axes)
    _across(plan, item, spine, lanes)
    _frame(plan, item, axes)
    return plan


def _equal_frames(plan: Measured) -> None:
    """Stages are equally wide, and so are the blocks in a stage."""
    for kinds in (("stage",), ("repeat", "scope"), ("none",)):
        alike = [c for c in plan.children if isinstance(c.item, TreeScope) and c.item.frame in kinds and c.item.header]
        lo, hi = max((c.lo for c in alike), default=0.0), max((c.hi for c in alike), default=0.0)
        for child in alike:
            child.lo, child.hi = lo, hi


def _lanes(scope: TreeScope, spine: tuple[int, ...]) -> list[Lane]:
    on_spine, lanes = {INPUT, *spine}, []
    for target in spine:
        part = scope.parts[target]
        for slot, link in enumerate(part.links):
            if slot != part.main:
                through: list[int] = []
                here = link.source
                while here not in on_spine:
                    through.insert(0, here)
                    here = scope.parts[here].links[scope.parts[here].main].source
                lanes.append(Lane(here, tuple(through), target, slot))
    # A way that leaves later runs further inside, so that ways nest and do not cross.
    return sorted(lanes, key=lambda lane: (-lane.source, lane.slot))


def _along(plan: Measured, scope: TreeScope, spine: tuple[int, ...], lanes: list[Lane], axes: Axes) -> None:
    sources = {lane.source for lane in lanes}
    pad = FRAME_PADDING[scope.frame]
    for part in scope.parts:
        start, gap = pad, _gap(scope, part)
        for link in part.links:
            room = scope.lead if link.source == INPUT else gap
            if link.source in sources:
                room = max(room, FORK + gap)
            if part.note:
                room = max(room, axes.size(*block_size(part.note))[1] + 2 * NOTE_GAP)
            start = max(start, (pad if link.source == INPUT else plan.end(link.source)) + room)
        plan.starts.append(start)
    for source in sources:
        plan.forks[source] = pad if source == INPUT else plan.end(source) + FORK
    for lane in lanes:
        if lane.through:
            slack = plan.starts[lane.target] - _gap(scope, scope.parts[lane.target]) - plan.end(lane.through[-1])
            for i in lane.through:
                plan.starts[i] += max(0.0, slack / 2)
    plan.length = (plan.end(spine[-1]) if spine else pad) + pad


def _gap(scope: TreeScope, part: TreePart) -> float:
    """Room for an arrow before a part; small things need less."""
    if isinstance(part.item, Box) and part.item.look == "joint":
        return scope.gap / 2
    return min(TIGHT, scope.gap) if isinstance(part.item, Box) and part.item.look in ("merge", "light") else scope.gap


def _across(plan: Measured, scope: TreeScope, spine: tuple[int, ...], lanes: list[Lane]) -> None:
    plan.centres = [0.0] * len(scope.parts)
    plan.lo = max((plan.children[i].lo for i in spine), default=0.0)
    edges: dict[int, float] = {}
    for lane in lanes:
        beside = max(plan.children[i].hi for i in spine if lane.source < i <= lane.target)
        edge = max(edges.get(lane.target, 0.0), beside) + LANE_GAP
        centre = edge + max((plan.children[i].lo for i in lane.through), default=0.0)
        for i in lane.through:
            plan.centres[i] = centre
        plan.lanes[lane] = centre
        edges[lane.target] = centre + max((plan.children[i].hi for i in lane.through), default=0.0)
    plan.hi = max([*edges.values(), *(plan.children[i].hi for i in spine)], default=0.0)


def _frame(plan: Measured, scope: TreeScope, axes: Axes) -> None:
    pad = FRAME_PADDING[scope.frame]
    plan.lo, plan.hi = plan.lo + pad, plan.hi + pad
    if scope.header:
        across, along = axes.size(*block_size(scope.header))
        plan.lo += across + HEADER_GAP
        longer = along + 2 * pad - plan.length
        if longer > 0:
            plan.length += longer
            plan.starts = [s + longer / 2 for s in plan.starts]
            plan.forks = {k: v + longer / 2 for k, v in plan.forks.items()}
