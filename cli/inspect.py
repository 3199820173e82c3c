"""`resnet-dsl inspect`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import problem, show, show_json, show_table
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.reports import inspect as report


def command(
    spec: SpecArgument,
    by: Annotated[report.By, typer.Option(help="What a row is.", metavar="net|stage|block|op")] = "stage",
    overrides: SetOption = None,
    input: Annotated[str | None, typer.Option(metavar="CxHxW", help="Count for another input: 3x128x128, or 784 for features.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Show bytes, of activations for N inputs.")] = None,
    precision: Annotated[report.Precision | None, typer.Option(metavar="fp32|bf16|fp16", help="Show bytes, in this precision.")] = None,
    ir: Annotated[bool, typer.Option("--ir", help="Print the graph: each distinct scope, and what calls it.")] = False,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print the spec with all defaults and where each value is from.")] = False,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Show what a network costs, and its shapes.

    MACs are the multiply-accumulates of convolutions and linear layers for one input; FLOPs are twice that.
    """
    chosen = load(spec, [*(overrides or ()), *([_input(input)] if input is not None else [])])
    graph = compile(chosen)
    if resolved:
        from resnet_dsl.language.resolved import resolved as resolve

        show(resolve(chosen))
    elif ir:
        show(graph.text())
    else:
        found = report.inspect(graph, batch=batch or 1, precision=precision or "fp32")
        if format == "json":
            show_json(found.to_dict(by))
        else:
            show_table(found.table(by, memory=bool(batch or precision)), format, quiet=quiet)


def _input(text: str) -> str:
    """The override that `--input` stands for."""
    sides = text.split("x")
    if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}x[0-9]{1,9})?", text):
        raise problem(
            "usage", f"an input is CxHxW, or a number of features, not {text!r}", "write --input 3x224x224, or --input 784", at="--input"
        )
    return f"input={{features: {text}}}" if len(sides) == 1 else "input={{channels: {}, height: {}, width: {}}}".format(*sides)
