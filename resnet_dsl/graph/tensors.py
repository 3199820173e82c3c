"""The tensors of a network's state_dict: their names and shapes, without torch."""

from __future__ import annotations

from resnet_dsl.graph.graph import Graph, Shape, join
from resnet_dsl.ops.costs import State
from resnet_dsl.ops.table import OPS

Tensors = dict[str, Shape]


def tensors(graph: Graph) -> Tensors:
    """Names and shapes of the state_dict of the network's module, in its order."""
    found: dict[int, State] = {}
    for program in graph.patterns:
        rows: list[tuple[str, Shape]] = []
        for node in program.nodes:
            if node.program is None:
                state = OPS[node.op].state(program.site(node))
            else:
                state = found[id(node.program.pattern)]
            rows += ((join(path, name), shape) for path in node.paths for name, shape in state)
        found[id(program)] = tuple(rows)
    return dict(found[id(graph.root.pattern)])
