"""`resnet-dsl explain`."""

from __future__ import annotations

from textwrap import fill, indent
from typing import Annotated

import typer

from resnet_dsl.cli.output import problem, show
from resnet_dsl.diagnostics import did_you_mean, quote
from resnet_dsl.explanations import CODES, Explanation


def complete_code(incomplete: str) -> list[str]:
    """Codes for the shell."""
    return [code for code in CODES if code.startswith(incomplete)]


def command(
    code: Annotated[
        str | None, typer.Argument(metavar="CODE", help="What stands in error[...]; all codes without one.", autocompletion=complete_code)
    ] = None,
) -> None:
    """Explain an error code: why it is an error, a spec that has it, and the same spec mended."""
    if code is None:
        width = max(map(len, CODES))
        show("".join(f"{name:<{width}}  {e.title}\n" for name, e in CODES.items()))
        return
    name = code.removeprefix("error[").removesuffix("]")
    if name not in CODES:
        raise problem("unknown-name", f"no such code: {quote(name)}", did_you_mean(name, CODES, what="a code"), at="CODE")
    show(_text(name, CODES[name]))


def _text(code: str, e: Explanation) -> str:
    parts = [f"{code}: {e.title}", fill(" ".join(e.why.split()), 80)]
    if e.wrong:
        parts += [f"Wrong:\n\n{indent(e.wrong.strip(), '    ')}", f"Right:\n\n{indent(e.right.strip(), '    ')}"]
    return "\n\n".join(parts) + "\n"
