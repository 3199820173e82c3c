"""Pictures of networks: `draw(graph).save("resnet50.svg")`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resnet_dsl.analysis.changes import Changes
from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.diff import diff
from resnet_dsl.analysis.structure import operations
from resnet_dsl.diagnostics import Argument, clean, did_you_mean, inline, quote, refuse, speak
from resnet_dsl.extras import require
from resnet_dsl.files import write_output
from resnet_dsl.graph.graph import Graph, Node
from resnet_dsl.pictures.drawing.dot import to_dot
from resnet_dsl.pictures.drawing.engine import dress, render
from resnet_dsl.pictures.drawing.exchange import to_gexf, to_graphml, to_networkx, to_node_link
from resnet_dsl.pictures.drawing.flat import flat
from resnet_dsl.pictures.drawing.layout import Direction
from resnet_dsl.pictures.drawing.legend import legend
from resnet_dsl.pictures.drawing.levels import By, caption, outputs_text, tree
from resnet_dsl.pictures.drawing.mermaid import to_mermaid
from resnet_dsl.pictures.drawing.overview import overview
from resnet_dsl.pictures.drawing.pdf import to_pdf
from resnet_dsl.pictures.drawing.place import NetworkColumn, arrange
from resnet_dsl.pictures.drawing.png import with_text
from resnet_dsl.pictures.drawing.scene import Scene
from resnet_dsl.pictures.drawing.theme import THEMES, ThemeName
from resnet_dsl.pictures.drawing.tikz import to_tikz
from resnet_dsl.pictures.drawing.tree import boxes
from resnet_dsl.pictures.drawing.twins import twins
from resnet_dsl.pictures.page.network import page
from resnet_dsl.table import shape_text

if TYPE_CHECKING:
    from graphviz import Source

    from resnet_dsl.graph.network import Network

__all__ = ["DPI", "ENDINGS", "GRAPHS", "By", "Direction", "Drawing", "Style", "Theme", "draw", "draw_difference"]

Style = Literal["folded", "overview", "paper", "full"]
Theme = ThemeName

BYS = ("stage", "block", "op")
STYLES = ("folded", "overview", "paper", "full")
DIRECTIONS = ("TB", "LR")
ENDINGS = (".svg", ".png", ".pdf", ".tex", ".dot", ".mmd", ".html", ".graphml", ".gexf", ".json")
"""The files that `Drawing.save` writes, by their ending."""

GRAPHS = (".graphml", ".gexf", ".json")
"""Those of them that are no picture: they hold every operation of one network, for other programs."""

MAX_BOXES = 5_000
FOLD_ABOVE = 300
"""Operations of a network that are drawn one by one; more are folded unless all are asked for."""

MAX_PIXELS = 100_000_000
DPI = 144.0
MIN_DPI, MAX_DPI = 10, 1200

_DESCRIBED_STAGES = 20
_DESCRIBED_SCOPES = 2_000
_NAMES = 200
"""Characters of the networks' names that a `repr` shows."""


@dataclass(frozen=True, repr=False)
class Drawing:
    """A picture that can be written in any format. The same networks and options give the same bytes.

    `found` is what a picture of a difference shows; `left_out` says where it shows less than was asked for.
    """

    scene: Scene
    graphs: tuple[Graph, ...]
    theme: str
    direction: Direction
    description: str
    found: Changes | None = None
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Drawing {_clipped(self._name)}: {self.scene.width:.0f} x {self.scene.height:.0f} points, {self.theme}>"

    @property
    def notes(self) -> tuple[str, ...]:
        """`left_out`, in the words of Python."""
        return tuple(map(speak, self.left_out))

    @cached_property
    def dot(self) -> str:
        """Graphviz' language, with every place given: any `dot` draws the same picture."""
        return to_dot(self.scene, THEMES[self.theme], self._name)

    @cached_property
    def mmd(self) -> str:
        """A Mermaid flowchart."""
        return to_mermaid(self.scene, THEMES[self.theme], self.direction)

    @cached_property
    def svg(self) -> str:
        """An SVG whose text is text. Its metadata hold the networks' canonical form, `Graph.text`.

        Raises SpecError with exit code 3 where the drawing engine is missing.
        """
        return dress(render(self.dot, "svg").decode(), self._name, self.description, self._canonical)

    @cached_property
    def tex(self) -> str:
        """A LaTeX file of its own, in TikZ."""
        return to_tikz(self.scene, THEMES[self.theme], "\n".join((self._name, self.description, self._canonical)))

    @cached_property
    def pdf(self) -> bytes:
        """A PDF of one page. Raises SpecError (exit code 3) without the extra `pdf`."""
        return to_pdf(self.scene, THEMES[self.theme], self._name, self.description, self._canonical)

    @cached_property
    def html(self) -> str:
        """A page for a browser, of one network or of two with what differs lit. Raises SpecError where there are more."""
        found = self.found or (diff(*self.graphs) if len(self.graphs) == 2 else None)
        return page(self.graphs, self.theme, found)

    def networkx(self) -> Network:
        """The network as a `networkx.MultiDiGraph`: every operation, with op, label, shape, params and macs. Raises SpecError for several."""
        return to_networkx(self._only)

    def graphviz(self) -> Source:
        """The picture as a `graphviz.Source`, to restyle it, or to render it with a Graphviz of your own.

        Raises SpecError (exit code 3) without the extra `graphviz`.
        """
        require("graphviz", "a graphviz.Source needs the package", at="draw", instead=f"take {quote('.dot')}, which is its text")
        from graphviz import Source

        return Source(self.dot, filename=f"{self.graphs[0].name}.gv")

    def png(self, dpi: float = DPI) -> bytes:
        """A PNG at `dpi` dots an inch. Raises SpecError where it would have more than 100 million pixels, and as `svg` does."""
        if not MIN_DPI <= dpi <= MAX_DPI:
            raise refuse("usage", f"{dpi:g} dots an inch", f"choose between {MIN_DPI} and {MAX_DPI}", at=Argument("dpi"))
        pixels = self.scene.width * self.scene.height * (dpi / 72) ** 2
        if pixels > MAX_PIXELS:
            message = f"a PNG of this picture would have {pixels / 1e6:,.0f} million pixels, over the limit of {MAX_PIXELS / 1e6:.0f}"
            raise refuse("picture-size", message, "write .svg, which has no pixels, or fold more, or lower the dpi", at="draw")
        about = {"Title": self._name, "Description": self.description, "Software": "resnet-dsl", "Network": self._canonical}
        return with_text(render(self.dot, "png", dpi), about)

    def save(self, path: str | os.PathLike[str], *, dpi: float = DPI) -> Path:
        """Write the picture in the format of the path's ending, all of it or nothing; gives the path.

        Raises SpecError for an ending that is not in `ENDINGS` and for a target that is no regular file (exit code 2),
        and for a folder that cannot be written to (3).
        """
        target = Path(path)
        ending = target.suffix.lower()
        if ending not in ENDINGS:
            message = f"no picture format ends in '{inline(ending)}'" if ending else "the file's ending says the format, and there is none"
            raise refuse("usage", message, f"end the file's name in one of {', '.join(ENDINGS)}", at=str(path))
        return write_output(target, self._in(ending, dpi))

    def _in(self, ending: str, dpi: float) -> bytes:
        made: Mapping[str, Callable[[], str | bytes]] = {
            ".svg": lambda: self.svg,
            ".png": lambda: self.png(dpi),
            ".pdf": lambda: self.pdf,
            ".tex": lambda: self.tex,
            ".dot": lambda: self.dot,
            ".mmd": lambda: self.mmd,
            ".html": lambda: self.html,
            ".graphml": lambda: to_graphml(self._only),
            ".gexf": lambda: to_gexf(self._only),
            ".json": lambda: to_node_link(self._only),
        }
        content = made[ending]()
        return content.encode() if isinstance(content, str) else content

    def _repr_svg_(self) -> str:
        # A notebook is often narrower than a picture.
        return self.svg.replace("<svg ", '<svg style="max-width: 100%; height: auto" ', 1)

    @property
    def _canonical(self) -> str:
        """The networks as `Graph.text` gives them; not of those with thousands of distinct scopes."""
        return "\n".join(g.text() for g in self.graphs if len(g.programs) <= _DESCRIBED_SCOPES)

    @property
    def _only(self) -> Graph:
        if len(self.graphs) > 1:
            raise refuse("usage", f"a graph holds one network, not {len(self.graphs)}", "draw them one by one, or write .svg", at="draw")
        return self.graphs[0]

    @property
    def _name(self) -> str:
        return " | ".join(inline(g.name) for g in self.graphs)


def draw(
    graph: Graph | Sequence[Graph],
    by: By = "stage",
    style: Style = "folded",
    theme: Theme = "light",
    direction: Direction | None = None,
    *,
    all: bool = False,
) -> Drawing:
    """A picture of a network, or of several side by side.

    `by` is how far the style `folded` opens: `stage` folds equal blocks to one, `block` shows the steps of each distinct
    block, `op` shows every operation. `overview` is one card per stage, `paper` one flat box per layer with the shortcuts as
    arcs (He et al. 2015, figure 3), `full` the same as `by="op"`. `direction` is `TB` (downwards) or `LR` (to the right);
    None is what suits the style. Where a network has more than 300 operations, `op` and `full` fold equal blocks as
    `block` does and `paper` draws a run of them once, unless `all` is set. Solid shortcuts are identities, dotted ones are not.

    Raises SpecError for an unknown option and for a picture of more than 5,000 boxes.
    """
    graphs = (graph,) if isinstance(graph, Graph) else tuple(graph)
    if not graphs:
        raise refuse("usage", "there is no network to draw", "give at least one", at="draw")
    for what, value, known in (
        ("by", by, BYS),
        ("style", style, STYLES),
        ("theme", theme, tuple(THEMES)),
        ("direction", direction or "TB", DIRECTIONS),
    ):
        if value not in known:
            raise refuse("usage", f"{what} is not {quote(str(value))}", did_you_mean(str(value), known, what=what), at=Argument(what))
    if style != "folded" and by != "stage":
        raise refuse(
            "usage",
            f"the style {style} has its own level of detail; {Argument('by', by)} is for the style folded",
            f"leave out {Argument('style', style)}, or {Argument('by', by)}",
            at="draw",
        )
    if style == "full":
        by, style = "op", "folded"
    folds = [(by == "op" or style == "paper") and not all and operations(g) > FOLD_ABOVE for g in graphs]
    if by == "op" and all:
        # What is not folded can be counted, and refused, before it is built.
        _keep_limit(sum(operations(g) for g in graphs), f"draw it {Argument('by', 'stage')}")
    costs = [Costs(g) for g in graphs]
    columns = [_column(c, "block" if by == "op" and fold else by, style, fold) for c, fold in zip(costs, folds, strict=True)]
    _keep_limit(
        sum(1 for c in columns for _ in boxes(c.network)),
        f"draw it {Argument('by', 'stage')}" if by == "block" else f"draw it with {Argument('style', 'overview')}",
    )
    way: Direction = direction or ("LR" if style == "overview" else "TB")
    scene = arrange(columns, way, smooth=style == "paper")
    left_out = tuple(
        f"{inline(g.name)} has {operations(g):,} operations: blocks that are alike are drawn once; {Argument('all', True)} draws each"
        for g, fold in zip(graphs, folds, strict=True)
        if fold
    )
    return Drawing(scene, graphs, theme, way, "\n".join(map(describe, costs)), left_out=left_out)


def draw_difference(found: Changes, theme: Theme = "light") -> Drawing:
    """Two networks side by side, row by row, with what differs marked by sign, outline and colour.

    Raises SpecError as `draw` does.
    """
    columns = twins(found)
    _keep_limit(sum(1 for c in columns for _ in boxes(c.network)), "compare smaller networks, or read the text")
    changes = f"{found.count:,} change{'s' if found.count != 1 else ''} from {found.labels[0]} to {found.labels[1]}."
    told = "\n".join([changes, *map(describe, found.costs)])
    return Drawing(arrange(columns, "TB", smooth=False), (found.a, found.b), theme, "TB", told, found)


def describe(costs: Costs) -> str:
    """A network in a sentence or two, for those who do not see the picture."""
    graph, cost = costs.graph, costs.network
    stages = [f"{s.path} with {_blocks(s)}, {shape_text(s.shape)}" for s in graph.stages]
    if len(stages) > _DESCRIBED_STAGES:
        stages[_DESCRIBED_STAGES:] = [f"and {len(stages) - _DESCRIBED_STAGES} more stages"]
    about = f" {clean(graph.description).strip()}" if graph.description else ""
    told = "; ".join([f"input {shape_text(graph.input)}", *stages, outputs_text(graph) if graph.outputs else f"{graph.classes} classes"])
    return f"{inline(graph.name)}: {told}. {cost.params:,} parameters, {cost.macs:,} MACs.{about}"


def _column(costs: Costs, by: By, style: Style, fold: bool) -> NetworkColumn:
    network = overview(costs) if style == "overview" else flat(costs, fold) if style == "paper" else tree(costs, by)
    return NetworkColumn(network, caption(costs), legend(network))


def _keep_limit(count: int, help: str) -> None:
    if count > MAX_BOXES:
        raise refuse("picture-size", f"the picture would have {count:,} boxes, over the limit of {MAX_BOXES:,}", help, at="draw")


def _clipped(text: str) -> str:
    return text if len(text) <= _NAMES else text[:_NAMES] + "..."


def _blocks(stage: Node) -> str:
    n = sum(x.times for x in stage.callee.nodes if x.role == "block")
    return f"{n} block{'s' if n != 1 else ''}"
