"""A scene as Mermaid text, which GitHub and others draw themselves: the same boxes, frames and lines, laid out by Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.scene import PlacedBox, PlacedFrame, Scene
from resnet_dsl.pictures.drawing.text import Line
from resnet_dsl.pictures.drawing.theme import Theme

_SHAPES = {"merge": ("((", "))"), "pill": ("([", "])"), "joint": ("((", "))")}
_PLAIN = set(" ,./:+-_()=%|")


def to_mermaid(scene: Scene, theme: Theme, direction: str) -> str:
    """A flowchart. Captions are left out: Mermaid would place them anywhere."""
    lines = [f"flowchart {direction}"]
    for item in scene.inside:
        lines += _item(item, theme, "  ")
    lines += [f"  n{e.source} {'-.->' if e.dotted else '-->'} n{e.target}" for e in scene.edges]
    return "\n".join(lines) + "\n"


def _item(item: PlacedBox | PlacedFrame, theme: Theme, indent: str) -> Iterator[str]:
    if isinstance(item, PlacedBox):
        box = item.box
        if box.look != "text":
            opening, closing = _SHAPES.get(box.look, ("[", "]"))
            paint = theme.box(box.look, box.hue)
            yield f'{indent}n{item.id}{opening}"{_text(box.lines)}"{closing}'
            yield f"{indent}style n{item.id} fill:{paint.fill},stroke:{paint.line},color:{paint.ink}"
        return
    paint = theme.frame(item.frame, item.hue)
    yield f'{indent}subgraph c{item.id} ["{_text(item.header)}"]'
    for inner in item.inside:
        yield from _item(inner, theme, indent + "  ")
    yield f"{indent}end"
    yield f"{indent}style c{item.id} fill:{paint.fill},stroke:{paint.line},color:{paint.ink}"


def _text(lines: Sequence[Line]) -> str:
    return "<br/>".join(_escaped(f"{x.text} {x.tail}".rstrip()) for x in lines) or " "


def _escaped(text: str) -> str:
    """Everything that could mean something to Mermaid or HTML as its number."""
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in clean(text).replace("\n", " "))
