"""`resnet-dsl demo`: the paper's point in a minute, with nothing to download."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_dsl.cli.options import QuietOption
from resnet_dsl.cli.output import answer, note
from resnet_dsl.cli.train import RESUMABLE
from resnet_dsl.verbs.reporting import demonstrate
from resnet_dsl.verbs.training import Interrupted


def command(
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the training set, for each network.")] = 15,
    quiet: QuietOption = False,
) -> None:
    """Train a 56-layer residual network and its plain twin on 8x8 digits, side by side, and compare them.

    The two differ in one word of the spec, the shortcut. Both have the same parameters, recipe and seed.
    """
    try:
        found = demonstrate(epochs, quiet=quiet)
    except Interrupted as e:
        note(f"{e}\nbegin again with: resnet-dsl demo")
        raise typer.Exit(RESUMABLE) from None
    answer(found, "table", quiet=quiet)
