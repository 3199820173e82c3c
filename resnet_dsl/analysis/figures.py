"""The columns of a cost table: THE table of what may be asked of a network, a stage, a block or an operation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from resnet_dsl.analysis.cost import KINDS, Kind
from resnet_dsl.analysis.report import Breakdown, Part
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.table import Column, count, shape_text, size

T = TypeVar("T", bound=str)


@dataclass(frozen=True, slots=True)
class Figure:
    """A column: what a part of a network has of it, the network in all (None where parts do not add up), and a note."""

    column: Column
    part: Callable[[Breakdown, Part], object]
    total: Callable[[Breakdown], object]
    note: str = ""


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _sides(pair: tuple[int, int] | str) -> str:
    if isinstance(pair, str):
        return pair
    return str(pair[0]) if pair[0] == pair[1] else shape_text(pair)


def _field(r: Breakdown, p: Part) -> object:
    return (p.reach.size or "all") if len(r.input) == 3 else None


def _nothing(r: Breakdown) -> None:
    return None


def _summed(name: str) -> tuple[Callable[[Breakdown, Part], object], Callable[[Breakdown], object]]:
    return (lambda r, p: getattr(p, name)), (lambda r: getattr(r, name))


def _weighed(times: Callable[[Breakdown], int]) -> tuple[Callable[[Breakdown, Part], object], Callable[[Breakdown], object]]:
    """Bytes for each parameter."""
    return (lambda r, p: p.params * times(r)), (lambda r: r.params * times(r))


_SEEN = "Receptive field and jump (stride): in input pixels, exact over all paths."

FIGURES: Mapping[str, Figure] = {
    "shape": Figure(Column("out", "output", shape_text), lambda r, p: p.out, _nothing),
    "params": Figure(Column("params", "params", count, True), *_summed("params")),
    "macs": Figure(Column("macs", "MACs", count, True), *_summed("macs")),
    "share": Figure(Column("share", "share", _percent, True), lambda r, p: round(p.macs / r.macs, 6) if r.macs else None,
                    lambda r: 1.0 if r.macs else None, "Share: of all MACs."),
    "activations": Figure(Column("activations", "activations", count, True), *_summed("activations"),
                          "Activations: output elements of conv and linear layers for one input."),
    "receptive": Figure(Column("receptive", "receptive", _sides, True), _field, _nothing, _SEEN),
    "jump": Figure(Column("jump", "jump", _sides, True), lambda r, p: p.reach.jump if len(r.input) == 3 else None, _nothing, _SEEN),
    "bytes": Figure(Column("bytes", "bytes", size, True), lambda r, p: p.elements * r.size * r.batch, _nothing,
                    "Bytes: of the output."),
    "weights": Figure(Column("weights", "weights", size, True), *_weighed(lambda r: 4)),
    "gradients": Figure(Column("gradients", "gradients", size, True), *_weighed(lambda r: 4)),
    "optimizer": Figure(Column("optimizer", "optimizer", size, True), *_weighed(lambda r: 4 * r.optimizer_state)),
    "saved": Figure(Column("saved", "saved", size, True), lambda r, p: p.saved.of(r.batch), lambda r: r.memory.saved.of(r.batch)),
    "shortcut_params": Figure(Column("shortcut_params", "shortcut params", count, True), *_summed("shortcut_params")),
    "shortcut_macs": Figure(Column("shortcut_macs", "shortcut MACs", count, True), *_summed("shortcut_macs")),
}  # fmt: skip
"""By the name that `--columns` takes."""

MEMORY = ("weights", "gradients", "optimizer", "saved")
"""What memory is made of."""

OF_BATCH = frozenset({"bytes", "saved"})
"""What depends on the batch and the precision."""


def chosen(columns: str | Iterable[str]) -> tuple[str, ...]:
    """The columns of a list, or of a text with commas. Raises SpecError with a suggestion."""
    return _known(columns, FIGURES, "column", Argument("columns"))


def kinds(counted: str | Iterable[str]) -> tuple[Kind, ...]:
    """The kinds of work of a list, or of a text with commas. Raises SpecError with a suggestion."""
    return _known(counted, KINDS, "kind of work", Argument("counted", option="count"))


def _known(given: str | Iterable[str], known: Collection[T], what: str, at: Argument) -> tuple[T, ...]:
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)
    rows = {str(name): name for name in known}
    for name in names:
        if name not in rows:
            raise refuse("unknown-name", f"no such {what}: {quote(name)}", did_you_mean(name, rows, what=f"a {what}"), at=at)
    return tuple(dict.fromkeys(rows[name] for name in names))
