"""`resnet-dsl diff`."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from resnet_dsl.analysis.diff import Difference
from resnet_dsl.analysis.diff import diff as compared
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, ThemeOption, complete_spec
from resnet_dsl.cli.output import note, show, show_json, show_table
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.pictures import difftext

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
        typer.Option("--set-b", metavar="KEY=VALUE", show_default=False, help="The same for B alone: what does this key change?"),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Show what changed from A to B: steps, costs by stage, and whether A's weights fit B. The exit code is 1 where they differ.

    Steps are aligned by what they do, so an inserted block, a renamed stage or two swapped blocks are one change each.
    """
    first, second = load(a, overrides or ()), load(b, [*(overrides or ()), *(overrides_b or ())])
    found = compared(compile(first), compile(second), (a, " ".join([b, *(overrides_b or ())])))
    if format == "json":
        show_json(found.to_dict())
    elif format == "csv":
        show_table(found.rows(), "csv")
    elif format == "latex":
        show_table(found.table(), "latex", quiet=quiet)
    else:
        show(_text(found, markdown=format == "markdown"))
    if out is not None:
        from resnet_dsl.pictures.draw import draw_difference

        note(f"wrote {draw_difference(found, theme).save(out)}", quiet=quiet)
    if not found.same:
        raise typer.Exit(1)


def _text(found: Difference, *, markdown: bool) -> str:
    width = shutil.get_terminal_size().columns
    tree, weights = difftext.tree(found, width), difftext.weights(found.weights)
    if markdown:
        fences = [f"```diff\n{tree}```\n", found.table().render("markdown"), f"```text\n{weights}```\n"]
        return "\n".join(fences if not found.same else fences[:1])
    return "\n".join([tree, found.table().render("table"), weights] if not found.same else [tree])
