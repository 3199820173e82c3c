"""Values from inside a network in place of its classes: the graph is cut to what they need.

The cut is a graph again, so it is counted, emitted and verified like any other. A scope that is read for more than its output gives
`taps`; a run of equal blocks is split where one of them is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resnet_dsl.diagnostics import Argument, SpecError, did_you_mean, quote, refuse
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Output, Program, Shape, join
from resnet_dsl.graph.scope import Interner

Way = tuple[str, ...]
"""A value by the names on the way to it: ("layer2", "1") for layer2.1."""


def select(graph: Graph, names: str | Iterable[str]) -> Graph:
    """The network that gives the values `names`, in that order, and holds nothing that they do not need.

    A name is a path as `inspect` prints it: a stage (`layer2`), a block (`layer2.1`), an operation (`layer2.1.conv1`), or `stem` or
    `head` for the last value of either. A text is names with commas between them. Without names the graph stays as it is.
    Raises SpecError for a name that the network does not have, and for one that is asked for twice.
    """
    if not names:
        return graph
    asked = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else tuple(names)
    if twice := next((name for name in asked if asked.count(name) > 1), None):
        raise refuse("usage", f"{quote(twice)} is asked for twice", "name each output once", at=Argument("outputs"))
    ways = {name: _way(graph, name) for name in asked}
    cut = _Cutter().cut(graph.root, frozenset(ways.values()), whole=False)
    return replace(graph, root=cut.program, outputs=tuple(Output(name, cut.values[way]) for name, way in ways.items()))


def _way(graph: Graph, name: str) -> Way:
    """Where a name leads. Raises SpecError."""
    ends = {n.role: n.path for n in graph.root.nodes if n.role in ("stem", "head")}
    paths = {path for n in graph.root.nodes for path in n.paths}
    if name in ends and name not in paths:
        return (ends[name],)
    program: Program | None = graph.root
    way: list[str] = []
    for part in name.split("."):
        inside = [] if program is None else list(_children(program))
        node = next((n for path, n in inside if path == part), None)
        if node is None:
            known = [join(".".join(way), path) for path, _ in inside] + ([] if way else [end for end in ends if end not in paths])
            message = f"{graph.name} has no value called {quote(name)}"
            if not known:
                raise refuse("usage", message, f"{'.'.join(way)} is one operation", at=Argument("outputs"))
            raise refuse("usage", message, did_you_mean(name, known, what="each output"), at=Argument("outputs"))
        way.append(part)
        program = node.program
    return tuple(way)


def value_shape(graph: Graph, name: str) -> Shape | None:
    """The shape of the value that a name is of, as `select` takes it; None where the network has none of that name."""
    try:
        way = _way(graph, name)
    except SpecError:
        return None
    program = graph.root
    for part in way[:-1]:
        program = next(n.callee for path, n in _children(program) if path == part)
    return next(n.shape for path, n in _children(program) if path == way[-1])


def known_values(graph: Graph) -> list[str]:
    """The names of the values of the network's own scope."""
    return [path for path, _ in _children(graph.root)]


def _children(program: Program) -> Iterator[tuple[str, Node]]:
    return ((path, n) for n in program.nodes for path in n.paths)


@dataclass(frozen=True, slots=True)
class _Cut:
    """What is left of a scope, and each asked value as the scope gives it: a node's path or a tap."""

    program: Program
    values: Mapping[Way, str]


class _Cutter:
    def __init__(self) -> None:
        self.interner = Interner()

    def cut(self, program: Program, ways: frozenset[Way], whole: bool) -> _Cut:
        """A scope that gives the values at `ways`; its own output too where it is kept `whole`."""
        inner = {path: frozenset(way[1:] for way in ways if way[0] == path and len(way) > 1) for path, _ in _children(program)}
        direct = {way[0] for way in ways if len(way) == 1}
        pieces = _pieces(program, {way[0] for way in ways})
        read = {pieces[-1].path} if whole else set()
        read |= direct
        values: dict[Way, str] = {(path,): path for path in direct}
        kept: list[Node] = []
        for piece in reversed(pieces):
            below = inner[piece.path] if piece.times == 1 else frozenset()
            if piece.path not in read and not below:
                continue
            read.update(piece.inputs)
            if piece.program is not None and (below or piece.program.taps):
                callee = self.cut(piece.program, below, whole=piece.path in read)
                piece = replace(piece, program=callee.program, shape=callee.program.shape)
                for way, value in callee.values.items():
                    values[(piece.path, *way)] = piece.path if value == callee.program.output else f"{piece.path}.{value}"
            kept.append(piece)
        nodes = tuple(reversed(kept))
        given = sorted(set(values.values()) - {nodes[-1].path}, key=_place(nodes))
        role = program.role if whole or program.role in ("network", "stage") else "part"
        return _Cut(self.interner.intern(replace(program, role=role, nodes=nodes, taps=tuple(given))), values)


def _place(nodes: Sequence[Node]) -> Callable[[str], tuple[int, str]]:
    order = {n.path: i for i, n in enumerate(nodes)}
    return lambda value: (order[value.partition(".")[0]], value)


def _pieces(program: Program, alone: Collection[str]) -> list[Node]:
    """A scope's nodes with every run split around the children in `alone`."""
    last = {SCOPE_INPUT: SCOPE_INPUT}
    pieces: list[Node] = []
    for n in program.nodes:
        inputs = tuple(last[i] for i in n.inputs)
        start = 0
        for i, path in enumerate(n.paths):
            if i + 1 == n.times or path in alone or n.paths[i + 1] in alone:
                pieces.append(replace(n, path=n.paths[start], inputs=inputs, times=i + 1 - start))
                inputs, start = (n.paths[start],), i + 1
        last[n.path] = pieces[-1].path
    return pieces
