"""How a scope becomes the identity: which of its tensors to set, and to what, so that its output is its input, bit for bit.

Each operation knows its ways (`ops/exactness.py`): a sum gives back one operand where the others are zero, a batch norm gives zero
where its gain and shift are. Of the ways through a whole scope, the one that makes the fewest weights zero is taken.
Where both factors of a product are zero, neither has a gradient, and the block would never learn. Of equal ways the first is
taken, which is nearest the end (zero gain in the last norm: Goyal et al. 2017, section 5.1).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from resnet_dsl.graph.graph import SCOPE_INPUT, FlatNode, Program
from resnet_dsl.ops.exactness import ANYTHING, Bounds, Fill, Goal, Way
from resnet_dsl.ops.table import OPS

Fills = Mapping[str, Fill]
"""What to set, by the tensor's path within the scope."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a scope cannot be the identity: the path of the step that prevents it, within the scope, and the reason."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """The best way of a node to a goal. `cost` is the number of weights that it makes zero, operands included."""

    cost: int
    way: Way


def identity(program: Program, bounds: Bounds = ANYTHING, zeroed: Collection[str] = ()) -> Fills | Obstacle:
    """What makes `program` the identity on values within `bounds`, in evaluation; or what prevents it.

    `zeroed` are the paths of the modules whose weights are zero already when the network is new.
    """
    if program.shape != program.input:
        return Obstacle("", "what comes out has another shape than what goes in")
    nodes, last = program.flat()
    found: dict[tuple[str, Goal], _Choice | Obstacle] = {
        (SCOPE_INPUT, "same"): _Choice(0, Way(())),
        (SCOPE_INPUT, "zero"): Obstacle("", "what the block reads is not zero"),
    }
    goals: tuple[Goal, ...] = ("same", "zero")
    for f in nodes:
        for goal in goals:
            found[f.path, goal] = _best(f, goal, bounds, zeroed, found)
    end = found[last, "same"]
    return end if isinstance(end, Obstacle) else _gather(nodes, last, found)


def _best(
    f: FlatNode, goal: Goal, bounds: Bounds, zeroed: Collection[str], found: Mapping[tuple[str, Goal], _Choice | Obstacle]
) -> _Choice | Obstacle:
    exact = OPS[f.node.op].exact
    ways = (exact.same if goal == "same" else exact.zero)(f.site, bounds)
    if isinstance(ways, str):
        return Obstacle(f.path, ways)
    best: _Choice | None = None
    first: Obstacle | None = None
    for way in ways:
        operands = [found[path, wanted] for path, wanted in zip(f.inputs, way.operands, strict=True) if wanted is not None]
        obstacle = next((o for o in operands if isinstance(o, Obstacle)), None)
        if obstacle is not None:
            first = first or obstacle
            continue
        own = int(f.path not in zeroed and ("weight", 0.0) in way.tensors)
        cost = own + sum(o.cost for o in operands if isinstance(o, _Choice))
        if best is None or cost < best.cost:
            best = _Choice(cost, way)
    if best is not None:
        return best
    assert first is not None
    return first


def _gather(nodes: tuple[FlatNode, ...], last: str, found: Mapping[tuple[str, Goal], _Choice | Obstacle]) -> Fills | Obstacle:
    """What the chosen ways set, from the end to the input."""
    by_path = {f.path: f for f in nodes}
    fills: dict[str, Fill] = {}
    seen: set[tuple[str, Goal]] = set()
    ahead: list[tuple[str, Goal]] = [(last, "same")]
    while ahead:
        key = ahead.pop()
        path = key[0]
        if path == SCOPE_INPUT or key in seen:
            continue
        seen.add(key)
        choice = found[key]
        assert isinstance(choice, _Choice)
        for name, fill in choice.way.tensors:
            if fills.setdefault(f"{path}.{name}", fill) != fill:
                return Obstacle(path, "it is read twice, and would have to give zero and what it reads at once")
        ahead += [
            (operand, wanted) for operand, wanted in zip(by_path[path].inputs, choice.way.operands, strict=True) if wanted is not None
        ]
    return fills


def bounds_of(program: Program, bounds: Bounds) -> Bounds:
    """What the output of a scope lies between, where its input lies within `bounds`."""
    nodes, last = program.flat()
    found = {SCOPE_INPUT: bounds}
    for f in nodes:
        found[f.path] = OPS[f.node.op].exact.bounds(f.site, [found[i] for i in f.inputs])
    return found[last]
