"""Training from Python and from the command line: `train`, what can be known before it, and the runs that it leaves."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, Speech, either, refuse, speak, suggest
from resnet_dsl.language import Spec, changed
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.pictures.runs import Runs, find_runs
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.request import FLAGS, KINDS, TYPES, Place, Request, argument
from resnet_dsl.records.results import RateSearch, Rehearsal
from resnet_dsl.records.run import HOME, Run
from resnet_dsl.records.summary import Metric
from resnet_dsl.verbs.targets import load

if TYPE_CHECKING:
    from resnet_dsl.language.recipe import Recipe
    from resnet_dsl.training.loop.progress import Watcher
    from resnet_dsl.training.ranks.world import World

__all__ = [
    "FLAGS", "KINDS", "Interrupted", "Request", "carry_out", "find_lr", "rate_search", "rehearsal", "rehearse", "reports", "run", "runs", "train",
]  # fmt: skip

# Options of the command line alone, as they are written there.
_RESUME, _DRY_RUN, _FIND_LR = (speak(str(Argument(name, True)), COMMAND_LINE) for name in ("resume", "dry_run", "find_lr"))

P = ParamSpec("P")
R = TypeVar("R")
Trainable = Spec | str | os.PathLike[str]
"""A loaded spec, or a name: a shipped spec, a YAML file, a run's folder, a .safetensors file with its spec."""


def _asking(request: Callable[P, Request]) -> Callable[[Callable[[Trainable, Request], R]], Callable[Concatenate[Trainable, P], R]]:
    """A function of a network and a request becomes one of a network and the fields of a request."""

    def wrap(function: Callable[[Trainable, Request], R]) -> Callable[Concatenate[Trainable, P], R]:
        @functools.wraps(function)
        def verb(network: Trainable, /, *args: P.args, **asked: P.kwargs) -> R:
            known = inspect.signature(request).parameters
            for name in asked:
                if name not in known:
                    near = suggest(name, known)
                    hint = f"did you mean {near!r}?" if near else f"`help(rd.{function.__name__})` lists them"
                    raise TypeError(f"{function.__name__}() has no argument {name!r}: {hint}")
            if len(args) > 1:
                raise TypeError(f"{function.__name__}() takes a network and its data: arrays are given together, (X, y)")
            return function(network, request(*args, **asked))

        own = inspect.signature(function)
        network = own.parameters["network"]
        asked = [p.replace(annotation=TYPES[p.name]) for p in inspect.signature(request).parameters.values()]
        # Data may be anything that Python holds.
        asked[0] = asked[0].replace(annotation=object)
        verb.__signature__ = own.replace(parameters=[network, *asked])  # type: ignore[attr-defined]
        return verb

    return wrap


@_asking(Request)
def train(network: Trainable, request: Request, /) -> Run:
    """Train a network on a data set, into a run folder that is enough to repeat, resume and use it.

    `data` is a name as on the command line, (X, y), {"train": (X, y), "test": (X, y)}, or a Dataset of (image, label). The keywords are
    the options of `resnet-dsl train`, in docs/training.md: `rd.train("resnet20-digits", epochs=15, lr=0.1)`. With
    `resume=True` the run in a folder is resumed: `rd.train("runs/first", resume=True)`. Under torchrun every process gives the run.
    Raises SpecError: exit 2 where network, recipe and data do not fit, 3 for data, device and disk, 1 where the loss is not finite;
    `Interrupted` where a signal came or the time was up, with the state saved.
    """
    given = [f"{f.name}={value!r}" for f in fields(request) if (value := getattr(request, f.name)) != f.default]
    name = network.name if isinstance(network, Spec) else os.fspath(network)
    return carry_out(network, request, command=[f"rd.train({', '.join([repr(name), *given])})"])


@_asking(Request)
def rehearse(network: Trainable, request: Request, /) -> Rehearsal:
    """What `train` would take with these keywords: everything is checked, a few steps are timed, and nothing is written.

    Raises as `train`; SpecError (exit 3) where a step would need more memory than is free.
    """
    return rehearsal(network, request)


@_asking(Request)
def find_lr(network: Trainable, request: Request, /) -> RateSearch:
    """The learning-rate range test of Smith 2017 ("Cyclical Learning Rates", section 3.3), on a network of its own. Nothing is written.

    Raises as `train`; SpecError (exit 1) where the loss falls at no rate.
    """
    return rate_search(network, request)


def run(path: Place) -> Run:
    """The run in a folder. Raises SpecError (exit 3) where it is none."""
    return Run.open(path)


def runs(*folders: Place, metric: Metric | None = None, warn: Callable[[str], None] = warnings.warn) -> Runs:
    """The runs in folders (left out: runs/), and those that are named themselves.

    With a `metric`, or where all are named themselves, they are compared: the best first, with the curves of that metric (accuracy).
    `warn` is told of what cannot be read and is left out. Raises SpecError (exit 3) where nothing is left.
    """
    given = [Path(folder) for folder in folders] or [HOME]
    found = find_runs(given, warn)
    return found.compared(metric or "accuracy") if metric is not None or all(map(RunFolder.is_run, given)) else found


def carry_out(network: Trainable, request: Request, *, command: Sequence[str], watcher: Watcher | None = None) -> Run:
    """What `train` does. `command` is what the run's folder keeps of how it was started; `watcher` left out: standard error is told."""
    resumed = _run_to_resume(network, request) if request.resume else None
    if resumed is not None:
        request.require_resumable()
    request.require_whole()

    from resnet_dsl.training.loop import progress
    from resnet_dsl.training.ranks.world import joined
    from resnet_dsl.training.session import begin, resume

    with joined(request.device or "auto") as world:
        # How a run was started says how its user writes.
        speech: Speech = "python" if command and command[0].startswith("rd.") else COMMAND_LINE
        watch = watcher or progress.watcher(sys.stderr, request.quiet or not world.main, speech)
        _require_several(world, request)
        if resumed is not None:
            return resume(resumed, request, watcher=watch, world=world)
        spec = _spec(network, request)
        return begin(spec, recipe_of(spec, request.recipe), request, command=command, watcher=watch, world=world)


def rehearsal(network: Trainable, request: Request, speech: Speech = "python") -> Rehearsal:
    """What `rehearse` does; news are written for `speech`."""
    from resnet_dsl.training.rehearse import dry_run

    with _rehearsing(network, request, speech) as (spec, recipe, watch):
        return dry_run(spec, recipe, request, watcher=watch)


def rate_search(network: Trainable, request: Request, speech: Speech = "python") -> RateSearch:
    """What `find_lr` does; news are written for `speech`."""
    from resnet_dsl.training import rehearse

    with _rehearsing(network, request, speech) as (spec, recipe, watch):
        return rehearse.find_lr(spec, recipe, request, watcher=watch)


@contextlib.contextmanager
def _rehearsing(network: Trainable, request: Request, speech: Speech) -> Iterator[tuple[Spec, Recipe, Watcher]]:
    request.require_whole()

    from resnet_dsl.training.loop.progress import watcher
    from resnet_dsl.training.ranks.world import joined

    with joined(request.device or "auto") as world:
        if world.size > 1:
            at = f"{either('rehearse', _DRY_RUN)}, {either('find_lr', _FIND_LR)}"
            raise refuse("usage", "a rehearsal is for one process", "leave torchrun out", at=at)
        _require_several(world, request)
        spec = _spec(network, request)
        yield spec, recipe_of(spec, request.recipe), watcher(sys.stderr, request.quiet, speech)


def _spec(network: Trainable, request: Request) -> Spec:
    if isinstance(network, Spec):
        return changed(network, request.settings, recipe=request.recipe)
    return load(network, request.settings, recipe=request.recipe)


def reports() -> bool:
    """Is this the process that prints? Of those that torchrun starts the first one does."""
    return os.environ.get("RANK", "0") == "0"


def _require_several(world: World, request: Request) -> None:
    """Refuse what one process alone cannot do."""
    from resnet_dsl.training.ranks.world import LAUNCH

    if world.size == 1 and (request.parallel is not None or request.sync_batchnorm):
        raise refuse(
            "usage",
            "one process has nothing to share",
            f"start it with {LAUNCH}, or leave it out",
            at=argument("parallel" if request.parallel is not None else "sync_batchnorm"),
        )


def _run_to_resume(network: Trainable, request: Request) -> Path | None:
    """The folder of a run that is named; None for a spec with `out`, which may be a beginning. Raises SpecError (exit 2)."""
    if request.out is not None:
        return None
    if not isinstance(network, Spec):
        name = os.fspath(network)
        if Path(name).is_dir() or not (name.endswith(".yaml") or name == "-"):
            return Path(name)
    help = f"write {either('rd.train(RUN, resume=True)', f'train {_RESUME} RUN')}, or add {Argument('out', 'RUN')}"
    raise refuse("usage", "which run?", help, at=Argument("resume", True))
