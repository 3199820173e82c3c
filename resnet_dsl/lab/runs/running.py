"""One run of a study, wherever it is carried out: trained by the run machinery into its folder, then measured."""

from __future__ import annotations

from collections.abc import Callable

import torch

from resnet_dsl.diagnostics import SpecError, speak
from resnet_dsl.lab.study.engine import Task
from resnet_dsl.lab.study.folder import MEASURES_FILE, measured, write
from resnet_dsl.lab.study.measures import curve, diverged, of_log
from resnet_dsl.lab.study.planning import ON_CPU, command
from resnet_dsl.lab.study.records import RunMeasures
from resnet_dsl.language import load
from resnet_dsl.language.recipes import recipe_named
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.request import Request
from resnet_dsl.records.results import Results
from resnet_dsl.records.run import Run
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.evaluate import score
from resnet_dsl.training.loop.progress import Silent, Snapshot
from resnet_dsl.training.session import begin, resume
from resnet_dsl.using.assess import run_images

Progress = Callable[[int, int], None]
"""Receives the step that was reached and the number of steps."""


def run_task(task: Task, progress: Progress = lambda step, total: None) -> RunMeasures:
    """Carry a task out in this process and return what was measured, which is also written into its folder.

    A finished task is read, and one that was begun resumes from its checkpoint. A run whose loss is not finite is a result. Raises
    SpecError where the task cannot be carried out, Interrupted where a signal came, with the state saved.
    """
    found = measured(task)
    if found is not None:
        return found
    steps = _Steps(progress)
    bad = ""
    try:
        results = _trained(task, steps).results
    except SpecError as e:
        if e.diagnostics[0].code != "not-finite":
            raise
        results, bad = None, speak(e.diagnostics[0].message)
    found = _measured(task, results, bad, steps.total)
    write(task.folder / MEASURES_FILE, found)
    return found


class _Steps(Silent):
    """Passes on where a run is, a few times a second at most."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self.total = progress, 0

    def show(self, now: Snapshot) -> None:
        """After a step."""
        self.total = now.total
        if now.step % 10 == 0 or now.step == now.total:
            self._progress(now.step, now.total)


def _trained(task: Task, watcher: Silent) -> Run:
    request = Request(
        data=task.data, data_dir=task.data_dir, limit_train=task.limit_train, device=task.device, weights=task.start, out=task.folder,
        plan=ON_CPU if task.device == "cpu" else None, resume=True,
    )  # fmt: skip
    if RunFolder.is_run(task.folder):
        return resume(task.folder, request, watcher=watcher)
    recipe = recipe_named(str(task.recipe)).model_copy(update={"seed": task.seed})
    return begin(load(str(task.spec)), recipe, request, command=command(task), watcher=watcher)


def _measured(task: Task, results: Results | None, bad: str, total: int) -> RunMeasures:
    run = Run.open(task.folder)
    measures = of_log(run.rows, tail=task.tail, level=task.level, batch=recipe_named(str(task.recipe)).batch)
    if results is None:
        measures |= diverged(len(run.classes), total, task.level)
    else:
        evaluated = 100 * (1 - _judged(task))
        test = 100 * (1 - results.test.top1)
        measures |= {"train_error_eval": evaluated, "test_error": test, "gap": test - evaluated, "seconds": results.seconds}
    return RunMeasures(
        identity=task.identity,
        diverged=bad or None,
        measures={k: None if v is None else float(f"{v:.6g}") for k, v in measures.items()},
        curve=tuple(curve(run.rows)),
        steps=total if results is None else results.steps,
        data_sha256=run.data_sha256,
        weights_sha256=None if results is None else results.weights_sha256,
    )


def _judged(task: Task) -> float:
    """The accuracy of the final weights on a part of the run's training images that is the same for every run, in evaluation mode."""
    trained, _, images = run_images(task.folder, data=task.data, data_dir=task.data_dir, part="train")
    order = torch.randperm(len(images), generator=generator(0, "judged"))[: task.judged].sort().values
    plan = Plan.of(Run.open(task.folder).plan)
    assert trained.artifact.normalisation is not None  # from_run refuses weights without
    with plan.computing():
        found = score(trained.model(plan), images.take(order), trained.artifact.normalisation, plan)
    assert found is not None  # nothing asked it to stop
    return found.top1
