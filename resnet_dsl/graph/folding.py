"""A network for inference: batch norms folded into the layers before them (Jacob et al. 2018, section 3.2).

With its running statistics fixed, `gamma (Wx + b - mean) / sqrt(var + eps) + beta` is a layer with another weight and another bias.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resnet_dsl.graph.graph import Graph, Node, Program, join
from resnet_dsl.graph.scope import Interner
from resnet_dsl.ops.table import OPS


@dataclass(frozen=True, slots=True)
class Fold:
    """A batch norm and the convolution or linear layer that it folds into: full paths, and the `eps` of the norm."""

    layer: str
    norm: str
    eps: float


def fold(graph: Graph) -> Graph:
    """The network without the batch norms that follow a convolution or linear layer which nothing else reads.

    Such a layer keeps its name and has a bias. A norm before its layer stays: where the layer pads, its zeros are not the norm's. The weights
    come from the network as it was (`runtime.folding`), so nothing is left of the rule for initial ones. Fold before `outputs.select`, not after.
    """
    assert not graph.outputs, "an output may be a norm, which is gone"
    return replace(graph, root=_Folder().program(graph.root), init_weights="torch", zero_last=False)


def folds(graph: Graph) -> Iterator[Fold]:
    """What `fold` folds, in the order of the network."""
    for scope, program in graph.instances():
        before = _before(program)
        for n in program.nodes:
            if n.path in before:
                eps = n["eps"]
                assert isinstance(eps, float)
                yield Fold(join(scope, _layer(before[n.path])), join(scope, n.path), eps)


def _layer(n: Node) -> str:
    """The path of the layer that makes what a node gives, seen from the node's scope; empty where no layer does."""
    if n.program is None:
        return n.path if OPS[n.op].weighted else ""
    inner = _layer(n.program.nodes[-1]) if n.times == 1 and n.program.nodes else ""
    return join(n.path, inner) if inner else ""


def _before(program: Program) -> Mapping[str, Node]:
    """By the path of each batch norm that folds: the node before it."""
    uses = Counter(operand for n in program.nodes for operand in n.inputs)
    layers = {n.path: n for n in program.nodes if uses[n.path] == 1 and _layer(n)}
    return {n.path: layers[n.inputs[0]] for n in program.nodes if n.program is None and OPS[n.op].tracked and n.inputs[0] in layers}


class _Folder:
    """Each distinct scope is folded once, and once more where a norm outside it folds into its last layer."""

    def __init__(self) -> None:
        self.interner = Interner()
        self.made: dict[tuple[int, bool], Program] = {}

    def program(self, program: Program, last: bool = False) -> Program:
        """A scope without its norms; its last layer has a bias where `last`."""
        key = (id(program), last)
        if key not in self.made:
            before = _before(program)
            moved = {n.path for n in before.values()}
            renamed = {norm: n.path for norm, n in before.items()}
            # A layer stands where its norm stood: what a scope gives back is its last node.
            nodes = []
            for n in program.nodes:
                if n.path not in moved:
                    kept = self.node(before.get(n.path, n), n.path in before or (last and n is program.nodes[-1]))
                    nodes.append(replace(kept, inputs=tuple(renamed.get(i, i) for i in kept.inputs)))
            self.made[key] = self.interner.intern(replace(program, nodes=tuple(nodes)))
        return self.made[key]

    def node(self, n: Node, biased: bool) -> Node:
        if n.program is not None:
            return replace(n, program=self.program(n.program, biased))
        return replace(n, attrs=tuple((k, True if k == "bias" else v) for k, v in n.attrs if k != "bias_init")) if biased else n
