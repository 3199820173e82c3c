"""`resnet-dsl train`: its options are the table of requests (`records.request`)."""

from __future__ import annotations

import inspect
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from resnet_dsl.cli.options import FormatOption, QuietOption, complete_spec
from resnet_dsl.cli.output import answer, note
from resnet_dsl.diagnostics import COMMAND_LINE, refuse, speak
from resnet_dsl.table import Answer
from resnet_dsl.verbs.seeds import carry_out_seeds
from resnet_dsl.verbs.training import FLAGS, KINDS, Interrupted, Request, carry_out, rate_search, rehearsal, reports

RESUMABLE = 75


def _beside_the_table(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="A path, - for standard input, or a shipped spec's name; with --resume also a run's folder.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few steps, say what the run would take; write nothing.")
    ] = False,
    find_lr: Annotated[bool, typer.Option("--find-lr", help="Search the learning rate instead of training; write nothing.")] = False,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="N|A,B,C",
            help="Train with N seeds, or with these, into one folder of runs; say mean and deviation.",
            show_default=False,
        ),
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """What `train` is asked beside the table of requests."""


def command(**given: Any) -> None:
    """Train a network on a data set, into a run folder that is enough to repeat, resume and use it.

    Ctrl-C saves and prints the command that resumes the run. Any key of the recipe can be set: --set train.label_smoothing=0.1.
    """
    spec, format, dry_run, find_lr, seeds = (given.pop(name) for name in ("spec", "format", "dry_run", "find_lr", "seeds"))
    if sum((given["resume"], dry_run, find_lr)) > 1:
        raise refuse("usage", "--resume, --dry-run and --find-lr exclude each other", "keep one of them", at="--dry-run")
    if seeds is not None and (dry_run or find_lr):
        raise refuse("usage", "one seed is enough for --dry-run and --find-lr", "leave out --seeds", at="--seeds")
    if spec is None and given["resume"] and seeds is None:
        spec, given["out"] = given["out"], None
    if spec is None:
        raise refuse("usage", "which network?", "write train SPEC, or train --resume RUN", at="SPEC")
    request = Request(**{name: value for name, value in given.items() if value is not None})
    try:
        found = (
            rehearsal(spec, request, COMMAND_LINE)
            if dry_run
            else rate_search(spec, request, COMMAND_LINE)
            if find_lr
            else _trained(spec, request, seeds)
        )
    except Interrupted as e:
        note(f"{e}\nresume with: resnet-dsl train --resume {_again(e.folder) if seeds else shlex.quote(str(e.folder))}")
        raise typer.Exit(RESUMABLE) from None
    if reports():
        answer(found, format, quiet=request.quiet)


def _again(folder: Path) -> str:
    """The words of this command line that resume a series in its folder: the same, and the folder where none was named."""
    words = [word for word in sys.argv[2:] if word != "--resume"]
    named = any(word.split("=")[0] in ("--out", "-o") for word in words)
    return shlex.join([*words, *([] if named else ["--out", str(folder)])])


def _trained(spec: str, request: Request, seeds: str | None) -> Answer:
    command = ["resnet-dsl", *map(shlex.quote, sys.argv[1:])]
    if seeds is not None:
        return carry_out_seeds(spec, seeds, request, command=command)
    run = carry_out(spec, request, command=command)
    assert run.results is not None  # it has ended
    return run.results


def _signature() -> inspect.Signature:
    """The table's options, between them what `train` alone has."""
    places: list[inspect.Parameter] = []
    beside = dict(inspect.signature(_beside_the_table, eval_str=True).parameters)
    for name in FLAGS:
        places += [] if name in beside else [_option(name)]
        places += [beside["seeds"]] if name == "seed" else []
        places += [beside[n] for n in ("dry_run", "find_lr") if name == "max_time"]
    parameters = [beside["spec"], *places, beside["format"], beside["quiet"]]
    return inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters])


def _option(name: str) -> inspect.Parameter:
    flag, kind = FLAGS[name], KINDS[name]
    default = inspect.signature(Request).parameters[name].default
    long = f"--{flag.option or name.replace('_', '-')}"
    declared = typer.Option(
        f"{long}/--no-{name}" if kind is bool and default is None else long,
        *([f"-{flag.short}"] if flag.short else []),
        metavar=flag.metavar or None,
        help=speak(flag.help, COMMAND_LINE),
        min=flag.least,
        show_default=kind is bool and default is not None,
    )
    hint: Any = bool if default is False else (list[str] if kind is list else kind) | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=False if default is False else None, annotation=Annotated[hint, declared]
    )


command.__annotations__ = {}
command.__signature__ = _signature()  # type: ignore[attr-defined]
