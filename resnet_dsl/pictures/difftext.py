"""A difference as text: an indented tree with `+`, `-` and `~`, what did not change folded away, then costs and weights."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator

from resnet_dsl.analysis.changes import SWAPPED, Change, Changes, Side, groups, span
from resnet_dsl.analysis.weights import WeightsFit
from resnet_dsl.graph.graph import Shape
from resnet_dsl.table import shape_text, short, signed

SIGNS = {"same": " ", "changed": "~", "added": "+", "removed": "-"}
"""What stands before a line."""

_TENSORS = 6
"""Tensors named of each kind; of more, the rest is a count."""

_STEP = 2


def tree(found: Changes, width: int = 80) -> str:
    """The changes alone, one line each: unified, indented, `+ - ~` first."""
    lines: list[str] = []
    for i, sign in enumerate(("---", "+++")):
        lines += textwrap.wrap(f"{sign} {found.labels[i]}: {_about(found, i)}", width, subsequent_indent="    ", break_on_hyphens=False)
    lines += [f"~ {x}" for x in found.attributes]
    if found.same:
        return "\n".join([*lines, "", f"{_TOGETHER}: every step, its names and its weights"]) + "\n"
    for group in groups(found.changes):
        lines += _lines(group, 0, width)
    return "\n".join(lines) + "\n"


def weights(fit: WeightsFit) -> str:
    """Whether A's weights fit B, and which do not."""
    total = fit.common + len(fit.reshaped) + len(fit.only_b)
    if fit.fits:
        return f"A's weights fit B: all {total:,} tensors\n"
    lines = [f"A's weights do not fit B: {fit.common:,} of B's {total:,} tensors match in name and shape"]
    lines += _listed("other shape", [(n, f"{_shape(a)} -> {_shape(b)}") for n, a, b in fit.reshaped])
    lines += _listed("only in B", [(n, _shape(s)) for n, s in fit.only_b])
    lines += _listed("only in A", [(n, _shape(s)) for n, s in fit.only_a])
    return "\n".join(lines) + "\n"


_TOGETHER = "the networks are the same"


def _about(found: Changes, i: int) -> str:
    graph, cost = (found.a, found.b)[i], found.costs[i].network
    return f"{shape_text(graph.input)} to {graph.classes:,} classes, depth {cost.depth}, {cost.params:,} params"


def _lines(group: list[Change], level: int, width: int) -> Iterator[str]:
    margin = " " * (_STEP * level)
    first, *rest = group
    if first.status == "same":
        yield f"  {margin}{_unchanged(group)}"
        return
    yield from _wrapped(f"{SIGNS[first.status]} {margin}{_name(first)}", [*_kind(first), *map(str, first.attributes)], width)
    for inner in groups(first.inside):
        yield from _lines(inner, level + 1, width)
    if rest:
        yield f"~ {margin}{span([c.side.name for c in rest])}: likewise"


def _unchanged(run: list[Change]) -> str:
    params = sum(c.b.cost.params - c.a.cost.params for c in run if c.a and c.b)
    macs = sum(c.b.cost.macs - c.a.cost.macs for c in run if c.a and c.b)
    figures = [f"{signed(form)(n)} {unit}" for n, unit, form in _units(params, macs) if n]
    return f"{span([c.side.name for c in run])}: same{', with ' + ', '.join(figures) + ' by what enters' if figures else ''}"


def _units(params: int, macs: int) -> tuple[tuple[int, str, Callable[[int], str]], ...]:
    return (params, "params", short), (macs, "MACs", short)


def _name(change: Change) -> str:
    """B's name for what is in both, with A's where it stands elsewhere."""
    a, b = change.a, change.b
    if a and b and a.name != b.name and not any(x.name in ("name", SWAPPED) for x in change.attributes):
        return f"{a.name} -> {b.name}"
    return change.side.name


def _kind(change: Change) -> list[str]:
    side = change.side
    times = f" x{side.times}" if side.times > 1 else ""
    if change.status == "changed":
        about = "" if change.role == "stage" or any(x.name in ("block", "shortcut", "op") for x in change.attributes) else side.kind
        return [f"{about}{times}".strip()] if about or times else []
    about = "" if side.kind in ("stage", side.name) else side.kind
    return [*filter(None, (f"{about}{times}".strip(), shape_text(side.shape))), *_cost(side)]


def _cost(side: Side) -> list[str]:
    return [f"{short(n)} {unit}" for n, unit in ((side.cost.params, "params"), (side.cost.macs, "MACs")) if n]


def _wrapped(start: str, about: list[str], width: int) -> Iterator[str]:
    text = f"{start}: {'; '.join(about)}" if about else start
    yield from textwrap.wrap(text, width, subsequent_indent=" " * (len(start) - len(start[2:].lstrip()) + 4), break_on_hyphens=False) or [
        text
    ]


def _listed(what: str, rows: list[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    shown = rows[:_TENSORS]
    names = max(len(n) for n, _ in shown)
    lines = [f"  {what if i == 0 else '':<11}  {n:<{names}}  {shape}" for i, (n, shape) in enumerate(shown)]
    if len(rows) > len(shown):
        lines.append(f"  {'':<11}  ... and {len(rows) - len(shown):,} more")
    return lines


def _shape(shape: Shape) -> str:
    return shape_text(shape) or "scalar"
