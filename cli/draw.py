"""`resnet-dsl draw`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import QuietOption, SetOption, SpecArguments, ThemeOption
from resnet_dsl.cli.output import note, show, wrote
from resnet_dsl.diagnostics import refuse
from resnet_dsl.pictures.draw import DPI, ENDINGS, GRAPHS, By, Direction, Style


def command(
    specs: SpecArguments,
    out: Annotated[
        str,
        line.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=f"Where to write, in the format of its ending: {', '.join(ENDINGS)}; - is SVG on standard output.",
        ),
    ],
    by: Annotated[
        By,
        line.Option(
            metavar="stage|block|op", help="What is opened: equal blocks folded to one, the steps of each distinct block, or everything."
        ),
    ] = "stage",
    style: Annotated[
        Style,
        line.Option(
            metavar="folded|overview|paper|full",
            help="folded opens as --by says; overview is one card per stage; paper is one box per layer, with arcs; full shows all.",
        ),
    ] = "folded",
    theme: ThemeOption = "light",
    direction: Annotated[
        Direction | None,
        line.Option(metavar="TB|LR", help="Downwards or to the right; default: the usual one of the style.", show_default=False),
    ] = None,
    all: Annotated[bool, line.Option("--all", help="Draw every block of a network with more than 300 operations.")] = False,
    dpi: Annotated[float, line.Option(min=10, max=1200, metavar="N", help="Dots per inch of a png.")] = DPI,
    overrides: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Draw a network, or several side by side. Solid shortcuts are identities, dotted ones compute something."""
    if out.lower().endswith((".html", *GRAPHS)) and (by, style, direction, all) != ("stage", "folded", None, False):
        what = "a page opens and closes by itself" if out.lower().endswith(".html") else "a graph file holds every operation"
        message = f"{what}: --by, --style, --direction and --all are for pictures"
        raise refuse("usage", message, "leave them out, or write .svg", at="--out")
    drawing = rd.draw(specs, overrides=overrides or (), by=by, style=style, theme=theme, direction=direction, all=all)
    for text in drawing.left_out:
        note(text, quiet=quiet)
    if out == "-":
        show(drawing.svg)
    else:
        wrote(drawing.save(out, dpi=dpi), quiet=quiet)
