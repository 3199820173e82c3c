"""`resnet-dsl evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_dsl.analysis.confusion import classes_table, confusion_table
from resnet_dsl.analysis.training import scores_table
from resnet_dsl.cli.options import DataDirOption, DeviceOption, FormatOption, QuietOption, SetOption, TrainedArgument, WeightsOption
from resnet_dsl.cli.output import show, show_json, show_table
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.language.stored import ENDING

MAX_SIDE = 8192


def command(
    target: TrainedArgument,
    weights: WeightsOption = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="NAME",
            help=f"{', '.join(SOURCES)}; left out: the run's own, or the one that fits the spec.",
            show_default=False,
        ),
    ] = None,
    data_dir: DataDirOption = None,
    part: Annotated[
        Literal["test", "validation", "train"],
        typer.Option(metavar="test|validation|train", help="Which images; training images are not augmented."),
    ] = "test",
    confusion: Annotated[bool, typer.Option("--confusion", help="Also the confusion matrix: true classes against predicted ones.")] = False,
    by: Annotated[
        Literal["class"] | None,
        typer.Option(metavar="class", help="Also one row a class: recall, precision, F1, what it is taken for.", show_default=False),
    ] = None,
    crops: Annotated[
        Literal["1", "10"], typer.Option(metavar="1|10", help="Of each picture file: its middle, or ten crops whose outputs are averaged.")
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
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(metavar="auto|fp32|bf16", help="Of the arithmetic; left out: the run's.", show_default=False),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Measure top-1 and top-5 accuracy and the loss on the test images: of a run, or of a spec with weights.

    JSON always holds the confusion matrix and the classes; CSV is one table: the scores, the matrix or the classes.
    """
    if weights is None and overrides:
        raise refuse("usage", "a run is evaluated as it was trained", "leave out --set, or give a spec and --weights", at="--set")
    if weights is None and target.endswith(ENDING):
        weights = Path(target)
    if weights is None and not Path(target).is_dir():
        raise refuse("usage", f"{target} is no run's folder", "give a run's folder, or add --weights FILE to a spec", at=target)
    if format == "csv" and confusion and by:
        raise refuse("usage", "CSV is one table", "leave out --confusion or --by class", at="--format")
    sides = _sides(scales)
    if sides and crops != "1":
        raise refuse("usage", "--crops and --scales exclude each other", "keep one of the two", at="--scales")

    from resnet_dsl.language import load
    from resnet_dsl.training.train import fitting_name
    from resnet_dsl.using.assess import Views, assess_run, assess_weights

    views = Views(10 if crops == "10" else 1, sides)
    if weights is None:
        found = assess_run(Path(target), data=data, data_dir=data_dir, device=device, precision=precision, part=part, views=views)
    else:
        spec = load(target, overrides or ())
        found = assess_weights(
            spec, weights, data=data or fitting_name(spec), data_dir=data_dir, device=device, precision=precision, part=part, views=views
        )
    if format == "json":
        show_json(found)
        return
    tables = [scores_table(found)] if format != "csv" or not (confusion or by) else []
    if confusion:
        tables.append(confusion_table(found["confusion"], [c["class"] for c in found["classes"]], format))
    if by:
        tables.append(classes_table(found["classes"], format))
    for i, table in enumerate(tables):
        show("\n" if i else "")
        show_table(table, format, quiet=quiet)


def _sides(text: str | None) -> tuple[int, ...]:
    """`--scales` as numbers."""
    words = [] if text is None else text.split(",")
    if not all(w.strip().isdecimal() and w.isascii() and 1 <= int(w) <= MAX_SIDE for w in words):
        raise refuse("usage", f"{quote(text or '')} is no list of sides in pixels", "write --scales 224,256,384, say", at="--scales")
    return tuple(int(w) for w in words)
