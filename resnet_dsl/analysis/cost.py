"""What a network costs, from the op table alone, each distinct scope counted once.

Conventions (docs/language.md, What is counted): `macs` are the multiply-accumulates of convolutions and linear layers for one
input, `params` the elements of trainable parameters, `activations` the output elements of convolutions and linear
layers, `depth` the weighted layers on the main path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program, Shape
from resnet_dsl.ops.table import OPS

CONVENTION = "MACs: multiply-accumulates of conv and linear for one input; FLOPs = 2 x MACs."
"""What every table of figures says under it."""

Kind = Literal["conv", "linear", "norm", "act", "pool", "add", "bias"]

KINDS: Mapping[Kind, tuple[str, Mapping[str, int]]] = {
    "conv": ("multiply-accumulates of conv", {"conv": 1}),
    "linear": ("multiply-accumulates of linear", {"linear": 1}),
    "norm": ("1 an element of a norm or scale", {"norm": 1, "scale": 1}),
    "act": ("1 an element of an activation", {"act": 1}),
    "pool": ("1 an element of a pool's window", {"pool windows": 1}),
    "add": ("1 an element and operand of a merge beyond the first", {"merge": 1}),
    "bias": ("1 an element of an added bias", {"conv bias": 1, "linear bias": 1, "bias": 1}),
}
"""What may be counted as MACs: what that is in words, and how often each quantity of the op table goes in."""

COUNTED: tuple[Kind, ...] = ("conv", "linear")
"""What is counted where nothing else is asked for (docs/language.md, What is counted)."""


def convention(counted: Collection[Kind] = COUNTED) -> str:
    """What MACs are, in words that stand under the figures."""
    if set(counted) == set(COUNTED):
        return CONVENTION
    words = "; ".join(text for kind, (text, _) in KINDS.items() if kind in counted)
    return f"MACs here, for one input: {words.replace('conv; multiply-accumulates of', 'conv and')}."


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
        """The cost of both in series."""
        return Cost(
            self.params + other.params,
            self.macs + other.macs,
            self.activations + other.activations,
            self.depth + other.depth,
            self.shortcut_params + other.shortcut_params,
            self.shortcut_macs + other.shortcut_macs,
        )

    def __mul__(self, times: int) -> Cost:
        """The cost of `times` of it in series."""
        return Cost(
            self.params * times,
            self.macs * times,
            self.activations * times,
            self.depth * times,
            self.shortcut_params * times,
            self.shortcut_macs * times,
        )


class Costs:
    """The cost of every scope of one graph; equal scopes are one `Program`, which is counted once.

    `like` are the costs of a graph that shares scopes with this one.
    """

    def __init__(self, graph: Graph, counted: Collection[Kind] = COUNTED, like: Costs | None = None) -> None:
        self.graph = graph
        self.counted = tuple(kind for kind in KINDS if kind in counted)
        self._known: dict[Program, Cost] = like._known if like is not None else {}
        # Blocks that differ in one number still share most of their operations.
        self._operations: dict[tuple[object, ...], Cost] = like._operations if like is not None else {}
        for program in graph.patterns:
            if program not in self._known:
                self._known[program] = self._count(program)

    @property
    def network(self) -> Cost:
        """The whole network."""
        return self.scope(self.graph.root)

    def scope(self, program: Program) -> Cost:
        """One call of a scope of this graph."""
        return self._known[program.pattern]

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
            cost = known if known is not None else self._operations.setdefault(key, operation(node, in_shapes, self.counted))
        if node.role == "shortcut":
            return Cost(cost.params, cost.macs, cost.activations, cost.depth, cost.params, cost.macs)
        return cost

    def _count(self, program: Program) -> Cost:
        params = macs = activations = shortcut_params = shortcut_macs = 0
        depths = {SCOPE_INPUT: 0}
        ends = {SCOPE_INPUT, *(n.path for n in program.nodes)} - {operand for n in program.nodes for operand in n.inputs}
        for node, cost in self.nodes(program):
            params += cost.params
            macs += cost.macs
            activations += cost.activations
            shortcut_params += cost.shortcut_params
            shortcut_macs += cost.shortcut_macs
            depths[node.path] = cost.depth + max(depths[i] for i in _spine(node))
        # A scope that is cut to several values has several ends.
        return Cost(params, macs, activations, max(depths[path] for path in ends), shortcut_params, shortcut_macs)


def operation(node: Node, in_shapes: Sequence[Shape], counted: Collection[Kind] = COUNTED) -> Cost:
    """What one operation (no call) costs, from its row of the op table."""
    row, site = OPS[node.op], node.site(in_shapes)
    params, macs = row.params(site), row.macs(site)
    if counted != COUNTED:
        done = work(node, in_shapes)
        macs = sum(times * done.get(what, 0) for kind in counted for what, times in KINDS[kind][1].items())
    return Cost(params, macs, prod(node.shape), 1) if row.weighted else Cost(params, macs)


def work(node: Node, in_shapes: Sequence[Shape]) -> dict[str, int]:
    """All that counters may count of one operation, by what it is; `conv` and `linear` are multiply-accumulates."""
    row, site = OPS[node.op], node.site(in_shapes)
    done = dict(row.work(site))
    if row.weighted:
        done[row.group] = row.macs(site)
    return done


def total_work(graph: Graph) -> Counter[str]:
    """All that counters may count in a whole network; each distinct scope is counted once."""
    known: dict[int, Counter[str]] = {}
    for program in graph.patterns:
        total = known[id(program)] = Counter()
        for node in program.nodes:
            done = known[id(node.program.pattern)] if node.program is not None else work(node, program.in_shapes(node))
            for what, value in done.items():
                total[what] += node.times * value
    return known[id(graph.root.pattern)]


def _spine(node: Node) -> tuple[str, ...]:
    """The operands on the main path: a merge names its slots, so a shortcut or a gate adds no depth."""
    for name, slots in node.attrs:
        if name == "spine" and isinstance(slots, tuple):
            return tuple(node.inputs[i] for i in slots)
    return node.inputs
