"""What a graph's structure shows: which block convolution carries the stride."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from resnet_dsl.graph.graph import Graph, Node, Program
from resnet_dsl.ops.table import OPS


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
