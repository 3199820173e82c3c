"""What `check` says of specs: the cost of each good one, and every mistake of the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.analysis.expect import check_expect
from resnet_dsl.diagnostics import Diagnostic, SpecError, Speech, inline, render
from resnet_dsl.graph import compile
from resnet_dsl.language import Spec
from resnet_dsl.table import Answer, Column, Layout, Table, count, short

MAX_LISTED = 1_000
"""Mistakes of one spec in a document for programs; `more` counts the rest."""


@dataclass(frozen=True, slots=True)
class CheckedSpec:
    """One spec: its cost, or why it is refused."""

    name: str
    cost: Cost | None = None
    error: SpecError | None = None
    exercise: bool = False
    """What it costs is not told: the figures are for whoever does the exercise to count."""

    @property
    def text(self) -> str:
        """The line that says the spec is good; the mistakes where it is not."""
        if self.error is not None or self.cost is None:
            return render(self.diagnostics) + "\n"
        if self.exercise:
            return f"ok {inline(self.name)}: all that is expected holds\n"
        c = self.cost
        return f"ok {inline(self.name)}: {c.params:,} params, {short(c.macs)} MACs, depth {c.depth:,}\n"

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Its mistakes."""
        return self.error.diagnostics if self.error is not None else ()

    def to_dict(self, speech: Speech = "python") -> dict[str, object]:
        """As one of `specs` in `check --format json`."""
        cost = (
            None if self.cost is None or self.exercise else {"params": self.cost.params, "macs": self.cost.macs, "depth": self.cost.depth}
        )
        found = [d.to_dict(speech) for d in self.diagnostics[:MAX_LISTED]]
        more = {"more": len(self.diagnostics) - MAX_LISTED} if len(self.diagnostics) > MAX_LISTED else {}
        return {"spec": self.name, "ok": self.error is None, "cost": cost, "diagnostics": found, **more}


@dataclass(frozen=True, slots=True, repr=False)
class Checked(Answer):
    """Specs that were checked, in the order in which they were named."""

    specs: tuple[CheckedSpec, ...]

    @property
    def ok(self) -> bool:
        """Is every spec good?"""
        return all(s.error is None for s in self.specs)

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The mistakes of all specs."""
        return tuple(d for s in self.specs for d in s.diagnostics)

    @property
    def exit_code(self) -> int:
        """What the command ends with: 0, 2 where a spec has to change, else the code of the first that is refused."""
        codes = [s.error.exit_code for s in self.specs if s.error is not None]
        return 2 if 2 in codes else codes[0] if codes else 0

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One row per spec."""
        columns = (
            Column("spec", "spec", inline),
            Column("ok", "ok", lambda ok: "ok" if ok else "refused"),
            Column("errors", "errors", count, True),
            Column("params", "params", count, True),
            Column("macs", "MACs", count, True),
            Column("depth", "depth", count, True),
        )
        rows = []
        for s in self.specs:
            figures = (None, None, None) if s.cost is None or s.exercise else (s.cost.params, s.cost.macs, s.cost.depth)
            rows.append([s.name, s.error is None, len(s.diagnostics), *figures])
        return [Table(columns, rows)]

    def to_dict(self, speech: Speech = "python") -> dict[str, Any]:
        """The document of `check --format json`."""
        return {"ok": self.ok, "specs": [s.to_dict(speech) for s in self.specs]}

    def summary(self) -> str:
        """How many are good, or the first mistake."""
        bad = [s for s in self.specs if s.error is not None]
        if not bad:
            return ", ".join(inline(s.name) for s in self.specs[:3])[:200] + (", ..." if len(self.specs) > 3 else "") + ": ok"
        return f"{len(bad)} of {len(self.specs)} refused; {bad[0].diagnostics[0].code} in {inline(bad[0].name)[:200]}"

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """In the format `table` one line per good spec and the mistakes of the others."""
        if format == "table":
            return "".join(s.text for s in self.specs)
        return Answer.render(self, format, bold=bold, width=width, quiet=quiet)


def check_spec(name: str | os.PathLike[str], spec: Spec, *, strict: bool = False, exercise: bool = False) -> CheckedSpec:
    """The cost of a spec that compiles and is as it expects. Raises SpecError.

    `strict`: the network is checked once more as a networkx graph. `exercise`: no figure of it is told.
    """
    graph = compile(spec)
    if strict:
        from resnet_dsl.graph.network import checked

        checked(graph)
    check_expect(spec, graph, exercise=exercise)
    return CheckedSpec(os.fspath(name), Costs(graph).network, exercise=exercise)
