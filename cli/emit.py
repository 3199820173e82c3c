"""`resnet-dsl emit`."""

from __future__ import annotations

import re
from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.options import OutOption, OutputsOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import check_ending, write, wrote


def command(
    spec: SpecArgument,
    out: OutOption = "-",
    overrides: SetOption = None,
    outputs: OutputsOption = None,
    fold_bn: Annotated[bool, line.Option("--fold-bn", help="Fold its batch norms, as `export --fold-bn` does.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Write a network as one standalone Python file that needs nothing but PyTorch."""
    check_ending(out, ".py")
    source = rd.emit(spec, overrides=overrides or (), fold_bn=fold_bn, outputs=outputs or ())
    write(out, source, ".py")
    if out != "-":
        # The network's class is the last one; those before it are its blocks.
        *_, name = re.findall(r"^class (\w+)", source, re.MULTILINE)
        wrote(out, f": class {name}", quiet=quiet)
