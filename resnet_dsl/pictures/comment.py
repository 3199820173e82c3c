"""What a pull request is told of a spec that it changes, in GitHub's Markdown: costs, changes, a picture, findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from resnet_dsl.analysis.cost import CONVENTION, Cost, Costs
from resnet_dsl.analysis.weights import WeightsFit
from resnet_dsl.diagnostics import COMMAND_LINE, Diagnostic, clean, render, speak
from resnet_dsl.graph.graph import Graph
from resnet_dsl.pictures import difftext
from resnet_dsl.pictures.difference import Difference
from resnet_dsl.pictures.draw import draw
from resnet_dsl.table import Column, Table, count, share, signed

_FIGURES = ("params", "macs", "activations", "depth")
_TITLES = ("params", "MACs", "activations", "depth")


def changed(found: Difference, findings: Sequence[Diagnostic] = ()) -> str:
    """A spec that was changed: costs before and after, what changed, by stage, the new network, what lint finds in it."""
    head = f"### {code(found.labels[1])}\n"
    if found.same:
        return "\n".join([head, "The networks are the same: every step, its names and its weights.\n", *_lint(findings)])
    changes = f"{found.count:,} change{'' if found.count == 1 else 's'}"
    before, after = (c.network for c in found.costs)
    return "\n".join([
        head,
        _costs(before, after).render("markdown"),
        _weights(found.weights),
        _folded(f"What changed: {changes}", fenced(difftext.tree(found, 100), "diff")),
        _folded("By stage", replace(found.table(), notes=()).render("markdown")),
        _picture(found.b),
        *_lint(findings),
    ])  # fmt: skip


def added(name: str, graph: Graph, findings: Sequence[Diagnostic] = ()) -> str:
    """A spec that is new: what it costs, what it looks like, what lint finds."""
    return "\n".join(
        [f"### {code(name)} (new)\n", _costs(None, Costs(graph).network).render("markdown"), _picture(graph), *_lint(findings)]
    )


def removed(name: str) -> str:
    """A spec that is gone."""
    return f"### {code(name)} (deleted)\n"


def refused(name: str, mistakes: Sequence[Diagnostic]) -> str:
    """A spec with mistakes, as `check` tells them."""
    return f"### {code(name)}: refused\n\n{fenced(render(mistakes, COMMAND_LINE), 'text')}"


def fenced(text: str, language: str) -> str:
    """A block of code that no text can end before its end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def code(text: str) -> str:
    """Text as code within a line."""
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{marks}{space}{clean(speak(text, COMMAND_LINE))}{space}{marks}"


def _folded(title: str, body: str) -> str:
    # Markdown within HTML begins after an empty line.
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def _picture(graph: Graph) -> str:
    return _folded("Picture", fenced(draw(graph, style="overview").mmd, "mermaid"))


def _weights(fit: WeightsFit) -> str:
    total = f"{fit.common + len(fit.reshaped) + len(fit.only_b):,} tensors"
    if fit.fits:
        return f"Weights from before fit: all {total}.\n"
    left = f", and {len(fit.only_a):,} from before have no place" if fit.only_a else ""
    return f"Weights from before do not fit: {fit.common:,} of {total} match in name and shape{left}.\n"


def _lint(findings: Iterable[Diagnostic]) -> list[str]:
    found = list(findings)
    title = f"Lint: {len(found)} finding{'' if len(found) == 1 else 's'}"
    return [_folded(title, fenced(render(found, COMMAND_LINE), "text"))] if found else []


def _costs(before: Cost | None, after: Cost) -> Table:
    if before is None:
        new = (Column("what", ""), Column("after", "after", count, True))
        return Table(new, [[title, getattr(after, key)] for key, title in zip(_FIGURES, _TITLES, strict=True)], notes=(CONVENTION,))
    columns = (
        Column("what", ""), Column("before", "before", count, True), Column("after", "after", count, True),
        Column("delta", "difference", signed(count), True), Column("share", "share", signed(share), True),
    )  # fmt: skip
    rows: list[list[object]] = []
    for key, title in zip(_FIGURES, _TITLES, strict=True):
        a, b = getattr(before, key), getattr(after, key)
        rows.append([title, a, b, b - a, (b - a) / a if a else None])
    return Table(columns, rows, notes=(CONVENTION,))
