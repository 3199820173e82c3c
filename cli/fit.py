"""`resnet-dsl fit`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import OutOption, QuietOption, SetOption, SpecArgument, complete_spec
from resnet_dsl.cli.output import check_ending, note, show, wrote


def command(
    spec: SpecArgument,
    params: Annotated[str | None, line.Option(metavar="N", help="The most parameters: 5M.", show_default=False)] = None,
    macs: Annotated[str | None, line.Option(metavar="N", help="The most MACs: 300M.", show_default=False)] = None,
    like: Annotated[
        str | None,
        line.Option(metavar="SPEC", help="The most of both is what this network costs.", autocompletion=complete_spec, show_default=False),
    ] = None,
    over: Annotated[str, line.Option(metavar="width,depth", help="What may change: width, depth, or both.")] = "width",
    multiple: Annotated[int, line.Option(min=1, max=4096, metavar="N", help="Make widths divisible by N.")] = 1,
    overrides: SetOption = None,
    out: OutOption = "-",
    quiet: QuietOption = False,
) -> None:
    """Scale a network's stages to a budget, and write the result as a spec that extends it.

    Widths are scaled by one factor and depths by another; of all such networks the one with the highest cost within the budget is taken.
    """
    check_ending(out, ".yaml", ".yml")
    found = rd.fit(spec, overrides or (), params=params, macs=macs, like=like, over=over, multiple=multiple, out=out)
    if out == "-":
        show(found.spec_text)
        note(found.changes, quiet=quiet)
    else:
        found.save()
        note(found.changes, quiet=quiet)
        wrote(out, quiet=quiet)
