"""`resnet-dsl predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import (
    ClassesOption,
    DataDirOption,
    DeviceOption,
    FirstConvOption,
    FormatOption,
    HeadOption,
    KeyOption,
    MeanOption,
    NormalisationOption,
    Precision,
    PrefixOption,
    QuietOption,
    SetOption,
    StdOption,
    TrainedArgument,
    WeightsOption,
    data_option,
    given,
    precision_option,
)
from resnet_dsl.cli.output import answer, complain, note
from resnet_dsl.diagnostics import refuse


def command(
    target: TrainedArgument,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Picture files, or folders of them at any depth; or arrays of images: .npy and .npz files.",
            show_default=False,
        ),
    ],
    weights: WeightsOption = None,
    key: KeyOption = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    first_conv: FirstConvOption = None,
    normalisation: NormalisationOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    classes: ClassesOption = None,
    data: Annotated[
        str | None, data_option("As in train: whose class names, mean and deviation to use where the weights do not bring their own.")
    ] = None,
    data_dir: DataDirOption = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Classes per picture, the likeliest first.")] = 3,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="crop|stretch|refuse|SIDE",
            help="Pictures of another size: scale and keep the middle, scale each side, or report them as errors; a number: scale the shorter side to it and keep the middle; default: as the run "
            "evaluated its pictures if it cropped them, else crop.",
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    precision: Annotated[Precision | None, precision_option("Precision of the arithmetic; default: the run's.")] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Say what pictures show: the likeliest classes of each. A run's folder is enough, or a spec with weights.

    A picture that cannot be read is named and the others are predicted; the exit code is then 1.
    """
    if any(str(path) == "-" for path in images):
        raise refuse("usage", "pictures are not read from standard input", "give files or folders", at="IMAGE")
    found = rd.predict(
        target, images, weights=weights, overrides=overrides or (), top=top, data=data, data_dir=data_dir, device=device,
        precision=precision,
        **given(quiet, key=key, prefix=prefix, head=head, first_conv=first_conv, normalisation=normalisation, mean=mean, std=std, classes=classes,
                resize=int(resize) if resize is not None and resize.isdecimal() else resize),
    )  # fmt: skip
    for error in found.failed:
        complain(error)
    if found or format in ("csv", "json"):
        answer(found, format, quiet=quiet)
    if (line := found.left_out_line) is not None:
        note(line, quiet=quiet)
    for change, count in found.changes.items():
        note(f"note: {count:,} {'picture was' if count == 1 else 'pictures were'} {change}, to fit what the network reads", quiet=quiet)
    if found.failed:
        note(f"{len(found.failed):,} of {len(found) + len(found.failed):,} pictures could not be used")
        raise typer.Exit(1)
