"""`resnet-dsl lint`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from resnet_dsl.analysis.lint import RULES, lint
from resnet_dsl.cli.annotations import github, sarif
from resnet_dsl.cli.options import QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import complain, show, show_json
from resnet_dsl.diagnostics import COMMAND_LINE, Diagnostic, SpecError, did_you_mean, quote, refuse, render, visible
from resnet_dsl.language import load

LintFormat = Literal["table", "json", "github", "sarif"]


def complete_rule(incomplete: str) -> list[str]:
    """Rules for the shell."""
    return [code for code in RULES if code.startswith(incomplete)]


def command(
    specs: SpecArguments,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Leave out a rule, as often as you like.", autocompletion=complete_rule, show_default=False),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where something is found.")] = False,
    overrides: SetOption = None,
    format: Annotated[LintFormat, typer.Option("--format", "-f", metavar="table|json|github|sarif", help="github: annotations.")] = "table",
    quiet: QuietOption = False,
) -> None:
    """Find what is legal and still deserves a second look: v1.5 strides, an ImageNet stem on small pictures, a useless bias.

    `resnet-dsl explain CODE` says why a rule is one. A comment in the spec silences it: `# lint: allow CODE`.
    """
    for code in allow or ():
        if code not in RULES:
            raise refuse("unknown-name", f"no such rule: {quote(code)}", did_you_mean(code, RULES, what="a rule"), at="--allow")
    results: list[tuple[str, list[Diagnostic]]] = []
    refused: list[int] = []
    for spec in specs:
        try:
            results.append((spec, lint(load(spec, overrides or ()), allow or ())))
        except SpecError as e:
            complain(e)
            refused.append(e.exit_code)
    if format == "json":
        show_json([{"spec": visible(spec), "findings": [d.to_dict(COMMAND_LINE) for d in found]} for spec, found in results])
    elif format == "sarif":
        show_json(sarif([d for _, found in results for d in found], RULES))
    else:
        for spec, found in results:
            if format == "github":
                show("".join(github(d) for d in found))
            elif found:
                show(render(found) + "\n")
            elif not quiet:
                show(f"ok {visible(spec)}\n")
    if refused:
        raise typer.Exit(2 if 2 in refused else refused[0])
    if strict and any(found for _, found in results):
        raise typer.Exit(1)
