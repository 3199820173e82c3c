"""The network as a networkx graph, and a second opinion on it: everything that `verify` asks, asked again by other means.

`verify` walks scopes in the order of their nodes. Here the calls are resolved by name alone, the operations of the whole network become
one flat graph, and networkx says whether it has a cycle, where it begins and ends, and in which order it can be computed. Building a
module, a strict check and the graph files of `draw` go through here. Importing networkx takes longer than counting a network, so nothing
else does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program, Shape, join
from resnet_dsl.graph.verify import GraphError
from resnet_dsl.ops.shapes import ShapeProblem
from resnet_dsl.ops.table import OPS

if TYPE_CHECKING:
    import networkx

    Network = networkx.MultiDiGraph[str]


@dataclass(frozen=True, slots=True)
class Flat:
    """The flat network, frozen: a node is an operation, its key the prefix in the state_dict, its data `node` and `shape`.

    An edge runs from an operand to its reader, its key is the slot. `source` is the key of what the network reads, `outputs` are those of
    what it gives.
    """

    network: Network
    source: str
    outputs: tuple[str, ...]


def flatten(graph: Graph) -> Flat:
    """The flat network of a graph, its operations in the order of the graph's nodes. Raises GraphError where a name leads nowhere."""
    source = "input"
    while any(n.path == source for n in graph.root.nodes):
        source += "_"
    flattening = _Flattening(graph)
    view = _multigraph(source, graph.input, flattening.operations(graph.root, "", source))
    given = [o.value for o in graph.outputs] or [graph.root.output]
    return Flat(view, source, tuple(flattening.place(graph.root, value, "", source) for value in given))


def scope(program: Program) -> Network:
    """One scope alone as a frozen graph: a node is an operation or a call, its key the path in the scope, `SCOPE_INPUT` what the scope reads."""
    return _multigraph(SCOPE_INPUT, program.input, ((n.path, n, n.inputs) for n in program.nodes))


def checked(graph: Graph) -> Graph:
    """The graph with every scope in the topological order that networkx finds, the one of its nodes where several will do.

    The flat network must be acyclic, with its input as the one source, and its outputs as the only sinks: so every operation lies on a
    way from one to the other. Every slot must be filled, every shape must follow from the op table along networkx's order, and that order
    must be the one in which the module computes. Raises GraphError.
    """
    ordered = _ordered(graph)
    flat = flatten(ordered)
    order = _order(flat.network, graph.name)
    if order != list(flat.network):
        raise GraphError(f"{graph.name}: its operations are not in the order in which they can be computed")
    sources = [path for path, degree in flat.network.in_degree() if degree == 0]
    if sources != [flat.source]:
        raise GraphError(f"{graph.name}: {', '.join(path for path in sources if path != flat.source)} reads nothing")
    unread = [path for path, degree in flat.network.out_degree() if degree == 0 and path not in flat.outputs]
    if unread:
        raise GraphError(f"{graph.name}: nobody reads {', '.join(unread)}")
    shapes = _shapes(flat, order, graph)
    if not graph.outputs and [shapes[path] for path in flat.outputs] != [(graph.classes,)]:
        raise GraphError(f"{graph.name}: does not end in {graph.classes} features")
    return ordered


def _ordered(graph: Graph) -> Graph:
    """Every scope in the order of its own small graph."""
    made: dict[int, Program] = {}
    for program in graph.programs:
        order = _order(scope(program), f"{program.role} {program.kind}")[1:]
        nodes = tuple(_calling(program.node(path), made) for path in order)
        if nodes == program.nodes:
            made[id(program)] = program
        elif nodes[-1].path != program.output:
            raise GraphError(f"{program.role} {program.kind}: {program.output} is its output, but not its last value")
        else:
            made[id(program)] = replace(program, nodes=nodes)
    root = made[id(graph.root)]
    return graph if root is graph.root else replace(graph, root=root)


def _calling(node: Node, made: Mapping[int, Program]) -> Node:
    if node.program is None or made[id(node.program)] is node.program:
        return node
    return replace(node, program=made[id(node.program)])


def _order(view: Network, name: str) -> list[str]:
    """The topological order that keeps to the order of the nodes as far as it can."""
    import networkx

    places = {path: i for i, path in enumerate(view)}
    try:
        return list(networkx.lexicographical_topological_sort(view, key=places.__getitem__))
    except networkx.NetworkXUnfeasible:
        cycle = [operand for operand, *_ in networkx.find_cycle(view)]
        raise GraphError(f"{name}: {' -> '.join(cycle)} is a cycle") from None


def _shapes(flat: Flat, order: list[str], graph: Graph) -> Mapping[str, Shape]:
    """The shape of every operation, from the op table alone."""
    view = flat.network
    shapes: dict[str, Shape] = {flat.source: graph.input}
    for path in order[1:]:
        node: Node = view.nodes[path]["node"]
        operands = {slot: operand for operand, _, slot in view.in_edges(path, keys=True)}
        arity = OPS[node.op].arity
        if sorted(operands) != list(range(len(operands))) or not (len(operands) == arity if arity is not None else len(operands) > 1):
            raise GraphError(f"{graph.name}: {path} has operands in the slots {sorted(operands)}")
        try:
            shapes[path] = OPS[node.op].shape(node.site([shapes[operands[slot]] for slot in sorted(operands)]))
        except ShapeProblem as e:
            raise GraphError(f"{graph.name}: {path}: {e.message}") from None
        if shapes[path] != node.shape:
            raise GraphError(f"{graph.name}: {path} gives {shapes[path]}, not {node.shape}")
    return shapes


class _Flattening:
    """Calls resolved by name: for each distinct scope, which operation in it makes each value."""

    def __init__(self, graph: Graph) -> None:
        self.makers: dict[int, dict[str, str]] = {}
        for program in graph.programs:
            nodes = {n.path: n for n in program.nodes}
            self.makers[id(program)] = {path: self._maker(nodes, path) for path in (SCOPE_INPUT, *nodes)}

    def _maker(self, nodes: Mapping[str, Node], path: str) -> str:
        """The operation that makes a node's value, by its path in the scope; `SCOPE_INPUT` where the value is what the scope reads."""
        node = nodes.get(path)
        if node is None or node.program is None:
            return path
        inner = self.makers[id(node.program)][node.program.output]
        return join(node.paths[-1], inner) if inner else self._maker(nodes, node.inputs[0])

    def place(self, program: Program, value: str, at: str, entry: str) -> str:
        """The full path of the operation that makes a value (or a tap) of the scope `at`, which reads `entry`."""
        path, _, tap = value.partition(".")
        if tap:
            return self.place(program.node(path).callee, tap, join(at, path), "")
        made = self.makers[id(program)].get(path)
        if made is None:
            raise GraphError(f"{at or 'network'}: there is no {path}")
        return join(at, made) if made else entry

    def operations(self, program: Program, at: str, entry: str) -> Iterator[tuple[str, Node, tuple[str, ...]]]:
        """Every operation with its full path and those of its operands."""
        for node in program.nodes:
            operands = tuple(self.place(program, i, at, entry) for i in node.inputs)
            if node.program is None:
                yield join(at, node.path), node, operands
                continue
            reads = operands[0]
            for path in node.paths:
                yield from self.operations(node.program, join(at, path), reads)
                reads = self.place(node.program, node.program.output, join(at, path), reads)


def _multigraph(source: str, shape: Shape, items: Iterable[tuple[str, Node, tuple[str, ...]]]) -> Network:
    import networkx

    view: Network = networkx.MultiDiGraph()
    view.add_node(source, node=None, shape=shape)
    edges = []
    for path, node, inputs in items:
        if path in view:
            raise GraphError(f"two nodes are called {path}")
        view.add_node(path, node=node, shape=node.shape)
        edges += [(operand, path, slot) for slot, operand in enumerate(inputs)]
    for operand, path, slot in edges:
        if operand not in view:
            raise GraphError(f"{path} reads {operand}, which is not there")
        view.add_edge(operand, path, key=slot)
    networkx.freeze(view)
    return view
