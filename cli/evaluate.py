"""`resnet-dsl evaluate`."""

from __future__ import annotations

from typing import Annotated, Literal

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
    ResizeOption,
    SetOption,
    StdOption,
    TrainedArgument,
    WeightsOption,
    data_option,
    given,
    precision_option,
)
from resnet_dsl.cli.output import answer, note
from resnet_dsl.datasets.naming import DATA
from resnet_dsl.diagnostics import refuse


def command(
    target: TrainedArgument,
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
    data: Annotated[str | None, data_option(f"{DATA}; default: the run's own, or the one that fits the spec.")] = None,
    data_dir: DataDirOption = None,
    part: Annotated[
        Literal["test", "validation", "train"],
        typer.Option(metavar="test|validation|train", help="Which images; training images are not augmented."),
    ] = "test",
    confusion: Annotated[bool, typer.Option("--confusion", help="Also the confusion matrix: true classes against predicted ones.")] = False,
    by: Annotated[
        Literal["class"] | None,
        typer.Option(
            metavar="class", help="Also one row per class: recall, precision, F1, and the most frequent confusion.", show_default=False
        ),
    ] = None,
    crops: Annotated[
        Literal["1", "10"], typer.Option(metavar="1|10", help="For each picture file: its middle, or ten crops whose outputs are averaged.")
    ] = "1",
    scales: Annotated[
        str | None,
        typer.Option(
            metavar="S,S,...",
            help="Whole picture files in place of crops, the shorter side scaled to each: 224,256,384,480,640 is the paper's.",
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    precision: Annotated[Precision | None, precision_option("Precision of the arithmetic; default: the run's.")] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Measure top-1 and top-5 accuracy and the loss on the test images, for a run or for a spec with weights.

    JSON always holds the confusion matrix and the classes; CSV is one table: the scores, the matrix or the classes.
    """
    if format == "csv" and confusion and by:
        raise refuse("usage", "CSV is one table", "leave out --confusion or --by class", at="--format")
    found = rd.evaluate(
        target, weights=weights, overrides=overrides or (), part=part, by=by, confusion=confusion, data=data, data_dir=data_dir,
        crops=10 if crops == "10" else 1, scales=() if scales is None else scales, device=device, precision=precision,
        **given(quiet, key=key, prefix=prefix, head=head, first_conv=first_conv, normalisation=normalisation, mean=mean, std=std, classes=classes, resize=resize),
    )  # fmt: skip
    answer(found, format, quiet=quiet)
    for line in found.notes:
        note(line, quiet=quiet)
