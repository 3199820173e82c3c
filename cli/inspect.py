"""`resnet-dsl inspect`."""

from __future__ import annotations

from typing import Annotated

import typer

import resnet_dsl as rd
from resnet_dsl.analysis.cost import COUNTED, KINDS
from resnet_dsl.analysis.figures import FIGURES
from resnet_dsl.analysis.inspect import By
from resnet_dsl.analysis.memory import Optimizer, Precision
from resnet_dsl.cli.options import FormatOption, OutputsOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import answer, note, show
from resnet_dsl.diagnostics import COMMAND_LINE, refuse
from resnet_dsl.verbs import networks


def command(
    spec: SpecArgument,
    by: Annotated[By, typer.Option(help="What each row is.", metavar="net|stage|block|op")] = "stage",
    columns: Annotated[
        str | None, typer.Option(metavar="NAME,...", help=f"Which columns: {', '.join(FIGURES)}.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    input: Annotated[str | None, typer.Option(metavar="CxHxW", help="Count for another input: 3x128x128, or 784 for features.")] = None,
    count: Annotated[
        str | None, typer.Option(metavar="KIND,...", help=f"What counts as MACs: {', '.join(KINDS)} (conv,linear).", show_default=False)
    ] = None,
    explain_count: Annotated[bool, typer.Option("--explain-count", help="What the usual counters say of this network, and why.")] = False,
    memory: Annotated[bool, typer.Option("--memory", help="The memory that training it needs.")] = False,
    batch: Annotated[int | None, typer.Option(min=1, metavar="N", help="Memory for a batch of N inputs (1).")] = None,
    precision: Annotated[Precision | None, typer.Option(metavar="fp32|bf16|fp16", help="Memory in this precision (fp32).")] = None,
    optimizer: Annotated[
        Optimizer | None, typer.Option(metavar="sgd|adamw", help="Memory with this optimizer (sgd with momentum).")
    ] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint-activations", help="Memory where each block is computed again in the backward pass.")
    ] = False,
    max_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="The largest batch that trains in SIZE: 24GiB, 500MB.", show_default=False)
    ] = None,
    outputs: OutputsOption = None,
    symbolic: Annotated[bool, typer.Option("--symbolic", help="Exact formulas in widths, params and input size.")] = False,
    ir: Annotated[bool, typer.Option("--ir", help="Print the graph: each distinct scope, and its calls.")] = False,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print the spec with all defaults, and the source of each value.")] = False,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Show what a network costs, and its shapes.

    MACs are the multiply-accumulates of convolutions and linear layers for one input; FLOPs are twice that.
    """
    _require_use(
        symbolic, resolved, outputs, columns=columns, count=count, memory=memory, max_memory=max_memory, explain_count=explain_count
    )
    loaded = networks.load_for(spec, overrides or (), input)
    if symbolic:
        answer(networks.formulas(loaded), format, quiet=quiet)
        return
    found = rd.inspect(
        loaded, by=by, columns=() if columns is None else columns, counted=COUNTED if count is None else count, memory=memory, batch=batch,
        precision=precision, optimizer=optimizer, checkpoint=checkpoint, max_memory=max_memory, outputs=outputs or (),
    )  # fmt: skip
    if resolved:
        show(networks.resolved(loaded, speech=COMMAND_LINE))
    elif ir:
        show(found.graph.text())
    elif explain_count:
        answer(networks.counters(found.graph), format, quiet=quiet)
    else:
        answer(found, format, quiet=quiet)
        note(found.room, quiet=not found.room or format in ("table", "json"))


def _require_use(symbolic: bool, resolved: bool, outputs: str | None, **others: str | bool | None) -> None:
    """Refuse what would change nothing of formulas or of the resolved spec."""
    if outputs and (symbolic or resolved):
        raise refuse("usage", "formulas and the resolved spec are of the whole network", "leave out --outputs", at="--outputs")
    idle = next((f"--{name.replace('_', '-')}" for name, given in others.items() if given), None)
    if symbolic and idle:
        raise refuse("usage", f"--symbolic prints formulas, which {idle} does not change", f"leave out {idle}, or --symbolic", at=idle)
