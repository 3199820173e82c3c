"""`resnet-dsl check`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.analysis.expect import check_expect
from resnet_dsl.cli.annotations import github, sarif
from resnet_dsl.cli.options import QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import complain, show, show_json, show_table
from resnet_dsl.cli.watch import watch
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, refuse, visible
from resnet_dsl.explanations import CODES
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.extends import spec_files
from resnet_dsl.table import Column, Table, count, short

CheckFormat = Literal["table", "json", "csv", "markdown", "github", "sarif"]


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
                "diagnostics": [d.to_dict(COMMAND_LINE) for d in self.error.diagnostics] if self.error else []}  # fmt: skip


def command(
    specs: SpecArguments,
    overrides: SetOption = None,
    format: Annotated[
        CheckFormat,
        typer.Option(
            "--format",
            "-f",
            metavar="table|json|csv|markdown|github|sarif",
            help="json, github, sarif: mistakes with places, for programs.",
        ),
    ] = "table",
    again: Annotated[
        bool, typer.Option("--watch", help="Check again whenever a file of a spec changes, its parents' and its recipe's too.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Check the network once more as a networkx graph, as building a module does.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Validate specs: the language, every shape, the training recipe, and the figures that `expect` states.

    Prints one `ok` line for each good spec, and for a bad one every mistake with its place and its fix.
    """
    if not again:
        failed = _report(specs, overrides or [], format, strict, quiet)
        if failed:
            raise typer.Exit(2 if 2 in failed else failed[0])
        return
    if "-" in specs:
        raise refuse("usage", "standard input cannot be watched: it is read once", "give the file's path", at="--watch")
    if format not in ("table", "github"):
        raise refuse("usage", f"{format} is one document, and a watch has no end", "leave --format or --watch out", at="--watch")
    watch(
        lambda: [path for spec in specs for path in spec_files(spec)],
        lambda: _report(specs, overrides or [], format, strict, quiet),
        quiet=quiet,
    )


def _report(specs: list[str], overrides: list[str], format: CheckFormat, strict: bool, quiet: bool) -> list[int]:
    """Check all, and print. The exit codes of those that are refused."""
    results = []
    for spec in specs:
        result = _check(spec, overrides, strict)
        results.append(result)
        if format == "table":
            _say(result, quiet)
    found = [d for r in results if r.error for d in r.error.diagnostics]
    if format == "json":
        show_json({"ok": all(r.error is None for r in results), "specs": [r.to_dict() for r in results]})
    elif format == "github":
        show("".join(map(github, found)))
    elif format == "sarif":
        show_json(sarif(found, CODES))
    elif format != "table":
        show_table(_table(results), format, quiet=quiet)
    return [r.error.exit_code for r in results if r.error]


def _check(spec: str, overrides: list[str], strict: bool) -> Result:
    try:
        chosen = load(spec, overrides)
        graph = compile(chosen)
        if strict:
            from resnet_dsl.graph.network import checked

            checked(graph)
        check_expect(chosen, graph)
    except SpecError as e:
        return Result(spec, error=e)
    return Result(spec, Costs(graph).network)


def _say(result: Result, quiet: bool) -> None:
    if result.error is not None:
        complain(result.error)
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
