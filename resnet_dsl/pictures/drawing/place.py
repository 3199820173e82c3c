"""Puts measured networks on one page, and draws the lines between their boxes."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_dsl.pictures.drawing.curves import ARROW, chain, swing
from resnet_dsl.pictures.drawing.layout import FRAME_PADDING, LANE_GAP, Axes, Direction, Lane, Measured, measure
from resnet_dsl.pictures.drawing.scene import Edge, PlacedBox, PlacedFrame, Point, Scene
from resnet_dsl.pictures.drawing.text import Line, block_size
from resnet_dsl.pictures.drawing.tree import INPUT, WIDE, Box, TreePart, TreeScope

MARGIN = 10.0
COLUMN_GAP = 36.0
BOW = 4.0
"""How far an arc of the paper's style swings out beyond its lane."""

Inside = list[PlacedBox | PlacedFrame]


@dataclass(frozen=True, slots=True)
class _Way:
    """A line on its way: the box it comes from, and its corners so far as (along, across)."""

    box: int
    corners: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class _Spot:
    """A plan with the place where its spine begins."""

    plan: Measured
    along: float
    across: float

    def point(self, along: float, across: float) -> Point:
        """A place in the plan, in the whole picture."""
        return self.along + along, self.across + across


class _Placer:
    """Turns plans into placed things; `smooth` draws bare shortcuts as one swing, as He et al. (2015) do."""

    def __init__(self, scene: Scene, axes: Axes, smooth: bool) -> None:
        self.scene, self.axes, self.smooth = scene, axes, smooth
        self.boxes = self.frames = 0

    def place(self, spot: _Spot, way: _Way | None, dotted: bool, into: Inside) -> _Way | None:
        """Puts what is planned at a spot, and the line that enters it, if one does; gives the line that leaves."""
        scope = spot.plan.item
        if isinstance(scope, Box):
            return self._box(spot, scope, way, dotted, into)
        inside = into if scope.frame == "none" else []
        ways = {INPUT: way}
        for i, part in enumerate(scope.parts):
            ways[i] = self._part(spot, i, part, ways, dotted, inside)
            if part.note:
                self._note(spot, i, part, inside)
        if scope.frame != "none":
            self._frame(spot, scope, inside, into)
        elif scope.header:
            self._text(scope.header, self._beside(spot, scope), into)
        return ways[len(scope.parts) - 1]

    def _part(self, spot: _Spot, i: int, part: TreePart, ways: dict[int, _Way | None], dotted: bool, inside: Inside) -> _Way | None:
        plan, main = spot.plan, part.links[part.main]
        way, centre = ways[main.source], plan.centres[i]
        if way is not None and centre and main.source in plan.forks:
            fork = plan.forks[main.source]
            way = _Way(way.box, (spot.point(fork, 0), spot.point(fork, centre)))
        child = _Spot(plan.children[i], *spot.point(plan.starts[i], centre))
        leaving = self.place(child, way, main.dotted or (main.source == INPUT and dotted), inside)
        lanes = [lane for lane in plan.lanes if lane.target == i]
        for k, lane in enumerate(lanes):
            source = ways[part.links[lane.slot].source]
            if source is not None and leaving is not None:
                # Several ways enter one below the other, the inner one first.
                tip = (child.along + child.plan.length * (k + 1) / (len(lanes) + 1), child.across + child.plan.hi)
                self._enter(spot, lane, source, leaving.box, tip, part.links[lane.slot].dotted)
        return leaving

    def _enter(self, spot: _Spot, lane: Lane, source: _Way, target: int, tip: Point, dotted: bool) -> None:
        """The line of a lane's end, or of the whole lane where nothing is on it, to the side of a merge."""
        start = spot.point(spot.plan.forks[lane.source], 0)
        beside = spot.across + spot.plan.lanes[lane]
        if lane.through:
            self._line(_Way(source.box, (*source.corners, (tip[0], beside))), target, tip, dotted)
        elif self.smooth:
            self._curve(source.box, target, swing(start, tip, beside - LANE_GAP, beside + BOW), tip, dotted)
        else:
            self._line(_Way(source.box, (start, (start[0], beside), (tip[0], beside))), target, tip, dotted)

    def _line(self, way: _Way, target: int, tip: Point, dotted: bool, headless: bool = False) -> None:
        curve = chain((*way.corners, tip), 0.0 if headless else ARROW)
        self._curve(way.box, target, curve, None if headless else tip, dotted)

    def _curve(self, source: int, target: int, curve: tuple[Point, ...], tip: Point | None, dotted: bool) -> None:
        at = self.axes.point
        self.scene.edges.append(Edge(source, target, tuple(at(*p) for p in curve), at(*tip) if tip else None, dotted))

    def _box(self, spot: _Spot, box: Box, way: _Way | None, dotted: bool, into: Inside) -> _Way:
        plan = spot.plan
        placed = self._put(box, self.axes.point(*spot.point(plan.length / 2, 0)), self.axes.size(plan.lo + plan.hi, plan.length), into)
        if way is not None:
            self._line(way, placed, (spot.along, spot.across), dotted, headless=box.look == "joint")
        return _Way(placed, (spot.point(plan.length, 0),))

    def _put(self, box: Box, centre: Point, size: tuple[float, float], into: Inside) -> int:
        into.append(PlacedBox(self.boxes, box, *centre, *size))
        self.boxes += 1
        return self.boxes - 1

    def _text(self, lines: tuple[Line, ...], centre: Point, into: Inside) -> None:
        self._put(Box(lines, "text"), centre, block_size(lines), into)

    def _frame(self, spot: _Spot, scope: TreeScope, inside: Inside, into: Inside) -> None:
        plan = spot.plan
        corners = (*self.axes.point(*spot.point(0, -plan.lo)), *self.axes.point(*spot.point(plan.length, plan.hi)))
        into.append(PlacedFrame(self.frames, scope.frame, scope.header, scope.hue, *corners, *self._beside(spot, scope), tuple(inside)))
        self.frames += 1

    def _beside(self, spot: _Spot, scope: TreeScope) -> Point:
        """The centre of a header: at the frame's corner, or half way along where it is just `x3`."""
        pad = FRAME_PADDING[scope.frame]
        across, along = self.axes.size(*block_size(scope.header))
        middle = spot.plan.length / 2 if scope.frame == "repeat" and len(scope.header) == 1 else pad + along / 2
        return self.axes.point(*spot.point(middle, across / 2 + pad - spot.plan.lo))

    def _note(self, spot: _Spot, i: int, part: TreePart, into: Inside) -> None:
        """A text beside the line that enters a part: right of it, or above."""
        source = part.links[part.main].source
        start = 0.0 if source == INPUT else spot.plan.end(source)
        aside = self.axes.size(*block_size(part.note))[0] / 2 + 4
        along = (start + spot.plan.starts[i]) / 2
        self._text(part.note, self.axes.point(*spot.point(along, aside if self.axes.direction == "TB" else -aside)), into)

    def caption(self, box: Box, left: float, top: float) -> None:
        """A text on the page by its upper left corner."""
        width, height = box.size
        self._put(box, (left + width / 2, top + height / 2), (width, height), self.scene.inside)


@dataclass(frozen=True, slots=True)
class NetworkColumn:
    """A network with its caption over it and, where it needs one, a legend under it."""

    network: TreeScope
    caption: Box
    legend: Box | None = None


def arrange(columns: list[NetworkColumn], direction: Direction, smooth: bool) -> Scene:
    """Lays out networks side by side; one under the other where they run to the right."""
    axes = Axes(direction)
    scene = Scene(0.0, 0.0)
    placer = _Placer(scene, axes, smooth)
    x = y = MARGIN
    for column in columns:
        caption, legend = column.caption, column.legend
        plan = measure(column.network, axes)
        width, height = axes.size(plan.lo + plan.hi, plan.length)
        top = y + caption.size[1] + WIDE
        start = (top, x + plan.lo) if direction == "TB" else (x, top + plan.lo)
        placer.caption(caption, x, y)
        placer.place(_Spot(plan, *start), None, False, scene.inside)
        bottom = top + height
        if legend is not None:
            placer.caption(legend, x, bottom + WIDE)
            bottom += WIDE + legend.size[1]
        widest = max(width, caption.size[0], legend.size[0] if legend else 0.0)
        scene.width, scene.height = max(scene.width, x + widest + MARGIN), max(scene.height, bottom + MARGIN)
        x, y = (x + widest + COLUMN_GAP, y) if direction == "TB" else (x, bottom + COLUMN_GAP)
    return scene
