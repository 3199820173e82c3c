"""`resnet-dsl check`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

import resnet_dsl as rd
from resnet_dsl.cli.annotations import github, sarif
from resnet_dsl.cli.options import QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import complain, show, show_json, show_table
from resnet_dsl.cli.watch import watch
from resnet_dsl.diagnostics import COMMAND_LINE, refuse
from resnet_dsl.verbs.language import explanations, files_of

CheckFormat = Literal["table", "json", "csv", "markdown", "github", "sarif"]


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
    exercise: Annotated[
        bool, typer.Option("--exercise", help="For learners: say which lines of expect do not hold, and no figure of the network.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Validate specs: the language, every shape, the training recipe, and the figures that `expect` states.

    Prints one `ok` line for each good spec, and for a bad one every mistake with its place and its fix.
    """
    if not again:
        failed = _report(specs, overrides or [], format, strict, exercise, quiet)
        if failed:
            raise typer.Exit(failed)
        return
    if "-" in specs:
        raise refuse("usage", "standard input cannot be watched: it is read once", "give the file's path", at="--watch")
    if format not in ("table", "github"):
        raise refuse("usage", f"{format} is one document, and a watch has no end", "leave --format or --watch out", at="--watch")
    watch(
        lambda: [path for spec in specs for path in files_of(spec)],
        lambda: _report(specs, overrides or [], format, strict, exercise, quiet),
        quiet=quiet,
    )


def _report(specs: list[str], overrides: list[str], format: CheckFormat, strict: bool, exercise: bool, quiet: bool) -> int:
    """Check all, and print; the exit code."""
    if format == "table":
        return _say(specs, overrides, strict, exercise, quiet)
    found = rd.check(*specs, overrides=overrides, strict=strict, exercise=exercise)
    if format == "json":
        show_json(found.to_dict(COMMAND_LINE))
    elif format == "github":
        show("".join(map(github, found.diagnostics)))
    elif format == "sarif":
        show_json(sarif(found.diagnostics, explanations()))
    else:
        show_table(found.tables(format)[0], format, quiet=quiet)
    return found.exit_code


def _say(specs: list[str], overrides: list[str], strict: bool, exercise: bool, quiet: bool) -> int:
    """Check one spec after the other, and print each result at once. Returns the exit code."""
    codes = []
    for spec in specs:
        found = rd.check(spec, overrides=overrides, strict=strict, exercise=exercise)
        codes.append(found.exit_code)
        if found.specs[0].error is not None:
            complain(found.specs[0].error)
        elif not quiet:
            show(str(found))
    return 2 if 2 in codes else next((code for code in codes if code), 0)
