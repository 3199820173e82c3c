"""A difference between two networks as one value: text with `+`, `-` and `~`, tables, JSON, and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from resnet_dsl.analysis import diff as analysis
from resnet_dsl.analysis.changes import Changes
from resnet_dsl.analysis.cost import CONVENTION, Cost
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph.graph import Graph
from resnet_dsl.pictures import difftext
from resnet_dsl.pictures.draw import Drawing, Theme, draw_difference
from resnet_dsl.table import Answer, Column, Layout, Table, count, short, signed


@dataclass(frozen=True, repr=False)
class Difference(Answer, Changes):
    """What changes from network A to network B: steps, costs by stage, and whether A's weights fit B."""

    def summary(self) -> str:
        """What the two are called, and how many changes there are."""
        changes = "the networks are the same" if self.same else f"{self.count:,} change{'s' if self.count > 1 else ''}"
        return f"{self.labels[0]} to {self.labels[1]}: {changes}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """Costs by stage; for CSV one row per change."""
        return [self.rows() if format == "csv" else self.table()]

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The changes as a tree, costs by stage, and which weights fit. CSV and LaTeX hold a table alone."""
        if format in ("csv", "latex"):
            return super().render(format, quiet=quiet)
        tree, weights = difftext.tree(self, width), difftext.weights(self.weights)
        if format == "html":
            parts = [_pre(tree), self.table().render("html"), _pre(weights)]
        elif format == "markdown":
            parts = [f"```diff\n{tree}```\n", self.table().render("markdown"), f"```text\n{weights}```\n"]
        else:
            parts = [tree, self.table().render("table"), weights]
        return "\n".join(parts[:1] if self.same else parts)

    def draw(self, theme: Theme = "light") -> Drawing:
        """Both networks side by side, row by row, with what differs marked. Raises SpecError as `pictures.draw` does."""
        return draw_difference(self, theme)

    def _repr_svg_(self) -> str | None:
        """Both networks side by side; None where there are too many boxes, or no drawing engine."""
        try:
            return self.draw()._repr_svg_()
        except SpecError:
            return None

    def table(self) -> Table:
        """Costs by stage: A, B and the difference."""
        columns = (
            Column("stage", "stage"),
            Column("params_a", "params A", count, True), Column("params_b", "params B", count, True),
            Column("delta_params", "difference", signed(count), True),
            Column("macs_a", "MACs A", short, True), Column("macs_b", "MACs B", short, True),
            Column("delta_macs", "difference", signed(short), True),
        )  # fmt: skip
        total = (c.network for c in self.costs)
        return Table(columns, [_row(*part) for part in self.parts()], total=_row("total", *total), notes=(CONVENTION,))

    def rows(self) -> Table:
        """One row per change."""
        columns = tuple(Column(key, key) for key in ("status", "a", "b", "what", "attribute", "from", "to"))
        rows: list[list[object]] = [["changed", self.a.name, self.b.name, "network", x.name, x.before, x.after] for x in self.attributes]
        for change in (c for top in self.changes for c in top.walk()):
            ends = [change.a.path if change.a else "", change.b.path if change.b else ""]
            rows += (["changed", *ends, change.side.kind, x.name, x.before, x.after] for x in change.attributes)
            if change.status in ("added", "removed"):
                rows.append([change.status, *ends, change.side.kind, "", "", ""])
        return Table(columns, rows)

    def to_dict(self) -> dict[str, object]:
        """The JSON document of `diff --format json`."""
        return {
            "a": self._network(0),
            "b": self._network(1),
            "same": self.same,
            "count": self.count,
            "changes": [x.to_dict() for x in self.attributes],
            "inside": [c.to_dict() for c in self.changes],
            "stages": [
                {"name": name, "params": {"a": a.params, "b": b.params}, "macs": {"a": a.macs, "b": b.macs}} for name, a, b in self.parts()
            ],
            "weights": self.weights.to_dict(),
        }

    def _network(self, i: int) -> dict[str, object]:
        graph, cost = (self.a, self.b)[i], self.costs[i].network
        return {"label": self.labels[i], "name": graph.name, "params": cost.params, "macs": cost.macs, "depth": cost.depth}


def diff(a: Graph, b: Graph, labels: tuple[str, str] | None = None) -> Difference:
    """What changes from A to B; `labels` are what they are called where that is not their names."""
    found = analysis.diff(a, b, labels)
    return Difference(found.a, found.b, found.labels, found.attributes, found.changes, found.costs)


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>\n"


def _row(name: str, a: Cost, b: Cost) -> list[object]:
    return [name, a.params, b.params, b.params - a.params, a.macs, b.macs, b.macs - a.macs]
