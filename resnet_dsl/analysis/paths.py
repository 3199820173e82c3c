"""The paths through a network: how many there are, how long they are, where all of them meet, and which widths they tie together.

A path runs from the input to the classes along operands (Veit, Wilber & Belongie 2016, section 3: n residual blocks make 2^n of them); its
length is the number of weighted layers on it. All numbers are exact. The lengths of a scope are a polynomial, whose coefficient at z^k
counts the paths through k layers: scopes in series multiply, a merge adds. At z = 2^B with B above the bits of every coefficient a polynomial
is one whole number, so a run of equal blocks is a power, and ResNet-1202 takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Program, Shape, join
from resnet_dsl.ops.table import OPS

MAX_BITS = 1 << 24
"""Of all counts of one network together."""

MAX_DIGITS = 4_000
"""Of the number of paths: a little less than what Python writes out."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A value through which every path leads: `path` is the operation that makes it, `out` its shape.

    `params` and `macs` are those of the network up to there.
    """

    path: str
    label: str
    out: Shape
    params: int
    macs: int

    @property
    def elements(self) -> int:
        """Numbers that cross the cut for one input."""
        return prod(self.out)

    def to_dict(self) -> dict[str, object]:
        """As `paths --format json` has it."""
        return {"path": self.path, "out": list(self.out), "elements": self.elements, "params": self.params, "macs": self.macs}


@dataclass(frozen=True, slots=True)
class Tied:
    """Layers whose numbers of output channels must be equal, because a merge adds or multiplies their values element by element."""

    width: int
    layers: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """As `paths --format json` has it."""
        return {"width": self.width, "layers": list(self.layers)}


@dataclass(frozen=True, slots=True)
class NetworkPaths:
    """The paths of one network. `lengths` are pairs of a length and the number of paths that have it, shortest first."""

    name: str
    params: int
    macs: int
    lengths: tuple[tuple[int, int], ...]
    cuts: tuple[Cut, ...]
    tied: tuple[Tied, ...]

    @property
    def count(self) -> int:
        """How many paths there are."""
        return sum(n for _, n in self.lengths)

    @property
    def shortest(self) -> int:
        """Weighted layers on the shortest path."""
        return self.lengths[0][0]

    @property
    def longest(self) -> int:
        """Weighted layers on the longest path."""
        return self.lengths[-1][0]

    @property
    def mean(self) -> float:
        """Weighted layers on a path, mean over all paths."""
        return float(Fraction(sum(length * n for length, n in self.lengths), self.count))

    def to_dict(self) -> dict[str, object]:
        """As `paths --format json` has it."""
        return {
            "name": self.name, "paths": self.count, "shortest": self.shortest, "longest": self.longest, "mean": self.mean,
            "lengths": [list(pair) for pair in self.lengths],
            "cuts": [c.to_dict() for c in self.cuts],
            "tied": [t.to_dict() for t in self.tied],
        }  # fmt: skip


def paths_of(graph: Graph) -> NetworkPaths:
    """The paths of a network. Raises SpecError where their numbers together would have more than 16 million bits."""
    costs = Costs(graph)
    *cuts, _ = _cuts(graph.root, "", Cost(), costs)
    total = costs.network
    return NetworkPaths(graph.name, total.params, total.macs, tuple(_lengths(graph)), tuple(cuts), tuple(_tied(graph)))


# --- lengths -----------------------------------------------------------------------------------------------


def _lengths(graph: Graph) -> Iterator[tuple[int, int]]:
    """Each length that a path has, with the number of such paths."""
    digits = len(bin(_number(graph, 0))) - 2
    longest = _longest(graph)
    if digits * (longest + 1) > MAX_BITS or digits > MAX_DIGITS * 10 // 3:
        message = f"{graph.name} has about 2^{digits - 1:,} paths of up to {longest:,} layers: their numbers are too long to write down"
        raise refuse("limit", message, "ask about a network of fewer blocks", at=graph.name)
    width = -(-digits // 8)
    coefficients = _number(graph, 8 * width)
    data = coefficients.to_bytes((longest + 1) * width, "little")
    for length in range(longest + 1):
        if n := int.from_bytes(data[length * width : (length + 1) * width], "little"):
            yield length, n


def _number(graph: Graph, bits: int) -> int:
    """The network's polynomial at z = 2^bits; with 0 bits that is the number of its paths."""
    made: dict[int, int] = {}
    for program in graph.patterns:
        values = {SCOPE_INPUT: 1}
        for n in program.nodes:
            entering = sum(values[i] for i in n.inputs)
            values[n.path] = (
                entering * made[id(n.program.pattern)] ** n.times if n.program is not None else entering << bits * OPS[n.op].weighted
            )
        made[id(program)] = values[program.output]
    return made[id(graph.root)]


def _longest(graph: Graph) -> int:
    made: dict[int, int] = {}
    for program in graph.patterns:
        values = {SCOPE_INPUT: 0}
        for n in program.nodes:
            own = made[id(n.program.pattern)] * n.times if n.program is not None else OPS[n.op].weighted
            values[n.path] = max(values[i] for i in n.inputs) + own
        made[id(program)] = values[program.output]
    return made[id(graph.root)]


# --- cut points --------------------------------------------------------------------------------------------


def _cuts(program: Program, at: str, before: Cost, costs: Costs) -> Iterator[Cut]:
    """The operations of a scope through which every path from its input to its output leads, in order."""
    through = _dominators(program)
    done = before
    for node, cost in costs.nodes(program):
        if node.path in through:
            if node.program is None:
                after = done + cost
                label = OPS[node.op].label(program.site(node))
                yield Cut(join(at, node.path), label, node.shape, after.params, after.macs)
            else:
                for i, name in enumerate(node.paths):
                    yield from _cuts(node.program, join(at, name), done + costs.scope(node.program) * i, costs)
        done = done + cost


def _dominators(program: Program) -> set[str]:
    """The nodes through which every path to the scope's output leads, by their paths (Cooper, Harvey & Kennedy 2001, in one pass)."""
    above: dict[str, str] = {}
    level = {SCOPE_INPUT: 0}
    for n in program.nodes:
        first, *others = n.inputs
        for other in others:
            while first != other:
                first, other = (above[first], other) if level[first] >= level[other] else (first, above[other])
        above[n.path], level[n.path] = first, level[first] + 1
    found, path = set(), program.output
    while path != SCOPE_INPUT:
        found.add(path)
        path = above[path]
    return found


# --- tied widths -------------------------------------------------------------------------------------------


def _tied(graph: Graph) -> Iterator[Tied]:
    """Groups of layers with one width, in the order of their first layers."""
    classes = _Classes()
    width = {"input": classes.fresh()}
    merged: list[int] = []
    layers: list[tuple[str, int]] = []
    for f in graph.nodes():
        operands = sorted({classes.root(width[i]) for i in f.inputs})
        passes = all(shape[0] == f.node.shape[0] for shape in f.in_shapes)
        if OPS[f.node.op].weighted:
            # A convolution of single channels has the width of what it reads.
            single = passes and f.node.get("groups", 1) == f.node.shape[0] > 1
            width[f.path] = operands[0] if single else classes.fresh()
            layers.append((f.path, f.node.shape[0]))
        elif passes:
            width[f.path] = classes.joined(operands)
            merged += operands if len(operands) > 1 else ()
        else:
            width[f.path] = classes.fresh()
    ties = {classes.root(i) for i in merged}
    groups: dict[int, list[tuple[str, int]]] = {}
    for path, channels in layers:
        groups.setdefault(classes.root(width[path]), []).append((path, channels))
    yield from (Tied(held[0][1], tuple(path for path, _ in held)) for i, held in groups.items() if i in ties and len(held) > 1)


class _Classes:
    """Widths that are equal: each class has a root, the first of its numbers."""

    def __init__(self) -> None:
        self.owner: list[int] = []

    def fresh(self) -> int:
        """A width of its own."""
        self.owner.append(len(self.owner))
        return len(self.owner) - 1

    def root(self, i: int) -> int:
        """What stands for all that are equal to `i`."""
        while self.owner[i] != i:
            self.owner[i] = i = self.owner[self.owner[i]]
        return i

    def joined(self, roots: list[int]) -> int:
        """Make roots equal; gives the one that stands for all."""
        for other in roots[1:]:
            self.owner[other] = roots[0]
        return roots[0]
