"""One card per stage, with the shapes on the arrows between them."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.graph.graph import Node
from resnet_dsl.pictures.drawing.folding import FoldedNode, layers, steps_of
from resnet_dsl.pictures.drawing.levels import entrance
from resnet_dsl.pictures.drawing.text import Line, soft, strong
from resnet_dsl.pictures.drawing.tree import INPUT, Box, Link, TreePart, TreeScope
from resnet_dsl.table import shape_text, short


def overview(costs: Costs) -> TreeScope:
    """Stem, stages and head."""
    graph = costs.graph
    parts = [TreePart(entrance(graph), (Link(INPUT),))]
    shape = graph.input
    for _, run in groupby(steps_of([graph.root], costs), lambda s: s.node.path if s.node.role == "stage" else s.node.role):
        steps = list(run)
        node = steps[-1].node
        is_stage = node.role == "stage"
        name = node.path if is_stage else node.role
        contents = _contents(node) if is_stage else layers(steps, costs)
        lines = (strong(name), *contents, *_figures(steps, costs.network))
        hue = sum(isinstance(p.item, Box) and p.item.hue is not None for p in parts) if is_stage else None
        note = (soft(shape_text(shape)),) if len(parts) > 1 else ()
        parts.append(TreePart(Box(lines, "box", hue, name), (Link(len(parts) - 1),), note=note))
        shape = node.shape
    return TreeScope(tuple(parts))


def _contents(stage: Node) -> list[Line]:
    """How many blocks of what kind, what goes before and after them, and which shortcuts they have."""
    kinds: Counter[str] = Counter()
    shortcuts: list[str] = []
    for node in stage.callee.nodes:
        if node.role == "block":
            kinds[node.callee.kind] += node.times
            merges = any(n.role == "merge" for n in node.callee.nodes)
            found = [n.callee.kind for n in node.callee.nodes if n.role == "shortcut"]
            shortcuts += found or (["identity"] if merges else ["none"])
    named = ", ".join(dict.fromkeys(shortcuts))
    return [*(Line(f"{n} x {kind}") for kind, n in kinds.items()), Line(f"shortcut: {named}")]


def _figures(steps: list[FoldedNode], whole: Cost) -> list[Line]:
    """Parameters and MACs with their share of the network's."""
    found = sum((c for s in steps for c in s.costs), Cost())
    rows = ((found.params, whole.params, "params"), (found.macs, whole.macs, "MACs"))
    return [soft(f"{short(n)} {unit} ({_share(n, of)})") for n, of, unit in rows if n]


def _share(part: int, whole: int) -> str:
    percent = 100 * part / whole
    return "<1 %" if percent < 1 else f"{percent:.0f} %"
