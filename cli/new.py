"""`resnet-dsl new`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.cli.options import QuietOption, complete_spec
from resnet_dsl.cli.output import write, wrote
from resnet_dsl.diagnostics import inline, quote, refuse
from resnet_dsl.language.extends import is_path, written
from resnet_dsl.language.files import shipped_spec
from resnet_dsl.language.forms import NAME
from resnet_dsl.language.schema import FILE, MODELINE, written_schema

STARTER = """\
# A small residual network for the pictures that come with resnet-dsl. Try:
#   resnet-dsl inspect {file}
#   resnet-dsl compare {file} --vary shortcut=none,A,B,C
#   resnet-dsl train {file} --data digits
name: {name}

params: {{n: 3}}            # numbers of your own; try --set params.n=9

input: {{channels: 1, height: 8, width: 8}}     # or {{features: 64}} for vectors
classes: 10

stem: cifar               # 3x3 conv, norm, act; or imagenet, or a list of steps
block: basic              # or bottleneck, ...: resnet-dsl list blocks
shortcut: B               # or none, A, C, D, ...: resnet-dsl list shortcuts
stages:                   # each is `depth` blocks of `width` channels
  - {{depth: n, width: 16}}
  - {{depth: n, width: 32, stride: 2}}     # its first block halves the picture
  - {{depth: n, width: 64, stride: 2}}
head: classifier          # global average pool, then one linear layer

expect: {{depth: 20}}       # what you believe; `check` says when it is not so
"""

_OWN = re.compile(r"^(name|description|expect):[ ]*[^\s|>].*\n?", re.MULTILINE)


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The network's name, or the file's path.")] = "mynet",
    like: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Start from a copy of this spec.", autocompletion=complete_spec, show_default=False)
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write (NAME.yaml); - is standard output.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write a commented spec to start from. An existing file is never overwritten.

    It also writes resnet-dsl.schema.json beside it, if there is none. The first line of the spec names that file, so that editors
    complete and explain the spec.
    """
    path = out or (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    called = Path(name).stem if name.endswith((".yaml", ".yml")) else Path(name).name
    if not NAME.match(called):
        raise refuse(
            "usage",
            f"{quote(called)} is no name of a network",
            "letters, digits, _, . and -, at most 64, beginning with a letter or digit",
            at="NAME",
        )
    text = STARTER.format(name=called, file=f"{called}.yaml" if path == "-" else path) if like is None else _copy(like, called)
    write(path, f"{MODELINE}\n{text}", ".yaml", ".yml", overwrite=False)
    if path == "-":
        return
    wrote(path, f"; next: resnet-dsl check {inline(path)}", quiet=quiet)
    schema = Path(path).parent / FILE
    if not schema.exists():
        write(str(schema), written_schema(), ".json", overwrite=False)
        wrote(schema, ", which lets editors complete and explain it", quiet=quiet)


def _copy(spec: str, name: str) -> str:
    """Another spec's text under a new name, without what was said of that spec alone."""
    place = spec if is_path(spec) else str(shipped_spec(spec))
    text = _OWN.sub("", written(place).text)
    return f"# Started from {spec}.\nname: {name}\n{text}"
