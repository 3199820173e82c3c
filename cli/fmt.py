"""`resnet-dsl fmt`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import QuietOption
from resnet_dsl.cli.output import complain, show
from resnet_dsl.diagnostics import SpecError, inline


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Specs' paths; - reads standard input and writes standard output.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; print the files that are not in normal form, and exit 1 if there are any.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Bring specs into their normal form: order of keys, spacing, quotes. Comments stay, and the network stays what it is.

    Keys stand in the order of the language's page; what was written in braces stays in braces where it fits in 100 columns.
    """
    changed, refused = False, []
    for name in files:
        try:
            changed |= _one(name, check, diff, quiet)
        except SpecError as e:
            complain(e)
            refused.append(e.exit_code)
    if refused:
        raise typer.Exit(2 if 2 in refused else refused[0])
    if changed and check:
        raise typer.Exit(1)


def _one(name: str, check: bool, diff: bool, quiet: bool) -> bool:
    """Format one file, or say what would change; does anything?"""
    found = rd.format(Path(name))
    if diff:
        show(found.diff())
    elif check:
        show(f"{inline(name)}\n" if found.changed and not quiet else "")
    elif name == "-":
        show(found.text)
    else:
        if found.changed:
            found.write()
        if not quiet:
            show(f"{'formatted' if found.changed else 'ok'} {inline(name)}\n")
    return found.changed
