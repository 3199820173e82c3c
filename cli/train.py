"""`resnet-dsl train`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from resnet_dsl.cli.options import CompileOption, FormatOption, PlanOption, QuietOption, SetOption, complete_spec
from resnet_dsl.cli.output import answer, note
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.language import load
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.table import Answer

if TYPE_CHECKING:
    from resnet_dsl.training.ranks.world import World

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
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=0,
            metavar="N",
            help="Processes that decode picture files; left out: one for each core but one.",
            show_default=False,
        ),
    ] = None,
    limit_train: Annotated[
        int | None, typer.Option("--limit-train", min=1, metavar="N", help="Use N training images only.", show_default=False)
    ] = None,
    limit_batches: Annotated[
        int | None, typer.Option("--limit-batches", min=1, metavar="N", help="An epoch is at most N batches.", show_default=False)
    ] = None,
    overfit_batch: Annotated[
        bool,
        typer.Option("--overfit-batch", help="Train on one batch, not augmented, and evaluate on it: does the network learn at all?"),
    ] = False,
    max_time: Annotated[
        str | None,
        typer.Option("--max-time", metavar="TIME", help="Save and stop (exit 75) after 90s, 10m or 1h30m.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, time a few steps, say what the run would take; write nothing.")
    ] = False,
    find_lr: Annotated[bool, typer.Option("--find-lr", help="Search the learning rate instead of training; write nothing.")] = False,
    compiled: CompileOption = None,
    plan: PlanOption = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE|RUN",
            help="Begin with these weights (.safetensors, a state_dict in .pth, a run); the head is new where the classes differ.",
            show_default=False,
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Modules that do not train, as often as you like: layer1, 'layer*.0', conv1,bn1; their batch norms keep their statistics.",
            show_default=False,
        ),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Log for TensorBoard as well, into the run's folder.")] = False,
    logger: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Log to a logger that another package brings, as often as you like.", show_default=False),
    ] = None,
    parallel: Annotated[
        Literal["ddp", "fsdp"] | None,
        typer.Option(
            metavar="ddp|fsdp",
            help="Under torchrun: every process holds the whole network (ddp, the default), or a part of each tensor (fsdp).",
            show_default=False,
        ),
    ] = None,
    checkpoint_activations: Annotated[
        bool, typer.Option("--checkpoint-activations", help="Compute each block twice instead of keeping what is in it: less memory.")
    ] = False,
    sync_batchnorm: Annotated[
        bool, typer.Option("--sync-batchnorm", help="Under torchrun, on GPUs: batch norm sees the images of all processes.")
    ] = False,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Train a network on a data set, into a run folder that is enough to repeat, resume and use it.

    Ctrl-C saves and prints the command that goes on. Any key of the recipe can be set: --set train.label_smoothing=0.1.
    """
    length = {"epochs": epochs, "steps": steps}
    given = {**length, "batch": batch, "lr": lr, "seed": seed, "precision": precision}
    settings = [*(overrides or ()), *(f"train.{key}={value}" for key, value in given.items() if value is not None)]
    run = _run_to_resume(spec, out) if resume else None
    others = overrides or recipe or data or limit_train or limit_batches or overfit_batch or weights or freeze or tensorboard or logger
    others = others or parallel or checkpoint_activations or sync_batchnorm
    if run is not None and (
        others or plan or compiled is not None or any(value is not None for key, value in given.items() if key not in length)
    ):
        raise refuse(
            "usage",
            "a run goes on as it was begun",
            "leave out all but --data-dir, --device, --workers, --max-time, and --epochs or --steps to make it longer; or begin a new run without --resume",
            at="--resume",
        )
    if epochs is not None and steps is not None:
        raise refuse("recipe", "epochs and steps exclude each other", "keep one of the two", at="--steps")
    if run is None and spec is None:
        raise refuse("usage", "which network?", "write train SPEC, or train --resume RUN", at="SPEC")
    if sum((resume, dry_run, find_lr)) > 1:
        raise refuse("usage", "--resume, --dry-run and --find-lr exclude each other", "keep one of them", at="--dry-run")
    limit = _seconds(max_time)

    from resnet_dsl.records.errors import Interrupted
    from resnet_dsl.training import rehearse
    from resnet_dsl.training.device.plan import wishes
    from resnet_dsl.training.job import Request
    from resnet_dsl.training.loop.progress import watcher
    from resnet_dsl.training.ranks.world import joined
    from resnet_dsl.training.session import begin
    from resnet_dsl.training.session import resume as go_on
    from resnet_dsl.training.train import fitting_name

    found: Answer | None
    try:
        with joined(device or "auto") as world:
            watch = watcher(sys.stderr, quiet or not world.main)
            _require_several(world, dry_run or find_lr, parallel is not None, sync_batchnorm)
            if run is not None:
                found = go_on(
                    run,
                    data_dir=data_dir,
                    device=device,
                    epochs=epochs,
                    steps=steps,
                    max_seconds=limit,
                    workers=workers,
                    watcher=watch,
                    world=world,
                ).results
            else:
                chosen = load(str(spec), settings, recipe=recipe)
                how = recipe_of(chosen, recipe)
                pinned = wishes(device or "auto", precision, compiled, plan)
                request = Request(
                    data or fitting_name(chosen), data_dir, limit_train, pinned.device or "auto", download, limit_batches, overfit_batch, workers, pinned,
                    weights=weights, freeze=tuple(freeze or ()), tensorboard=tensorboard, loggers=tuple(logger or ()),
                    parallel=parallel or "ddp", checkpoint_activations=checkpoint_activations, sync_batchnorm=sync_batchnorm,
                )  # fmt: skip
                if dry_run:
                    found = rehearse.dry_run(chosen, how, request, out=out, watcher=watch)
                elif find_lr:
                    found = rehearse.find_lr(chosen, how, request, watcher=watch)
                else:
                    line = ["resnet-dsl", *map(shlex.quote, sys.argv[1:])]
                    found = begin(
                        chosen, how, request, out=out, again=resume, max_seconds=limit, command=line, watcher=watch, world=world
                    ).results
    except Interrupted as e:
        note(f"{e}\nresume with: resnet-dsl train --resume {shlex.quote(str(e.folder))}")
        raise typer.Exit(RESUMABLE) from None
    if not world.main:
        return
    if found is not None:
        answer(found, format, quiet=quiet)


def _require_several(world: World, rehearsal: bool, spread: bool, synchronised: bool) -> None:
    """Refuse what several processes do not do, and what one alone cannot."""
    if world.size > 1 and rehearsal:
        raise refuse("usage", "a rehearsal is for one process", "leave torchrun out", at="--dry-run, --find-lr")
    if world.size == 1 and (spread or synchronised):
        raise refuse(
            "usage",
            "one process has nothing to share",
            "start it with torchrun --nproc-per-node N -m resnet_dsl train ..., or leave it out",
            at="--parallel" if spread else "--sync-batchnorm",
        )


def _seconds(text: str | None) -> int | None:
    """`--max-time` in seconds."""
    if text is None:
        return None
    try:
        from resnet_dsl.training.loop.stop import seconds

        return seconds(text)
    except ValueError:
        raise refuse("usage", f"{quote(text)} is not a length of time", "write 90s, 10m or 1h30m", at="--max-time") from None


def _run_to_resume(spec: str | None, out: Path | None) -> Path | None:
    """The folder of `--resume RUN` or `--resume --out RUN`; None for a spec with --out, which may be a beginning."""
    if spec is None:
        return out
    if out is not None:
        return None
    if Path(spec).is_dir() or not (spec.endswith(".yaml") or spec == "-"):
        return Path(spec)
    raise refuse("usage", "which run?", "write train --resume RUN, or add --out RUN", at="--resume")
