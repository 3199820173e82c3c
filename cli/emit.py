"""`resnet-dsl emit`."""

from __future__ import annotations

from resnet_dsl.cli.options import OutOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import note, write
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.runtime.emit import class_name, emit


def command(spec: SpecArgument, out: OutOption = "-", overrides: SetOption = None, quiet: QuietOption = False) -> None:
    """Write a network as one standalone Python file that needs nothing but PyTorch."""
    graph = compile(load(spec, overrides or ()))
    write(out, emit(graph))
    if out != "-":
        note(f"wrote {out}: class {class_name(graph)}", quiet=quiet)
