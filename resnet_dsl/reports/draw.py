"""Pictures of networks: `draw(graph).save("resnet50.svg")`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from resnet_dsl.diagnostics import clean, did_you_mean, quote, visible
from resnet_dsl.graph.graph import Graph, Node, shape_text
from resnet_dsl.reports.cost import Costs
from resnet_dsl.reports.drawing.dot import to_dot
from resnet_dsl.reports.drawing.engine import dress, render
from resnet_dsl.reports.drawing.flat import flat
from resnet_dsl.reports.drawing.layout import Direction
from resnet_dsl.reports.drawing.legend import legend
from resnet_dsl.reports.drawing.levels import By, caption, tree
from resnet_dsl.reports.drawing.mermaid import to_mermaid
from resnet_dsl.reports.drawing.output import DrawError, write_whole
from resnet_dsl.reports.drawing.overview import overview
from resnet_dsl.reports.drawing.place import Column, arrange
from resnet_dsl.reports.drawing.scene import Scene
from resnet_dsl.reports.drawing.theme import THEMES
from resnet_dsl.reports.drawing.tree import boxes

__all__ = ["DPI", "ENDINGS", "By", "Direction", "DrawError", "Drawing", "Style", "Theme", "draw"]

Style = Literal["folded", "overview", "paper", "full"]
Theme = Literal["light", "dark", "print"]

BYS = ("stage", "block", "op")
STYLES = ("folded", "overview", "paper", "full")
DIRECTIONS = ("TB", "LR")
ENDINGS = (".svg", ".png", ".dot", ".mmd")
"""The files that `Drawing.save` writes, by their ending."""

MAX_BOXES = 5_000
MAX_PIXELS = 100_000_000
DPI = 144.0
MIN_DPI, MAX_DPI = 10, 1200

_DESCRIBED_STAGES = 20
_DESCRIBED_SCOPES = 2_000


@dataclass(frozen=True)
class Drawing:
    """A picture, ready to be written in any format. The same networks and options give the same bytes."""

    scene: Scene
    graphs: tuple[Graph, ...]
    theme: str
    direction: Direction
    description: str

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
        canonical = "\n".join(g.text() for g in self.graphs if len(g.programs) <= _DESCRIBED_SCOPES)
        return dress(render(self.dot, "svg").decode(), self._name, self.description, canonical)

    def png(self, dpi: float = DPI) -> bytes:
        """A PNG at `dpi` dots an inch. Raises DrawError where it would have more than 100 million pixels, and as `svg` does."""
        if not MIN_DPI <= dpi <= MAX_DPI:
            raise DrawError("usage", f"{dpi:g} dots an inch", f"choose between {MIN_DPI} and {MAX_DPI}")
        pixels = self.scene.width * self.scene.height * (dpi / 72) ** 2
        if pixels > MAX_PIXELS:
            message = f"a PNG of this picture would have {pixels / 1e6:,.0f} million pixels, over the limit of {MAX_PIXELS / 1e6:.0f}"
            raise DrawError("picture-size", message, "write .svg, which has no pixels, or fold more, or lower the dpi")
        return render(self.dot, "png", dpi)

    def save(self, path: str | os.PathLike[str], *, dpi: float = DPI) -> Path:
        """Write the picture in the format of the path's ending, all of it or nothing; gives the path.

        Raises DrawError for an ending that is not in `ENDINGS` and for a target that is no regular file (exit code 2),
        and for a folder that cannot be written to (3).
        """
        target = Path(path)
        ending = target.suffix.lower()
        if ending not in ENDINGS:
            message = f"no picture format ends in '{visible(ending)}'" if ending else "the file's ending says the format, and there is none"
            raise DrawError("usage", message, f"end the file's name in one of {', '.join(ENDINGS)}", at=str(path))
        write_whole(target, self._in(ending, dpi))
        return target

    def _in(self, ending: str, dpi: float) -> bytes:
        if ending == ".png":
            return self.png(dpi)
        return (self.svg if ending == ".svg" else self.dot if ending == ".dot" else self.mmd).encode()

    def _repr_svg_(self) -> str:
        return self.svg

    @property
    def _name(self) -> str:
        return " | ".join(visible(g.name) for g in self.graphs)


def draw(
    graph: Graph | Sequence[Graph], by: By = "stage", style: Style = "folded", theme: Theme = "light", direction: Direction | None = None
) -> Drawing:
    """A picture of a network, or of several side by side.

    `by` is how far the style `folded` opens: `stage` folds equal blocks to one, `block` shows the steps of each distinct
    block, `op` shows every operation. `overview` is one card a stage, `paper` one flat box a layer with the shortcuts as
    arcs (He et al. 2015, figure 3), `full` the same as `by="op"`. `direction` is `TB` (downwards) or `LR` (to the right);
    None is what suits the style. Solid shortcuts are identities, dotted ones are not.

    Raises DrawError, a SpecError and a ValueError, for an unknown option and for a picture of more than 5,000 boxes.
    """
    graphs = (graph,) if isinstance(graph, Graph) else tuple(graph)
    if not graphs:
        raise DrawError("usage", "there is no network to draw", "give at least one")
    for what, value, known in (
        ("by", by, BYS),
        ("style", style, STYLES),
        ("theme", theme, tuple(THEMES)),
        ("direction", direction or "TB", DIRECTIONS),
    ):
        if value not in known:
            raise DrawError("usage", f"{what} is not {quote(str(value))}", did_you_mean(str(value), known, what=what))
    if style != "folded" and by != "stage":
        raise DrawError(
            "usage",
            f"the style {style} has its own level of detail; --by {by} is for the style folded",
            f"leave out --style {style}, or --by {by}",
        )
    if style == "full":
        by, style = "op", "folded"
    if by == "op":
        # What is not folded can be counted, and refused, before it is built.
        _keep_limit(sum(map(_operations, graphs)), "draw it --by stage")
    costs = [Costs(g) for g in graphs]
    columns = [_column(c, by, style) for c in costs]
    _keep_limit(
        sum(1 for c in columns for _ in boxes(c.network)), "draw it --by stage" if by == "block" else "draw it with --style overview"
    )
    way: Direction = direction or ("LR" if style == "overview" else "TB")
    scene = arrange(columns, way, smooth=style == "paper")
    return Drawing(scene, graphs, theme, way, "\n".join(map(describe, costs)))


def describe(costs: Costs) -> str:
    """A network in a sentence or two, for those who do not see the picture."""
    graph, cost = costs.graph, costs.network
    stages = [f"{s.path} with {_blocks(s)}, {shape_text(s.shape)}" for s in graph.stages]
    if len(stages) > _DESCRIBED_STAGES:
        stages[_DESCRIBED_STAGES:] = [f"and {len(stages) - _DESCRIBED_STAGES} more stages"]
    about = f" {clean(graph.description).strip()}" if graph.description else ""
    told = "; ".join([f"input {shape_text(graph.input)}", *stages, f"{graph.classes} classes"])
    return f"{visible(graph.name)}: {told}. {cost.params:,} parameters, {cost.macs:,} MACs.{about}"


def _column(costs: Costs, by: By, style: Style) -> Column:
    network = overview(costs) if style == "overview" else flat(costs) if style == "paper" else tree(costs, by)
    return Column(network, caption(costs), legend(network))


def _keep_limit(count: int, help: str) -> None:
    if count > MAX_BOXES:
        raise DrawError("picture-size", f"the picture would have {count:,} boxes, over the limit of {MAX_BOXES:,}", help)


def _operations(graph: Graph) -> int:
    """The operations of a network, from its distinct scopes."""
    held: dict[int, int] = {}
    for program in graph.programs:
        held[id(program)] = sum(n.times * (held[id(n.program)] if n.program is not None else 1) for n in program.nodes)
    return held[id(graph.root)]


def _blocks(stage: Node) -> str:
    n = sum(x.times for x in stage.callee.nodes if x.role == "block")
    return f"{n} block{'s' if n != 1 else ''}"
