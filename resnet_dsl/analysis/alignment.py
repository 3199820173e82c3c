"""Which step of one scope is which step of another: by content first, then by likeness and name.

Equal steps in a row are one `StepRun`, and runs are aligned as runs, so two stages of two hundred equal blocks cost no more
than two of three. What is equal on both sides but out of order has moved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Literal

from resnet_dsl.graph.graph import Node, Program
from resnet_dsl.ops.table import OPS

Status = Literal["same", "moved", "changed", "added", "removed"]

_CELLS = 40_000
"""Pairs that are compared one by one; beyond it only what is unique on both sides is anchored."""

_PAIRED_CELLS = 10_000
_SINGLES = 200
_LEAST = 0.3
"""Likeness from which two different steps are one that changed."""

_KINDRED = 0.75
"""Share of equal operations from which a scope of another kind is told step by step, and not as replaced."""

_MAIN = {"before", "body", "after", "step", "stem", "head"}
"""Roles between which a step may move and still be the same step."""


@dataclass(frozen=True, slots=True)
class StepRun:
    """`times` equal steps in a row: copies `first`, `first` + 1, ... of a node. `place` counts steps of the scope from 0."""

    node: Node
    first: int
    times: int
    place: int

    def part(self, first: int, times: int) -> StepRun:
        """Some of its steps, counted from its own first."""
        return StepRun(self.node, self.first + first, times, self.place + first)

    @property
    def path(self) -> str:
        """`conv1`, or `3-7` for several."""
        if self.node.times == 1:
            return self.node.path
        start = int(self.node.path) + self.first
        return str(start) if self.times == 1 else f"{start}-{start + self.times - 1}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A step of A and the same step of B; one is None where only the other has it. `swapped` is what A's step changed places with."""

    status: Status
    a: StepRun | None
    b: StepRun | None
    swapped: StepRun | None = None


class Keys:
    """Keys of scopes and nodes: equal keys do the same, across graphs. Shapes that only follow from the input do not count."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._content: dict[int, int] = {}
        self._exact: dict[int, int] = {}
        self._bags: dict[int, Counter[object]] = {}

    def content(self, program: Program) -> int:
        """What a scope does, whatever its steps are called."""
        if id(program) not in self._content:
            places = {"": -1, **{n.path: i for i, n in enumerate(program.nodes)}}
            nodes = tuple((self.node(n), n.times, tuple(places[i] for i in n.inputs)) for n in program.nodes)
            self._content[id(program)] = self._number(("content", nodes))
        return self._content[id(program)]

    def exact(self, program: Program) -> int:
        """What a scope does and what its steps are called."""
        if id(program) not in self._exact:
            names = tuple((n.path, self.exact(n.program) if n.program is not None else 0) for n in program.nodes)
            self._exact[id(program)] = self._number(("exact", self.content(program), names))
        return self._exact[id(program)]

    def node(self, node: Node) -> int:
        """What one copy of a node does, apart from what it reads."""
        role = "main" if node.role in _MAIN else node.role
        inner = self.content(node.program) if node.program is not None else 0
        return self._number(("node", node.op, node.attrs, role, inner))

    def bag(self, program: Program) -> Counter[object]:
        """The operations of a scope, however they are arranged."""
        if id(program) not in self._bags:
            bag: Counter[object] = Counter()
            for n in program.nodes:
                if n.program is None:
                    bag[n.op, n.attrs] += 1
                else:
                    for key, times in self.bag(n.program).items():
                        bag[key] += times * n.times
            self._bags[id(program)] = bag
        return self._bags[id(program)]

    def likeness(self, a: Node, b: Node) -> float:
        """The likeness of two steps, from 0 (nothing in common) to 1."""
        if (
            (a.program is None) != (b.program is None)
            or (a.role in _MAIN) != (b.role in _MAIN)
            or (a.role not in _MAIN and a.role != b.role)
        ):
            return 0.0
        named = 0.2 if a.path == b.path else 0.0
        if a.program is not None and b.program is not None:
            return 0.3 + 0.5 * self._common(a.program, b.program) + named
        if a.op == b.op:
            same = sum(x == y for x, y in zip(a.attrs, b.attrs, strict=False))
            return 0.5 + 0.3 * (same / len(a.attrs) if a.attrs else 1.0) + named
        return 0.2 + named if OPS[a.op].group == OPS[b.op].group else 0.0

    def kindred(self, a: Program, b: Program) -> bool:
        """Do two scopes have most of their operations in common?"""
        return self._common(a, b) >= _KINDRED

    def _common(self, a: Program, b: Program) -> float:
        """The share of equal operations."""
        of_a, of_b = self.bag(a), self.bag(b)
        union = (of_a | of_b).total()
        return (of_a & of_b).total() / union if union else 1.0

    def _number(self, key: object) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def align(a: Program, b: Program, keys: Keys) -> list[Pair]:
    """Every step of both scopes once, in B's order; a step that only A has keeps its place among its neighbours."""
    ours, theirs = _runs(a), _runs(b)
    lead: list[Pair] = []
    tail: list[Pair] = []
    while ours and theirs and keys.node(ours[0].node) == keys.node(theirs[0].node):
        times = min(ours[0].times, theirs[0].times)
        lead.append(Pair("same", ours[0].part(0, times), theirs[0].part(0, times)))
        ours, theirs = _without_first(ours, times), _without_first(theirs, times)
    while ours and theirs and keys.node(ours[-1].node) == keys.node(theirs[-1].node):
        x, y = ours[-1], theirs[-1]
        times = min(x.times, y.times)
        tail.append(Pair("same", x.part(x.times - times, times), y.part(y.times - times, times)))
        ours, theirs = _without_last(ours, times), _without_last(theirs, times)
    return [*lead, *_middle(ours, theirs, keys), *reversed(tail)]


def _runs(program: Program) -> list[StepRun]:
    runs, place = [], 0
    for node in program.nodes:
        runs.append(StepRun(node, 0, node.times, place))
        place += node.times
    return runs


def _without_first(runs: list[StepRun], times: int) -> list[StepRun]:
    first = runs[0]
    return runs[1:] if first.times == times else [first.part(times, first.times - times), *runs[1:]]


def _without_last(runs: list[StepRun], times: int) -> list[StepRun]:
    last = runs[-1]
    return runs[:-1] if last.times == times else [*runs[:-1], last.part(0, last.times - times)]


def _middle(ours: list[StepRun], theirs: list[StepRun], keys: Keys) -> list[Pair]:
    if not (ours and theirs):
        return [*(Pair("removed", run, None) for run in ours), *(Pair("added", None, run) for run in theirs)]
    if max(sum(r.times for r in ours), sum(r.times for r in theirs)) <= _SINGLES:
        ours, theirs = _singles(ours), _singles(theirs)
    of_a, of_b = [keys.node(r.node) for r in ours], [keys.node(r.node) for r in theirs]
    anchors = _anchors(of_a, of_b)
    moves = _moves(of_a, of_b, anchors)
    found: list[Pair] = []
    i = j = 0
    for x, y in [*anchors, (len(ours), len(theirs))]:
        found += _gap([ours[k] for k in range(i, x) if k not in moves], _or_moved(ours, theirs, range(j, y), moves), keys)
        if x < len(ours):
            found += _anchored(ours[x], theirs[y])
        i, j = x + 1, y + 1
    return _swaps(found)


def _singles(runs: list[StepRun]) -> list[StepRun]:
    return [run.part(i, 1) for run in runs for i in range(run.times)]


def _anchored(a: StepRun, b: StepRun) -> list[Pair]:
    """Equal runs, and what one of them has more of."""
    times = min(a.times, b.times)
    pairs = [Pair("same", a.part(0, times), b.part(0, times))]
    if a.times > times:
        pairs.append(Pair("removed", a.part(times, a.times - times), None))
    if b.times > times:
        pairs.append(Pair("added", None, b.part(times, b.times - times)))
    return pairs


def _anchors(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of places with equal keys, in order on both sides: a longest common subsequence where that is cheap."""
    common = set(a) & set(b)
    left, right = [i for i, x in enumerate(a) if x in common], [j for j, y in enumerate(b) if y in common]
    if not common:
        return []
    if len(left) * len(right) > _CELLS:
        return _unique(a, b)
    lengths = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i in range(len(left) - 1, -1, -1):
        for j in range(len(right) - 1, -1, -1):
            same = a[left[i]] == b[right[j]]
            lengths[i][j] = lengths[i + 1][j + 1] + 1 if same else max(lengths[i + 1][j], lengths[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(left) and j < len(right):
        if a[left[i]] == b[right[j]]:
            found.append((left[i], right[j]))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _unique(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """The longest increasing chain of keys that each side has once (patience)."""
    once_a, once_b = ({x: i for i, x in enumerate(side) if count[x] == 1} for side, count in ((a, Counter(a)), (b, Counter(b))))
    pairs = [(i, once_b[x]) for x, i in once_a.items() if x in once_b]
    tops: list[int] = []
    at: list[int] = []
    before: list[int] = []
    for k, (_, j) in enumerate(pairs):
        pile = bisect_left(tops, j)
        before.append(at[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [j]
        at[pile : pile + 1] = [k]
    chain, k = [], at[-1] if at else -1
    while k >= 0:
        chain.append(pairs[k])
        k = before[k]
    return chain[::-1]


def _moves(a: Sequence[int], b: Sequence[int], anchors: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Places of A, and where in B the same thing stands out of order."""
    still_a, still_b = {i for i, _ in anchors}, {j for _, j in anchors}
    free: dict[int, list[int]] = defaultdict(list)
    for j in range(len(b) - 1, -1, -1):
        if j not in still_b:
            free[b[j]].append(j)
    return {i: free[x].pop() for i, x in enumerate(a) if i not in still_a and free.get(x)}


def _or_moved(ours: list[StepRun], theirs: list[StepRun], places: range, moves: dict[int, int]) -> list[Pair | StepRun]:
    came = {j: i for i, j in moves.items()}
    return [Pair("moved", ours[came[j]], theirs[j]) if j in came else theirs[j] for j in places]


def _gap(ours: list[StepRun], theirs: list[Pair | StepRun], keys: Keys) -> list[Pair]:
    """The pairs between two anchors: steps that are alike have changed, the others were removed or added."""
    left, right = _cut(_joined(ours), _joined([x for x in theirs if isinstance(x, StepRun)]))
    found = [Pair("moved", x.a, x.b) for x in theirs if isinstance(x, Pair)]
    for a, b in _alike(left, right, keys.likeness):
        if a is None or b is None:
            found.append(Pair("added" if a is None else "removed", a, b))
            continue
        times = min(a.times, b.times)
        found.append(Pair("changed", a.part(0, times), b.part(0, times)))
        if a.times > times:
            found.append(Pair("removed", a.part(times, a.times - times), None))
        if b.times > times:
            found.append(Pair("added", None, b.part(times, b.times - times)))
    return found


def _joined(runs: Sequence[StepRun]) -> list[StepRun]:
    """Neighbours that are copies of one node as one run again."""
    found: list[StepRun] = []
    for run in runs:
        last = found[-1] if found else None
        if last is not None and last.node is run.node and last.first + last.times == run.first:
            found[-1] = replace(last, times=last.times + run.times)
        else:
            found.append(run)
    return found


def _cut(a: list[StepRun], b: list[StepRun]) -> tuple[list[StepRun], list[StepRun]]:
    """Both sides, cut where either one ends: three equal steps may match one step of a kind and two of another."""
    ends = [list(accumulate(run.times for run in side)) for side in (a, b)]
    cuts = sorted({*ends[0], *ends[1]})
    return tuple(  # type: ignore[return-value]
        [
            run.part(start - end + run.times, stop - start)
            for run, end in zip(side, of, strict=True)
            for start, stop in pairwise([end - run.times, *(c for c in cuts if end - run.times < c < end), end])
        ]
        for side, of in zip((a, b), ends, strict=True)
    )


def _alike(a: list[StepRun], b: list[StepRun], likeness: Callable[[Node, Node], float]) -> list[tuple[StepRun | None, StepRun | None]]:
    """The pairing in order with the greatest likeness in all; by place where there are too many to try."""
    if len(a) * len(b) > _PAIRED_CELLS:
        times = min(len(a), len(b))
        return [*zip(a[:times], b[:times], strict=True), *((x, None) for x in a[times:]), *((None, y) for y in b[times:])]
    like = [[likeness(x.node, y.node) for y in b] for x in a]
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            paired = like[i][j] + best[i + 1][j + 1] if like[i][j] >= _LEAST else 0.0
            best[i][j] = max(paired, best[i + 1][j], best[i][j + 1])
    found: list[tuple[StepRun | None, StepRun | None]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if i < len(a) and j < len(b) and like[i][j] >= _LEAST and best[i][j] == like[i][j] + best[i + 1][j + 1]:
            found.append((a[i], b[j]))
            i, j = i + 1, j + 1
        elif j == len(b) or (i < len(a) and best[i][j] == best[i + 1][j]):
            found.append((a[i], None))
            i += 1
        else:
            found.append((None, b[j]))
            j += 1
    return found


def _swaps(pairs: list[Pair]) -> list[Pair]:
    """Two that changed places are one change, and so is one that changed places with its neighbour."""
    moved = [p for p in pairs if p.status == "moved"]
    taken: set[int] = set()
    swapped: dict[int, StepRun] = {}
    for k, p in enumerate(moved):
        for q in moved[k + 1 :]:
            if k not in taken and p.a and p.b and q.a and q.b and (p.a.place, q.a.place) == (q.b.place, p.b.place):
                taken |= {k, moved.index(q)}
                swapped[id(p)], swapped[id(q)] = q.a, p.a
    still = {p.a.place: p.a for p in pairs if p.status == "same" and p.a and p.b and p.a.times == 1}
    stands = {p.b.place: p.a for p in pairs if p.status == "same" and p.a and p.b and p.b.times == 1}
    for p in moved:
        if id(p) not in swapped and p.a and p.b and abs(p.a.place - p.b.place) == 1:
            other = stands.get(p.a.place)
            if other is not None and still.get(p.b.place) is other:
                swapped[id(p)] = other
    return [replace(p, swapped=swapped[id(p)]) if id(p) in swapped else p for p in pairs]
