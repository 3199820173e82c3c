"""`resnet-dsl lint`."""

from __future__ import annotations

from typing import Annotated, Literal

import resnet_dsl as rd
from resnet_dsl.analysis.lint import RULES, Lint, checked
from resnet_dsl.cli import line
from resnet_dsl.cli.annotations import github, sarif
from resnet_dsl.cli.options import QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import answer, complain, show, show_json
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError

LintFormat = Literal["table", "json", "github", "sarif"]


def complete_rule(incomplete: str) -> list[str]:
    """Rules for the shell."""
    return [code for code in RULES if code.startswith(incomplete)]


def command(
    specs: SpecArguments,
    allow: Annotated[
        list[str] | None,
        line.Option(metavar="CODE", help="Leave out a rule (repeatable).", autocompletion=complete_rule, show_default=False),
    ] = None,
    strict: Annotated[bool, line.Option("--strict", help="Exit 1 if something is found.")] = False,
    overrides: SetOption = None,
    format: Annotated[LintFormat, line.Option("--format", "-f", metavar="table|json|github|sarif", help="github: annotations.")] = "table",
    quiet: QuietOption = False,
) -> None:
    """Find what is legal and still deserves a second look: v1.5 strides, an ImageNet stem on small pictures, a useless bias.

    `resnet-dsl explain CODE` gives the reason for a rule. A comment in the spec silences it: `# lint: allow CODE`.
    """
    codes = checked(allow or ())
    found = Lint((), COMMAND_LINE)
    refused: list[int] = []
    for spec in specs:
        try:
            found += rd.lint(spec, overrides=overrides or (), allow=codes)
        except SpecError as e:
            complain(e)
            refused.append(e.exit_code)
    if format == "sarif":
        show_json(sarif(found.findings, RULES))
    elif format == "github":
        show("".join(map(github, found.findings)))
    else:
        answer(found, format, quiet=quiet)
    if refused:
        raise line.Exit(2 if 2 in refused else refused[0])
    if strict and found.findings:
        raise line.Exit(1)
