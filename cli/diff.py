"""`resnet-dsl diff`."""

from __future__ import annotations

from typing import Annotated

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, ThemeOption, complete_spec
from resnet_dsl.cli.output import answer, wrote

_SPEC = "a path, - for standard input, or a shipped spec's name"


def command(
    a: Annotated[str, typer.Argument(metavar="A", help=f"The first network: {_SPEC}.", autocompletion=complete_spec, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="The second one.", autocompletion=complete_spec, show_default=False)],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", show_default=False, help="Draw them side by side too: .svg, .png, .pdf, .html, ..."),
    ] = None,
    theme: ThemeOption = "light",
    overrides: SetOption = None,
    overrides_b: Annotated[
        list[str] | None,
        typer.Option("--set-b", metavar="KEY=VALUE", show_default=False, help="Set a key only in B: what does this key change?"),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Show what changed from A to B: steps, costs by stage, and whether A's weights fit B. The exit code is 1 where they differ.

    Steps are aligned by what they do, so an inserted block, a renamed stage or two swapped blocks are one change each.
    """
    found = rd.diff(a, b, overrides=overrides or (), overrides_b=overrides_b or ())
    answer(found, format, quiet=quiet)
    if out is not None:
        wrote(found.draw(theme).save(out), quiet=quiet)
    if not found.same:
        raise typer.Exit(1)
