"""Growing a network: which blocks of the deeper network come from the shallower one, and how the others begin as the identity.

In each stage of B the blocks of A come first, under their names, and the added blocks follow. So no tensor changes its name.
The stem, the head, and the steps before and after the blocks of a stage must be the same in A and B. They may differ only in what
evaluation does not read: the rate of a drop path, the momentum of a batch norm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from resnet_dsl.diagnostics import Argument, Location, Source, refuse
from resnet_dsl.graph.graph import Graph, Node, Program, Shape, Value, join
from resnet_dsl.graph.identity import Fills, Obstacle, bounds_of, identity
from resnet_dsl.ops.exactness import ANYTHING, Bounds
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import shape_text

Added = Mapping[str, Fills]
"""The blocks that B has and A has not, by full path in order: what to set in each, by the tensor's path within the block."""

_ONLY_ADDS = f"B may add blocks behind those of A's stages, and change nothing else; without {Argument('grow', True)} what fits is copied"
_NO_IDENTITY = f"a residual block whose shortcut can be the identity always can; without {Argument('grow', True)} what fits is copied"


def growth(a: Graph, b: Graph, zeroed: Callable[[Program], frozenset[str]]) -> Added:
    """How B computes what A computes, bit for bit, in evaluation. `zeroed` gives the paths of a block's modules whose weights are
    zero when B is new.

    Raises SpecError (exit 2) with the first obstacle.
    """
    whole = Location(Source(b.name, ""))
    for what, ours, theirs in (
        ("reads", shape_text(a.input), shape_text(b.input)),
        ("has the stages", ", ".join(n.path for n in a.stages), ", ".join(n.path for n in b.stages)),
    ):
        if ours != theirs:
            raise refuse("grow", f"A {what} {ours}, B {theirs}", _ONLY_ADDS, at=whole)
    found: dict[str, Fills] = {}
    bounds = _section("", a.root, b.root, "stem", ANYTHING, whole)
    for x, y in zip(a.stages, b.stages, strict=True):
        at = y.location or whole
        bounds = _section(y.path, x.callee, y.callee, "before", bounds, at)
        bounds = _shared(y.path, _blocks(x.callee), _blocks(y.callee), bounds, at)
        for name, program in _blocks(y.callee)[len(_blocks(x.callee)) :]:
            # An identity leaves the bounds as they are.
            found[join(y.path, name)] = _added(join(y.path, name), program, bounds, zeroed(program), at)
        bounds = _section(y.path, x.callee, y.callee, "after", bounds, at)
    _section("", a.root, b.root, "head", bounds, whole)
    return found


def deepened(graph: Graph) -> Graph:
    """The network with the last block of each stage as often again as the stage has blocks; a stage without a block that keeps its
    shape stays as it is.
    """
    nodes = tuple(replace(n, program=_deepened(n.callee)) if n.role == "stage" else n for n in graph.root.nodes)
    return replace(graph, name=f"deeper-{graph.name}", root=replace(graph.root, nodes=nodes))


def _deepened(stage: Program) -> Program:
    *_, last = (n for n in stage.nodes if n.role == "block")
    if last.callee.shape != last.callee.input:
        return stage
    more = replace(last, times=last.times + len(_blocks(stage)))
    return replace(stage, nodes=tuple(more if n is last else n for n in stage.nodes))


def _section(scope: str, a: Program, b: Program, role: str, bounds: Bounds, at: Location) -> Bounds:
    """Require that the steps of a role do the same in A and B; gives the bounds of what they give."""
    ours, theirs = ([n for n in p.nodes if n.role == role] for p in (a, b))
    _require_same(scope, _steps(a, ours), _steps(b, theirs), at)
    for n in theirs:
        if n.program is None:
            bounds = OPS[n.op].exact.bounds(b.site(n), [bounds])
        else:
            for _ in range(n.times):
                bounds = bounds_of(n.program, bounds)
    return bounds


def _shared(scope: str, a: Sequence[tuple[str, Program]], b: Sequence[tuple[str, Program]], bounds: Bounds, at: Location) -> Bounds:
    """Require that B's blocks begin with A's; gives the bounds of what these give."""
    if len(a) > len(b):
        raise refuse("grow", f"{scope} has {len(a):,} blocks in A, in B only {len(b):,}", _ONLY_ADDS, at=at)
    known: dict[tuple[int, int, Bounds], Bounds] = {}
    for (name, x), (_, y) in zip(a, b, strict=False):
        key = (id(x), id(y), bounds)
        if key not in known:
            _require_same(join(scope, name), _inside(x), _inside(y), at)
            known[key] = bounds_of(y, bounds)
        bounds = known[key]
    return bounds


def _added(path: str, program: Program, bounds: Bounds, zeroed: frozenset[str], at: Location) -> Fills:
    fills = identity(program, bounds, zeroed)
    if not isinstance(fills, Obstacle):
        return fills
    step = next((s for s in _inside(program) if s.path == fills.path), None)
    where = f", for its {step.path} ({step.label})" if step is not None else ""
    raise refuse("grow", f"{path} cannot begin as the identity{where}: {fills.reason}", _NO_IDENTITY, at=at)


# --- do two lists of steps do the same? --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Step:
    """An operation of a list of steps: its path, the node, what it reads, and the shapes of that."""

    path: str
    node: Node
    inputs: tuple[str, ...]
    in_shapes: tuple[Shape, ...]

    @property
    def site(self) -> Site:
        return self.node.site(self.in_shapes)

    @property
    def label(self) -> str:
        return OPS[self.node.op].label(self.site)

    @property
    def read(self) -> Mapping[str, Value]:
        """The attributes that evaluation reads."""
        unread = OPS[self.node.op].exact.unread(self.site)
        return {k: v for k, v in self.node.attrs if k not in unread}


def _blocks(stage: Program) -> list[tuple[str, Program]]:
    return [(name, n.callee) for n in stage.nodes if n.role == "block" for name in n.paths]


def _inside(program: Program, scope: str = "") -> Iterator[_Step]:
    for f in program.flat()[0]:
        yield _Step(join(scope, f.path), f.node, f.inputs, f.in_shapes)


def _steps(program: Program, nodes: Sequence[Node]) -> Iterator[_Step]:
    """The operations of steps that follow one another, so that what each of them reads is plain."""
    for n in nodes:
        if n.program is None:
            yield _Step(n.path, n, (), program.in_shapes(n))
        else:
            for name in n.paths:
                yield from _inside(n.program, name)


def _require_same(scope: str, a: Iterator[_Step], b: Iterator[_Step], at: Location) -> None:
    """Name the first step of B that is not A's. Raises SpecError."""
    for x, y in zip_longest(a, b):
        if difference := _difference(scope, x, y):
            raise refuse("grow", difference, _ONLY_ADDS, at=at)


def _difference(scope: str, a: _Step | None, b: _Step | None) -> str | None:
    if a is None or b is None:
        step = a or b
        assert step is not None
        return f"{join(scope, step.path)} ({step.label}) is in {'B' if a is None else 'A'} alone"
    path = join(scope, b.path)
    if a.path != b.path:
        return f"{path} ({b.label}) in B stands where {join(scope, a.path)} ({a.label}) stands in A"
    if (a.node.op, a.read) != (b.node.op, b.read):
        if a.label != b.label:
            return f"{path} is {a.label} in A, {b.label} in B"
        name = next(k for k in b.read if a.read.get(k) != b.read[k])
        return f"{path} ({b.label}) has {name} {a.read.get(name)} in A, {b.read[name]} in B"
    if a.in_shapes != b.in_shapes:
        x, y = (" and ".join(map(shape_text, step.in_shapes)) for step in (a, b))
        return f"{path} ({b.label}) reads {x} in A, {y} in B"
    return f"{path} ({b.label}) reads another step in B than in A" if a.inputs != b.inputs else None
