"""`resnet-dsl paths`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import answer, wrote
from resnet_dsl.pictures.paths import By


def command(
    specs: SpecArguments,
    by: Annotated[By, line.Option(help="What each row is.", metavar="net|length|cut|group")] = "net",
    out: Annotated[
        str | None, line.Option("--out", "-o", metavar="FILE.svg", help="Draw how many paths have each length.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Count the paths through networks, and find where all of them meet. Exact, and before any training.

    A length is the number of weighted layers on a path. Rows by cut are values through which every path leads, with their sizes; rows by
    group are layers whose widths are tied by additions.
    """
    found = rd.paths(*specs, overrides=overrides or (), by=by)
    if out is not None:
        wrote(found.save(out), quiet=quiet)
    answer(found, format, quiet=quiet)
