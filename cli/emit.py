"""`resnet-dsl emit`."""

from __future__ import annotations

from typing import Annotated

import typer

from resnet_dsl.cli.options import OutOption, OutputsOption, QuietOption, SetOption, SpecArgument, named
from resnet_dsl.cli.output import note, write
from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import compile
from resnet_dsl.graph.folding import fold
from resnet_dsl.graph.outputs import select
from resnet_dsl.language import load


def command(
    spec: SpecArgument,
    out: OutOption = "-",
    overrides: SetOption = None,
    outputs: OutputsOption = None,
    fold_bn: Annotated[bool, typer.Option("--fold-bn", help="With its batch norms folded, as `export --fold-bn` leaves it.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write a network as one standalone Python file that needs nothing but PyTorch."""
    graph = compile(load(spec, overrides or ()))
    graph = select(fold(graph) if fold_bn else graph, named(outputs))
    write(out, emit(graph))
    if out != "-":
        note(f"wrote {out}: class {class_name(graph)}", quiet=quiet)
