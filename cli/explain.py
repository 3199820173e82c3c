"""`resnet-dsl explain`."""

from __future__ import annotations

from textwrap import fill, indent
from typing import Annotated

import typer

from resnet_dsl.analysis.lint import RULES, Rule
from resnet_dsl.cli.output import show
from resnet_dsl.diagnostics import did_you_mean, quote, refuse
from resnet_dsl.explanations import CODES, Explanation


def complete_code(incomplete: str) -> list[str]:
    """Codes for the shell."""
    return [code for code in (*CODES, *RULES) if code.startswith(incomplete)]


def command(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="The code in error[...] or warning[...]; without it, all codes.", autocompletion=complete_code),
    ] = None,
) -> None:
    """Explain an error's code or a rule of `lint`: the reason, a spec that has it, and the same spec corrected."""
    known: dict[str, Explanation | Rule] = {**CODES, **RULES}
    if code is None:
        width = max(map(len, known))
        show("".join(f"{name:<{width}}  {e.title}\n" for name, e in known.items()))
        return
    name = code.removeprefix("error[").removeprefix("warning[").removesuffix("]")
    if name not in known:
        raise refuse("unknown-name", f"no such code: {quote(name)}", did_you_mean(name, known, what="a code"), at="CODE")
    show(_text(name, known[name]))


def _text(code: str, e: Explanation | Rule) -> str:
    parts = [f"{code}: {e.title}", fill(" ".join(e.why.split()), 80)]
    if isinstance(e, Rule):
        parts += [fill(f"What to do: {e.help}.", 80)]
    if e.wrong:
        parts += [f"Wrong:\n\n{indent(e.wrong.strip(), '    ')}", f"Right:\n\n{indent(e.right.strip(), '    ')}"]
    return "\n\n".join(parts) + "\n"
