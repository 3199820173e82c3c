"""`resnet-dsl evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, complete_spec
from resnet_dsl.cli.output import problem, show_json, show_table
from resnet_dsl.reports.training import scores_table
from resnet_dsl.training.data.catalog import SOURCES


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC", help="A run's folder, or a spec together with --weights.", autocompletion=complete_spec, show_default=False
        ),
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", "-w", metavar="FILE", help="Weights for a spec: a .safetensors file.", show_default=False)
    ] = None,
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
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the data lies; left out: as in training.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute.")] = "auto",
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(metavar="auto|fp32|bf16", help="Of the arithmetic; left out: the run's.", show_default=False),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Measure top-1 and top-5 accuracy and the loss on the test images: of a run, or of a spec with weights."""
    if weights is None and overrides:
        raise problem("usage", "a run is evaluated as it was trained", "leave out --set, or give a spec and --weights", at="--set")
    if weights is None and not Path(target).is_dir():
        raise problem("usage", f"{target} is no run's folder", "give a run's folder, or add --weights FILE to a spec", at=target)

    from resnet_dsl.language import load
    from resnet_dsl.training.assess import assess_run, assess_weights
    from resnet_dsl.training.train import fitting_name

    if weights is None:
        found = assess_run(Path(target), data=data, data_dir=data_dir, device=device, precision=precision)
    else:
        spec = load(target, overrides or ())
        found = assess_weights(spec, weights, data=data or fitting_name(spec), data_dir=data_dir, device=device, precision=precision)
    if format == "json":
        show_json(found)
    else:
        show_table(scores_table(found), format, quiet=quiet)
