"""`resnet-dsl demo`: the paper's point in a minute, with nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import QuietOption
from resnet_dsl.cli.output import note, show, show_table
from resnet_dsl.cli.train import RESUMABLE
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.records.request import Request
from resnet_dsl.records.results import results_table
from resnet_dsl.table import Column, Table
from resnet_dsl.verbs.training import carry_out

RESIDUAL, PLAIN = "resnet56-digits", "plain56-digits"


def command(
    epochs: Annotated[int, line.Option(min=1, metavar="N", help="Passes over the training set, for each network.")] = 15,
    quiet: QuietOption = False,
) -> None:
    """Train a 56-layer residual network and its plain twin on 8x8 digits, one after the other, and compare them.

    The two differ in one word of the spec, the shortcut. Both have the same parameters, recipe and seed.
    """
    request = Request(data="digits", recipe="digits", epochs=epochs, quiet=quiet)
    try:
        runs = [carry_out(name, request, command=["resnet-dsl", "demo"]) for name in (RESIDUAL, PLAIN)]
    except Interrupted as e:
        note(f"{e}\nbegin again with: resnet-dsl demo")
        raise line.Exit(RESUMABLE) from None
    picture = runs[0].path / "networks.svg"
    rd.draw([rd.compile(rd.load(name)) for name in (RESIDUAL, PLAIN)]).save(picture)
    show_table(results_table([r.results for r in runs if r.results]), "table")
    show("\n")
    show_table(_pointers(runs[0].path, picture), "table")


def _pointers(folder: Path, picture: Path) -> Table:
    rows = (("picture", picture), ("next", f"resnet-dsl evaluate {folder}"), ("", f"resnet-dsl compare {PLAIN} {RESIDUAL}"))
    return Table((Column("what", ""), Column("where", "")), rows)
