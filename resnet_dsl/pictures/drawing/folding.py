"""What is drawn once: scopes that are alike, and the lines that sum up several steps in one box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.graph.graph import SCOPE_INPUT, Node, Program, Shape
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.text import SOFT, Line, figures, labels, shapes, soft

MAX_LINES = 8
"""Layers that a summary names; of more, the rest is a count."""

_LAYERS = ("conv", "linear", "pool", "shape", "merge")
"""Groups of ops that start a line of a summary; the others are remarks on the line before."""


@dataclass(frozen=True, slots=True)
class FoldedNode:
    """The node at one place of a scope; of several alike scopes, the nodes at that place, with what they read and cost."""

    nodes: tuple[Node, ...]
    reads: tuple[tuple[Shape, ...], ...]
    costs: tuple[Cost, ...]

    @property
    def node(self) -> Node:
        """The first of the nodes; what the others share with it is read from it."""
        return self.nodes[0]

    @property
    def callees(self) -> tuple[Program, ...]:
        """What the nodes call, where they are calls."""
        return tuple(n.callee for n in self.nodes)

    @property
    def label(self) -> str:
        """What the op table says of an operation."""
        ends = ((self.nodes[i], self.reads[i]) for i in (0, -1))
        return labels(*(OPS[n.op].label(n.site(read)) for n, read in ends))

    @property
    def shape(self) -> str:
        """The shape that comes out."""
        return shapes(self.nodes[0].shape, self.nodes[-1].shape)

    @property
    def is_layer(self) -> bool:
        """More than a norm, an activation or the like."""
        return self.node.program is not None or OPS[self.node.op].group in _LAYERS

    @property
    def is_merge(self) -> bool:
        """Does it join paths?"""
        return self.node.program is None and OPS[self.node.op].group == "merge"


def steps_of(scopes: Sequence[Program], costs: Costs) -> list[FoldedNode]:
    """The steps of alike scopes, in order."""
    rows = [[(node, read, cost) for (node, cost), read in zip(costs.nodes(scope), _reads(scope), strict=True)] for scope in scopes]
    return [FoldedNode(*zip(*place, strict=True)) for place in zip(*rows, strict=True)]


def _reads(scope: Program) -> Iterator[tuple[Shape, ...]]:
    """What each node of a scope reads, in order."""
    shapes_of = {SCOPE_INPUT: scope.input}
    for node in scope.nodes:
        yield tuple(shapes_of[i] for i in node.inputs)
        shapes_of[node.path] = node.shape


class Likeness:
    """Decides which scopes of a graph may be drawn as one; each scope is decided once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, ...]] = {}

    def same(self, a: Program, b: Program) -> bool:
        """The same steps in the same arrangement; what enters, and so the shapes and costs, may differ."""
        return a is b or self._key(a) == self._key(b)

    def _key(self, program: Program) -> tuple[object, ...]:
        if id(program) not in self._known:
            nodes = zip(program.nodes, _reads(program), strict=True)
            self._known[id(program)] = (program.kind, program.role, *(self._node(n, read) for n, read in nodes))
        return self._known[id(program)]

    def _node(self, n: Node, read: tuple[Shape, ...]) -> tuple[object, ...]:
        if n.program is not None:
            return n.path, n.inputs, n.role, n.times, self._key(n.program)
        row = OPS[n.op]
        label = row.label(n.site(read)) if row.group in _LAYERS else ""
        return n.path, n.inputs, n.role, n.op, label


def layers(steps: Sequence[FoldedNode], costs: Costs) -> list[Line]:
    """One line per layer, with the norms and activations that follow it as its remark; equal lines in a row are one."""
    found: list[Line] = []
    for line, run in groupby(_layers(steps, costs)):
        times = sum(1 for _ in run)
        found.append(line if times == 1 else Line(line.text, tail=", ".join(filter(None, (line.tail, f"x{times}")))))
    if len(found) > MAX_LINES:
        rest = len(found) - MAX_LINES + 1
        found[-rest:] = [soft(f"and {rest} more layers")]
    return found


def _layers(steps: Sequence[FoldedNode], costs: Costs) -> list[Line]:
    found: list[Line] = []
    for step in steps:
        if step.node.program is not None:
            found += _nested(step, costs)
        elif step.is_layer:
            found.append(Line(step.label))
        elif not found:
            found.append(soft(step.label))
        elif found[-1].size == SOFT:
            found[-1] = soft(f"{found[-1].text} {step.label}")
        else:
            found[-1] = Line(found[-1].text, tail=f"{found[-1].tail} {step.label}".lstrip())
    return found


def _nested(step: FoldedNode, costs: Costs) -> list[Line]:
    """A nested scope: its layers where they are in series, else its name and how its paths join."""
    node, scope = step.node, step.node.callee
    if scope.is_series:
        return _layers(steps_of(step.callees, costs), costs) * node.times
    name = scope.kind if node.path.isdigit() else node.path
    about = [] if name.startswith(scope.kind) else [scope.kind]
    for merge in (n for n in scope.nodes if n.program is None and OPS[n.op].group == "merge"):
        about += [f"{len(merge.inputs)} paths", merge.op] if len(merge.inputs) > 2 else [merge.op]
    return [Line(f"{name} ({', '.join(about)})", tail=f"x{node.times}" if node.times > 1 else "")]


def total(steps: Sequence[FoldedNode]) -> str:
    """What steps cost together, `74.0 k params, 231 M MACs`; a range where alike scopes differ."""
    sums = [(sum(c.params for c in of), sum(c.macs for c in of)) for of in zip(*(s.costs for s in steps), strict=True)]
    return figures([p for p, _ in sums], [m for _, m in sums])
