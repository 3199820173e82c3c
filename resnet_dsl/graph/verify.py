"""Checks that a graph keeps the rules that the other modules rely on. A failure is a bug in this program, never a user's mistake.

Every scope has one input and one output, every node reads what came before it, every shape is what its op gives, and
every value is read. `graph.network` checks the same by other means.
"""

from __future__ import annotations

from resnet_dsl.graph.graph import CALL, SCOPE_INPUT, Graph, Program
from resnet_dsl.ops.table import OPS


class GraphError(Exception):
    """A graph that breaks its own rules."""


def verify(graph: Graph) -> Graph:
    """The graph itself, checked. Raises GraphError."""
    for program in graph.patterns:
        _check(program)
    for output in graph.outputs:
        if output.value != graph.root.output and output.value not in graph.root.taps:
            raise GraphError(f"{graph.name}: does not give {output.name}")
    if not graph.outputs and graph.root.shape != (graph.classes,):
        raise GraphError(f"{graph.name}: ends in {graph.root.shape}, not in {graph.classes} features")
    return graph


def _check(program: Program) -> None:
    where = f"{program.role} {program.kind}"
    shapes = {SCOPE_INPUT: program.input}
    read: set[str] = set()
    for node in program.nodes:
        if node.path in shapes:
            raise GraphError(f"{where}: two nodes are called {node.path}")
        if not all(i in shapes for i in node.inputs):
            raise GraphError(f"{where}: {node.path} reads what comes later")
        ins = [shapes[i] for i in node.inputs]
        read.update(node.inputs)
        if (node.op == CALL) != (node.program is not None) or (node.op != CALL and node.times != 1):
            raise GraphError(f"{where}: {node.path} is half a call")
        if node.program is not None:
            repeats = node.times == 1 or node.program.shape == node.program.input
            if ins != [node.program.input] or node.shape != node.program.shape or not repeats:
                raise GraphError(f"{where}: {node.path} does not fit the scope that it calls")
        else:
            arity = OPS[node.op].arity
            if len(ins) != arity if arity is not None else len(ins) < 2:
                raise GraphError(f"{where}: {node.path} has {len(ins)} operands")
            if OPS[node.op].shape(node.site(ins)) != node.shape:
                raise GraphError(f"{where}: {node.path} has the wrong shape")
        shapes[node.path] = node.shape
    for tap in program.taps:
        path, _, inner = tap.partition(".")
        callee = program.node(path).program if path in shapes and inner else None
        if path not in shapes or (inner and (callee is None or inner not in callee.taps)):
            raise GraphError(f"{where}: there is no {tap} to give")
    unread = set(shapes) - read - {program.output, *(tap.partition(".")[0] for tap in program.taps)}
    if program.nodes and unread:
        raise GraphError(f"{where}: nobody reads {', '.join(sorted(unread)) or 'the input'}")
