"""What a network costs, from the op table alone, each distinct scope counted once.

Conventions (docs/language.md, What is counted): `macs` are the multiply-accumulates of convolutions and linear layers for one
input, `params` the elements of trainable parameters, `activations` the output elements of convolutions and linear
layers, `depth` the weighted layers on the main path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program, Shape
from resnet_dsl.graph.ops import OPS

CONVENTION = "MACs: multiply-accumulates of conv and linear for one input; FLOPs = 2 x MACs."
"""What every table of figures says under it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a node, a scope or a network costs for one input; all are counts, none are bytes.

    `shortcut_params` and `shortcut_macs` are the part of `params` and `macs` that lies in shortcuts.
    """

    params: int = 0
    macs: int = 0
    activations: int = 0
    depth: int = 0
    shortcut_params: int = 0
    shortcut_macs: int = 0

    @property
    def flops(self) -> int:
        """Floating point operations: one multiply and one add for every multiply-accumulate."""
        return 2 * self.macs

    def __add__(self, other: Cost) -> Cost:
        """The two in series."""
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.activations + other.activations,
            self.depth + other.depth,
            self.shortcut_params + other.shortcut_params,
            self.shortcut_macs + other.shortcut_macs,
        )

    def __mul__(self, times: int) -> Cost:
        """`times` of it in series."""
        return Cost(
            self.params * times,
            self.macs * times,
            self.activations * times,
            self.depth * times,
            self.shortcut_params * times,
            self.shortcut_macs * times,
        )


class Costs:
    """The cost of every scope of one graph; equal scopes are one `Program`, which is counted once."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[int, Cost] = {}
        # Blocks that differ in one number, a drop rate say, still share most of their operations.
        self._operations: dict[tuple[object, ...], Cost] = {}
        for program in graph.programs:
            self._known[id(program)] = self._count(program)

    @property
    def network(self) -> Cost:
        """The whole network."""
        return self.scope(self.graph.root)

    def scope(self, program: Program) -> Cost:
        """One call of a scope of this graph."""
        return self._known[id(program)]

    def nodes(self, program: Program) -> Iterator[tuple[Node, Cost]]:
        """A scope's nodes in order, each with what it costs: all its `times` together, `depth` from its own input on."""
        shapes: dict[str, Shape] = {SCOPE_INPUT: program.input}
        for node in program.nodes:
            yield node, self._node(node, [shapes[i] for i in node.inputs])
            shapes[node.path] = node.shape

    def _node(self, node: Node, in_shapes: list[Shape]) -> Cost:
        if node.program is not None:
            cost = self.scope(node.program) * node.times
        else:
            key = (node.op, node.attrs, *in_shapes)
            known = self._operations.get(key)
            cost = known if known is not None else self._operations.setdefault(key, operation(node, in_shapes))
        if node.role == "shortcut":
            return Cost(cost.params, cost.macs, cost.activations, cost.depth, cost.params, cost.macs)
        return cost

    def _count(self, program: Program) -> Cost:
        params = macs = activations = shortcut_params = shortcut_macs = 0
        depths = {SCOPE_INPUT: 0}
        for node, cost in self.nodes(program):
            params += cost.params
            macs += cost.macs
            activations += cost.activations
            shortcut_params += cost.shortcut_params
            shortcut_macs += cost.shortcut_macs
            depths[node.path] = cost.depth + max(depths[i] for i in _spine(node))
        return Cost(params, macs, activations, depths[program.output], shortcut_params, shortcut_macs)


def operation(node: Node, in_shapes: list[Shape] | tuple[Shape, ...]) -> Cost:
    """What one operation (no call) costs, from its row of the op table."""
    row, attrs = OPS[node.op], dict(node.attrs)
    params, macs = row.params(attrs, in_shapes, node.shape), row.macs(attrs, in_shapes, node.shape)
    return Cost(params, macs, prod(node.shape), 1) if row.weighted else Cost(params, macs)


def _spine(node: Node) -> tuple[str, ...]:
    """The operands on the main path: a merge names its slots, so a shortcut or a gate adds no depth."""
    for name, slots in node.attrs:
        if name == "spine" and isinstance(slots, tuple):
            return tuple(node.inputs[i] for i in slots)
    return node.inputs
