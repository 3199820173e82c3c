"""`resnet-dsl list`."""

from __future__ import annotations

from typing import Annotated

from resnet_dsl.cli import line
from resnet_dsl.cli.options import FormatOption, QuietOption
from resnet_dsl.cli.output import answer
from resnet_dsl.verbs.catalog import What, catalog


def command(
    what: Annotated[What, line.Argument(help="What to list; ops are the steps that blocks, stems and heads are made of.")] = "specs",
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """List what is shipped, by the names that specs and other commands take."""
    answer(catalog(what), format, quiet=quiet)
