"""The layers of a network that read its input."""

from __future__ import annotations

from collections.abc import Iterator

from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Program, join
from resnet_dsl.ops.table import OPS


def readers(graph: Graph) -> frozenset[str]:
    """The weights, by state_dict key, of the convs and linear layers that read the network's input: whole, not a group of its channels.

    Pools and paddings before them change nothing of this.
    """
    return frozenset(f"{path}.weight" for path in _readers(graph.root, "", {SCOPE_INPUT}))


def _readers(program: Program, scope: str, given: set[str]) -> Iterator[str]:
    """The paths of the layers in a scope whose operand is the input; `given` are the values in it that are the input, and grows."""
    for n in program.nodes:
        if not given.intersection(n.inputs):
            continue
        if n.program is not None:
            inner = {SCOPE_INPUT}
            yield from _readers(n.program, join(scope, n.paths[0]), inner)
            if n.times == 1 and n.program.output in inner:
                given.add(n.path)
        elif OPS[n.op].weighted:
            if n.get("groups", 1) == 1:
                yield join(scope, n.path)
        elif not OPS[n.op].state(program.site(n)) and n.shape[0] == program.shapes[n.inputs[0]][0]:
            given.add(n.path)
