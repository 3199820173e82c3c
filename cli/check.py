"""`resnet-dsl check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from resnet_dsl.cli.options import QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import show, show_json, show_table
from resnet_dsl.diagnostics import Diagnostic, SpecError, clean, visible
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.reports.cost import Cost, Costs
from resnet_dsl.reports.expect import check_expect
from resnet_dsl.reports.table import Column, Table, count, short

CheckFormat = Literal["table", "json", "csv", "markdown", "github"]


@dataclass(frozen=True, slots=True)
class Result:
    """One spec: its cost, or why it is refused."""

    spec: str
    cost: Cost | None = None
    error: SpecError | None = None

    def to_dict(self) -> dict[str, object]:
        """As `check --format json` has it."""
        cost = None if self.cost is None else {"params": self.cost.params, "macs": self.cost.macs, "depth": self.cost.depth}
        return {"spec": visible(self.spec), "ok": self.error is None, "cost": cost,
                "diagnostics": [d.to_dict() for d in self.error.diagnostics] if self.error else []}  # fmt: skip


def command(
    specs: SpecArguments,
    overrides: SetOption = None,
    format: Annotated[
        CheckFormat, typer.Option("--format", "-f", metavar="table|json|csv|markdown|github", help="json: located errors for editors.")
    ] = "table",
    quiet: QuietOption = False,
) -> None:
    """Validate specs: the language, every shape, the training recipe, and the figures that `expect` states.

    Prints one `ok` line for each good spec, and for a bad one every mistake with its place and its mend.
    """
    results = []
    for spec in specs:
        result = _check(spec, overrides or [])
        results.append(result)
        if format == "table":
            _say(result, quiet)
    if format == "json":
        show_json({"ok": all(r.error is None for r in results), "specs": [r.to_dict() for r in results]})
    elif format == "github":
        show("".join(github(d) for r in results if r.error for d in r.error.diagnostics))
    elif format != "table":
        show_table(_table(results), format, quiet=quiet)
    failed = [r.error.exit_code for r in results if r.error]
    if failed:
        raise typer.Exit(2 if 2 in failed else failed[0])


def _check(spec: str, overrides: list[str]) -> Result:
    try:
        chosen = load(spec, overrides)
        graph = compile(chosen)
        check_expect(chosen, graph)
    except SpecError as e:
        return Result(spec, error=e)
    return Result(spec, Costs(graph).network)


def _say(result: Result, quiet: bool) -> None:
    if result.error is not None:
        typer.echo(str(result.error), err=True)
    elif result.cost is not None and not quiet:
        c = result.cost
        show(f"ok {visible(result.spec)}: {c.params:,} params, {short(c.macs)} MACs, depth {c.depth:,}\n")


def _table(results: list[Result]) -> Table:
    columns = (
        Column("spec", "spec", visible), Column("ok", "ok", lambda ok: "ok" if ok else "refused"), Column("errors", "errors", count, True),
        Column("params", "params", count, True), Column("macs", "MACs", count, True), Column("depth", "depth", count, True),
    )  # fmt: skip
    figures = [(None, None, None) if r.cost is None else (r.cost.params, r.cost.macs, r.cost.depth) for r in results]
    rows = [[r.spec, r.error is None, len(r.error.diagnostics) if r.error else 0, *f] for r, f in zip(results, figures, strict=True)]
    return Table(columns, rows)


def github(d: Diagnostic) -> str:
    """A workflow command, which GitHub shows at the line of a pull request."""
    at = d.location
    places = [f"file={_escaped(visible(at.source.name), ':,')}"]
    if at.line:
        places += [f"line={at.line}", f"col={at.column}", f"endColumn={at.column + at.length}"]
    text = _escaped(f"{clean(d.message)}\nhelp: {clean(d.help)}")
    return f"::{d.level} {','.join(places)},title={_escaped(d.code, ':,')}::{text}\n"


def _escaped(text: str, also: str = "") -> str:
    for c in "%\r\n" + also:
        text = text.replace(c, f"%{ord(c):02X}")
    return text
