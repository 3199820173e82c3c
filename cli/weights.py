"""`resnet-dsl weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.analysis.loading import loading_tables
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import show, show_json, show_table


def command(
    spec: SpecArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .safetensors file, or a state_dict that torch.save wrote.", show_default=False)
    ],
    overrides: SetOption = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Say how a file of weights fits a network: whose names it has, and what becomes of each tensor.

    The names may be those of torchvision, timm and others. A row a module that is not taken as it is; CSV and JSON hold every tensor. The exit
    code is 1 where the file does not fit.
    """
    from resnet_dsl.graph import compile
    from resnet_dsl.graph.folding import fold
    from resnet_dsl.language import load
    from resnet_dsl.runtime.fitting import match
    from resnet_dsl.runtime.weights import load as load_weights

    graph, artifact = compile(load(spec, overrides or ())), load_weights(file)
    found = match(fold(graph) if artifact.folded else graph, artifact.tensors, file)
    if format == "json":
        show_json(found.to_dict())
    else:
        for i, table in enumerate(loading_tables(str(file), found.to_dict(), format)):
            show("\n" if i else "")
            show_table(table, format, quiet=quiet)
    if not found.fits:
        raise typer.Exit(1)
