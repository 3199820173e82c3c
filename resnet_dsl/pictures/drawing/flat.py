"""The paper's way: one flat box per layer, shortcuts as arcs beside the column (He et al. 2015, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph.graph import SCOPE_INPUT, Program, join
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.folding import FoldedNode, Likeness, layers, steps_of
from resnet_dsl.pictures.drawing.levels import entrance, main_slot, merge_box
from resnet_dsl.pictures.drawing.text import Line, soft, strong
from resnet_dsl.pictures.drawing.tree import CLOSE, FORK, INPUT, TIGHT, Box, Link, Look, TreePart, TreeScope
from resnet_dsl.table import shape_text

_GROUPS = ("conv", "linear", "pool")


def flat(costs: Costs, folds: bool = False) -> TreeScope:
    """The whole network as a column of its convolutions, linear layers and poolings; a run of equal blocks as one where it `folds`."""
    return _Builder(costs, folds).network()


class _Builder:
    def __init__(self, costs: Costs, folds: bool) -> None:
        self.graph, self.costs, self.folds = costs.graph, costs, folds
        self.likeness = Likeness()
        self.hues = {n.path: i for i, n in enumerate(self.graph.stages)}

    def network(self) -> TreeScope:
        inner = TreeScope(self._parts((self.graph.root,), "", None), gap=TIGHT)
        return TreeScope((TreePart(entrance(self.graph), (Link(INPUT),)), TreePart(inner, (Link(0),))), gap=TIGHT)

    def _parts(self, scopes: Sequence[Program], where: str, hue: int | None) -> tuple[TreePart, ...]:
        """The layers of a scope, or of several that are alike; a step that is no layer is the line itself."""
        parts: list[TreePart] = []
        value, dotted = {SCOPE_INPUT: INPUT}, set()
        for group in self._groups(steps_of(scopes, self.costs)):
            step, node = group[0], group[0].node
            here = value[node.inputs[main_slot(node)]]
            if node.role == "shortcut":
                dotted.add(node.path)
            elif step.is_merge:
                links = tuple(Link(value[i], i in dotted) for i in node.inputs)
                parts.append(TreePart(_meeting(step, where, hue), links, main_slot(node)))
                here = len(parts) - 1
            else:
                for item in self._items(group, where, hue):
                    parts.append(TreePart(item, (Link(here),)))
                    here = len(parts) - 1
            value[group[-1].node.path] = here
        return tuple(parts)

    def _groups(self, steps: list[FoldedNode]) -> list[list[FoldedNode]]:
        """Steps one by one; where the picture folds, a run of blocks that are alike together."""
        groups: list[list[FoldedNode]] = []
        for step in steps:
            last = groups[-1][-1] if groups else None
            joins = last is not None and self.folds and last.node.role == step.node.role == "block"
            if (
                joins
                and last is not None
                and step.node.inputs == (last.node.path,)
                and self.likeness.same(last.node.callee, step.node.callee)
            ):
                groups[-1].append(step)
            else:
                groups.append([step])
        return groups

    def _items(self, group: list[FoldedNode], where: str, hue: int | None) -> Sequence[Box | TreeScope]:
        step, node = group[0], group[0].node
        path = join(where, node.path)
        if node.program is None:
            return [_layer(step, path, hue)] if OPS[node.op].group in _GROUPS else []
        if node.role == "stage":
            header = (strong(node.path), soft(shape_text(node.shape)))
            return [TreeScope(self._parts(step.callees, path, self.hues[node.path]), header=header, gap=CLOSE)]
        if node.role != "block" and not node.callee.is_series:
            line, *_ = layers([step], self.costs)
            return [Box((line,), hue=hue, tip=path)]
        if node.role != "block":
            return [TreeScope(self._parts(step.callees, join(where, name), hue), gap=CLOSE) for name in node.paths]
        times = sum(s.node.times for s in group)
        if self.folds and times > 2:
            alike = tuple({id(s.node.callee): s.node.callee for s in group}.values())
            return [TreeScope(self._block(alike, path, hue), "repeat", (strong(f"x{times}"),), hue, CLOSE)]
        blocks = [(s.node.callee, name) for s in group for name in s.node.paths]
        return [TreeScope(self._block((block,), join(where, name), hue), gap=CLOSE, lead=FORK + CLOSE) for block, name in blocks]

    def _block(self, blocks: Sequence[Program], where: str, hue: int | None) -> tuple[TreePart, ...]:
        """A block's layers; a plain one ends in a joint too, so that it lines up with its residual twin."""
        parts = self._parts(blocks, where, hue)
        plain = not any(n.role == "merge" for n in blocks[0].nodes)
        return (*parts, TreePart(Box((), "joint", hue), (Link(len(parts) - 1),))) if plain else parts


def _layer(step: FoldedNode, path: str, hue: int | None) -> Box:
    look: Look = "side" if step.node.role == "gate" else "box"
    return Box((Line(step.label),), look, hue, f"{path}: {step.label}, {step.shape}")


def _meeting(step: FoldedNode, where: str, hue: int | None) -> Box:
    """Two operands of one shape just meet, as in the paper; anything else says how."""
    node = step.node
    if len(node.inputs) == 2 and step.reads[0][main_slot(node)] == node.shape:
        return Box((), "joint", hue)
    return merge_box(step, where, hue)
