"""The training loop: steps, the schedule, evaluation, the log, checkpoints. Reads top to bottom in `Loop.run`.

Exact on one device type and torch build, with the threads that the run's plan tells: a run that was stopped anywhere and resumed ends with the same
bits, since every random number is a function of (seed, step, rank) and the state holds all the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from resnet_dsl.diagnostics import SpecError, refuse, setting
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.records.log import LogRow
from resnet_dsl.records.record import ThreadChange
from resnet_dsl.records.results import Scores
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.batches.batches import Batches, every, total_steps
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.device.plan import Plan, take_threads
from resnet_dsl.training.device.threads import StepWatch, Threads
from resnet_dsl.training.loop import faults
from resnet_dsl.training.loop.evaluate import score
from resnet_dsl.training.loop.optim import Pace, learning_rate
from resnet_dsl.training.loop.progress import Snapshot, Watcher
from resnet_dsl.training.loop.records import Record
from resnet_dsl.training.loop.step import Outcome, Stepper, TimedBatches
from resnet_dsl.training.ranks.parallel import ParallelModel, broadcast_buffers, local_part
from resnet_dsl.training.ranks.world import World


class RunWriter(Protocol):
    """Where a loop puts what must outlive it."""

    def log(self, row: LogRow) -> None:
        """One line of metrics."""

    def save(self, step: int, state: dict[str, Any]) -> None:
        """A checkpoint."""

    def save_weights(self) -> None:
        """The model's weights of this moment as the run's."""

    def save_plan(self, plan: Plan) -> None:
        """The device plan, which has another number of threads from now on."""


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """What the network is evaluated on, on the way: `on` is `test`, `validation` or `batch`."""

    on: str
    part: Images
    normalisation: Normalisation


class Sums:
    """Loss, hits and images since a moment, on the device."""

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(3, device=device)

    def add(self, found: Outcome) -> None:
        """One batch."""
        loss = found.loss
        self.values += torch.stack((loss * found.images, found.hits.to(loss.dtype), torch.full_like(loss, found.images)))

    def state(self, world: World) -> torch.Tensor:
        """The sums of every rank, (ranks, 3)."""
        return torch.tensor(world.gather(self.values.tolist()))

    def restore(self, values: torch.Tensor, world: World) -> None:
        """Go on from a saved state: each rank from its own sums, or one from those of all where their number has changed."""
        if len(values) == world.size:
            self.values.copy_(values[world.rank])
        else:
            self.values.copy_(values.sum(0) * world.main)

    def take(self, world: World) -> tuple[float, float]:
        """Mean loss and accuracy over all ranks; starts from zero again."""
        loss, hits, images = world.sum(self.values.clone()).tolist()
        self.values.zero_()
        return loss / images, hits / images


class Loop:
    """One training run of one network of `depth` layers."""

    def __init__(
        self, network: ParallelModel, batches: Batches, evaluation: EvaluationSet, writer: RunWriter, watcher: Watcher, stop: Callable[[], bool],
        *, depth: int, world: World, time_again: Callable[[], Threads] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.batches, self.evaluation, self.writer, self.watcher = network.model, batches, evaluation, writer, watcher
        self.recipe: Recipe = batches.recipe
        self.plan: Plan = batches.plan
        self.world = world
        self.stop = stop
        self.total = total_steps(self.recipe, batches.per_epoch)
        # A run that is shorter than the interval is logged as well, with ten rows.
        self._log_every = self.recipe.log_every if self.total >= self.recipe.log_every else max(1, self.total // 10)
        self.stepper = Stepper(network, self.recipe, self.plan, world)
        self.pace = Pace.beginning(self.recipe, depth)
        self.best = Record(self.recipe.best) if self.recipe.best is not None else None
        self.early = Record(self.recipe.stop_early.metric) if self.recipe.stop_early is not None else None
        # Of several processes each would choose for itself.
        self._time_again = time_again if world.size == 1 else None
        self._watch = StepWatch(self.plan.seconds)
        self.step = 0
        self.evaluated = 0
        self.seconds = 0.0
        self.scores: Scores | None = None
        self.last_train: tuple[float, float] | None = None
        self._since_log, self._since_evaluation = Sums(self.plan.torch_device), Sums(self.plan.torch_device)
        self._shown: tuple[float, float] | None = None
        self._began, self._began_step = time.monotonic(), 0
        self._busy, self._rate = 0.0, 0.0

    def run(self) -> bool:
        """Train to the end, or until `stop`; False if stopped. The state is saved either way. Raises SpecError."""
        self.model.train()
        take_threads(self.plan.threads_at(self.step))
        self._began, self._began_step = time.monotonic(), self.step
        evaluate_every, save_every = (every(e, self.batches.per_epoch) for e in (self.recipe.eval_every, self.recipe.checkpoint_every))
        saved = (self.step, self.evaluated)
        while True:
            # Evaluation comes first in a turn, so that a run that was stopped within one takes it up again.
            due = self.step % evaluate_every == 0 or self.step == self.total
            if due and self.evaluated != self.step and not self._evaluate():
                break
            if (self.step, self.evaluated) != saved and (self.step % save_every == 0 or self.finished):
                self._save()
                saved = (self.step, self.evaluated)
            if self.finished or (self.step % self.world.stride == 0 and self.world.agree(self.stop())):
                break
            self._train_one()
        if (self.step, self.evaluated) != saved:
            self._save()
        return self.finished

    @property
    def finished(self) -> bool:
        """Is the run at its end, or does it get no better?"""
        return self.evaluated == self.step and (self.step == self.total or self.stopped_early)

    @property
    def stopped_early(self) -> bool:
        """Has stop_early had enough?"""
        rule = self.recipe.stop_early
        return rule is not None and self.early is not None and self.early.waited >= rule.patience

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on; plain values and tensors only."""
        average = self.stepper.average
        return {
            "step": self.step, "evaluated": self.evaluated, "seconds": self.elapsed(),
            **self.stepper.network.state(self.stepper.optimizer),
            "average": average.values if average else None,
            "since_log": self._since_log.state(self.world), "since_evaluation": self._since_evaluation.state(self.world),
            "scores": self.scores.to_dict() if self.scores else None, "last_train": self.last_train,
            "pace": self.pace.to_dict(), "best": self.best.to_dict() if self.best else None,
            "early": self.early.to_dict() if self.early else None,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.step, self.evaluated, self.seconds = state["step"], state["evaluated"], state["seconds"]
        self.stepper.network.restore(self.stepper.optimizer, state)
        if self.stepper.average is not None:
            self.stepper.average.load(state["average"])
        self._since_log.restore(state["since_log"], self.world)
        self._since_evaluation.restore(state["since_evaluation"], self.world)
        self.scores = Scores.measured(**state["scores"]) if state["scores"] else None
        self.last_train = tuple(state["last_train"]) if state["last_train"] else None
        self.pace = Pace(**state["pace"])
        self.best = Record.from_dict(state["best"]) if state["best"] else None
        self.early = Record.from_dict(state["early"]) if state["early"] else None

    def renew(self) -> None:
        """The run was made longer: what stop_early has counted is over."""
        if self.early is not None:
            self.early = replace(self.early, waited=0)

    @property
    def rate(self) -> float:
        """Training images a second in this process, evaluation and saving left out."""
        return self._rate

    def elapsed(self) -> float:
        """Seconds of this run, all its processes together."""
        return self.seconds + time.monotonic() - self._began

    def _train_one(self) -> None:
        faults.reach("step", self.step)
        began = time.monotonic()
        lr = self._lr(self.step)
        feed = TimedBatches(self.batches)
        found = self.stepper(feed, self.step, lr)
        for sums in (self._since_log, self._since_evaluation):
            sums.add(found)
        self.step += 1
        # Reading the flag waits for the device, which costs nothing on the CPU and a queue's worth of work elsewhere.
        if self._log_due or self.plan.device == "cpu":
            self._refuse_bad()
        took = time.monotonic() - began
        self._busy += took
        self._rate = (self.step - self._began_step) * self.recipe.batch / max(1e-9, self._busy)
        if self._log_due:
            self._log_training(lr)
        self._choose_threads(took - feed.seconds)
        self._show(lr)

    def _log_training(self, lr: float) -> None:
        """A row on the batches since the last one."""
        loss, accuracy = self._shown = self._since_log.take(self.world)
        if self.step % self.recipe.log_every == 0:
            self.pace = self.pace.trained(self.recipe, 1 - accuracy)
        self.writer.log(
            LogRow(
                event="train", step=self.step, epoch=self._epoch(), lr=lr, train_loss=loss, train_accuracy=accuracy,
                images_per_s=round(self._rate, 1), seconds=round(self.elapsed(), 3),
            )
        )  # fmt: skip

    def _choose_threads(self, seconds: float) -> None:
        """Those of the next step: what the plan says, or what a new trial says where the last steps were slow. One took so many seconds."""
        before = self.plan.threads_at(self.step)
        # Steps that are done again after a stop were watched when they were done first.
        done_again = any(change.step > self.step for change in self.plan.changes)
        times = None if self._time_again is None or done_again else self._watch.slowed(seconds)
        if times is not None and self._time_again is not None:
            found = self._time_again()
            self._watch.renew(found.seconds or 0.0, found.number != before)
            if found.number != before:
                change = ThreadChange(step=self.step, threads=found.number)
                self.plan = replace(self.plan, changes=(*self.plan.changes, change), seconds=self._watch.trial)
                self.writer.save_plan(self.plan)
            self.watcher.say(
                f"note: a step takes {times:,.1f} times what it took when threads were timed, so they are timed again ({found.why}): "
                f"{found.number} from step {self.step + 1:,} on, {before} before"
            )
        take_threads(self.plan.threads_at(self.step))

    def _evaluate(self) -> bool:
        self._refuse_bad()
        with self.stepper.evaluating():
            broadcast_buffers(self.model, self.world)
            on = self.evaluation
            scores = score(self.model, on.part, on.normalisation, self.plan, self.stop, flip=self.recipe.test_flip, world=self.world)
            if scores is None:
                return False
            if self.best is not None:
                self.best = self.best.after(self.step, scores)
                if self.best.step == self.step:
                    self._refuse_bad_weights()
                    self.writer.save_weights()
        if self.early is not None:
            self.early = self.early.after(self.step, scores)
        self.pace = self.pace.evaluated(self.recipe, 1 - scores.top1)
        self.evaluated, self.scores = self.step, scores
        self.last_train = self._shown = self._since_evaluation.take(self.world)
        train_loss, train_accuracy = self.last_train
        self.writer.log(
            LogRow(
                event=self.evaluation.on, step=self.step, epoch=self._epoch(), **scores.to_dict(),
                train_loss=train_loss, train_accuracy=train_accuracy, seconds=round(self.elapsed(), 3),
            )
        )  # fmt: skip
        if self.stopped_early and not self._log_due:
            self._log_training(self._lr(self.step - 1))
        self._show(self._lr(self.step - 1))
        return True

    @property
    def _log_due(self) -> bool:
        """Does training log a row after this step?"""
        return self.step % self._log_every == 0 or self.step == self.total

    def _save(self) -> None:
        self._refuse_bad()
        self._refuse_bad_weights()
        self.writer.save(self.step, self.state())
        if self.best is None:
            with self.stepper.evaluating():
                self.writer.save_weights()

    def _refuse_bad(self) -> None:
        bad = self.world.most(int(self.stepper.bad))
        if bad >= 0:
            # Each rank looks at its own images; a network that is spread over all can do no step on one of them.
            where = None if self.stepper.network.sharded else self.stepper.refusal(self.batches, bad)
            found = [w for w in self.world.gather(where) if w is not None]
            raise self._not_finite(bad, found[0] if found else "the loss or its gradient is not finite")

    def _refuse_bad_weights(self) -> None:
        """Weights can leave the range of numbers by steps that are finite each."""
        bad = [name for name, p in self.model.named_parameters() if not bool(local_part(p).isfinite().all())]
        for found in self.world.gather(bad):
            if found:
                raise self._not_finite(self.step - 1, f"the weights of {found[0]} are not finite")

    def _not_finite(self, step: int, what: str) -> SpecError:
        return refuse(
            "not-finite",
            f"{what}, at step {step + 1:,} (learning rate {self._lr(step):.4g}); checkpoints from before are kept",
            f"try {setting('train.lr', f'{min(self.recipe.lr / 10, 0.1):.2g}')}, a longer warmup, or a norm in the network",
            at="training",
            exit_code=1,
        )

    def _lr(self, step: int) -> float:
        return learning_rate(self.recipe, step, self.total, self.pace)

    def _epoch(self) -> float:
        return round(self.step / self.batches.per_epoch, 4)

    def _show(self, lr: float) -> None:
        done = self.step - self._began_step
        left = (self.total - self.step) * (time.monotonic() - self._began) / max(1, done)
        epochs = math.ceil(self.total / self.batches.per_epoch)
        loss, accuracy = self._shown or (None, None)
        epoch = min(epochs, (self.step - 1) // self.batches.per_epoch + 1)
        self.watcher.show(
            Snapshot(
                self.step, self.total, epoch, epochs, lr, loss, accuracy, self._rate, left,
                self.scores.top1 if self.scores else None, self.evaluation.on,
            )
        )  # fmt: skip
