"""A study from its name to its result and pictures, as `rd.study` and the command run it."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from resnet_dsl.datasets.naming import short
from resnet_dsl.diagnostics import Argument, did_you_mean, inline, quote, refuse
from resnet_dsl.files import write_output
from resnet_dsl.lab.study.conduct import Execution, conduct
from resnet_dsl.lab.study.engine import Engine
from resnet_dsl.lab.study.form import Setting
from resnet_dsl.lab.study.planning import Choice, StudyPlan, options, plan
from resnet_dsl.lab.study.reading import read_study
from resnet_dsl.lab.study.result import Invocation, StudyResult
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.system import cores

EngineName = Literal["local", "ray"]
MAX_SEEDS, MAX_JOBS = 1000, 1024


@dataclass(frozen=True, slots=True)
class Launch:
    """How and where a study runs: in `out`, or in a folder under `home` whose name says the setting. No field decides a number."""

    home: Path
    out: Path | None = None
    download: bool = False
    jobs: int | None = None
    engine: EngineName = "local"
    address: str | None = None
    plot: Path | None = None
    curves: Path | None = None
    quiet: bool = False


def launch(study: str, choice: Choice, how: Launch) -> StudyResult:
    """Run what is not finished of a study, and write study.json, study.svg and curves.svg into its folder.

    Raises as `conduct` does, and SpecError (exit 2) for a request that does not fit.
    """
    _require_valid(choice, how)
    planned = plan(read_study(study), choice)
    home = how.out if how.out is not None else how.home / folder_name(planned)
    if RunFolder.was_run(home):
        raise refuse("run-exists", "holds a run, not a study", f"choose another {Argument('out')}", at=home)
    # A cluster knows itself how much fits on it.
    jobs = how.jobs or (None if how.engine == "ray" else cores() if choice.device == "cpu" else 1)
    invocation = Invocation(command_line(study, choice), jobs, how.engine, choice.device)
    execution = Execution(_engine(how, jobs), invocation, sys.stderr, quiet=how.quiet, download=how.download)
    found = conduct(planned, home, execution)
    if found.cost.runs:
        write_output(how.plot or home / "study.svg", found.dots.svg, at=Argument("plot"))
        write_output(how.curves or home / "curves.svg", found.curves.svg, at=Argument("curves"))
    return found


def folder_name(planned: StudyPlan) -> str:
    """The folder's name: what sets apart the runs of one study, except for seeds, which only add to each other."""
    c = planned.choice
    parts = [planned.study.name, *([c.setting] if c.setting != "usual" else [])]
    parts += [short(planned.data).replace(":", "-")] if planned.data != next(iter(planned.study.data)) else []
    parts += [f"{c.steps}-steps"] if c.steps else []
    parts += [f"{c.limit_train}-images"] if c.limit_train else []
    return "-".join(parts)


def command_line(study: str, choice: Choice) -> str:
    """The command that gives the same numbers, without the folders of this machine."""
    parts = ["resnet-dsl", "study", Path(study).name if os.sep in study else study]
    parts += [f"--{choice.setting}"] if choice.setting != "usual" else []
    device = choice.device if choice.device != "cpu" else None
    given = {"data": choice.data, "seeds": choice.seeds, "steps": choice.steps, "limit-train": choice.limit_train, "device": device}
    return shlex.join([*parts, *options(given)])


def _require_valid(choice: Choice, how: Launch) -> None:
    """What the command line's parser refuses by itself, and what does not go together."""
    for name, word, known in (("setting", choice.setting, get_args(Setting)), ("engine", how.engine, get_args(EngineName))):
        if word not in known:
            raise refuse("usage", f"there is no {name} {quote(str(word))}", did_you_mean(str(word), known, what=name), at=Argument(name))
    numbers = {
        "seeds": (choice.seeds, MAX_SEEDS), "steps": (choice.steps, None), "limit_train": (choice.limit_train, None), "jobs": (how.jobs, MAX_JOBS),
    }  # fmt: skip
    for name, (number, most) in numbers.items():
        if number is not None and (type(number) is not int or number < 1 or (most is not None and number > most)):
            wanted = f"from 1 to {most:,}" if most is not None else "of 1 or more"
            raise refuse("out-of-range", f"must be a whole number {wanted}, not {quote(repr(number))}", "write another", at=Argument(name))
    if how.address is not None and how.engine != "ray":
        raise refuse("usage", "an address is for Ray", f"add {Argument('engine', 'ray')}, or leave it out", at=Argument("address"))
    for name, path in (("plot", how.plot), ("curves", how.curves)):
        if path is not None and path.suffix != ".svg":
            raise refuse("usage", f"it is drawn as SVG, not as {inline(str(path))}", "name a file that ends in .svg", at=Argument(name))


def _engine(how: Launch, jobs: int | None) -> Engine:
    if how.engine == "ray":
        from resnet_dsl.lab.study.ray_engine import RayEngine

        return RayEngine(jobs, how.address)
    from resnet_dsl.lab.study.local import LocalEngine

    return LocalEngine(jobs or 1)
