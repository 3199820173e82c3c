"""The lines under a picture that say how to read it."""

from __future__ import annotations

from collections.abc import Iterator

from resnet_dsl.pictures.drawing.text import soft
from resnet_dsl.pictures.drawing.tree import INPUT, Box, TreeScope

_SAID = {
    "solid": "solid line beside a block: identity shortcut",
    "dotted": "dotted: shortcut with steps of its own (projection, padding)",
    "repeat": "xN: N such blocks in a row; figures are those of one block",
}


def legend(network: TreeScope) -> Box | None:
    """The legend of what a picture shows; None where nothing needs one, as in a plain net."""
    seen = set(_marks(network))
    lines = tuple(soft(text) for mark, text in _SAID.items() if mark in seen)
    return Box(lines, "text") if lines else None


def _marks(scope: TreeScope) -> Iterator[str]:
    if scope.frame == "repeat":
        yield "repeat"
    on_spine = {INPUT, *scope.spine}
    for part in scope.parts:
        for slot, link in enumerate(part.links):
            if link.dotted:
                yield "dotted"
            elif slot != part.main and link.source in on_spine:
                yield "solid"
        if isinstance(part.item, TreeScope):
            yield from _marks(part.item)
