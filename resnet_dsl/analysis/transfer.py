"""From one network to another: which tensor of B comes from where, as a plan that is made before any weight is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal

from resnet_dsl.diagnostics import Argument
from resnet_dsl.emission.initial import zeroed
from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.graph.growth import growth
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.ops.exactness import Fill
from resnet_dsl.table import Column, Table, count, shape_text

What = Literal["copied", "grown", "new", "other shape", "left behind"]
"""Copied from A; in a block that begins as the identity; only in B; in both, with another shape; only in A."""

_ORDER: tuple[What, ...] = ("copied", "grown", "new", "other shape", "left behind")

_LISTED = 3
"""Names written out; of more, the rest is a count."""


@dataclass(frozen=True, slots=True)
class TensorTransfer:
    """One tensor: its shapes in A and B (None where it is not), what happens to it, and what it is set to (None: see `what`)."""

    name: str
    a: Shape | None
    b: Shape | None
    what: What
    fill: Fill | None = None

    @property
    def value(self) -> str | None:
        """Where its numbers come from, if not from A."""
        if self.fill is not None:
            return self.fill if isinstance(self.fill, str) else f"{self.fill:g}"
        return None if self.what in ("copied", "left behind") else "initial"

    @property
    def why(self) -> str | None:
        """Why it is not just copied."""
        if self.what == "new" and self.a is not None:
            return "another tensor of its module has another shape in A"
        return _WHY.get(self.what)


_WHY: Mapping[What, str] = {
    "grown": "its block begins as the identity",
    "new": "A has no tensor of this name",
    "other shape": "A's has another shape",
    "left behind": "B has no tensor of this name",
}


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """The tensors of B in their order, then what only A has; `a` and `b` are the networks' names."""

    a: str
    b: str
    rows: tuple[TensorTransfer, ...]

    @property
    def counts(self) -> Mapping[What, int]:
        """How many tensors of each kind."""
        found = Counter(row.what for row in self.rows)
        return {what: found[what] for what in _ORDER if found[what]}

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "a": self.a,
            "b": self.b,
            "counts": dict(self.counts),
            "tensors": [
                {"name": r.name, "a": _sides(r.a), "b": _sides(r.b), "what": r.what, "value": r.value, "why": r.why} for r in self.rows
            ],
        }

    def by_tensor(self) -> Table:
        """A row for each tensor."""
        columns = (
            Column("tensor", "tensor"),
            Column("a", "in A", _shape),
            Column("b", "in B", _shape),
            Column("what", "what"),
            Column("value", "value"),
        )
        return Table(columns, [(r.name, r.a, r.b, r.what, r.value) for r in self.rows], self._title, notes=self._notes)

    def by_part(self) -> Table:
        """A row for each run of modules and blocks to which the same happens."""
        columns = (
            Column("part", "part"),
            Column("tensors", "tensors", count, right=True),
            Column("what", "what"),
            Column("how", "how", wrap=True),
        )
        return Table(columns, list(_folded(self.rows)), self._title, notes=self._notes)

    @property
    def _title(self) -> str:
        return f"{self.b} from {self.a}"

    @property
    def _notes(self) -> tuple[str, ...]:
        told = (
            f"{', '.join(f'{n:,} {what}' for what, n in self.counts.items())}, of {sum(r.b is not None for r in self.rows):,} tensors of B"
        )
        return (
            (told, f"initial: as in a network made new, drawn from {Argument('seed')}")
            if any(r.value == "initial" for r in self.rows)
            else (told,)
        )


def plan(a: Graph, b: Graph) -> TransferPlan:
    """What of A fits B, by name and shape. Where one tensor of a module has another shape, the module takes nothing from A: half a layer is useless."""
    of_a, of_b = tensors(a), tensors(b)
    unfit = {_owner(n) for n, shape in of_b.items() if of_a.get(n, shape) != shape}

    def what(name: str, shape: Shape) -> What:
        if name not in of_a:
            return "new"
        if of_a[name] != shape:
            return "other shape"
        return "new" if _owner(name) in unfit else "copied"

    rows = [TensorTransfer(n, of_a.get(n), shape, what(n, shape)) for n, shape in of_b.items()]
    rows += [TensorTransfer(n, shape, None, "left behind") for n, shape in of_a.items() if n not in of_b]
    return TransferPlan(a.name, b.name, tuple(rows))


def plan_growth(a: Graph, b: Graph) -> TransferPlan:
    """How B begins as A: blocks that A does not have are the identity (`graph.growth`). Raises SpecError (exit 2) where it cannot be."""
    fills = {f"{block}.{name}": fill for block, inside in growth(a, b, partial(zeroed, b)).items() for name, fill in inside.items()}
    rows = (TensorTransfer(r.name, r.a, r.b, "grown", fills.get(r.name)) if r.what == "new" else r for r in plan(a, b).rows)
    return TransferPlan(a.name, b.name, tuple(rows))


def _sides(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _shape(shape: Shape) -> str:
    return shape_text(shape) or "one number"


# --- folding -----------------------------------------------------------------------------------------------


def _folded(rows: Iterable[TensorTransfer]) -> Iterator[tuple[str, int, str, str]]:
    """Runs of parts to which the same happens; shapes are those of the first."""
    parts = [(part, list(of)) for part, of in groupby(rows, lambda r: _part(r.name))]
    for _, run in groupby(parts, lambda p: (_region(p[0]), [(what, how) for what, how, _, _ in _described(*p)])):
        names, told = [], []
        for part, of in run:
            names.append(part)
            told.append(list(_described(part, of)))
        for i, (what, how, shapes, _) in enumerate(told[0]):
            first = f" in {names[0]}" if shapes and len(names) > 1 else ""
            yield _span(names), sum(each[i][3] for each in told), what, f"{how}{shapes}{first}"


def _described(part: str, rows: Sequence[TensorTransfer]) -> Iterator[tuple[What, str, str, int]]:
    """What happens to one part, how, with which shapes, and to how many tensors."""
    for what in sorted(dict.fromkeys(r.what for r in rows), key=_ORDER.index):
        of = [r for r in rows if r.what == what]
        modules = list(dict.fromkeys(_inner(part, _owner(r.name)) for r in of))
        if what == "other shape":
            shapes = f"{of[0].name.rpartition('.')[2]} {_shape(of[0].b or ())}, in A {_shape(of[0].a or ())}"
            yield what, _list(modules), f": {shapes}" if modules[0] else shapes, len(of)
        elif what == "grown":
            yield what, "; ".join(_grown(part, of)), "", len(of)
        else:
            some = what in ("new", "left behind") and len(of) < len(rows)
            yield what, _list(modules) if some else "", "", len(of)


def _grown(part: str, rows: Sequence[TensorTransfer]) -> Iterator[str]:
    """What is set in each module; modules with equal settings are listed together."""
    modules: dict[str, str] = {}
    for owner, of in groupby((r for r in rows if r.fill is not None), lambda r: _owner(r.name)):
        modules[_inner(part, owner)] = ", ".join(f"{r.name.rpartition('.')[2]} {r.value}" for r in of)
    for said in dict.fromkeys(modules.values()):
        yield f"{', '.join(m for m, text in modules.items() if text == said)}: {said}"
    if initial := sum(r.fill is None for r in rows):
        yield f"{initial} initial"


def _owner(name: str) -> str:
    """The module of a tensor."""
    return name.rpartition(".")[0]


def _part(name: str) -> str:
    """The part of the network that a tensor is in: `conv1` of `conv1.weight`, `layer1.0` of `layer1.0.bn1.bias`."""
    module, *rest = name.split(".")
    return f"{module}.{rest[0]}" if len(rest) > 1 else module


def _region(part: str) -> str:
    return part.rpartition(".")[0]


def _list(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _LISTED:,} more" if len(texts) > _LISTED else ""
    return ", ".join(texts[:_LISTED]) + more


def _inner(part: str, name: str) -> str:
    return name.removeprefix(part).removeprefix(".")


def _span(parts: Sequence[str]) -> str:
    """`layer1.0-2` for blocks in a row, `conv1, bn1` else."""
    first, last = parts[0], parts[-1]
    numbered = [p.rpartition(".")[2].isdigit() for p in parts]
    if len(parts) > 1 and all(numbered):
        return f"{first}-{last.rpartition('.')[2]}"
    return ", ".join(parts) if len(parts) <= _LISTED else f"{first} to {last}"
