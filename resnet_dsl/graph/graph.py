"""The intermediate representation: distinct scope programs and what calls them.

A network is series-parallel, and every scope (stage, block, shortcut, chain, ...) has one input and one
output. A `Program` is one *distinct* scope: an ordered tuple of nodes in topological order. Scopes that are equal
are one `Program` object, called from several places; a run of equal scopes in series is one call with `times`.
So time and memory grow with what is distinct in a network, not with what merely repeats.

Shapes carry no batch: (channels, height, width) of a map, (features,) of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from resnet_dsl.diagnostics import Location
from resnet_dsl.ops.site import Shape as Shape
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.site import Value as Value
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import Column, Table, count, shape_text

Role = Literal["stem", "stage", "block", "head", "before", "body", "after", "shortcut", "gate", "merge", "step"]
"""What a node is to the scope that holds it; `step` where the scope has no parts (chains, paths, shortcuts)."""

CALL = "call"
"""The op of a node that runs a child scope."""

SCOPE_INPUT = ""
"""The operand that stands for the scope's own input."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Node:
    """One operation, or `times` calls of one child scope in series.

    `path` is the name within the scope; joined by dots to the names of the scopes around, it is the state_dict
    prefix. `inputs` are the paths of the operands in slot order, `SCOPE_INPUT` for the scope's input.
    `shape` is what comes out. A call with `times` n stands for the n children path, path+1, ..., path+n-1.
    """

    path: str
    op: str
    shape: Shape
    inputs: tuple[str, ...] = (SCOPE_INPUT,)
    attrs: tuple[tuple[str, Value], ...] = ()
    role: Role = "step"
    program: Program | None = None
    times: int = 1
    location: Location | None = None

    def __repr__(self) -> str:
        what = self.program.kind if self.program is not None else self.op
        return f"<Node {self.path[:100]}: {what[:100]}{f' x{self.times}' if self.times > 1 else ''} -> {shape_text(self.shape)}>"

    def __getitem__(self, name: str) -> Value:
        for k, v in self.attrs:
            if k == name:
                return v
        raise KeyError(name)

    def get(self, name: str, default: Value | None = None) -> Value | None:
        """An attribute, or `default` where there is none."""
        return next((v for k, v in self.attrs if k == name), default)

    def whole(self, name: str) -> int:
        """An attribute that is a whole number."""
        value = self[name]
        assert isinstance(value, int)
        return value

    def pair(self, name: str) -> tuple[int, int]:
        """An attribute that is (height, width)."""
        value = self[name]
        assert isinstance(value, tuple)
        return value[0], value[1]

    def site(self, in_shapes: Sequence[Shape]) -> Site:
        """What the op table is asked about it where it reads these shapes."""
        return Site(dict(self.attrs), tuple(in_shapes), self.shape)

    @property
    def callee(self) -> Program:
        """The child scope of a call."""
        assert self.program is not None
        return self.program

    @property
    def paths(self) -> tuple[str, ...]:
        """The names that this node stands for: one, or `times` consecutive numbers."""
        if self.times == 1:
            return (self.path,)
        return tuple(str(i) for i in range(int(self.path), int(self.path) + self.times))

    @property
    def pattern(self) -> tuple[object, ...]:
        """Equal for nodes that do the same, but for their `numbers`."""
        if self.program is not None:
            return (self.path, self.inputs, self.role, id(self.program.pattern), self.times)
        return (self.path, self.op, self.inputs, tuple([(k, float if type(v) is float else v) for k, v in self.attrs]), self.role)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The real numbers among its attributes, or which of the programs of its pattern it calls."""
        if self.program is not None:
            return (id(self.program),)
        return tuple(v for _, v in self.attrs if type(v) is float)


@dataclass(frozen=True, eq=False, repr=False)
class Program:
    """A distinct scope: `kind` is what it was made from (a block's name, `stage`, `chain`, `residual`, ...).

    No shape, parameter or multiply-accumulate depends on a real number (`Arg.real`). So scopes that differ in such numbers alone have one
    `pattern`, the first of them, and what it costs, all of them cost. In the pattern of a stage, blocks of one pattern in series are a run.
    `role` is what the scope is for: network, stage, block, shortcut or step; `part` for what `outputs.select` leaves of one.
    `taps` are values that the scope gives beside its output: a node's path, or `path.value` for a tap of the scope that a node calls.
    """

    kind: str
    role: str
    input: Shape
    nodes: tuple[Node, ...]
    location: Location | None = None
    taps: tuple[str, ...] = ()
    _pattern: Program | None = field(default=None, init=False)

    def __repr__(self) -> str:
        shapes = f"{shape_text(self.input)} -> {shape_text(self.shape)}"
        return f"<Program {self.role} {self.kind[:100]}: {shapes}, {len(self.nodes):,} nodes>"

    @property
    def pattern(self) -> Program:
        """The scope that stands for this one wherever real numbers do not matter."""
        return self._pattern or self

    def join(self, other: Program) -> None:
        """Say that this scope has the pattern of another, where it is made (`scope.Interner`)."""
        object.__setattr__(self, "_pattern", other.pattern)

    @property
    def output(self) -> str:
        """The path whose value the scope gives back; `SCOPE_INPUT` where the scope is the identity."""
        return self.nodes[-1].path if self.nodes else SCOPE_INPUT

    @property
    def shape(self) -> Shape:
        """The shape that the scope gives back."""
        return self.nodes[-1].shape if self.nodes else self.input

    @property
    def shapes(self) -> Mapping[str, Shape]:
        """The shape of every operand by its path, the scope's input included."""
        return (self.pattern if len(self.pattern.nodes) == len(self.nodes) else self)._shapes

    @cached_property
    def _shapes(self) -> Mapping[str, Shape]:
        return {SCOPE_INPUT: self.input, **{n.path: n.shape for n in self.nodes}}

    @property
    def params(self) -> int:
        """Elements of trainable parameters in the scope and all that it calls."""
        return self.pattern._params

    @cached_property
    def _params(self) -> int:
        return sum(n.times * (n.program.params if n.program is not None else OPS[n.op].params(self.site(n))) for n in self.nodes)

    def in_shapes(self, node: Node) -> tuple[Shape, ...]:
        """The shapes of a node's operands, in slot order."""
        return tuple(self.shapes[p] for p in node.inputs)

    def value_shape(self, value: str) -> Shape:
        """The shape of a node's value or of a tap."""
        path, _, tap = value.partition(".")
        return self.node(path).callee.value_shape(tap) if tap else self.shapes[path]

    def node(self, path: str) -> Node:
        """The node called `path`. Raises KeyError."""
        for n in self.nodes:
            if n.path == path:
                return n
        raise KeyError(path)

    def site(self, node: Node) -> Site:
        """What the op table is asked about a node of this scope."""
        return node.site(self.in_shapes(node))

    @property
    def is_series(self) -> bool:
        """True where each node reads just the output of the one before it."""
        return all(n.inputs == (before,) for n, before in zip(self.nodes, _outputs_before(self.nodes), strict=True))

    def flat(self) -> tuple[tuple[FlatNode, ...], str]:
        """Every operation in the scope with its path, in topological order, and the path of the value that the scope gives.

        Operands are paths too, `SCOPE_INPUT` for what the scope reads.
        """
        nodes: list[FlatNode] = []
        walk = _flatten(self, "", SCOPE_INPUT, False)
        while True:
            try:
                nodes.append(next(walk))
            except StopIteration as end:
                return tuple(nodes), end.value


@dataclass(frozen=True, slots=True)
class FlatNode:
    """A node of the flattened network: full path and operands' full paths (`input` for the network's input)."""

    path: str
    node: Node
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]
    scope: str
    in_shortcut: bool

    @property
    def site(self) -> Site:
        """What the op table is asked about it."""
        return self.node.site(self.in_shapes)


@dataclass(frozen=True, slots=True)
class Output:
    """A value that a network gives in place of its classes: the name that was asked for, and the root's value or tap."""

    name: str
    value: str


@dataclass(frozen=True, repr=False)
class Graph:
    """A compiled network. `root` is the network's scope: stem nodes, one call per stage, head nodes.

    `outputs` is empty for a network that gives its classes; see `graph.outputs` for the others.
    """

    name: str
    classes: int
    root: Program
    init_weights: str = "he"
    zero_last: bool = False
    description: str = ""
    outputs: tuple[Output, ...] = ()

    def __repr__(self) -> str:
        return f"<Graph {self._title[:250]}, {self.params:,} params>"

    def _repr_html_(self) -> str:
        return self.table().render("html")

    def table(self) -> Table:
        """One row per stage, between those of the stem and the head."""
        columns = (
            Column("stage", "stage"),
            Column("block", "block"),
            Column("depth", "depth", count, right=True),
            Column("shape", "shape", shape_text, right=True),
            Column("params", "params", count, right=True),
        )
        rows: list[list[object]] = []
        for n in self.root.nodes:
            blocks = [b for b in n.callee.nodes if b.role == "block"] if n.role == "stage" else []
            kinds = ", ".join(dict.fromkeys(b.callee.kind for b in blocks))
            params = n.times * n.program.params if n.program is not None else OPS[n.op].params(self.root.site(n))
            rows.append(
                [n.path, kinds or (n.op if n.program is None else n.program.kind), sum(b.times for b in blocks) or None, n.shape, params]
            )
        return Table(columns, rows, title=self._title, total=[None, None, None, None, self.params])

    @property
    def _title(self) -> str:
        given = ", ".join(o.name for o in self.outputs) or self.classes
        return f"{self.name}: {shape_text(self.input)} to {given}"

    @property
    def params(self) -> int:
        """Elements of trainable parameters."""
        return self.root.params

    @property
    def input(self) -> Shape:
        """The shape of one input: (channels, height, width) or (features,)."""
        return self.root.input

    @property
    def stages(self) -> tuple[Node, ...]:
        """The calls of the stages, in order."""
        return tuple(n for n in self.root.nodes if n.role == "stage")

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """The distinct scopes, children before those that call them, the network last."""
        return _distinct(self.root, lambda program: program)

    @cached_property
    def patterns(self) -> tuple[Program, ...]:
        """The patterns of the distinct scopes, in the order of `programs`: all that has to be looked at to count costs and shapes."""
        return _distinct(self.root, lambda program: program.pattern)

    @cached_property
    def pattern(self) -> Graph:
        """The network with the patterns of its scopes: the same where real numbers do not matter, and small where blocks differ in them."""
        nodes = (n if n.program is None else replace(n, program=n.program.pattern) for n in self.root.nodes)
        return replace(self, root=replace(self.root, nodes=tuple(nodes)))

    def instances(self) -> Iterator[tuple[str, Program]]:
        """Every scope of the network with its full path, in order, parents first (the network itself is '')."""
        yield from _instances("", self.root)

    def nodes(self) -> Iterator[FlatNode]:
        """Every operation of the network with its full path, in topological order. Calls are walked, not shown."""
        yield from _flatten(self.root, "", "input", False)

    def text(self) -> str:
        """The canonical form: each distinct scope once, then what the network calls; made to be diffed."""
        names = {id(p): f"%{i}" for i, p in enumerate(self.programs)}
        lines = [f"network {self.name} classes={self.classes} init={self.init_weights} zero_last={str(self.zero_last).lower()}"]
        for p in self.programs:
            lines.append(f"{names[id(p)]} = {p.role} {p.kind} {shape_text(p.input)} -> {shape_text(p.shape)}")
            for n in p.nodes:
                attrs = "".join(f" {k}={_value_text(v)}" for k, v in n.attrs)
                callee = f" {names[id(n.program)]}" if n.program is not None else ""
                times = f" x{n.times}" if n.times > 1 else ""
                operands = ", ".join(i or "input" for i in n.inputs)
                role = "" if n.role == "step" else f" [{n.role}]"
                lines.append(f"  {n.path}{times} = {n.op}{callee}({operands}){attrs} -> {shape_text(n.shape)}{role}")
            lines += [f"  gives {tap} -> {shape_text(p.value_shape(tap))}" for tap in p.taps]
        lines += [f"output {o.name} = {o.value} -> {shape_text(self.root.value_shape(o.value))}" for o in self.outputs]
        return "\n".join(lines) + "\n"


def join(scope: str, name: str) -> str:
    """A full path from a scope's path and a name in it."""
    return f"{scope}.{name}" if scope else name


def _value_text(v: Value) -> str:
    if isinstance(v, bool):
        return str(v).lower()
    return "x".join(map(str, v)) if isinstance(v, tuple) else str(v)


def _outputs_before(nodes: tuple[Node, ...]) -> Iterator[str]:
    yield from ([SCOPE_INPUT, *(n.path for n in nodes[:-1])] if nodes else [])


def _instances(path: str, program: Program) -> Iterator[tuple[str, Program]]:
    yield path, program
    for n in program.nodes:
        if n.program is not None:
            for name in n.paths:
                yield from _instances(join(path, name), n.program)


def _flatten(program: Program, scope: str, entry: str, in_shortcut: bool) -> Generator[FlatNode, None, str]:
    """The flat nodes of a scope; returns the full path of the value that the scope gives."""
    given = {SCOPE_INPUT: entry}
    shapes = {SCOPE_INPUT: program.input}
    for n in program.nodes:
        operands = tuple(given[i] for i in n.inputs)
        shortcut = in_shortcut or n.role == "shortcut"
        out = join(scope, n.path)
        if n.program is None:
            yield FlatNode(out, n, operands, tuple(shapes[i] for i in n.inputs), scope, shortcut)
        else:
            out = operands[0]
            for name in n.paths:
                out = yield from _flatten(n.program, join(scope, name), out, shortcut)
        given[n.path] = out
        shapes[n.path] = n.shape
    return given[program.output]


def _distinct(root: Program, seen_as: Callable[[Program], Program]) -> tuple[Program, ...]:
    """What the scopes of a network are seen as, each once, children before those that call them."""
    seen: dict[int, Program] = {}

    def visit(program: Program) -> None:
        if id(program) in seen:
            return
        for node in program.nodes:
            if node.program is not None:
                visit(seen_as(node.program))
        seen[id(program)] = program

    visit(seen_as(root))
    return tuple(seen.values())
