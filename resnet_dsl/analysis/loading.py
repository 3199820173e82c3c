"""How a file of weights meets a network, as a table. The values are plain: nothing here knows torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_dsl.diagnostics import quote
from resnet_dsl.table import Column, Layout, Table, count, shape_text

_STATES = {
    "mapped": "taken as they are",
    "renamed": "under another name",
    "reshaped": "the same numbers in another shape",
    "reordered": "channels in another order",
    "filled": "counts of batches, 0",
    "misfit": "of another shape or type",
    "missing": "in the network alone",
    "unexpected": "in the file alone",
}


def loading_tables(file: str, found: Mapping[str, Any], format: Layout) -> list[Table]:
    """How many tensors fit and how, and a row a module that is not taken as it is; in CSV a row a tensor. `found` is a `Match.to_dict()`."""
    if format == "csv":
        names = ("state", "tensor", "shape", "source", "found")
        rows = [[t["state"], t["tensor"], _shape(t["shape"]), t["source"], _shape(t["found"])] for t in found["tensors"]]
        return [Table(tuple(Column(n, n) for n in names), rows)]
    modules = {
        (t["state"], _owner(t["tensor"]), _owner(t["source"])): _shapes(t) for t in reversed(found["tensors"]) if t["state"] != "mapped"
    }
    rows = [[state, here, there, shape] for (state, here, there), shape in reversed(modules.items())]
    columns = (Column("state", "state"), Column("here", "here"), Column("there", "in the file"), Column("shape", "shape"))
    return [_summary(file, found), *([Table(columns, rows)] if rows else [])]


def _summary(file: str, found: Mapping[str, Any]) -> Table:
    columns = (Column("state", "state"), Column("tensors", "tensors", count, right=True), Column("about", "", wrap=True))
    rows = [[state, found["counts"][state], text] for state, text in _STATES.items() if state in found["counts"]]
    names = found["names"]
    whose = "the network's own" if names is None else f"those of {names['family']} in {names['library']}"
    notes = (
        f"Its names are {whose}{'; each begins with ' + quote(found['prefix']) if found['prefix'] else ''}.",
        *(f"{n:,} tensors are converted from {kind}." for kind, n in found["converted"].items()),
        *([f"{found['requires']}."] if found["requires"] else []),
    )
    return Table(columns, rows, title=f"{file} {'fits' if found['fits'] else 'does not fit'} {found['network']}", notes=notes)


def _shapes(t: Mapping[str, Any]) -> str | None:
    """The shape, or both where they differ."""
    here, there = _shape(t["shape"]), _shape(t["found"])
    return here or there if here == there or not (here and there) else f"{here} from {there}"


def _owner(name: str | None) -> str:
    return (name or "").rpartition(".")[0]


def _shape(shape: list[int] | None) -> str | None:
    return None if shape is None else shape_text(tuple(shape))
