"""What a graph's structure shows: its operations, which block convolution carries the stride, and what the network ends in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from resnet_dsl.graph.graph import Graph, Node, Program, join
from resnet_dsl.ops.exactness import GATE, SQUASHED
from resnet_dsl.ops.table import OPS


def operations(graph: Graph) -> int:
    """How many operations a network has, those of equal blocks counted each time."""
    held: dict[Program, int] = {}
    for program in graph.patterns:
        held[program] = sum(n.times * (held[n.program.pattern] if n.program is not None else 1) for n in program.nodes)
    return held[graph.root.pattern]


@dataclass(frozen=True, slots=True)
class LateStride:
    """A block whose stride sits in a wide convolution after a 1x1 that works at full size (torchvision's placement).

    `spared` are the multiply-accumulates that the stride in the first 1x1 (He et al. 2015) would spare, in all
    blocks that this one stands for.
    """

    block: Program
    strided: Node
    spared: int


def late_strides(graph: Graph) -> list[LateStride]:
    """The blocks of a network that have it, in order, each distinct one as often as a stage calls it."""
    return [
        late
        for stage in graph.stages
        for node in stage.callee.nodes
        if node.role == "block" and (late := _late(node.callee, node.times)) is not None
    ]


def _late(block: Program, times: int) -> LateStride | None:
    """A bottleneck (1x1 convs, a wider one, a 1x1) whose stride is in the wider; grouped convs came later, with theirs there."""
    convs = [n for n in main_path(block) if n.program is None and OPS[n.op].group == "conv"]
    strided = next((i for i, n in enumerate(convs) if n.pair("stride") != (1, 1)), 0)
    before, after = convs[:strided], convs[strided + 1 :]
    points = all(n.pair("kernel") == (1, 1) for n in before) and any(n.pair("kernel") == (1, 1) for n in after)
    if not before or not points or convs[strided].pair("kernel") == (1, 1) or convs[strided].whole("groups") > 1:
        return None
    spared = sum(_macs(block, n) - _macs(block, n) * prod(convs[strided].shape[1:]) // prod(n.shape[1:]) for n in before)
    return LateStride(block, convs[strided], times * spared)


def main_path(block: Program) -> Iterator[Node]:
    """The nodes of a block's `before` and `body`, in order."""
    return (n for n in block.nodes if n.role in ("before", "body"))


def _macs(program: Program, node: Node) -> int:
    return OPS[node.op].macs(program.site(node))


@dataclass(frozen=True, slots=True)
class LastActivation:
    """An activation between the last weighted layer of a network and its loss: its step, its full path, what a picture calls it."""

    node: Node
    path: str
    label: str

    @property
    def is_softmax(self) -> bool:
        """Is it the softmax that the loss applies by itself?"""
        return OPS[self.node.op].shares and self.node["groups"] == 1

    @property
    def message(self) -> str:
        """What is wrong with it, in one sentence."""
        if self.is_softmax:
            return f"{self.path} is a softmax after the last layer: the loss applies softmax itself, so training sees it twice"
        return f"{self.path} is {self.label} after the last layer: the loss reads any number, and {self.label} leaves only some of them"


def last_activation(graph: Graph) -> LastActivation | None:
    """The activation that a network's classes go through on their way to the loss, or None.

    A ReLU before a last pool is meant (SqueezeNet, Iandola et al. 2016); what squeezes its values into a range is not.
    """
    pooled = False
    for path, program, node in _from_the_end(graph.root, ""):
        row = OPS[node.op]
        if row.weighted or row.group in ("norm", "merge"):
            return None
        if row.group == "act" and not row.view and (not pooled or row.exact in (GATE, SQUASHED)):
            return LastActivation(node, path, row.label(program.site(node)))
        pooled = pooled or row.group == "pool"
    return None


def _from_the_end(program: Program, scope: str) -> Iterator[tuple[str, Program, Node]]:
    """The operations of a scope with their paths, from the last back to the first, as far as each reads only the one before."""
    here = program.output
    while here:
        node = program.node(here)
        if node.program is None:
            yield join(scope, node.path), program, node
        else:
            yield from _from_the_end(node.program, join(scope, node.paths[-1]))
        here = node.inputs[0]
