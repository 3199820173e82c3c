"""`resnet-dsl weights`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.cli.options import FirstConvOption, FormatOption, HeadOption, KeyOption, PrefixOption, QuietOption, SetOption, SpecArgument
from resnet_dsl.cli.output import answer
from resnet_dsl.verbs.using import match


def command(
    spec: SpecArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .safetensors file, or a state_dict that torch.save wrote.", show_default=False)
    ],
    key: KeyOption = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    first_conv: FirstConvOption = None,
    overrides: SetOption = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Say how a weights file fits a network: which library's names it has, and what happens to each tensor.

    The names may be those of torchvision, timm and others. There is one row per module that is not taken as it is; CSV and JSON hold every
    tensor. The exit code is 1 where the file does not fit.
    """
    found = match(spec, file, overrides or (), key=key, prefix=prefix, head=head, first_conv=first_conv)
    answer(found, format, quiet=quiet)
    if not found.fits:
        raise typer.Exit(1)
