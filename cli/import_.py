"""`resnet-dsl import`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.quantities import input_shape
from resnet_dsl.cli.options import QuietOption
from resnet_dsl.cli.output import note, write, wrote
from resnet_dsl.diagnostics import COMMAND_LINE, inline, refuse, speak
from resnet_dsl.recovery import Recovered, recover
from resnet_dsl.recovery.stored import Stored, read_stored
from resnet_dsl.table import Column, Table


def command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Weights: a .safetensors or .pth file, or a .json file of names and shapes.", show_default=False
        ),
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="Where to write the spec; - is standard output.")] = "-",
    input: Annotated[
        str | None,
        typer.Option(metavar="CxHxW", help="The input, which weights do not say: 3x128x128, or 784 for features.", show_default=False),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write the spec of a weights file's network, from the names and shapes of its tensors.

    The spec is compiled, and its tensors are compared with the file's: all names, all shapes. Where no spec agrees, nothing is written,
    and an existing file is never overwritten.
    """
    if file.endswith((".yaml", ".yml")):
        raise refuse("usage", f"{file} is a spec, not weights", "give a .safetensors, .pth or .json file", at="FILE")
    shape = input_shape(input) if input is not None else None
    stored = read_stored(file) or _torch(file)
    name = Path(file if out == "-" else out).stem
    found = recover(stored, at=file, name=name, input=shape)
    write(out, found.text, ".yaml", ".yml", overwrite=False)
    _tell(found, file, out, quiet)


def _torch(file: str) -> Stored:
    """What torch.save wrote: this alone needs torch."""
    from resnet_dsl.runtime.weights import load

    return Stored({name: tuple(tensor.shape) for name, tensor in load(Path(file)).tensors.items()})


def _tell(found: Recovered, file: str, out: str, quiet: bool) -> None:
    note(f"{file}: {found.words}; {Costs(found.graph).network.params:,} params", quiet=quiet)
    if found.same:
        first, *rest = found.same
        others = f"; {', '.join(rest)} {'has' if len(rest) == 1 else 'have'} the same tensors" if rest else ""
        counts = ((found.classes, "classes"), (found.channels, "input channels"))
        changes = " and ".join(f"{count:,} {what}" for count, what in counts if count is not None)
        note(f"this is {first}{f' with {changes}' if changes else ''}{others}", quiet=quiet)
    if found.remarks:
        columns = (Column("about", "about"), Column("written", "written"), Column("why", "why", wrap=True))
        table = Table(columns, [(row.what, row.written, speak(row.why, COMMAND_LINE)) for row in found.remarks])
        note(f"\n{table.render('table', width=shutil.get_terminal_size().columns).rstrip()}", quiet=quiet)
    if out != "-":
        wrote(out, f"; next: resnet-dsl check {inline(out)}", quiet=quiet)
