"""Do the tensors of a file fit a network, and under which names? What is taken is said tensor by tensor; nothing is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from math import prod
from pathlib import Path

import torch

from resnet_dsl.analysis.matching import EVERY_TENSOR, Match, TensorMatch
from resnet_dsl.diagnostics import refuse
from resnet_dsl.emission.naming import NameTable, tables
from resnet_dsl.emission.reordering import orders
from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.graph.tensors import tensors as tensors_of

_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What `DataParallel`, `torch.compile` and training programs put before every name."""

_COUNT = "num_batches_tracked"


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
    rows += [TensorMatch("unexpected", None, None, k, tuple(t.shape)) for k, t in found.items() if k not in taken]
    other = Counter(_kind(t) for t in found.values() if t.is_floating_point() and t.dtype != torch.get_default_dtype())
    unmet = table.requires.unmet(graph) if table is not None and table.requires is not None else None
    return Match(str(at), graph.name, table, prefix, tuple(rows), dict(other), unmet)


def fitted(
    graph: Graph, tensors: Mapping[str, torch.Tensor], at: str | Path, *, wanted: Collection[str] | None = None
) -> dict[str, torch.Tensor]:
    """The tensors of a file under the network's names: all of them, or those that are `wanted`, whether the others fit or not.

    Raises SpecError (exit 2) that names the first that does not fit.
    """
    found = match(graph, tensors, at)
    if wanted is not None:
        found = replace(found, rows=tuple(r for r in found.rows if r.key is None or r.key in wanted))
    found.require()
    return renamed(found, tensors)


def renamed(found: Match, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The file's tensors under the network's names, in its shapes and orders, whether all fit or not. A tensor that is only in the file
    keeps its name.
    """
    taken: dict[str, torch.Tensor] = {}
    for r in found.rows:
        if r.found is not None:
            t = tensors[found.prefix + r.source]
            if r.state == "reshaped" and r.shape is not None:
                t = t.reshape(r.shape)
            taken[r.key or r.source] = t.index_select(r.axis, torch.tensor(r.order)) if r.order else t
        elif r.state == "filled" and r.key is not None:
            taken[r.key] = torch.zeros((), dtype=torch.int64)
    return taken


def _prefix(wanted: Collection[str], found: Collection[str]) -> str:
    """What stands before each name in a file."""
    prefix = ""
    while found and not any(prefix + key in found for key in wanted):
        longer = [prefix + w for w in _WRAPPERS if all(k.startswith(prefix + w) for k in found)]
        if not longer:
            break
        prefix = longer[0]
    return prefix


def _names(graph: Graph, wanted: Collection[str], found: Collection[str], at: str | Path) -> tuple[NameTable | None, Mapping[str, str]]:
    """The table that finds the most tensors, None where our own names do, and the names."""
    ours: dict[str, str] = {key: key for key in wanted}
    if ours.keys() <= set(found):
        return None, ours
    ways: list[tuple[NameTable | None, dict[str, str]]] = [(None, ours), *((t, t.names(graph)) for t in tables() if t.sign in found)]
    hits = [{key: name for key, name in names.items() if name in found} for _, names in ways]
    best = max(hits, key=len)
    first = hits.index(best)
    rivals = [table for (table, _), hit in zip(ways, hits, strict=True) if len(hit) == len(best) and hit != best]
    if rivals and len(best) == len(wanted):
        raise refuse(
            "weights-fit",
            f"its names may be those of {ways[first][0]} or of {rivals[0]}",
            f"rename its tensors to those of the network: {EVERY_TENSOR}",
            at=at,
        )
    return ways[first]


def _row(key: str, shape: Shape, source: str, found: Mapping[str, torch.Tensor], axis: int, order: tuple[int, ...]) -> TensorMatch:
    t = found.get(source)
    if t is None:
        counts = key.endswith(_COUNT) and source.replace(_COUNT, "running_mean") in found
        return TensorMatch("filled" if counts else "missing", key, shape, source, None)
    held = tuple(t.shape)
    if not (t.is_floating_point() or key.endswith(_COUNT)):
        return TensorMatch("misfit", key, shape, source, held, kind=_kind(t))
    if held == shape:
        return TensorMatch("reordered" if order else "mapped" if source == key else "renamed", key, shape, source, held, None, axis, order)
    # A linear layer of a flattened map and a conv that covers the map read the same numbers in the same order.
    if {len(held), len(shape)} == {2, 4} and held[0] == shape[0] and prod(held) == prod(shape):
        return TensorMatch("reshaped", key, shape, source, held, None, axis, order)
    return TensorMatch("misfit", key, shape, source, held)


def _kind(t: torch.Tensor) -> str:
    """The type of a tensor's numbers, as torch writes it: float16."""
    return str(t.dtype).removeprefix("torch.")
