"""`resnet-dsl predict`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from resnet_dsl.analysis.training import predictions_table
from resnet_dsl.cli.options import DataDirOption, DeviceOption, FormatOption, QuietOption, SetOption, TrainedArgument, WeightsOption
from resnet_dsl.cli.output import note, show_json, show_table
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.language.stored import ENDING


def command(
    target: TrainedArgument,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Picture files, or folders of them at any depth.", show_default=False)
    ],
    weights: WeightsOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="NAME",
            help="Whose class names, mean and deviation to use where the weights do not bring their own.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDirOption = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many classes a picture, the likeliest first.")] = 3,
    resize: Annotated[
        Literal["crop", "stretch", "refuse"] | None,
        typer.Option(
            metavar="crop|stretch|refuse",
            help="Pictures of another size: scale and keep the middle, scale each side, or name them as errors; left out: as the run "
            "evaluated its pictures if it cropped them, else crop.",
            show_default=False,
        ),
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(metavar="auto|fp32|bf16", help="Of the arithmetic; left out: the run's.", show_default=False),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Say what pictures show: the likeliest classes of each, from a run's folder alone, or from a spec with weights.

    A picture that cannot be read is named and the others are predicted; the exit code is then 1.
    """
    if any(str(path) == "-" for path in images):
        raise refuse("usage", "pictures are not read from standard input", "give files or folders", at="IMAGE")
    if weights is None and (overrides or data or data_dir):
        option = "--set" if overrides else "--data" if data else "--data-dir"
        raise refuse("usage", "a run predicts as it was trained", f"leave out {option}, or give a spec and --weights", at=option)
    if weights is None and target.endswith(ENDING):
        weights = Path(target)
    if weights is None and not Path(target).is_dir():
        raise refuse("usage", f"{target} is no run's folder", "give a run's folder, or add --weights FILE to a spec", at=target)
    if data is not None and data not in SOURCES:
        raise refuse("unknown-name", f"{data} is no data set", f"use one of {', '.join(SOURCES)}", at="--data")

    from resnet_dsl.language import load
    from resnet_dsl.using.predict import files, manner, predict
    from resnet_dsl.using.trained import from_run, from_weights

    pictures = files(images)
    trained = from_run(Path(target)) if weights is None else from_weights(load(target, overrides or ()), weights)
    classes, normalisation = manner(trained, data, data_dir)
    answers = predict(
        trained, pictures, normalisation=normalisation, classes=classes, top=top, resize=resize, device=device, precision=precision
    )  # fmt: skip
    found: list[dict[str, Any]] = []
    unread = 0
    for answer in answers:
        if isinstance(answer, SpecError):
            note(str(answer))
            unread += 1
        else:
            found.append(answer)
    if format == "json":
        show_json(found)
    elif found or format == "csv":
        show_table(predictions_table(found, format), format, quiet=quiet)
    for change, count in Counter(p["changed"] for p in found if p["changed"]).items():
        note(f"note: {count:,} {'picture was' if count == 1 else 'pictures were'} {change}, to fit what the network reads", quiet=quiet)
    if unread:
        note(f"{unread:,} of {len(pictures):,} pictures could not be used")
        raise typer.Exit(1)
