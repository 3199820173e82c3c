"""A run from its beginning, or from where it was stopped, to its results."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from resnet_dsl.analysis.structure import last_activation
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.datasets.naming import recorded, short
from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.emission.source import emit
from resnet_dsl.language import Spec
from resnet_dsl.language.recipe import Recipe, write
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.records.folder import (
    COMMAND,
    INITIAL,
    METRICS,
    RECIPE,
    REQUEST,
    RESULTS,
    SOURCE,
    SPEC,
    WEIGHTS,
    Metrics,
    RunFolder,
    resuming,
)
from resnet_dsl.records.record import Extension
from resnet_dsl.records.request import Request, argument
from resnet_dsl.records.results import Results, Scores
from resnet_dsl.records.run import Run
from resnet_dsl.runtime import weights
from resnet_dsl.training import finetune
from resnet_dsl.training.batches.batches import Batches, total_steps
from resnet_dsl.training.classes import announcement
from resnet_dsl.training.data.items import Items
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.split import HeldOut
from resnet_dsl.training.device.plan import Plan, resumed_plan
from resnet_dsl.training.device.planning import planned, timed_again
from resnet_dsl.training.job import Job, digest, make, pinned, settle, without_recipe
from resnet_dsl.training.loop.evaluate import score
from resnet_dsl.training.loop.loggers import Logger, makers, open_loggers
from resnet_dsl.training.loop.loop import EvaluationSet, Loop
from resnet_dsl.training.loop.progress import Watcher
from resnet_dsl.training.loop.run_writer import FolderWriter, newest_state, note_session, record, write_weights
from resnet_dsl.training.loop.stop import StopWish
from resnet_dsl.training.ranks import parallel, sharded
from resnet_dsl.training.ranks.world import World, alone


def begin(
    spec: Spec,
    recipe: Recipe,
    request: Request,
    *,
    command: Sequence[str] = (),
    watcher: Watcher,
    world: World | None = None,
) -> Run:
    """Train a network in a new run folder: the request's `out`, or a numbered one under runs/.

    With `resume`, a run that `out` holds already is resumed if it is this one. After `max_time` the run stops, with its state saved.
    Raises SpecError: exit 2 where spec, recipe and data do not fit, 3 for data and disk, 1 where the loss is not finite;
    Interrupted where a signal came or the time was up, with the state saved.
    """
    world = alone() if world is None else world
    stop, out, again = StopWish(request.seconds), request.home, request.resume
    spec, recipe, request = settle(spec, recipe, request)
    if world.restarts and (out is None or not again):
        raise refuse(
            "usage",
            "processes that are started again must know where to go on",
            f"add {Argument('out', 'DIR')} {Argument('resume', True)}",
            at="torchrun --max-restarts",
        )
    if again and out is not None and world.share(RunFolder.is_run(out)):
        _require_same(Run.open(out), spec, recipe, request)
        # Of the same run nothing is made longer.
        now = replace(request, device=pinned(request).device, epochs=None, steps=None)
        return resume(out, now, watcher=watcher, world=world)
    job = make(spec, recipe, request, watcher, world)
    # One rank times the plans; the others take its choice.
    job = (planned(job) if world.main else job).agreed(world)
    batches, evaluation = job.prepare(world)
    on = re.sub(r"[^\w.-]+", "-", job.data.name)
    name = spec.name if spec.name.endswith(f"-{on}") else f"{spec.name}-{on}"
    with stop, _held(lambda: RunFolder.create(out, name, again=again), world) as folder:
        if world.main:
            folder.write(SPEC, job.spec_text)
            folder.write(RECIPE, job.recipe_text)
            if job.start is not None:
                # Before run.json, which makes the folder a run's: that can then be resumed without the file it began with.
                write_weights(folder.path / INITIAL, job.beginning().state_dict(), job, batches.normalisation)
            folder.write_document(REQUEST, record(job, batches.train))
            folder.write(COMMAND, " ".join(command) + "\n")
            folder.write(SOURCE, emit(job.graph))
        world.barrier()
        _execute(job, folder, batches, evaluation, watcher, stop, world)
    return Run.open(folder.path)


@contextlib.contextmanager
def _held(find: Callable[[], RunFolder], world: World) -> Iterator[RunFolder]:
    """The run's folder: rank 0 finds or makes it and holds its lock; the others learn where it is, and read."""
    if not world.main:
        yield RunFolder(world.share(None))
        return
    with find() as folder:
        world.share(folder.path)
        yield folder


def _require_same(run: Run, spec: Spec, recipe: Recipe, request: Request) -> None:
    """Refuse to resume a run with another spec, recipe or request. Raises SpecError (exit 2)."""
    held, asked = run.record.to_dict(), request.lasting()
    pairs = [(str(argument(name)), held.get(name), value) for name, value in asked.items()]
    pairs += [(SPEC, run.spec_text, without_recipe(spec)), (RECIPE, run.recipe_text, write(recipe))]
    for name, before, now in pairs:
        if now != before:
            raise refuse(
                "run-differs",
                f"holds a run with another {name}{_first_difference(before, now)}",
                f"go on with it as it is: {resuming(run.path)}; or choose another {Argument('out')}",
                at=run.path,
            )


def _first_difference(held: object, asked: object) -> str:
    for a, b in zip(str(held).splitlines(), str(asked).splitlines(), strict=False):
        if a != b:
            return f": it has {a}, asked for is {b}"
    return ""


def resume(path: Path, request: Request, *, watcher: Watcher, world: World | None = None) -> Run:
    """Resume a run from its newest whole checkpoint; a run that has ended stays as it is.

    What was decided when it began stays: data, precision, device. Of the request count data_dir, device, workers and max_time. With `epochs`
    or `steps` the run is made longer, even one that has ended: its schedule is then the recipe's for the new length, entered at the step
    that was reached. Raises as `begin`; SpecError (exit 2) where the new length is not above the old one.
    """
    world = alone() if world is None else world
    length = {"epochs": request.epochs, "steps": request.steps}
    longer = any(length.values())
    with StopWish(request.seconds) as stop, _held(lambda: RunFolder.open(path), world) as folder:
        if world.share((path / RESULTS).is_file()) and not longer:
            watcher.say(f"{path} has ended already")
        else:
            job = _stored(Run.open(path), request, watcher, world).agreed(world)
            job.require_trainable(world)
            if longer:
                wanted = job.with_recipe(job.recipe.model_copy(update=length))
                batches, evaluation = wanted.prepare(world)
                if world.main:
                    _lengthen(job, wanted, batches.per_epoch, folder, watcher)
                world.barrier()
                job = wanted
            else:
                batches, evaluation = job.prepare(world)
            _execute(job, folder, batches, evaluation, watcher, stop, world)
    return Run.open(path)


def _stored(run: Run, asked: Request, watcher: Watcher, world: World) -> Job:
    """The job that a run's folder holds. Raises SpecError."""
    path, held, before, graph, recipe = run.path, run.record, Plan.of(run.plan), run.graph, run.recipe
    device = asked.device or before.device
    loggers = (*held.logger, *(one for one in asked.logger if not isinstance(one, str)))
    request = Request.of(held, data=asked.data, data_dir=asked.data_dir, device=device, workers=asked.workers, logger=loggers)
    plan = resumed_plan(before, world.device(device))
    given = recorded(held.data) if asked.data is None else asked.data
    data = open_dataset(
        given, graph.input, request.data_home, say=watcher.say, crop=recipe.augment.crop, workers=request.workers,
        held_out=HeldOut.of(held.held_out), names=() if run.record.classes is None else run.record.classes,
        classes=graph.classes,
    )  # fmt: skip
    # As it was called when the run began: the same arrays may now come from elsewhere.
    data = replace(data, name=short(held.data))
    if data.sha256 != (expected := run.data_sha256):
        raise refuse(
            "data-changed",
            f"{data.origin} is not what the run began with: SHA-256 {data.sha256[:16]}..., then {expected[:16]}...",
            f"give the original data with {Argument('data_dir' if held.data in SOURCES else 'data')}",
            at=path,
            exit_code=3,
        )
    for line in data.lines if world.main else ():
        watcher.say(line)
    for name, now, then in (
        ("device", plan.device, before.device),
        ("compilation", plan.compile, before.compile),
        ("torch", torch.__version__, held.torch),
    ):
        if now != then:
            watcher.say(f"note: {name} is {now}, the run began with {then}: the result will not be the same to the bit")
    if held.classes is not None and len(held.classes) == len(data.classes):
        data = replace(data, classes=held.classes)
    start = None if request.weights is None else finetune.from_copy(path / INITIAL)
    return Job(run.spec_text, run.recipe_text, graph, recipe, request, plan, data, start)


def _lengthen(job: Job, wanted: Job, per_epoch: int, folder: RunFolder, watcher: Watcher) -> None:
    """Put a longer recipe into a run's folder. Killed anywhere, the run is the old one or the new one.

    Raises SpecError (exit 2) where it is no longer one.
    """
    before, after = total_steps(job.recipe, per_epoch), total_steps(wanted.recipe, per_epoch)
    if after <= before:
        raise refuse(
            "run-shorter",
            f"is {before:,} steps long already ({before / per_epoch:,.6g} epochs), and {after:,} are asked for",
            f"ask for more than that, or leave the length out: {resuming(folder.path)}",
            at=folder.path,
        )
    held = Run.open(folder.path).record
    added = Extension(steps_before=before, steps_after=after, recipe_sha256=digest(job.recipe_text))
    extensions = (*(e for e in held.extensions if e != added), added)
    folder.write_document(REQUEST, held.model_copy(update={"extensions": extensions}))
    folder.remove(RESULTS)
    folder.write(RECIPE, wanted.recipe_text)
    watcher.say(
        f"extending {folder.path} from {before:,} to {after:,} steps; the learning rate is the recipe's for the new length "
        f"({wanted.recipe.schedule}), entered at the step that was reached"
    )


def _execute(
    job: Job, folder: RunFolder, batches: Batches, evaluation: EvaluationSet, watcher: Watcher, stop: StopWish, world: World
) -> None:
    state = newest_state(job, folder, watcher, world)
    if world.main:
        note_session(job, folder, state["step"] if state else 0, world)
    most = torch.get_num_threads()
    with contextlib.ExitStack() as closing:
        closing.enter_context(job.plan.computing())
        network = job.network(world)
        closing.callback(batches.close)
        writer = _writer(job, folder, state, network.model, batches, watcher, world, closing)
        closing.callback(watcher.close)
        again = None if job.plan.seconds is None else functools.partial(timed_again, job, most)
        loop = Loop(network, batches, evaluation, writer, watcher, stop, depth=job.depth, world=world, time_again=again)
        if state is not None:
            loop.restore(sharded.read(state, loop.state(), world) if job.layout.parallel == "fsdp" else state)
            if state["renewed"]:
                loop.renew()
            watcher.say(f"resuming {folder.path} at step {loop.step:,} of {loop.total:,}")
        _announce(job, folder, batches, evaluation, watcher, world)
        test = _train_and_test(job, loop, evaluation, stop, folder)
    if test is None:
        raise Interrupted(folder.path, loop.step, loop.total, stop.why)
    if world.main:
        folder.write_document(RESULTS, _results(job, loop, test, folder))
    world.barrier()


def _writer(
    job: Job, folder: RunFolder, state: dict[str, Any] | None, model: torch.nn.Module, batches: Batches, watcher: Watcher, world: World,
    closing: contextlib.ExitStack,
) -> FolderWriter:  # fmt: skip
    """What writes into the run's folder; only rank 0 has a log."""
    metrics: Metrics | None = None
    loggers: Sequence[Logger] = ()
    if world.main:
        metrics = Metrics(folder.path / METRICS, state["metrics"] if state else 0)
        closing.callback(metrics.close)
        asked = job.request
        loggers = open_loggers(folder.path, tensorboard=asked.tensorboard, others=makers(asked.logger), say=watcher.say)
        for logger in reversed(loggers):
            closing.callback(logger.close)
    return FolderWriter(job, folder, metrics, model, batches.normalisation, loggers, world)


def _announce(job: Job, folder: RunFolder, batches: Batches, evaluation: EvaluationSet, watcher: Watcher, world: World) -> None:
    what = f"one batch of {len(evaluation.part):,}" if evaluation.on == "batch" else f"{len(batches.train):,}"
    watcher.say(f"training {job.graph.name} on {job.data.name} ({what} images, from {job.data.origin}) into {folder.path}")
    watcher.say(f"device plan: {job.plan}")
    if (last := last_activation(job.graph)) is not None:
        takes = "applies a softmax by itself" if last.is_softmax else "takes plain scores (logits)"
        watcher.say(
            f"warning: {last.path} ({last.label}) stands between the last layer and the loss, which {takes}: the network learns far less; "
            "leave it out of the head"
        )
    if unequal := announcement(job.recipe, job.class_counts(batches.train), job.data.classes):
        watcher.say(unequal)
    if world.size > 1:
        rows = job.recipe.batch // (world.size * job.recipe.accumulate)
        watcher.say(
            f"{world.size} processes train, each on {rows:,} of the {job.recipe.batch // job.recipe.accumulate:,} images that are seen at once"
        )
    if not job.data.exact:
        why = "an item is not the same each time it is read" if isinstance(job.data.train, Items) else "shards are read as they come"
        watcher.say(f"note: {why}: a resumed or repeated run sees other batches, and ends with other weights")
    if evaluation.on == "test" and (chosen := _chosen_by_the_test_set(job.recipe)):
        watcher.say(f"note: {chosen} goes by the test set, which flatters the result; set validation to hold training images out for it")


def _chosen_by_the_test_set(recipe: Recipe) -> str | None:
    rules = (("best", recipe.best is not None), ("stop_early", recipe.stop_early is not None), ("plateau", recipe.schedule == "plateau"))
    return ", ".join(name for name, on in rules if on) or None


def _train_and_test(job: Job, loop: Loop, evaluation: EvaluationSet, stop: StopWish, folder: RunFolder) -> Scores | None:
    """The scores of the run's weights on the test set; None where the run was stopped before."""
    if not loop.run():
        return None
    if loop.best is None:
        # Once more: the process that wrote the last checkpoint may have been killed before it came to the weights.
        with loop.stepper.evaluating():
            loop.writer.save_weights()
    path = folder.path / WEIGHTS
    found = loop.scores if loop.best is None else loop.best.scores
    if evaluation.on != "validation":
        return found
    with loop.stepper.evaluating():
        if loop.best is not None:
            # Rank 0 may still be writing them.
            loop.world.barrier()
            parallel.load_full(loop.model, dict(weights.load(path, finite=False).tensors))
        test = job.data.test.to(job.plan.torch_device)
        return score(loop.model, test, evaluation.normalisation, job.plan, stop, flip=job.recipe.test_flip, world=loop.world)


def _epoch_of(step: int, loop: Loop) -> float:
    """Passes over the data after a step."""
    return round(step / loop.batches.per_epoch, 4)


def _said(loop: Loop) -> Iterator[str]:
    """What a run did that its figures do not show."""
    if loop.early is not None and loop.stopped_early and loop.step < loop.total:
        rule = f"{loop.early.waited} evaluations in a row without a better {loop.early.metric}"
        yield f"stopped early at epoch {_epoch_of(loop.step, loop):g} of {_epoch_of(loop.total, loop):g}: {rule}"
    if loop.best is not None and loop.best.scores is not None:
        found, metric = loop.best.scores, loop.best.metric
        worth = f"{metric} {getattr(found, metric):.4f}" if metric == "loss" else f"{metric} {getattr(found, metric):.2%}"
        yield f"the weights of epoch {_epoch_of(loop.best.step, loop):g} are kept, the best by {metric} ({loop.evaluation.on} {worth})"
    elif loop.early is not None and loop.early.scores is not None and loop.early.step < loop.step:
        yield f"the weights of the end are kept; epoch {_epoch_of(loop.early.step, loop):g} had the best {loop.early.metric} (`best: {loop.early.metric}` keeps it)"


def _results(job: Job, loop: Loop, test: Scores, folder: RunFolder) -> Results:
    assert loop.last_train is not None
    best = loop.best
    validation = (loop.scores if best is None else best.scores) if loop.evaluation.on == "validation" else None
    return Results(
        name=job.graph.name,
        data=job.data.name,
        folder=str(folder.path),
        params=sum(p.numel() for p in loop.model.parameters()),
        steps=loop.step,
        epochs=round(loop.step / loop.batches.per_epoch, 4),
        stopped_early=loop.stopped_early or None,
        best_step=None if best is None else best.step,
        best_epoch=None if best is None else _epoch_of(best.step, loop),
        said=tuple(_said(loop)) or None,
        overfit_batch=job.request.overfit_batch or None,
        train_loss=loop.last_train[0],
        train_accuracy=loop.last_train[1],
        test=test,
        validation=validation,
        seconds=round(loop.elapsed(), 2),
        images_per_s=round(loop.rate, 1),
        device=job.plan.device,
        precision=job.plan.precision,
        weights_sha256=weights.fingerprint(weights.load(folder.path / WEIGHTS, finite=False).tensors),
    )
