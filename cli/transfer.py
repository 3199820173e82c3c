"""`resnet-dsl transfer`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import FormatOption, KeyOption, PrefixOption, QuietOption, complete_spec, given, seed_option, weights_option
from resnet_dsl.cli.output import answer, note


def command(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="The source of the weights: a run's folder, a .safetensors file that holds its spec, or a spec, with --weights.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            metavar="B",
            help="The network to begin: a path, - for standard input, or a shipped spec's name.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE.safetensors", help="Where to write B's weights; default: show only the plan.", show_default=False
        ),
    ] = None,
    grow: Annotated[
        bool, typer.Option("--grow", help="B is a deeper A: the blocks that it adds begin as the identity, so both compute the same.")
    ] = False,
    weights: Annotated[Path | None, weights_option("A's weights, where A is a spec: a .safetensors or .pth file.")] = None,
    key: KeyOption = None,
    prefix: PrefixOption = None,
    seed: Annotated[int | None, seed_option("Seed of the new tensors in B (0).")] = None,
    by: Annotated[
        Literal["part", "tensor"], typer.Option(metavar="part|tensor", help="One row per block or layer, or per tensor.")
    ] = "part",
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", show_default=False, help="Set a key of B before validation (repeatable)."),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Begin a network with the weights of another: tensors that fit by name and shape are copied, and the rest is new.

    With --grow, blocks that B adds after those of A's stages begin as the identity, and in evaluation B computes what A computes, bit for
    bit; both are run and compared before anything is written. Input normalisation and class names are kept.
    """
    found = rd.transfer(
        a, b, weights=weights, grow=grow, out=out, overrides=overrides or (), seed=seed, by=by, **given(quiet, key=key, prefix=prefix)
    )
    answer(found, format, quiet=quiet)
    if out is None:
        note("nothing is written without -o FILE.safetensors", quiet=quiet)
    else:
        proof = "; in evaluation it gives what A gives, bit for bit on random images" if grow else ""
        note(f"wrote {out}{proof}", quiet=quiet)
