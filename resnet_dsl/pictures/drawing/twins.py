"""Two networks side by side, row by row: what is the same stands level, what only one has leaves a gap in the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from resnet_dsl.analysis.changes import SWAPPED, Attribute, Change, Changes, Side, groups, span
from resnet_dsl.pictures.drawing.levels import caption, entrance
from resnet_dsl.pictures.drawing.place import NetworkColumn
from resnet_dsl.pictures.drawing.text import Line, figures, soft, strong
from resnet_dsl.pictures.drawing.tree import INPUT, TIGHT, Box, Link, Look, TreePart, TreeScope
from resnet_dsl.table import shape_text

MAX_TOLD = 8
"""Changes in one block that are told; of more, the rest is a count."""

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_LEGEND = (
    soft("~ changed    + only in the right one    - only in the left one"),
    soft("thin outline: the same on both sides; xN: N such blocks in a row"),
)


_Told = Attribute | tuple[Change, Attribute | None]
"""A change of a step itself, or one within it: of an attribute, or that something was added or removed."""


@dataclass(frozen=True, slots=True)
class _Row:
    """What stands level on both sides."""

    left: Box | TreeScope
    right: Box | TreeScope


def twins(found: Changes) -> list[NetworkColumn]:
    """Both networks as columns of as many rows."""
    rows = [_Row(_entrance(found, 0), _entrance(found, 1)), *_rows(found.changes)]
    legend = Box(_LEGEND, "text")
    return [NetworkColumn(_column(rows, right), caption(found.costs[right]), None if right else legend) for right in (False, True)]


def _entrance(found: Changes, side: int) -> Box:
    return entrance((found.a, found.b)[side])


def _column(rows: Sequence[_Row], right: bool) -> TreeScope:
    return TreeScope(
        tuple(TreePart(row.right if right else row.left, (Link(i - 1 if i else INPUT),)) for i, row in enumerate(rows)), gap=TIGHT
    )


def _rows(changes: Sequence[Change]) -> Iterator[_Row]:
    for group in groups(changes):
        first = group[0]
        if first.role == "stage" and first.status == "changed" and first.inside:
            headers = [_stage_header(first, x) for x in (first.a, first.b)]
            rows = list(_rows(first.inside))
            left, right = (TreeScope(_column(rows, i).parts, "stage", headers[i], None, TIGHT) for i in (False, True))
            yield _Row(left, right)
        else:
            yield _boxes(group)


def _stage_header(change: Change, side: Side | None) -> tuple[Line, ...]:
    assert side is not None
    own = "~ " if change.attributes else ""
    return strong(own + side.name), soft(shape_text(side.shape)), soft(figures([side.cost.params], []))


def _boxes(group: Sequence[Change]) -> _Row:
    change = group[0]
    a, b = change.a, change.b
    if change.status == "same":
        left, right = (_named([x for x in ends if x], "") for ends in ([c.a for c in group], [c.b for c in group]))
        return _Row(_box(left, "same"), _box(right, "same"))
    sign = _SIGNS[change.status]
    if a is None or b is None:
        lines = _named([change.side], sign)
        here, there = _box(lines, "added" if b else "removed"), _ghost(len(lines), "left" if b else "right")
        return _Row(there, here) if b else _Row(here, there)
    told: list[_Told] = list(change.attributes)
    told += islice(_inner(change), MAX_TOLD + 1)
    more = len(told) > MAX_TOLD
    rows = [_told(x) for x in (told[:MAX_TOLD] if more else told)]
    ends = [(_named([x for x in side if x], sign)) for side in ([c.a for c in group], [c.b for c in group])]
    tails = (soft("and more"),) if more else ()
    left, right = ((*ends[i], *(Line(row[i] or " ") for row in rows), *tails) for i in (0, 1))
    return _Row(_box(left, "changed"), _box(right, "changed"))


def _named(sides: Sequence[Side], sign: str) -> tuple[Line, ...]:
    """What a row is: names, kind, how many, and the shape that comes out."""
    last = sides[-1]
    times = sum(s.times for s in sides)
    name = span([s.name for s in sides])
    kinds = list(dict.fromkeys(s.kind for s in sides))
    numbered = all(s.name[0].isdigit() for s in sides)
    repeated = f"x{times}" if numbered and times > 1 else ""
    about = kinds[0] if len(kinds) == 1 and kinds[0] not in ("stage", name) else ""
    title = strong(f"{sign} {name}".strip(), " ".join(filter(None, (about, repeated))))
    cost = figures([sum(s.cost.params for s in sides)], [sum(s.cost.macs for s in sides)])
    return (title, soft(", ".join(filter(None, (shape_text(last.shape), cost)))))


def _inner(change: Change) -> Iterator[tuple[Change, Attribute | None]]:
    """What changed within: operations and scopes, each attribute by itself."""
    for c in change.inside:
        for x in c.attributes:
            yield c, x
        if c.status in ("added", "removed"):
            yield c, None
        yield from _inner(c)


def _told(item: _Told) -> tuple[str, str]:
    """One line per side; a side that does not have it gets none."""
    if isinstance(item, Attribute):
        return _valued(item.name, item)
    change, attribute = item
    name = change.side.path.split(".")
    path = ".".join(name[-2:]) if name[-1].isdigit() else name[-1]
    if attribute is not None:
        return _valued(f"{path}: {attribute.name}", attribute)
    text = f"{_SIGNS[change.status]} {path}{'' if change.side.kind == path else f': {change.side.kind}'}"
    return ("", text) if change.status == "added" else (text, "")


def _valued(name: str, attribute: Attribute) -> tuple[str, str]:
    if attribute.name == SWAPPED:
        return str(attribute), str(attribute)
    return f"{name} {attribute.before or 'none'}", f"{name} {attribute.after or 'none'}"


def _box(lines: Sequence[Line], look: Look) -> Box:
    return Box(tuple(lines), look)


def _ghost(lines: int, side: str) -> Box:
    """The gap: as high as what the other side has there."""
    return Box((strong(" ", f"not in the {side} one"), *(soft(" ") for _ in range(lines - 1))), "ghost")
