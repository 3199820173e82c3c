"""`resnet-dsl new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from resnet_dsl.cli import line
from resnet_dsl.cli.options import QuietOption, complete_spec
from resnet_dsl.cli.output import write, wrote
from resnet_dsl.diagnostics import inline
from resnet_dsl.verbs.language import SCHEMA_FILE, schema, starter


def command(
    name: Annotated[str, line.Argument(metavar="NAME", help="The network's name, or the file's path.")] = "mynet",
    like: Annotated[
        str | None, line.Option(metavar="SPEC", help="Start from a copy of this spec.", autocompletion=complete_spec, show_default=False)
    ] = None,
    out: Annotated[str | None, line.Option("--out", "-o", metavar="FILE", help="Where to write (NAME.yaml); - is standard output.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a commented spec to start from. An existing file is never overwritten.

    It also writes resnet-dsl.schema.json beside it, if there is none. The first line of the spec names that file, so that editors
    complete and explain the spec.
    """
    is_file = name.endswith((".yaml", ".yml"))
    path = out or (name if is_file else f"{name}.yaml")
    called = Path(name).stem if is_file else Path(name).name
    write(path, starter(called, like=like, file=f"{called}.yaml" if path == "-" else path), ".yaml", ".yml", overwrite=False)
    if path == "-":
        return
    wrote(path, f"; next: resnet-dsl check {inline(path)}", quiet=quiet)
    beside = Path(path).parent / SCHEMA_FILE
    if not beside.exists():
        write(str(beside), schema(), ".json", overwrite=False)
        wrote(beside, ", which lets editors complete and explain it", quiet=quiet)
