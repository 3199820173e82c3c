"""`resnet-dsl import`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import KeyOption, PrefixOption, QuietOption
from resnet_dsl.cli.output import note, write, wrote
from resnet_dsl.diagnostics import COMMAND_LINE, inline


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
    key: KeyOption = None,
    prefix: PrefixOption = None,
    classes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Give a backbone, which has no head, one of N classes.", show_default=False)
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write the spec of a weights file's network, from the names and shapes of its tensors.

    The spec is compiled, and its tensors are compared with the file's: all names, all shapes. Where no spec agrees, nothing is written,
    and an existing file is never overwritten.
    """
    found = rd.recover(file, input=input, key=key, prefix=prefix, classes=classes, name=Path(file if out == "-" else out).stem)
    write(out, found.text, ".yaml", ".yml", overwrite=False)
    note(f"{file}: {found.words}; {found.params:,} params", quiet=quiet)
    if found.likeness:
        note(found.likeness, quiet=quiet)
    for table in found.tables(speech=COMMAND_LINE):
        note(f"\n{table.render('table', width=shutil.get_terminal_size().columns).rstrip()}", quiet=quiet)
    if out != "-":
        wrote(out, f"; next: resnet-dsl check {inline(out)}", quiet=quiet)
