"""`resnet-dsl inspect`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from resnet_dsl.analysis import inspect as report
from resnet_dsl.analysis.cost import COUNTED, KINDS
from resnet_dsl.analysis.figures import FIGURES, MEMORY, chosen, kinds
from resnet_dsl.analysis.memory import Optimizer, Precision
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, SpecArgument, input_shape
from resnet_dsl.cli.output import note, show, show_json, show_table
from resnet_dsl.diagnostics import COMMAND_LINE, quote, refuse
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.table import short

UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def command(
    spec: SpecArgument,
    by: Annotated[report.By, typer.Option(help="What a row is.", metavar="net|stage|block|op")] = "stage",
    columns: Annotated[
        str | None, typer.Option(metavar="NAME,...", help=f"Which columns: {', '.join(FIGURES)}.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    input: Annotated[str | None, typer.Option(metavar="CxHxW", help="Count for another input: 3x128x128, or 784 for features.")] = None,
    count: Annotated[
        str | None, typer.Option(metavar="KIND,...", help=f"What MACs are: {', '.join(KINDS)} (conv,linear).", show_default=False)
    ] = None,
    explain_count: Annotated[bool, typer.Option("--explain-count", help="What the usual counters say of this network, and why.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="What training it keeps in memory.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Memory for a batch of N inputs (1).")] = None,
    precision: Annotated[Precision | None, typer.Option(metavar="fp32|bf16|fp16", help="Memory in this precision (fp32).")] = None,
    optimizer: Annotated[
        Optimizer | None, typer.Option(metavar="sgd|adamw", help="Memory with this optimizer (sgd with momentum).")
    ] = None,
    checkpoint: Annotated[bool, typer.Option("--checkpoint-activations", help="Memory where each block runs again backward.")] = False,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The largest batch that trains in SIZE: 24GiB, 500MB.", show_default=False)
    ] = None,
    symbolic: Annotated[bool, typer.Option("--symbolic", help="Exact formulas in widths, params and input size.")] = False,
    ir: Annotated[bool, typer.Option("--ir", help="Print the graph: each distinct scope, and what calls it.")] = False,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print the spec with all defaults and where each value is from.")] = False,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Show what a network costs, and its shapes.

    MACs are the multiply-accumulates of convolutions and linear layers for one input; FLOPs are twice that.
    """
    chosen_spec = load(spec, [*(overrides or ()), *([_input(input)] if input is not None else [])])
    limit = _bytes(max_memory) if max_memory is not None else None
    figures = chosen(columns) if columns is not None else ()
    counted = kinds(count, KINDS) if count is not None else COUNTED
    graph = compile(chosen_spec)
    if resolved:
        from resnet_dsl.language.resolved import resolved as resolve

        show(resolve(chosen_spec, speech=COMMAND_LINE))
        return
    if ir:
        show(graph.text())
        return
    if symbolic:
        from resnet_dsl.analysis.formulas import formulas

        found = formulas(chosen_spec)
        show_json(found.to_dict()) if format == "json" else show_table(found.table(), format, quiet=quiet)
        return
    if explain_count:
        from resnet_dsl.analysis.counters import counters_document, counters_table

        show_json(counters_document(graph)) if format == "json" else show_table(counters_table(graph), format, quiet=quiet)
        return
    asked = report.inspect(
        graph, batch=batch or 1, precision=precision or "fp32", optimizer=optimizer or "sgd", checkpoint=checkpoint, counted=counted
    )
    largest = None
    if limit is not None:
        largest = asked.memory.largest_batch(limit)
        asked = report.inspect(
            graph,
            batch=batch or max(1, largest),
            precision=asked.precision,
            optimizer=asked.optimizer,
            checkpoint=checkpoint,
            counted=counted,
        )
    if not figures and (memory or batch or precision or optimizer or checkpoint or limit is not None):
        figures = (*(("shape",) if by != "net" else ("params",)), *MEMORY)
    if format == "json":
        show_json(asked.to_dict(by) | ({"largest_batch": largest} if limit is not None else {}))
        return
    show_table(asked.table(by, figures), format, quiet=quiet)
    if limit is not None and largest is not None:
        fits = f"a batch of {largest:,}" if largest else f"nothing, not even a batch of 1 ({short(asked.memory.total(1), 'B')})"
        show(f"In {max_memory} fits {fits}.\n") if format == "table" else note(f"in {max_memory} fits {fits}")


def _input(text: str) -> str:
    """The override that `--input` stands for."""
    sides = input_shape(text)
    return f"input={{features: {text}}}" if len(sides) == 1 else "input={{channels: {}, height: {}, width: {}}}".format(*sides)


def _bytes(text: str) -> int:
    """A size: 24GiB is in powers of 1024, 24GB and 24G in powers of 1000."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([kmgt]?)(i?)b?", text.strip().lower())
    if found is None or (found[3] and not found[2]):
        raise refuse(
            "usage",
            f"a size is a number of bytes with its unit, not {quote(text)}",
            "write --max-memory 24GiB, or 500MB",
            at="--max-memory",
        )
    return int(float(found[1]) * (1024 if found[3] else 1000) ** UNITS[found[2]])
