"""What sets two networks apart: by structure, by cost, by weights.

Scopes are aligned from the network inwards (`alignment`), so that an inserted block, a renamed stage or two swapped
blocks are one change each. A step has changed where it does something else; one that merely reads more channels, since an
earlier step gives more, is the same step, and the difference shows in what it costs and in which weights fit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from resnet_dsl.analysis.alignment import Keys, Pair, StepRun, align
from resnet_dsl.analysis.changes import SWAPPED, Attribute, Change, Changes, Side
from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.graph.graph import Graph, Node, Program, Value, join
from resnet_dsl.ops.table import OPS


def diff(a: Graph, b: Graph, labels: tuple[str, str] | None = None) -> Changes:
    """What changes from A to B; `labels` are what they are called where that is not their names."""
    costs = (Costs(a), Costs(b))
    own = [
        Attribute("input", _text(a.input), _text(b.input)),
        Attribute("init", _init(a), _init(b)),
    ]
    changes = _Comparer(*costs).inside(a.root, b.root, "", "")
    return Changes(a, b, labels or (a.name, b.name), tuple(x for x in own if x.before != x.after), changes, costs)


class _Comparer:
    def __init__(self, a: Costs, b: Costs) -> None:
        self.costs_a, self.costs_b = a, b
        self.keys = Keys()

    def inside(self, a: Program, b: Program, where_a: str, where_b: str) -> tuple[Change, ...]:
        """The steps of two scopes, aligned."""
        costs = {id(n): c for costs, p in ((self.costs_a, a), (self.costs_b, b)) for n, c in costs.nodes(p)}
        pairs = align(a, b, self.keys)
        numbered = (_numbered(a), _numbered(b))
        found = []
        for pair in pairs:
            sides = [self._side(run, p, where, costs) for run, p, where in ((pair.a, a, where_a), (pair.b, b, where_b))]
            found.append(self._change(pair, sides[0], sides[1], numbered))
        if self.keys.content(a) != self.keys.content(b) and not any(c.count for c in found):
            found = _rewired(a, b, pairs, found)
        return tuple(found)

    def _side(self, run: StepRun | None, scope: Program, where: str, costs: dict[int, Cost]) -> Side | None:
        if run is None:
            return None
        node = run.node
        kind = node.callee.kind if node.program is not None else _label(node, scope)
        whole = costs[id(node)]
        cost = whole if run.times == node.times else Cost(*(_share(x, run.times, node.times) for x in _figures(whole)))
        return Side(join(where, run.path), run.path, kind, run.times, node.shape, cost)

    def _change(self, pair: Pair, a: Side | None, b: Side | None, numbered: tuple[set[str], set[str]]) -> Change:
        node = (pair.b or pair.a).node  # type: ignore[union-attr]
        if pair.a is None or pair.b is None or a is None or b is None:
            return Change("added" if pair.a is None else "removed", node.role, a, b)
        x, y = pair.a.node, pair.b.node
        attributes = [*_name(pair, numbered), *_place(pair)]
        inside: tuple[Change, ...] = ()
        if x.program is not None and y.program is not None:
            replaced = x.program.kind != y.program.kind and self.keys.node(x) != self.keys.node(y)
            if replaced:
                attributes.append(Attribute(_word(y), x.program.kind, y.program.kind))
            if (not replaced or self.keys.kindred(x.program, y.program)) and self.keys.exact(x.program) != self.keys.exact(y.program):
                # Equal copies differ in the same way: the first stands for all.
                inside = self.inside(x.program, y.program, a.path, b.path)
        elif x.op != y.op:
            attributes.append(Attribute("op", a.kind, b.kind))
        else:
            attributes += _attributes(x, y)
        changed = attributes or any(c.count for c in inside)
        return Change("changed" if changed else "same", node.role, a, b, tuple(attributes), inside if changed else ())


def _label(node: Node, scope: Program) -> str:
    """An operation in a few words; a merge by its name, since its sign (`+`) would look like one of ours."""
    row = OPS[node.op]
    return row.name if row.group == "merge" else row.label(scope.site(node))


def _rewired(a: Program, b: Program, pairs: Sequence[Pair], found: list[Change]) -> list[Change]:
    """The changes of scopes that have the same steps but other connections: which steps read what."""
    partner = {"": "", **{p.a.node.path: p.b.node.path for p in pairs if p.a and p.b}}
    done = []
    for pair, change in zip(pairs, found, strict=True):
        if pair.a and pair.b and tuple(partner.get(i, i) for i in pair.a.node.inputs) != pair.b.node.inputs:
            reads = [", ".join(i or "input" for i in run.node.inputs) for run in (pair.a, pair.b)]
            change = replace(change, status="changed", attributes=(Attribute("reads", *reads),))
        done.append(change)
    return done


def _numbered(scope: Program) -> set[str]:
    """The names in a scope that only count (`conv1`, `conv2`, `0`): an insertion shifts them, so they carry no meaning."""
    seen: Counter[str] = Counter()
    total = Counter(n.path.rstrip("0123456789") for n in scope.nodes)
    found = set()
    for node in scope.nodes:
        stem = node.path.rstrip("0123456789")
        digits = node.path[len(stem) :]
        if digits in (str(seen[stem] + 1), str(seen[stem])) or (not digits and total[stem] == 1):
            found.add(node.path)
        seen[stem] += node.times
    return found


def _name(pair: Pair, numbered: tuple[set[str], set[str]]) -> list[Attribute]:
    assert pair.a is not None and pair.b is not None
    x, y = pair.a.node.path, pair.b.node.path
    stems = [re.sub(r"\d+$", "", name) for name in (x, y)]
    if x == y or (stems[0] == stems[1] and x in numbered[0] and y in numbered[1]):
        return []
    # An operation of another kind is called otherwise by itself.
    if pair.a.node.op != pair.b.node.op and x in numbered[0] and y in numbered[1]:
        return []
    return [Attribute("name", x, y)]


def _place(pair: Pair) -> list[Attribute]:
    if pair.status != "moved" or pair.a is None or pair.b is None:
        return []
    if pair.swapped is not None:
        first, second = sorted((pair.a, pair.swapped), key=lambda run: run.place)
        # Of two that changed places, the one that now stands first tells it.
        return [Attribute(SWAPPED, first.path, second.path)] if pair.a is second or abs(pair.a.place - pair.b.place) == 1 else []
    return [Attribute("position", str(pair.a.place), str(pair.b.place))]


def _attributes(x: Node, y: Node) -> list[Attribute]:
    before, after = dict(x.attrs), dict(y.attrs)
    found = [
        Attribute(key, _text(before.get(key)), _text(after.get(key))) for key in {**before, **after} if before.get(key) != after.get(key)
    ]
    if len(found) > 1 and all(_is_same_padded(a) for a in (before, after)):
        # That padding follows the kernel goes without saying.
        found = [f for f in found if f.name != "padding"]
    return found


def _is_same_padded(attrs: dict[str, Value]) -> bool:
    kernel, dilation, padding = (attrs.get(k) for k in ("kernel", "dilation", "padding"))
    if not (isinstance(kernel, tuple) and isinstance(dilation, tuple) and isinstance(padding, tuple)):
        return False
    return all(2 * p == d * (k - 1) for k, d, p in zip_longest(kernel, dilation, padding, fillvalue=0))


def _word(node: Node) -> str:
    return node.role if node.role in ("block", "shortcut") else "kind"


def _text(value: Value | None) -> str:
    """A value in words: 3 for a square 3x3."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return str(value[0]) if len(value) == 2 and len(set(value)) == 1 else "x".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _init(graph: Graph) -> str:
    return f"{graph.init_weights}{', zero_last' if graph.zero_last else ''}"


def _figures(cost: Cost) -> tuple[int, ...]:
    return cost.params, cost.macs, cost.activations, cost.depth, cost.shortcut_params, cost.shortcut_macs


def _share(total: int, part: int, of: int) -> int:
    return total * part // of
