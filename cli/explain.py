"""`resnet-dsl explain`."""

from __future__ import annotations

from textwrap import fill, indent
from typing import Annotated

import typer

from resnet_dsl.analysis.lint import RULES, LintRule
from resnet_dsl.cli.output import show
from resnet_dsl.diagnostics import did_you_mean, quote, refuse
from resnet_dsl.explanations import CODES, Explanation


def complete_code(incomplete: str) -> list[str]:
    """Codes for the shell."""
    return [code for code in (*CODES, *RULES) if code.startswith(incomplete)]


def command(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="CODE", help="What stands in error[...] or warning[...]; all codes without one.", autocompletion=complete_code
        ),
    ] = None,
) -> None:
    """Explain an error's code or a rule of `lint`: why it is one, a spec that has it, and the same spec mended."""
    known: dict[str, Explanation | LintRule] = {**CODES, **RULES}
    if code is None:
        width = max(map(len, known))
        show("".join(f"{name:<{width}}  {e.title}\n" for name, e in known.items()))
        return
    name = code.removeprefix("error[").removeprefix("warning[").removesuffix("]")
    if name not in known:
        raise refuse("unknown-name", f"no such code: {quote(name)}", did_you_mean(name, known, what="a code"), at="CODE")
    show(_text(name, known[name]))


def _text(code: str, e: Explanation | LintRule) -> str:
    parts = [f"{code}: {e.title}", fill(" ".join(e.why.split()), 80)]
    if isinstance(e, LintRule):
        parts += [fill(f"What to do: {e.help}.", 80)]
    if e.wrong:
        parts += [f"Wrong:\n\n{indent(e.wrong.strip(), '    ')}", f"Right:\n\n{indent(e.right.strip(), '    ')}"]
    return "\n\n".join(parts) + "\n"
