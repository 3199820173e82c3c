"""The channels of a file whose shortcuts put zeros on both sides of the old channels, in the order of the network here.

A parameter-free shortcut (option A, He et al. 2015, section 3.3) gives new channels no input, so where they stand is a matter of names: with
the same order in all that reads and writes them the function is the same. Here they come after the old ones. No torch.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnet_dsl.emission.naming import Padding, owner
from resnet_dsl.graph.graph import Graph, Program, join
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.ops.table import OPS

Order = tuple[int, ...]


def orders(graph: Graph, padding: Padding) -> dict[str, tuple[int, Order]]:
    """For each tensor whose channels stand in another order: the axis, and for each channel here its position there."""
    modules = dict(_modules(graph, padding))
    found = {}
    for key, shape in tensors(graph).items():
        axis, order = modules.get(owner(key), (0, ()))
        if axis < len(shape) and order != tuple(range(len(order))):
            found[key] = (axis, order)
    return found


def _modules(graph: Graph, padding: Padding) -> Iterator[tuple[str, tuple[int, Order]]]:
    """The modules at the stream of the shortcuts, each with its axis and the order there."""
    stream: Order = tuple(range(graph.stages[0].callee.input[0]))
    for stage in graph.stages:
        for node in stage.callee.nodes:
            for path in node.paths if node.role == "block" else ():
                after = _after(node.callee, stream)
                block = join(stage.path, path)
                yield from ((join(block, m), (1, stream)) for m in padding.reads)
                yield from ((join(block, m), (0, after)) for m in padding.writes)
                stream = after
    yield from ((n.path, (1, stream)) for n in graph.root.nodes if n.role == "head" and n.path in padding.reads)


def _after(block: Program, stream: Order) -> Order:
    """The order of the channels that leave a block."""
    steps = [step for n in block.nodes if n.role == "shortcut" for step in (n.program.nodes if n.program is not None else (n,))]
    if any(step.program is None and OPS[step.op].weighted for step in steps):
        return tuple(range(block.shape[0]))
    new = block.shape[0] - len(stream)
    before = new // 2
    rest = (i for i in range(block.shape[0]) if not before <= i < before + len(stream))
    return (*(before + i for i in stream), *rest)
