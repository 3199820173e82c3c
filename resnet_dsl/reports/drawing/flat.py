"""The paper's way: one flat box a layer, shortcuts as arcs beside the column (He et al. 2015, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_dsl.graph.graph import SCOPE_INPUT, Program, join, shape_text
from resnet_dsl.graph.ops import OPS
from resnet_dsl.reports.cost import Costs
from resnet_dsl.reports.drawing.folding import Step, layers, steps_of
from resnet_dsl.reports.drawing.levels import entrance, main_slot, merge_box
from resnet_dsl.reports.drawing.text import Line, soft, strong
from resnet_dsl.reports.drawing.tree import CLOSE, FORK, INPUT, TIGHT, Box, Link, Look, Part, Scope

MAX_DEPTH = 300
"""Layers of a network that is drawn block by block; in a deeper one a run of equal blocks is one block, `x18`."""

_GROUPS = ("conv", "linear", "pool")


def flat(costs: Costs) -> Scope:
    """The whole network as a column of its convolutions, linear layers and poolings."""
    return _Builder(costs).network()


class _Builder:
    def __init__(self, costs: Costs) -> None:
        self.graph, self.costs = costs.graph, costs
        self.folds = self.costs.network.depth > MAX_DEPTH
        self.hues = {n.path: i for i, n in enumerate(self.graph.stages)}

    def network(self) -> Scope:
        inner = Scope(self._parts(self.graph.root, "", None), gap=TIGHT)
        return Scope((Part(entrance(self.graph), (Link(INPUT),)), Part(inner, (Link(0),))), gap=TIGHT)

    def _parts(self, scope: Program, where: str, hue: int | None) -> tuple[Part, ...]:
        """The layers of a scope; a step that is no layer is the line itself."""
        parts: list[Part] = []
        value, dotted = {SCOPE_INPUT: INPUT}, set()
        for step in steps_of([scope], self.costs):
            node = step.node
            here = value[node.inputs[main_slot(node)]]
            if node.role == "shortcut":
                dotted.add(node.path)
            elif step.is_merge:
                links = tuple(Link(value[i], i in dotted) for i in node.inputs)
                parts.append(Part(_meeting(step, where, hue), links, main_slot(node)))
                here = len(parts) - 1
            else:
                for item in self._items(step, where, hue):
                    parts.append(Part(item, (Link(here),)))
                    here = len(parts) - 1
            value[node.path] = here
        return tuple(parts)

    def _items(self, step: Step, where: str, hue: int | None) -> Sequence[Box | Scope]:
        node, path = step.node, join(where, step.node.path)
        if node.program is None:
            return [_layer(step, path, hue)] if OPS[node.op].group in _GROUPS else []
        if node.role == "stage":
            header = (strong(node.path), soft(shape_text(node.shape)))
            return [Scope(self._parts(node.callee, path, self.hues[node.path]), header=header, gap=CLOSE)]
        if node.role != "block" and not node.callee.is_series:
            line, *_ = layers([step], self.costs)
            return [Box((line,), hue=hue, tip=path)]
        if node.role != "block":
            return [Scope(self._parts(node.callee, join(where, name), hue), gap=CLOSE) for name in node.paths]
        if self.folds and node.times > 2:
            return [Scope(self._block(node.callee, path, hue), "repeat", (strong(f"x{node.times}"),), hue, CLOSE)]
        return [Scope(self._block(node.callee, join(where, name), hue), gap=CLOSE, lead=FORK + CLOSE) for name in node.paths]

    def _block(self, block: Program, where: str, hue: int | None) -> tuple[Part, ...]:
        """A block's layers; a plain one ends in a joint too, so that it lines up with its residual twin."""
        parts = self._parts(block, where, hue)
        plain = not any(n.role == "merge" for n in block.nodes)
        return (*parts, Part(Box((), "joint", hue), (Link(len(parts) - 1),))) if plain else parts


def _layer(step: Step, path: str, hue: int | None) -> Box:
    look: Look = "side" if step.node.role == "gate" else "box"
    return Box((Line(step.label),), look, hue, f"{path}: {step.label}, {step.shape}")


def _meeting(step: Step, where: str, hue: int | None) -> Box:
    """Two operands of one shape just meet, as in the paper; anything else says how."""
    node = step.node
    if len(node.inputs) == 2 and step.reads[0][main_slot(node)] == node.shape:
        return Box((), "joint", hue)
    return merge_box(step, where, hue)
