"""The tables that papers print, beside what the shipped specs cost, with the reason for every difference."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cache
from importlib import resources
from textwrap import wrap
from typing import Any

from resnet_dsl.analysis.cost import CONVENTION, Costs
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.table import Answer, Column, Layout, Table, asked, count

_UNITS = {"e9": Decimal(10**9), "M": Decimal(10**6)}


@cache
def presets() -> dict[str, Any]:
    """The tables by name, from `papers.json`: title, figure, unit, notes, and rows of name, spec, settings and printed figure."""
    return json.loads(resources.files("resnet_dsl.analysis").joinpath("papers.json").read_text("utf-8"))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One line of a paper's table: what it prints, what we count, and how the two go together.

    `settings` are the overrides that make the network from `spec`.
    """

    name: str
    spec: str
    settings: tuple[str, ...]
    printed: str
    ours: int
    because: str

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "name": self.name,
            "spec": self.spec,
            "set": list(self.settings),
            "printed": self.printed,
            "ours": self.ours,
            "because": self.because,
        }


@dataclass(frozen=True, slots=True, repr=False)
class PaperTable(Answer):
    """A paper's table beside ours."""

    title: str
    figure: str
    unit: str
    rows: tuple[PaperRow, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """The JSON document of `compare --preset`."""
        return {
            "title": self.title,
            "figure": self.figure,
            "unit": self.unit,
            "rows": [r.to_dict() for r in self.rows],
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """The table, and how many networks it has."""
        return f"{self.title}: {len(self.rows)} networks"

    def tables(self, format: Layout = "table") -> list[Table]:
        """One row per network."""
        columns = (
            Column("name", "network"), Column("spec", "spec"), Column("printed", f"paper ({self.unit})", right=True),
            Column("ours", "exact", count, True), Column("because", "how they differ", wrap=True),
        )  # fmt: skip
        notes = [*(line for note in self.notes for line in wrap(note, 80)), *([CONVENTION] if self.figure == "macs" else [])]
        if any(r.settings for r in self.rows):
            notes.append(f"* with other blocks, widths and depths: {asked('json')} shows the settings.")
        rows = [[r.name, f"{r.spec} *" if r.settings else r.spec, r.printed, r.ours, r.because] for r in self.rows]
        return [Table(columns, rows, self.title, notes=tuple(notes))]


def paper_table(name: str, overrides: Sequence[str] = ()) -> PaperTable:
    """The table of a preset. Raises SpecError for one that we do not have, and where overrides do not fit its specs."""
    if name not in presets():
        at = Argument("preset")
        raise refuse("unknown-name", f"no such preset: {quote(name)}", did_you_mean(name, presets(), what="a preset"), at=at)
    preset = presets()[name]
    rows = []
    for row in preset["rows"]:
        cost = Costs(compile(load(row["spec"], [*row["set"], *overrides]))).network
        ours = cost.params if preset["figure"] == "params" else cost.macs
        because = row["because"] or agreement(row["printed"], ours, preset["unit"])
        rows.append(PaperRow(row["name"], row["spec"], tuple(row["set"]), row["printed"], ours, because))
    return PaperTable(preset["title"], preset["figure"], preset["unit"], tuple(rows), tuple(preset["notes"]))


def agreement(printed: str, ours: int, unit: str) -> str:
    """How an exact count goes with a printed figure: equal when rounded, or when cut off to as many digits, or not."""
    value, digits = Decimal(ours) / _UNITS[unit], Decimal(printed)
    if value.quantize(digits, ROUND_HALF_UP) == digits:
        return "the same, rounded"
    return "the same, cut off" if value.quantize(digits, ROUND_DOWN) == digits else f"differs by {(digits - value) / value:+.1%}"
