"""`resnet-dsl export`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import (
    ClassesOption,
    FirstConvOption,
    HeadOption,
    KeyOption,
    MeanOption,
    NormalisationOption,
    PrefixOption,
    QuietOption,
    ResizeOption,
    SetOption,
    StdOption,
    WeightsOption,
    complete_spec,
    given,
    seed_option,
)
from resnet_dsl.cli.output import note, show
from resnet_dsl.diagnostics import refuse


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC",
            help="A run's folder; a spec, with --weights or untrained; or a .safetensors file that holds its spec.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Where to write; its ending decides: .onnx, .pt2 or .safetensors.", show_default=False
        ),
    ] = None,
    verify: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write nothing: compare a file that exists with the network.", show_default=False),
    ] = None,
    weights: WeightsOption = None,
    key: KeyOption = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    first_conv: FirstConvOption = None,
    normalisation: NormalisationOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    classes: ClassesOption = None,
    resize: ResizeOption = None,
    seed: Annotated[int | None, seed_option("For the initial weights of a spec without --weights (0).", least=None)] = None,
    fold_bn: Annotated[bool, typer.Option("--fold-bn", help="Fold batch norms into the layers before them.")] = False,
    opset: Annotated[
        int | None,
        typer.Option(min=11, max=26, metavar="N", help="The opset of an ONNX file, 11 to 26; default: torch's own.", show_default=False),
    ] = None,
    any_size: Annotated[bool, typer.Option("--any-size", help="Pictures of any height and width, not only the spec's.")] = False,
    precision: Annotated[
        Literal["fp32", "fp16"], typer.Option(metavar="fp32|fp16", help="Of weights and arithmetic; images and logits stay float32.")
    ] = "fp32",
    overrides: SetOption = None,
    quiet: QuietOption = False,
) -> None:
    """Write a network with its weights for other programs, with its spec, class names and normalisation inside.

    ONNX and torch.export's program take any batch and give the logits. Both are run before they are written, and compared with torch.
    `inspect`, `evaluate` and `predict` take such a file too.
    """
    said = given(quiet, key=key, prefix=prefix, head=head, first_conv=first_conv, normalisation=normalisation, mean=mean, std=std,
                 classes=classes, resize=resize)  # fmt: skip
    if verify is not None:
        how = {"--out": out, "--fold-bn": fold_bn, "--opset": opset, "--any-size": any_size, "--seed": seed}
        _alone(**how, **{"--precision": precision != "fp32"})
        compared = rd.verify(target, verify, weights=weights, overrides=overrides or (), **said)
        show(f"{compared}\n")
        note("\n".join(compared.notes), quiet=quiet or not compared.notes)
        return
    if out is None:
        raise refuse("usage", "there is no file to write", "add -o FILE; or --verify FILE compares one that exists", at="--out")
    found = rd.export(
        target, out, weights=weights, overrides=overrides or (), fold_bn=fold_bn, opset=opset, any_size=any_size, precision=precision,
        seed=seed, **said,
    )  # fmt: skip
    note(str(found), quiet=quiet)


def _alone(**others: object) -> None:
    """Refuse options that say how a file is written, where none is."""
    for name, value in others.items():
        if value not in (None, False):
            raise refuse("usage", f"--verify writes nothing, and {name} says how to write", f"leave out {name}, or --verify", at=name)
