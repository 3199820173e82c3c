"""A scene as DOT. Every place is given, so `layout=nop2` makes any Graphviz draw just that; text stays text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil

from resnet_dsl.diagnostics import clean
from resnet_dsl.pictures.drawing.place import MARGIN
from resnet_dsl.pictures.drawing.scene import Edge, PlacedBox, PlacedFrame, Point, Scene
from resnet_dsl.pictures.drawing.text import SOFT, TAIL_GAP, Line
from resnet_dsl.pictures.drawing.theme import Paint, Theme

FONT = "Helvetica"
_INCH = 72


def to_dot(scene: Scene, theme: Theme, name: str) -> str:
    """The text of a DOT file that renders without any layout."""
    return "\n".join(_Writer(scene, theme).lines(name)) + "\n"


class _Writer:
    def __init__(self, scene: Scene, theme: Theme) -> None:
        self.scene, self.theme = scene, theme

    def lines(self, name: str) -> Iterator[str]:
        yield f"digraph {quoted(name)} {{"
        yield f'  graph [layout=nop2, pad={_n(MARGIN / _INCH, 4)}, bgcolor="{self.theme.paper}", fontname={FONT}, outputorder=edgesfirst]'
        yield f"  node [fontname={FONT}, fontsize=10, fixedsize=true, margin=0, penwidth=0.8]"
        yield f'  edge [color="{self.theme.line}", penwidth=1, arrowsize=0.55]'
        for item in self.scene.inside:
            yield from self._item(item, "  ")
        for edge in self.scene.edges:
            yield self._edge(edge)
        yield "}"

    def _item(self, item: PlacedBox | PlacedFrame, indent: str) -> Iterator[str]:
        if isinstance(item, PlacedBox):
            yield indent + self._box(item)
            return
        paint = self.theme.frame(item.frame, item.hue)
        yield f"{indent}subgraph cluster_{item.id} {{"
        corners = ",".join(map(_n, (item.left, self._up(item.bottom), item.right, self._up(item.top))))
        yield f'{indent}  graph [bb="{corners}", style="rounded,filled", fillcolor="{paint.fill}", color="{paint.line}", penwidth=0.8]'
        if item.header:
            place = self._point((item.header_x, item.header_y))
            yield f'{indent}  graph [fontsize=10, label={self._label(item.header, paint, left=True)}, lp="{place}"]'
        for inner in item.inside:
            yield from self._item(inner, indent + "  ")
        yield f"{indent}}}"

    def _box(self, placed: PlacedBox) -> str:
        box = placed.box
        paint = self.theme.box(box.look, box.hue)
        attributes = {
            "pos": f'"{self._point((placed.x, placed.y))}"',
            "width": _n(placed.width / _INCH, 4),
            "height": _n(placed.height / _INCH, 4),
            "shape": {"joint": "point", "text": "plaintext"}.get(box.look, "box"),
            "style": f'"{paint.style}"',
            "fillcolor": f'"{paint.fill}"',
            "color": f'"{paint.line}"',
            "label": self._label(box.lines, paint, left=box.look == "text"),
        }
        if "bold" in paint.style:
            attributes["penwidth"] = "1.8"
        if box.tip:
            attributes["tooltip"] = quoted(box.tip)
        return f"n{placed.id} [{', '.join(f'{k}={v}' for k, v in attributes.items())}]"

    def _edge(self, edge: Edge) -> str:
        head = f"e,{self._point(edge.tip)} " if edge.tip else ""
        places = head + " ".join(self._point(p) for p in edge.curve)
        style = ", style=dotted, penwidth=1.6, arrowsize=0.4" if edge.dotted else ""
        return f'  n{edge.source} -> n{edge.target} [pos="{places}"{style}{"" if edge.tip else ", arrowhead=none"}]'

    def _label(self, lines: Sequence[Line], paint: Paint, *, left: bool) -> str:
        """An HTML-like label, one row per line."""
        if not lines:
            return '""'
        side = ' ALIGN="LEFT"' if left else ""
        rows = "".join(f'<TR><TD{side} HEIGHT="{ceil(x.height)}">{_line(x, paint)}</TD></TR>' for x in lines)
        # Graphviz sets such lines a little high.
        drop = '<TR><TD HEIGHT="3"></TD></TR>'
        return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{drop}{rows}</TABLE>>'

    def _point(self, p: Point) -> str:
        return f"{_n(p[0])},{_n(self._up(p[1]))}"

    def _up(self, y: float) -> float:
        """DOT counts upwards."""
        return self.scene.height - y


def quoted(text: str) -> str:
    """`text` as a DOT string: nothing in it is an escape, a line break or markup."""
    inner = clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'"{inner}"'


def _line(line: Line, paint: Paint) -> str:
    """One line of a label. The blanks around it make every line one of two fonts: Graphviz sets those apart from others."""
    blank = _words(" ", SOFT, paint.soft)
    text = f"<B>{_escaped(line.text)}</B>" if line.bold else _escaped(line.text)
    after = _words(f"{TAIL_GAP}{_escaped(line.tail)} ", SOFT, paint.soft) if line.tail else blank
    return blank + _words(text, line.size, paint.soft if line.size == SOFT else paint.ink) + after


def _words(markup: str, size: float, ink: str) -> str:
    return f'<FONT POINT-SIZE="{_n(size)}" COLOR="{ink}">{markup}</FONT>'


def _escaped(text: str) -> str:
    """Text that is only text in an HTML-like label, where a backslash would begin an escape."""
    return escape(clean(text).replace("\n", " ").replace("\\", "\\\\"))


def _n(x: float, digits: int = 2) -> str:
    """A number without needless zeros, and never -0."""
    text = f"{x:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
