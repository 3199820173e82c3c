"""Do the tensors of a file fit a network, and under which names? What is taken is said tensor by tensor; nothing is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch

from resnet_dsl.diagnostics import refuse
from resnet_dsl.emission.naming import Table, tables
from resnet_dsl.emission.reordering import orders
from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.graph.tensors import tensors as tensors_of

State = Literal["mapped", "renamed", "reshaped", "reordered", "filled", "misfit", "missing", "unexpected"]
"""mapped: name and shape are the network's. reshaped: a 1x1 conv for a linear layer, or the like: the same numbers in the same order.
reordered: channels in another order. filled: a count of batches that old files lack, which is 0. misfit: another shape, or no real numbers.
missing, unexpected: in one of the two alone.
"""
FITS = frozenset({"mapped", "renamed", "reshaped", "reordered", "filled"})
_WORST: tuple[State, ...] = ("misfit", "missing", "unexpected")

_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What `DataParallel`, `torch.compile` and training programs put before every name."""

_COUNT = "num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Row:
    """A tensor: its name and shape in the network, `key` and `shape`, and in the file, `source` and `found`; what one lacks has no shape there.
    `order` is that of the channels along `axis` where it is another, and `kind` the type of numbers that do not do.
    """

    state: State
    key: str | None
    shape: Shape | None
    source: str
    found: Shape | None
    kind: str | None = None
    axis: int = 0
    order: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        shapes = {"shape": self.shape, "found": self.found}
        return {
            "state": self.state,
            "tensor": self.key,
            "source": self.source,
            **{name: None if s is None else list(s) for name, s in shapes.items()},
            **({"type": self.kind} if self.kind else {}),
        }

    def __str__(self) -> str:
        """What is wrong with it."""
        ours = f" {self.key}" if self.key != self.source else ""
        if self.state == "missing":
            return f"lacks {self.source} {self.shape}" + (f", in the network{ours}" if ours else "")
        if self.state == "unexpected":
            return f"has {self.source} {self.found}, which the network lacks"
        if self.kind is not None:
            return f"{self.source} holds {self.kind}, in the network{ours} real numbers"
        return f"{self.source} is {self.found}, in the network{ours} {self.shape}"


@dataclass(frozen=True, slots=True)
class Match:
    """How a file's tensors meet a network. `table` is the one whose names the file has, None where they are ours; `prefix` stands before
    each of them. `converted` counts the tensors of other types of numbers than torch's default.
    """

    network: str
    table: Table | None
    prefix: str
    rows: tuple[Row, ...]
    converted: Mapping[str, int]
    unmet: float | None

    @property
    def fits(self) -> bool:
        """Does every tensor of the network come from the file, and every tensor of the file go to the network?"""
        return self.unmet is None and all(r.state in FITS for r in self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Tensors by state."""
        return dict(Counter(r.state for r in self.rows))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "fits": self.fits,
            "network": self.network,
            "names": None if self.table is None else {"family": self.table.family, "library": self.table.library},
            "prefix": self.prefix,
            "counts": self.counts,
            "converted": dict(self.converted),
            "requires": self.requirement,
            "tensors": [r.to_dict() for r in self.rows],
        }

    @property
    def requirement(self) -> str | None:
        """What the library does and the network does not, where a file does not say so."""
        if self.unmet is None or self.table is None or self.table.requires is None:
            return None
        need = self.table.requires
        return (
            f"{self.table} has {need.op.replace('_', ' ')} with {need.attribute} {need.value:g}, "
            f"the network {self.unmet:g}: its outputs would be others"
        )

    def require(self, at: str | Path) -> None:
        """Raise SpecError (exit 2) where it does not fit: about the first tensor of another shape, else the first that one of the two lacks."""
        bad = [r for r in self.rows if r.state not in FITS]
        if bad:
            help = "use the spec that the weights were made with; resnet-dsl weights SPEC FILE shows every tensor"
            raise refuse("weights-fit", f"does not fit {self.network}: {self._first(bad)}", help, at=at)
        self.require_likeness(at)

    def require_likeness(self, at: str | Path) -> None:
        """Raise SpecError (exit 2) where the library does what the network does not."""
        if self.requirement is not None and self.table is not None and self.table.requires is not None:
            raise refuse("weights-fit", self.requirement, f"--set '{self.table.requires.set}'", at=at)

    def _first(self, bad: Sequence[Row]) -> str:
        first = min(bad, key=lambda r: _WORST.index(r.state))
        more = len(bad) - 1
        rest = f" (and {more:,} more {'does' if more == 1 else 'do'} not fit)" if more else ""
        theirs = self.table or self._signed()
        return f"{first}{rest}" + (f"; its names are those of {theirs}" if theirs is not None else "")

    def _signed(self) -> Table | None:
        """The table whose sign a file has that shares few names with the network."""
        held = {r.source for r in self.rows if r.found is not None}
        common = sum(r.key is not None and r.source in held for r in self.rows)
        return None if 2 * common >= len(held) else next((t for t in tables() if t.sign in held), None)

    def own(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The file's tensors under the network's names, in its shapes and orders, whether all fit or not. What the network lacks
        keeps its name.
        """
        taken: dict[str, torch.Tensor] = {}
        for r in self.rows:
            if r.found is not None:
                t = tensors[self.prefix + r.source]
                if r.state == "reshaped" and r.shape is not None:
                    t = t.reshape(r.shape)
                taken[r.key or r.source] = t.index_select(r.axis, torch.tensor(r.order)) if r.order else t
            elif r.state == "filled" and r.key is not None:
                taken[r.key] = torch.zeros((), dtype=torch.int64)
        return taken


def match(graph: Graph, tensors: Mapping[str, torch.Tensor], at: str | Path) -> Match:
    """How the tensors of a file meet a network. The names say whose they are.

    Raises SpecError (exit 2) where they may be read in two ways.
    """
    wanted = tensors_of(graph)
    prefix = _prefix(wanted, tensors)
    found = {k.removeprefix(prefix): t for k, t in tensors.items()}
    table, names = _names(graph, wanted, found, at)
    moved = orders(graph, table.pads_both_sides) if table is not None and table.pads_both_sides is not None else {}
    rows = [_row(key, shape, names[key], found, *moved.get(key, (0, ()))) for key, shape in wanted.items()]
    taken = set(names.values())
    rows += [Row("unexpected", None, None, k, tuple(t.shape)) for k, t in found.items() if k not in taken]
    other = Counter(_kind(t) for t in found.values() if t.is_floating_point() and t.dtype != torch.get_default_dtype())
    unmet = table.requires.unmet(graph) if table is not None and table.requires is not None else None
    return Match(graph.name, table, prefix, tuple(rows), dict(other), unmet)


def fitted(
    graph: Graph, tensors: Mapping[str, torch.Tensor], at: str | Path, *, wanted: Collection[str] | None = None
) -> dict[str, torch.Tensor]:
    """The tensors of a file under the network's names: all of them, or those that are `wanted`, whether the others fit or not.

    Raises SpecError (exit 2) that names the first that does not fit.
    """
    found = match(graph, tensors, at)
    if wanted is not None:
        found = replace(found, rows=tuple(r for r in found.rows if r.key is None or r.key in wanted))
    found.require(at)
    return found.own(tensors)


def _prefix(wanted: Collection[str], found: Collection[str]) -> str:
    """What stands before each name in a file."""
    prefix = ""
    while found and not any(prefix + key in found for key in wanted):
        longer = [prefix + w for w in _WRAPPERS if all(k.startswith(prefix + w) for k in found)]
        if not longer:
            break
        prefix = longer[0]
    return prefix


def _names(graph: Graph, wanted: Collection[str], found: Collection[str], at: str | Path) -> tuple[Table | None, Mapping[str, str]]:
    """The table that finds the most tensors, None where our own names do, and the names."""
    ours: dict[str, str] = {key: key for key in wanted}
    if ours.keys() <= set(found):
        return None, ours
    ways: list[tuple[Table | None, dict[str, str]]] = [(None, ours), *((t, t.names(graph)) for t in tables() if t.sign in found)]
    hits = [{key: name for key, name in names.items() if name in found} for _, names in ways]
    best = max(hits, key=len)
    first = hits.index(best)
    rivals = [table for (table, _), hit in zip(ways, hits, strict=True) if len(hit) == len(best) and hit != best]
    if rivals and len(best) == len(wanted):
        raise refuse(
            "weights-fit",
            f"its names may be those of {ways[first][0]} or of {rivals[0]}",
            "rename its tensors to those of the network: resnet-dsl weights SPEC FILE",
            at=at,
        )
    return ways[first]


def _row(key: str, shape: Shape, source: str, found: Mapping[str, torch.Tensor], axis: int, order: tuple[int, ...]) -> Row:
    t = found.get(source)
    if t is None:
        counts = key.endswith(_COUNT) and source.replace(_COUNT, "running_mean") in found
        return Row("filled" if counts else "missing", key, shape, source, None)
    held = tuple(t.shape)
    if not (t.is_floating_point() or key.endswith(_COUNT)):
        return Row("misfit", key, shape, source, held, kind=_kind(t))
    if held == shape:
        return Row("reordered" if order else "mapped" if source == key else "renamed", key, shape, source, held, None, axis, order)
    # A linear layer of a flattened map and a conv that covers the map read the same numbers in the same order.
    if {len(held), len(shape)} == {2, 4} and held[0] == shape[0] and prod(held) == prod(shape):
        return Row("reshaped", key, shape, source, held, None, axis, order)
    return Row("misfit", key, shape, source, held)


def _kind(t: torch.Tensor) -> str:
    """The type of a tensor's numbers, as torch writes it: float16."""
    return str(t.dtype).removeprefix("torch.")
