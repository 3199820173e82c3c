"""A graph as a tree of boxes: by stage (folded), by block (opened one level), by op (everything).

Consecutive blocks are drawn once, as `x3`, where they are equal, and also where they are alike: the same steps in the same
arrangement, with only channels or rates that grow, as in a DenseNet; a figure that varies is given as a range.
The first block of a stage stands apart unless it is the very same as the next. By op nothing is folded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.diagnostics import inline
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program, join
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.folding import FoldedNode, Likeness, layers, steps_of, total
from resnet_dsl.pictures.drawing.text import TITLE, Line, figures, shapes, soft, strong
from resnet_dsl.pictures.drawing.tree import INPUT, TIGHT, WIDE, Box, Link, Look, TreePart, TreeScope
from resnet_dsl.table import shape_text

By = Literal["stage", "block", "op"]

_TIMES = 13.0
_MERGE = 11.0
_SIDES = {"shortcut", "gate", "merge"}


def tree(costs: Costs, by: By) -> TreeScope:
    """The whole network, from its input downwards."""
    return _Builder(costs, by).network()


_OUTPUTS = 6


def caption(costs: Costs) -> Box:
    """A network's name and what it costs in all."""
    graph, cost = costs.graph, costs.network
    lines = [Line(inline(graph.name), TITLE, True), Line(f"{cost.params:,} params, {cost.macs:,} MACs, depth {cost.depth}")]
    if graph.outputs:
        lines.append(Line(f"gives {outputs_text(graph)}"))
    return Box(tuple(lines), "text")


def outputs_text(graph: Graph) -> str:
    """What a network gives in place of its classes."""
    shown = [o.name for o in graph.outputs[:_OUTPUTS]]
    return ", ".join(shown) + (f" and {len(graph.outputs) - _OUTPUTS} more values" if len(graph.outputs) > _OUTPUTS else "")


def entrance(graph: Graph) -> Box:
    """The box of a network's input."""
    return Box((Line(f"input {shape_text(graph.input)}"),), "pill")


class _Builder:
    def __init__(self, costs: Costs, by: By) -> None:
        self.costs, self.graph, self.by = costs, costs.graph, by
        self.likeness = Likeness()
        self.gap = WIDE if by == "stage" else TIGHT
        self.hues = {n.path: i for i, n in enumerate(self.graph.stages)}

    def network(self) -> TreeScope:
        parts = self._parts((self.graph.root,), "", None)
        after = [replace(p, links=tuple(replace(x, source=x.source + 1) for x in p.links)) for p in parts]
        return TreeScope((TreePart(entrance(self.graph), (Link(INPUT),)), *after), gap=self.gap)

    def _parts(self, scopes: Sequence[Program], where: str, hue: int | None) -> tuple[TreePart, ...]:
        """What one scope, or several that are alike, shows."""
        steps = steps_of(scopes, self.costs)
        bent = {s.node.path for s in steps if s.node.role == "shortcut"}
        in_shortcut = scopes[0].role == "shortcut"
        parts: list[TreePart] = []
        value = {SCOPE_INPUT: INPUT}
        for group in self._groups(steps):
            node = group[0].node
            links = tuple(Link(value[i], in_shortcut or node.role == "shortcut" or i in bent) for i in node.inputs)
            for item in self._items(group, scopes[0], where, hue):
                parts.append(TreePart(item, links, main_slot(node)))
                links = (Link(len(parts) - 1, in_shortcut),)
            value[group[-1].node.path] = len(parts) - 1
        return tuple(parts)

    def _groups(self, steps: list[FoldedNode]) -> list[list[FoldedNode]]:
        """Steps that one part shows: a run of alike blocks; by stage also what follows one another on one way."""
        uses = Counter(i for s in steps for i in s.node.inputs)
        groups: list[list[FoldedNode]] = []
        for step in steps:
            if groups and self._joins(groups[-1], step.node, uses):
                groups[-1].append(step)
            else:
                groups.append([step])
        return groups

    def _joins(self, group: list[FoldedNode], node: Node, uses: Counter[str]) -> bool:
        last = group[-1].node
        roles = {last.role, node.role}
        if self.by == "op" or node.inputs != (last.path,) or uses[last.path] > 1 or "stage" in roles:
            return False
        if roles == {"block"}:
            is_first = len(group) == 1 and last.path == "0"
            return not is_first and self.likeness.same(last.callee, node.callee)
        if self.by == "block" or "block" in roles or "merge" in roles:
            return False
        return len(roles) == 1 or roles == {"before", "body"}

    def _items(self, group: list[FoldedNode], scope: Program, where: str, hue: int | None) -> list[Box | TreeScope]:
        step, node = group[0], group[0].node
        if node.role == "stage":
            return [self._stage(step)]
        if node.role == "block":
            names = [name for s in group for name in s.node.paths]
            callees = [s.node.callee for s in group]
            return [self._block(callees, [x], where, hue) for x in names] if self.by == "op" else [self._block(callees, names, where, hue)]
        if step.is_merge:
            return [merge_box(step, where, hue)]
        if self.by == "stage":
            return [self._summary(group, scope, where, hue)]
        if node.program is None:
            return [self._operation(step, scope, where, hue)]
        if node.role == "shortcut":
            return [self._shortcut(step, where, hue)]
        if self.by == "block":
            return [self._summary(group, scope, where, hue)]
        kind = () if node.path == node.callee.kind else (soft(node.callee.kind),)
        return [
            TreeScope(self._parts(step.callees, join(where, name), hue), "scope", (strong(name), *kind), hue, TIGHT) for name in node.paths
        ]

    # --- scopes --------------------------------------------------------------------------------------------

    def _stage(self, step: FoldedNode) -> TreeScope:
        node = step.node
        depth = sum(n.times for n in node.callee.nodes if n.role == "block")
        header = (strong(node.path), soft(f"{depth} block{'s' if depth > 1 else ''}"), soft(step.shape), *_cost_lines(step.costs))
        hue = self.hues[node.path]
        return TreeScope(self._parts(step.callees, node.path, hue), "stage", header, hue, self.gap)

    def _block(self, callees: Sequence[Program], names: list[str], where: str, hue: int | None) -> TreeScope:
        times = f"x{len(names)}" if len(names) > 1 else ""
        name = f"{names[0]}-{names[-1]}" if times else names[0]
        distinct = list({id(p): p for p in callees}.values())
        parts = self._parts(distinct, f"{where}.{name}", hue)
        if self.by == "stage":
            return TreeScope(parts, "repeat", (Line(times, _TIMES, True),), hue) if times else TreeScope(parts, hue=hue)
        shape = soft(shapes(distinct[0].shape, distinct[-1].shape))
        header = (strong(f"{name}  {times}".rstrip()), Line(distinct[0].kind), shape, *_cost_lines([self.costs.scope(p) for p in distinct]))
        return TreeScope(parts, "repeat" if times else "scope", header, hue, TIGHT)

    def _shortcut(self, step: FoldedNode, where: str, hue: int | None) -> TreeScope:
        """A policy's steps beside the body; the first box bears the policy's name."""
        first, *rest = self._parts(step.callees, join(where, step.node.path), hue)
        if isinstance(first.item, Box):
            first = replace(first, item=replace(first.item, lines=(strong(step.node.callee.kind), *first.item.lines)))
        return TreeScope((first, *rest), gap=TIGHT)

    # --- boxes ---------------------------------------------------------------------------------------------

    def _operation(self, step: FoldedNode, scope: Program, where: str, hue: int | None) -> Box:
        """One operation; its shape where it changes, its cost where it has weights."""
        node = step.node
        cost = total([step])
        lines = [Line(step.label, tail="" if node.shape == step.reads[0][0] else step.shape)]
        if OPS[node.op].weighted:
            lines.append(soft(cost))
        if node.role == "gate":
            lines.insert(0, strong("gate"))
        tip = ", ".join(filter(None, (f"{join(where, node.path)}: {step.label}", step.shape, cost)))
        return Box(tuple(lines), _look([step], scope), hue, tip)

    def _summary(self, group: list[FoldedNode], scope: Program, where: str, hue: int | None) -> Box:
        """The box of several steps or of a closed scope: what it is, one line per layer, and the costs."""
        node, last, cost = group[0].node, group[-1], total(group)
        lines = layers(group, self.costs)
        if any(s.is_layer for s in group):
            name = node.path if self.by == "block" and node.role != "shortcut" else _name(last.node, scope)
            # A scope of empty paths has no line of its own.
            named = bool(lines) and lines[0].text.startswith(name)
            lines = [strong(lines[0].text if named else name, last.shape), *lines[named:], *([soft(cost)] if cost else [])]
        else:
            lines = [Line(x.text) for x in lines]
        tip = join(where, node.path) if len(group) == 1 else f"{join(where, node.path)} to {join(where, last.node.path)}"
        return Box(tuple(lines), _look(group, scope), hue, tip)


def merge_box(step: FoldedNode, where: str, hue: int | None) -> Box:
    """Where paths meet; with its shape where that is not what the spine brings."""
    changed = any(n.shape != x[main_slot(n)] for n, x in zip(step.nodes, step.reads, strict=True))
    line = Line(step.label, _MERGE, tail=step.shape if changed else "")
    return Box((line,), "merge", hue, f"{join(where, step.node.path)}: {step.shape}")


def main_slot(node: Node) -> int:
    """The operand that continues the spine."""
    slots = node.get("spine", (0,))
    return slots[0] if isinstance(slots, tuple) else 0


def _name(node: Node, scope: Program) -> str:
    """What a summary is called: a policy, a block, a part of a network or stage, or the nested scope itself."""
    if node.role == "shortcut":
        return node.callee.kind
    if scope.role == "block" and node.role == "body":
        return scope.kind
    return node.path if node.role == "step" else node.role


def _look(group: Sequence[FoldedNode], scope: Program) -> Look:
    if scope.role == "shortcut" or group[0].node.role in _SIDES:
        return "side"
    return "box" if any(s.is_layer for s in group) else "light"


def _cost_lines(costs: Sequence[Cost]) -> list[Line]:
    """Parameters and MACs on lines of their own, where there are any."""
    both = (figures([c.params for c in costs], []), figures([], [c.macs for c in costs]))
    return [soft(x) for x in both if x]
