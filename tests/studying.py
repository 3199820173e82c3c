"""What tests of studies share: a small study, its folder made ready, and an engine that invents numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnet_dsl.lab.runs.preparing import prepare
from resnet_dsl.lab.study.engine import Task, TaskResult
from resnet_dsl.lab.study.folder import write
from resnet_dsl.lab.study.planning import Choice, StudyPlan, plan
from resnet_dsl.lab.study.reading import read_study
from resnet_dsl.lab.study.records import RunMeasures
from resnet_dsl.lab.study.result import Invocation

TEXT = """\
title: Small
claim: C
source: {paper: P}
data: digits
seeds: 1
learning_rates: [0.1]
steps: 24
judged: 300
network: {params: {n: 1}, input: {channels: 1, height: 8, width: 8}, classes: 10, stem: cifar, block: basic, shortcut: A,
  stages: [{depth: n, width: 4}, {depth: n, width: 8, stride: 2}]}
arms: {plain: {shortcut: none}, residual: {}}
recipe: {batch: 32, schedule: constant, warmup: 0, augment: {pad_crop: 0, flip: false}, log_every: 4, checkpoint_every: 0.25}
decide: [{that: plain is worse, measure: train_error, of: plain, minus: residual, rule: greater}]
"""
INVOCATION = Invocation("resnet-dsl study small", 1, "local", "cpu")


def never() -> bool:
    return False


def ready(home: Path, text: str = TEXT, **choice: Any) -> tuple[StudyPlan, tuple[Task, ...]]:
    """A small study whose folder is prepared."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "small.yaml").write_text(text)
    p = plan(read_study(str(home / "small.yaml")), Choice(**choice))
    tasks = p.tasks(home)
    prepare(p, home, tasks, download=False, say=print)
    return p, tasks


class Instant:
    """An engine that invents its numbers and writes what a run would; runs of the arm `failing` fail."""

    def __init__(self, failing: str = "") -> None:
        self.done: list[Task] = []
        self.failing = failing

    def run(self, tasks: Any, report: Any, stop: Any) -> Any:
        for t in tasks:
            self.done.append(t)
            if t.arm == self.failing:
                yield TaskResult(t, error="the disk is full", exit_code=3)
                continue
            measures = {"train_error": 20.0 + t.seed, "test_error": 20.0, "loss": 0.5, "seconds": 1.0}
            found = RunMeasures(
                identity=t.identity, diverged=None, measures=measures, curve=((4, 20.0),), steps=24, weights_sha256="", data_sha256=""
            )
            t.folder.mkdir(parents=True)
            write(t.folder / "measures.json", found)
            yield TaskResult(t, found)
