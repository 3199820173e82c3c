"""`resnet-dsl explain`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.cli import line
from resnet_dsl.cli.output import show
from resnet_dsl.verbs.language import explanations


def complete_code(incomplete: str) -> list[str]:
    """Codes for the shell."""
    return [code for code in explanations() if code.startswith(incomplete)]


def command(
    code: Annotated[
        str | None,
        line.Argument(metavar="CODE", help="The code in error[...] or warning[...]; without it, all codes.", autocompletion=complete_code),
    ] = None,
) -> None:
    """Explain an error's code or a rule of `lint`: the reason, a spec that has it, and the same spec corrected."""
    if code is not None:
        show(str(rd.explain(code)))
        return
    known = explanations()
    width = max(map(len, known))
    show("".join(f"{name:<{width}}  {e.title}\n" for name, e in known.items()))
