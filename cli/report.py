"""`resnet-dsl report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.cli.options import DataDirOption, QuietOption, ThemeOption
from resnet_dsl.cli.output import note, show, wrote
from resnet_dsl.diagnostics import refuse
from resnet_dsl.verbs.reporting import report


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders that hold runs.", show_default=False)],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write; - is standard output.")],
    predictions: Annotated[
        bool,
        typer.Option("--predictions/--no-predictions", help="Run the networks on their test images, which needs torch, or not."),
    ] = True,
    data_dir: DataDirOption = None,
    theme: ThemeOption = "light",
    quiet: QuietOption = False,
) -> None:
    """Write a page about runs: results, curves, the confusion matrix, sample predictions, the networks.

    It is one file that loads nothing. Where a run has no weights yet, or its data is not found, the page says so.
    """
    if out != "-" and not out.lower().endswith(".html"):
        raise refuse("usage", f"a report is a page, not {out}", "name a file that ends in .html", at="--out")
    page = report(*runs, predictions=predictions, data_dir=data_dir, theme=theme, warn=lambda text: note(f"warning: {text}"))
    if out == "-":
        show(page.html)
    else:
        page.save(out)
        wrote(out, quiet=quiet)
