"""`resnet-dsl train`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, complete_spec
from resnet_dsl.cli.output import note, problem, show_json, show_table
from resnet_dsl.language import load
from resnet_dsl.language.recipes import load_recipe
from resnet_dsl.reports.training import results_table
from resnet_dsl.training.data.catalog import SOURCES

RESUMABLE = 75


def command(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            help="A path, - for standard input, or a shipped spec's name; with --resume also a run's folder.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", "-d", metavar="NAME", help=f"{', '.join(SOURCES)}; left out: the one that fits the spec.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME|FILE",
            help="A shipped recipe's name or a YAML file; left out: the spec's own, else quick.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="DIR", help="The run's folder, new or empty; left out: the next number under runs/.", show_default=False
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run: train --resume RUN, or with SPEC and --out.")] = False,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Passes over the training set (train.epochs).", show_default=False)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Batches in all, in place of epochs (train.steps).", show_default=False)
    ] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", help="Images in a batch (train.batch).", show_default=False)] = None,
    lr: Annotated[float | None, typer.Option(metavar="X", help="Highest learning rate (train.lr).", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Decides all that is random (train.seed).", show_default=False)] = None,
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        typer.Option(metavar="auto|fp32|bf16", help="Of the arithmetic (train.precision).", show_default=False),
    ] = None,
    overrides: SetOption = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute; auto takes a GPU if there is one.", show_default=False),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Where the data lies; left out: $RESNET_DSL_DATA, the cache, /usr/share/datasets.",
            show_default=False,
        ),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data into the cache (or --data-dir) if it is not here.")] = False,
    limit_train: Annotated[
        int | None, typer.Option("--limit-train", min=1, metavar="N", help="Use N training images only.", show_default=False)
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Train a network on a data set, into a run folder that is enough to repeat, resume and use it.

    Ctrl-C saves and prints the command that goes on. Any key of the recipe can be set: --set train.label_smoothing=0.1.
    """
    given = {"epochs": epochs, "steps": steps, "batch": batch, "lr": lr, "seed": seed, "precision": precision}
    settings = [*(overrides or ()), *(f"train.{key}={value}" for key, value in given.items() if value is not None)]
    run = _run_to_resume(spec, out) if resume else None
    if run is not None and (settings or recipe or data or limit_train):
        raise problem(
            "usage",
            "a run goes on as it was begun",
            "leave out all but --data-dir and --device, or begin a new run without --resume",
            at="--resume",
        )
    if run is None and spec is None:
        raise problem("usage", "which network?", "write train SPEC, or train --resume RUN", at="SPEC")

    from resnet_dsl.training.errors import Interrupted
    from resnet_dsl.training.progress import watcher
    from resnet_dsl.training.session import Request, begin
    from resnet_dsl.training.session import resume as go_on
    from resnet_dsl.training.train import fitting_name

    watch = watcher(sys.stderr, quiet)
    try:
        if run is not None:
            results = go_on(run, data_dir=data_dir, device=device, watcher=watch)
        else:
            chosen = load(str(spec), settings)
            where = chosen.train
            loaded = load_recipe(where.value, where.root, recipe, where.overrides)
            request = Request(data or fitting_name(chosen), data_dir, limit_train, device or "auto", download)
            line = ["resnet-dsl", *map(shlex.quote, sys.argv[1:])]
            results = begin(chosen, loaded.recipe, request, out=out, again=resume, command=line, watcher=watch)
    except Interrupted as e:
        note(f"{e}\nresume with: resnet-dsl train --resume {shlex.quote(str(e.folder))}")
        raise typer.Exit(RESUMABLE) from None
    if format == "json":
        show_json(results)
    else:
        show_table(results_table([results]), format, quiet=quiet)


def _run_to_resume(spec: str | None, out: Path | None) -> Path | None:
    """The folder of `--resume RUN` or `--resume --out RUN`; None for a spec with --out, which may be a beginning."""
    if spec is None:
        return out
    if out is not None:
        return None
    if Path(spec).is_dir() or not (spec.endswith(".yaml") or spec == "-"):
        return Path(spec)
    raise problem("usage", "which run?", "write train --resume RUN, or add --out RUN", at="--resume")
