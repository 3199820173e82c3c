"""`resnet-dsl diff`."""

from __future__ import annotations

from typing import Annotated, Literal

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import QuietOption, SetOption, ThemeOption, complete_spec
from resnet_dsl.cli.output import answer, show, wrote
from resnet_dsl.verbs.networks import comment

_SPEC = "a path, - for standard input, or a shipped spec's name"


def command(
    a: Annotated[str, line.Argument(metavar="A", help=f"The first network: {_SPEC}.", autocompletion=complete_spec, show_default=False)],
    b: Annotated[str, line.Argument(metavar="B", help="The second one.", autocompletion=complete_spec, show_default=False)],
    out: Annotated[
        str | None,
        line.Option("--out", "-o", metavar="FILE", show_default=False, help="Draw them side by side too: .svg, .png, .pdf, .html, ..."),
    ] = None,
    theme: ThemeOption = "light",
    overrides: SetOption = None,
    overrides_b: Annotated[
        list[str] | None,
        line.Option("--set-b", metavar="KEY=VALUE", show_default=False, help="Set a key only in B: what does this key change?"),
    ] = None,
    format: Annotated[
        Literal["table", "json", "csv", "markdown", "latex", "comment"],
        line.Option(
            "--format",
            "-f",
            metavar="table|json|csv|markdown|latex|comment",
            help="How the result is written; comment is Markdown for a pull request, with a picture and what lint finds in B.",
        ),
    ] = "table",
    quiet: QuietOption = False,
) -> None:
    """Show what changed from A to B: steps, costs by stage, and whether A's weights fit B. The exit code is 1 where they differ.

    Steps are aligned by what they do, so an inserted block, a renamed stage or two swapped blocks are one change each.
    """
    more = overrides_b or []
    first, second = rd.load(a, overrides or ()), rd.load(b, [*(overrides or ()), *more])
    found = rd.diff(first, second, labels=(a, " ".join([b, *more])))
    if format == "comment":
        show(comment(found, rd.lint(second)))
    else:
        answer(found, format, quiet=quiet)
    if out is not None:
        wrote(found.draw(theme).save(out), quiet=quiet)
    if not found.same:
        raise line.Exit(1)
