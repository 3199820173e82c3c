"""The same training with several seeds, one after another, into one folder of runs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.language import Spec, changed
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.errors import Interrupted, SeedsInterrupted
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.request import Request
from resnet_dsl.records.run import HOME, Run
from resnet_dsl.records.seeds import SeedGroups, grouped
from resnet_dsl.verbs.targets import load
from resnet_dsl.verbs.training import Trainable, carry_out

Seeds = int | str | Sequence[int]
"""How many, or which: 3, (1, 5, 9), or as the command line has it, `3` and `1,5,9`."""

MOST = 1000
"""Seeds of one command."""


def train_seeds(network: Trainable, seeds: Seeds, /, data: object = None, **asked: Any) -> SeedGroups:
    """Train a network with several seeds, one after another, into one folder of runs; gives them as a group with mean and deviation.

    `seeds` are how many, counted from the recipe's seed on, or a list; `data` and the keywords are those of `train`. The runs lie in `out`, or in the
    next numbered folder under runs/, as seed-0, seed-1, and so on. With `resume=True`, runs of the folder that have ended stay as they are, and
    the others are resumed or begun. `max_time` is for all together. Raises as `train`; `Interrupted` where one was interrupted.
    """
    name = network.name if isinstance(network, Spec) else os.fspath(network)
    asked |= {} if data is None else {"data": data}
    given = ", ".join([repr(name), repr(seeds), *(f"{k}={v!r}" for k, v in asked.items())])
    return carry_out_seeds(network, seeds, Request(**asked), command=[f"rd.train_seeds({given})"])


def carry_out_seeds(network: Trainable, seeds: Seeds, request: Request, *, command: Sequence[str]) -> SeedGroups:
    """What `train_seeds` does. `command` is what the runs' folders keep of how they were started."""
    # Standard input is read once.
    network = network if isinstance(network, Spec) else load(network)
    spec = changed(network, request.settings, recipe=request.recipe)
    chosen = read_seeds(seeds, recipe_of(spec, request.recipe).seed)
    _require_plain(request)
    home = _home(spec, request)
    until = None if request.seconds is None else time.monotonic() + request.seconds
    done: list[Run] = []
    for seed in chosen:
        left = None if until is None else max(0.0, until - time.monotonic())
        one = replace(request, seed=seed, out=home / f"seed-{seed}", resume=request.resume, max_time=left)
        try:
            done.append(carry_out(network, one, command=command))
        except Interrupted as e:
            raise SeedsInterrupted(home, len(done), len(chosen), e.why) from None
    return grouped(done)


def read_seeds(seeds: Seeds, first: int) -> tuple[int, ...]:
    """The seeds of `3` (three, from `first` on) or of `1,5,9`. Raises SpecError (exit 2)."""
    given = [seeds] if isinstance(seeds, int) else [part.strip() for part in seeds.split(",")] if isinstance(seeds, str) else list(seeds)
    numbers = [int(v) if isinstance(v, int) or (v.isascii() and v.isdecimal() and len(v) <= 10) else -1 for v in given]
    listed = not isinstance(seeds, int) and (not isinstance(seeds, str) or "," in seeds)
    found = numbers if listed else [first + i for i in range(numbers[0])] if 1 <= numbers[0] <= MOST else []
    if not 1 <= len(found) <= MOST or min(found) < 0:
        help = f"write a number of seeds ({Argument('seeds', 3)}) or a list ({Argument('seeds', '1,5,9')}), at most {MOST:,}"
        raise refuse("usage", "are no seeds", help, at=Argument("seeds"))
    if len(set(found)) < len(found):
        raise refuse("usage", "a seed is there twice", "say each once: equal seeds give equal runs", at=Argument("seeds"))
    return tuple(found)


def _require_plain(request: Request) -> None:
    if int(os.environ.get("WORLD_SIZE") or "1") > 1:
        raise refuse("usage", "several seeds are for one process", f"start torchrun once for each {Argument('seed')}", at=Argument("seeds"))
    if request.resume and request.out is None:
        raise refuse("usage", "which folder of runs?", f"add {Argument('out', 'DIR')}", at=Argument("resume", True))


def _home(spec: Spec, request: Request) -> Path:
    """The folder of the runs. Raises SpecError: exit 2 where it holds something already."""
    if request.home is None:
        return next(path for i in range(1, 10**6) if not (path := HOME / f"{spec.name}-seeds-{i:03}").exists())
    home = request.home
    if RunFolder.was_run(home):
        raise refuse("run-exists", "holds a run, not runs of several seeds", f"choose another {Argument('out')}", at=home)
    if not request.resume and home.is_dir() and any(home.iterdir()):
        help = f"add {Argument('resume', True)} to go on with its runs, or choose another {Argument('out')}"
        raise refuse("run-exists", "is not empty", help, at=home)
    return home
