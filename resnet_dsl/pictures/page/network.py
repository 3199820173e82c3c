"""The section that shows a network, or two with their differences lit: a picture that opens and closes, and its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from resnet_dsl.analysis.changes import Change, Changes
from resnet_dsl.analysis.cost import CONVENTION, Cost, Costs
from resnet_dsl.diagnostics import Location, Source, inline, refuse
from resnet_dsl.emission.source import excerpts
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.drawing.levels import main_slot
from resnet_dsl.pictures.page.shell import Section, render, text

_AROUND = 6
"""Lines of a spec that are shown before and after the one that something comes from."""


def page(graphs: Sequence[Graph], theme: str = "light", found: Changes | None = None) -> str:
    """The page of a network, or of two side by side. Raises SpecError where there are more."""
    names = " | ".join(map(inline, found.labels) if found is not None else (inline(g.name) for g in graphs))
    about = "; ".join(f"{inline(g.name)}: {inline(g.description)}" for g in graphs if g.description)
    return render(names, [section(graphs, found)], theme, about)


def section(graphs: Sequence[Graph], found: Changes | None = None, key: str = "network") -> Section:
    """One network, or two; `found` is what sets the second apart. Raises SpecError where there are more."""
    if len(graphs) > 2:
        raise refuse("usage", f"a page shows one network or two, not {len(graphs)}", "write .svg for more, side by side", at="draw")
    networks = [_network(g) for g in graphs]
    if found is not None:
        for side, network in enumerate(networks):
            network["marks"] = _marks(found.changes, side)
            network["name"] = inline(found.labels[side])
    title = " and ".join(str(n["name"]) for n in networks)
    changes = "" if found is None else _about(found)
    body = f'<p class="about">{text(changes or _figures(graphs[0]))}</p>\n<div class="viewer" data-viewer="{key}"></div>'
    return Section(key, title, body, {"networks": networks, "convention": CONVENTION}, wide=True)


def _figures(graph: Graph) -> str:
    cost = Costs(graph).network
    return f"{cost.params:,} parameters, {cost.macs:,} MACs, depth {cost.depth}"


def _about(found: Changes) -> str:
    fit = found.weights
    fits = "A's weights fit B" if fit.fits else f"{fit.common:,} of B's tensors fit A's weights"
    own = "".join(f"; {x}" for x in found.attributes)
    count = "no changes" if found.same else f"{found.count:,} change{'s' if found.count > 1 else ''}"
    return f"{count} from {found.labels[0]} (A) to {found.labels[1]} (B){own}; {fits}"


def _network(graph: Graph) -> dict[str, Any]:
    costs, places, code = Costs(graph), _Places(), excerpts(graph)
    numbers = {id(p): i for i, p in enumerate(graph.programs)}
    programs = [
        {
            "kind": p.kind, "role": p.role, "in": p.input, "out": p.shape, "code": code[id(p)], "at": places.number(p.location),
            "nodes": [_node(p, n, c, numbers, places) for n, c in costs.nodes(p)],
        }
        for p in graph.programs
    ]  # fmt: skip
    total = costs.network
    figures = {"params": total.params, "macs": total.macs, "depth": total.depth}
    return {
        "name": inline(graph.name),
        "input": graph.input,
        "programs": programs,
        "places": places.listed,
        "sources": places.shown(),
        **figures,
    }


def _node(scope: Program, node: Node, cost: Cost, numbers: dict[int, int], places: _Places) -> dict[str, Any]:
    """`i` holds the places of the operands in the scope, -1 for its input; `p` and `m` are the costs of all `t` copies."""
    order = {SCOPE_INPUT: -1, **{n.path: i for i, n in enumerate(scope.nodes)}}
    found: dict[str, Any] = {
        "n": node.path, "i": [order[i] for i in node.inputs], "o": node.shape, "r": node.role, "at": places.number(node.location),
        "p": cost.params, "m": cost.macs,
    }  # fmt: skip
    if main_slot(node):
        found["s"] = main_slot(node)
    if node.program is not None:
        return found | {"c": numbers[id(node.program)], "t": node.times}
    row = OPS[node.op]
    return found | {"l": row.label(scope.site(node)), "g": row.group}


class _Places:
    """Places in specs, each once; and the lines around them."""

    def __init__(self) -> None:
        self.listed: list[tuple[int, int]] = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._sources: list[Source] = []

    def number(self, at: Location | None) -> int:
        if at is None or not at.line:
            return -1
        if not any(at.source is s for s in self._sources):
            self._sources.append(at.source)
        key = (next(i for i, s in enumerate(self._sources) if s is at.source), at.line)
        if key not in self._numbers:
            self._numbers[key] = len(self.listed)
            self.listed.append(key)
        return self._numbers[key]

    def shown(self) -> list[dict[str, object]]:
        """The name of each source, and its lines by number."""
        return [{"name": inline(s.name), "lines": dict(self._lines(i, s))} for i, s in enumerate(self._sources)]

    def _lines(self, number: int, source: Source) -> Iterator[tuple[int, str]]:
        lines = source.text.split("\n")
        near = {n for i, line in self.listed if i == number for n in range(line - _AROUND, line + _AROUND + 1)}
        return ((n, inline(lines[n - 1].rstrip("\r"))[:200]) for n in sorted(near) if 0 < n <= len(lines))


def _marks(changes: Sequence[Change], side: int, where: str = "") -> dict[str, list[list[object]]]:
    """What differs, by the scope that holds it: names, status, and what changed from what to what."""
    found: dict[str, list[list[object]]] = {}
    for change in changes:
        here = (change.a, change.b)[side]
        if here is None or change.status == "same":
            continue
        found.setdefault(where, []).append([here.name, change.status, [[x.name, x.before, x.after] for x in change.attributes]])
        found |= _marks(change.inside, side, here.path)
    return found
