"""Lines as chains of cubic Bezier curves, the form that every picture format shares."""

from __future__ import annotations

from math import hypot

from resnet_dsl.pictures.drawing.scene import Point

ARROW = 5.0
"""Length of an arrowhead."""

RADIUS = 7.0
_CIRCLE = 0.5523
"""Where the control points of a quarter circle lie, in radii."""


def chain(corners: tuple[Point, ...], shorten: float) -> tuple[Point, ...]:
    """Straight lines from corner to corner with round corners; the last one ends `shorten` before its end."""
    points = _distinct(corners)
    points[-1] = _towards(points[-1], points[-2], min(shorten, _distance(points[-1], points[-2]) * 0.8))
    curve = [points[0]]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _distance(before, corner) / 2, _distance(corner, after) / 2)
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        _straight(curve, start)
        handle = radius * (1 - _CIRCLE)
        curve += [_towards(corner, before, handle), _towards(corner, after, handle), end]
    _straight(curve, points[-1])
    return tuple(curve)


def swing(start: Point, tip: Point, edge: float, reach: float) -> tuple[Point, ...]:
    """Straight out across to `edge`, a bow that reaches `reach`, and straight in to just before `tip`; points are (along, across)."""
    out = edge + (reach - edge) * 4 / 3
    curve = [start]
    _straight(curve, (start[0], edge))
    curve += [(start[0], out), (tip[0], out), (tip[0], edge)]
    _straight(curve, (tip[0], tip[1] + ARROW))
    return tuple(curve)


def _distinct(corners: tuple[Point, ...]) -> list[Point]:
    """Without points that lie on the way between their neighbours."""
    kept: list[Point] = []
    for p in corners:
        if kept and p == kept[-1]:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == p[0] or kept[-2][1] == kept[-1][1] == p[1]):
            kept.pop()
        kept.append(p)
    return kept


def _straight(curve: list[Point], to: Point) -> None:
    here = curve[-1]
    curve += [_towards(here, to, _distance(here, to) / 3), _towards(to, here, _distance(here, to) / 3), to]


def _distance(a: Point, b: Point) -> float:
    return hypot(b[0] - a[0], b[1] - a[1])


def _towards(a: Point, b: Point, by: float) -> Point:
    """The point `by` away from a on the way to b."""
    length = _distance(a, b)
    return (a[0] + (b[0] - a[0]) * by / length, a[1] + (b[1] - a[1]) * by / length) if length else a
