"""`resnet-dsl doctor`."""

from __future__ import annotations

import typer

from resnet_dsl.cli.output import show
from resnet_dsl.verbs.doctor import MISSING, doctor


def command() -> None:
    """Print versions, devices, the data that was found, engines and write permissions, as a block for a bug report.

    Exit code 3 where a package that resnet-dsl needs is missing; the packages of extras may be missing.
    """
    found = doctor()
    width = max(len(key) for key, _ in found)
    show("".join(f"{key:<{width}}  {value}\n" for key, value in found))
    if any(value == MISSING for _, value in found):
        raise typer.Exit(3)
