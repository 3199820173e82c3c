"""A run from its beginning, or from where it was stopped, to its results."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy
import torch

from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec, load
from resnet_dsl.language.recipe import Recipe, write
from resnet_dsl.language.recipes import load_recipe
from resnet_dsl.language.resolved import resolved
from resnet_dsl.language.tree import Mapping as MappingTree
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.emit import emit
from resnet_dsl.training import checkpoint, weights
from resnet_dsl.training.batches import Batches, Normalisation
from resnet_dsl.training.data.dataset import Dataset, require_fit, split
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device import Plan, choose, describe
from resnet_dsl.training.errors import Interrupted, RunError
from resnet_dsl.training.evaluate import Scores, score
from resnet_dsl.training.loop import Judge, Loop
from resnet_dsl.training.progress import Watcher
from resnet_dsl.training.run import (
    CHECKPOINTS,
    COMMAND,
    ENVIRONMENT,
    METRICS,
    RECIPE,
    REQUEST,
    RESULTS,
    SOURCE,
    SPEC,
    WEIGHTS,
    Metrics,
    RunFolder,
)
from resnet_dsl.training.stop import StopWish
from resnet_dsl.version import __version__


@dataclass(frozen=True, slots=True)
class Request:
    """What a run is asked for beside its spec and recipe.

    `data` is a data set's name, `data_dir` where it lies if not in the usual places, `limit_train` how many training images
    are used at most, `device` as in `device.choose`, `download`: fetch data that is not here.
    """

    data: str
    data_dir: Path | None = None
    limit_train: int | None = None
    device: str = "auto"
    download: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Everything that decides a run, resolved."""

    spec_text: str
    recipe_text: str
    graph: Graph
    recipe: Recipe
    request: Request
    plan: Plan
    data: Dataset


def begin(
    spec: Spec,
    recipe: Recipe,
    request: Request,
    *,
    out: Path | None = None,
    again: bool = False,
    command: Sequence[str] = (),
    watcher: Watcher,
) -> dict[str, Any]:
    """Train a network in a new run folder (`out`, or a numbered one under runs/) and give its results.

    `again`: if `out` holds this very run already, go on with it.
    Raises SpecError: exit 2 where spec, recipe and data do not fit, 3 for data and disk, 1 where the loss is not finite;
    Interrupted where a signal came, with the state saved.
    """
    if again and out is not None and RunFolder.is_run(out):
        _require_same(RunFolder.open(out), spec, recipe, request)
        return resume(out, data_dir=request.data_dir, device=None if request.device == "auto" else request.device, watcher=watcher)
    graph = compile(spec)
    plan = choose(request.device, recipe.precision)
    data = open_dataset(request.data, graph.input, request.data_dir, request.download, watcher.say)
    require_fit(data, graph.input, graph.classes, spec.name)
    if request.data_dir is not None:
        request = replace(request, data_dir=request.data_dir.resolve())
    job = _Job(_without_recipe(spec), write(recipe), graph, recipe, request, plan, data)
    batches, judge = _prepare(job)
    name = spec.name if spec.name.endswith(f"-{data.name}") else f"{spec.name}-{data.name}"
    with StopWish() as stop, RunFolder.create(out, name, again=again) as folder:
        folder.write(SPEC, job.spec_text)
        folder.write(RECIPE, job.recipe_text)
        folder.write_json(REQUEST, _record(job))
        folder.write(COMMAND, " ".join(command) + "\n")
        folder.write(SOURCE, emit(graph))
        return _execute(job, folder, batches, judge, watcher, stop)


def _require_same(folder: RunFolder, spec: Spec, recipe: Recipe, request: Request) -> None:
    """Refuse to go on with a run as if it were another. Raises RunError (exit 2)."""
    record = folder.read_json(REQUEST)
    asked = {SPEC: _without_recipe(spec), RECIPE: write(recipe), "--data": request.data, "--limit-train": request.limit_train}
    held = {SPEC: folder.read(SPEC), RECIPE: folder.read(RECIPE), "--data": record.get("data"), "--limit-train": record.get("limit_train")}
    for name, value in asked.items():
        if value != held[name]:
            raise RunError(
                "run-differs",
                f"holds a run with another {name}{_first_difference(held[name], value)}",
                f"go on with it as it is: resnet-dsl train --resume {folder.path}; or choose another --out",
                at=folder.path,
                exit_code=2,
            )


def _first_difference(held: object, asked: object) -> str:
    for a, b in zip(str(held).splitlines(), str(asked).splitlines(), strict=False):
        if a != b:
            return f": it has {a}, asked for is {b}"
    return ""


def resume(path: Path, *, data_dir: Path | None, device: str | None, watcher: Watcher) -> dict[str, Any]:
    """Go on with a run from its newest whole checkpoint, or give its results where it has ended.

    What was decided when it began stays: data, precision, device (unless `device` says otherwise). Raises as `begin`.
    """
    with StopWish() as stop, RunFolder.open(path) as folder:
        if (path / RESULTS).is_file():
            watcher.say(f"{path} has ended already")
            return folder.read_json(RESULTS)
        spec = load(str(path / SPEC))
        recipe = load_recipe(None, None, str(path / RECIPE)).recipe
        record = folder.read_json(REQUEST)
        try:
            before = record["plan"]
            where = Path(record["data_dir"]) if record["data_dir"] else None
            request = Request(record["data"], data_dir or where, record["limit_train"], device or before["device"])
            expected = record["data_sha256"]
        except (KeyError, TypeError):
            raise RunError(
                "run-damaged", "lacks what a run's record holds", "the run folder was edited or damaged", at=path / REQUEST
            ) from None
        graph = compile(spec)
        plan = replace(choose(request.device, before["precision"]), reason="as it began")
        data = open_dataset(request.data, graph.input, request.data_dir, say=watcher.say)
        if data.sha256 != expected:
            raise RunError(
                "data-changed",
                f"{data.origin} is not what the run began with: SHA-256 {data.sha256[:16]}..., then {expected[:16]}...",
                "give the original data with --data-dir",
                at=path,
            )
        for name, now, then in (
            ("device", plan.device, before["device"]),
            ("threads", plan.threads, before["threads"]),
            ("torch", torch.__version__, record["torch"]),
        ):
            if now != then:
                watcher.say(f"note: {name} is {now}, the run began with {then}: the result will not be the same to the bit")
        job = _Job(folder.read(SPEC), folder.read(RECIPE), graph, recipe, request, plan, data)
        return _execute(job, folder, *_prepare(job), watcher, stop)


def _without_recipe(spec: Spec) -> str:
    """The resolved spec. The recipe has its own file, and a path to one would lead nowhere from the run's folder."""
    tree = MappingTree(spec.tree.at)
    for key, value in spec.tree.items():
        if key != "train":
            tree.put(key, spec.tree.keys_at[key], value)
    return resolved(replace(spec, tree=tree), origins=False)


def _prepare(job: _Job) -> tuple[Batches, Judge]:
    """Batches and the judge, but for the judge's model: what can be refused before a folder is made."""
    part, held_out = split(job.data.train, job.recipe.validation, job.request.limit_train)
    normalisation = Normalisation.measure(part, job.recipe.normalize)
    batches = Batches(part, job.recipe, normalisation, job.plan)
    on, judged = ("test", job.data.test) if held_out is None else ("validation", held_out)
    return batches, Judge(on, judged.to(job.plan.torch_device), normalisation)


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Puts a loop's log, checkpoints and weights into the run's folder."""

    job: _Job
    folder: RunFolder
    metrics: Metrics
    model: torch.nn.Module
    normalisation: Normalisation

    def log(self, row: dict[str, Any]) -> None:
        self.metrics.add(row)

    def save(self, step: int, state: dict[str, Any]) -> None:
        state = {**state, "metrics": self.metrics.sync(), "identity": _identity(self.job)}
        checkpoint.save(self.folder.checkpoints, step, state)
        self.save_weights()

    def save_weights(self) -> str:
        return weights.save(
            self.folder.path / WEIGHTS, self.model, spec=self.job.spec_text, classes=self.job.data.classes,
            normalisation=self.normalisation, data=self.job.data.name,
        )  # fmt: skip


def _execute(job: _Job, folder: RunFolder, batches: Batches, judge: Judge, watcher: Watcher, stop: StopWish) -> dict[str, Any]:
    state = _newest_state(job, folder, watcher)
    _note_session(job, folder, state["step"] if state else 0)
    model = job.plan.place(build(job.graph, seed=job.recipe.seed))
    metrics = Metrics(folder.path / METRICS, state["metrics"] if state else 0)
    keeper = _Keeper(job, folder, metrics, model, batches.normalisation)
    loop = Loop(model, batches, judge, keeper, watcher, stop)
    if state is not None:
        loop.restore(state)
        watcher.say(f"resuming {folder.path} at step {loop.step:,} of {loop.total:,}")
    watcher.say(f"training {job.graph.name} on {job.data.name} ({len(batches.train):,} images, from {job.data.origin}) into {folder.path}")
    watcher.say(f"device plan: {job.plan}")
    try:
        test = _train_and_test(job, loop, judge, stop)
    finally:
        watcher.close()
        metrics.close()
    if test is None:
        raise Interrupted(folder.path, loop.step, loop.total)
    results = _results(job, loop, test, keeper.save_weights(), folder)
    folder.write_json(RESULTS, results)
    return results


def _train_and_test(job: _Job, loop: Loop, judge: Judge, stop: StopWish) -> Scores | None:
    """The scores on the test set at the end; None where a signal came first."""
    if not loop.run():
        return None
    if judge.on == "test":
        return loop.scores
    return score(loop.model, job.data.test, judge.normalisation, job.plan, stop)


def _newest_state(job: _Job, folder: RunFolder, watcher: Watcher) -> dict[str, Any] | None:
    """The state to go on from. Raises RunError (exit 3) where it belongs to another spec, recipe or data."""
    folder.make(CHECKPOINTS)
    state, damaged = checkpoint.load_newest(folder.checkpoints, job.plan.torch_device)
    for d in damaged:
        watcher.say(f"warning: {d.path} is not used: {d.reason}")
    if state is None:
        return None
    for name, now in _identity(job).items():
        if (then := state["identity"][name]) != now:
            raise RunError(
                "checkpoint-fit",
                f"its checkpoints are of another {name}: SHA-256 {then[:16]}..., now {now[:16]}...",
                f"put the {name} back as it was, or begin a new run",
                at=folder.path,
            )
    return state


def _identity(job: _Job) -> dict[str, str]:
    """What a checkpoint belongs to."""
    sums = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in (("spec", job.spec_text), ("recipe", job.recipe_text))}
    return {**sums, "data": job.data.sha256}


def _record(job: _Job) -> dict[str, Any]:
    return {
        "format": 1,
        "data": job.data.name,
        "data_dir": str(job.request.data_dir) if job.request.data_dir else None,
        "origin": job.data.origin,
        "data_sha256": job.data.sha256,
        "classes": list(job.data.classes),
        "limit_train": job.request.limit_train,
        "plan": job.plan.to_dict(),
        "torch": torch.__version__,
    }


def _note_session(job: _Job, folder: RunFolder, step: int) -> None:
    """Add this process to env.json: a run may be trained by several, one after the other."""
    sessions = folder.read_json(ENVIRONMENT).get("sessions", []) if (folder.path / ENVIRONMENT).is_file() else []
    here = {
        "from_step": step,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resnet_dsl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "platform": platform.platform(),
        **describe(job.plan),
        "executable": sys.executable,
        "folder": os.getcwd(),
        "git": _git_commit(),
    }
    folder.write_json(ENVIRONMENT, {"sessions": [*sessions, here]})


def _git_commit() -> str | None:
    """The commit of the folder that the run was started in, with + where files differ from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _results(job: _Job, loop: Loop, test: Scores, sha256: str, folder: RunFolder) -> dict[str, Any]:
    assert loop.last_train is not None
    return {
        "name": job.graph.name,
        "data": job.data.name,
        "folder": str(folder.path),
        "params": sum(p.numel() for p in loop.model.parameters() if p.requires_grad),
        "steps": loop.total,
        "epochs": round(loop.total / loop.batches.per_epoch, 4),
        "train_loss": loop.last_train[0],
        "train_accuracy": loop.last_train[1],
        "test": test.to_finite(),
        **({"validation": loop.scores.to_finite()} if loop.judge.on == "validation" and loop.scores else {}),
        "seconds": round(loop.elapsed(), 2),
        "images_per_s": round(loop.rate, 1),
        "device": job.plan.device,
        "precision": job.plan.precision,
        "weights_sha256": sha256,
    }
