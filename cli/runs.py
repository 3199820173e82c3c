"""`resnet-dsl runs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import FormatOption, QuietOption, check_svg, svg_option
from resnet_dsl.cli.output import answer, note, write, wrote
from resnet_dsl.diagnostics import refuse


def command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR|RUN]...", help="Folders that hold runs, or runs themselves; default: runs/.", show_default=False),
    ] = None,
    metric: Annotated[
        Literal["accuracy", "loss", "lr"] | None,
        typer.Option(metavar="accuracy|loss|lr", help="What the curves show; default: accuracy.", show_default=False),
    ] = None,
    group: Annotated[
        bool, typer.Option("--group", help="One row for runs that differ by their seed alone: mean, deviation and number.")
    ] = False,
    out: Annotated[str | None, svg_option("Draw the curves into an SVG.")] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """List runs: how far and how good they are, and where their recipes differ. Nothing is written into them.

    Runs given by name (runs A B) are compared: best first, with their curves by epoch.
    `--group` gives one row for runs that differ by their seed alone.
    """
    check_svg(out, "curves are drawn")
    found = rd.runs(*(folders or ()), metric=metric or ("accuracy" if out else None), warn=lambda text: note(f"warning: {text}"))
    if group:
        if out is not None or metric is not None:
            raise refuse("usage", "groups have no curves", "leave out --group, or --metric and --out", at="--group")
        answer(found.grouped(), format, quiet=quiet)
        return
    if out is not None:
        drawn = found.svg(metric or "accuracy")
        if drawn is None:
            raise refuse("run-missing", "nothing has been measured in these runs yet", "wait for an evaluation", at="--out", exit_code=3)
        write(out, drawn)
        wrote(out, quiet=quiet)
    answer(found, format, quiet=quiet)
