"""The training loop: steps, the schedule, evaluation, the log, checkpoints. Reads top to bottom in `Loop.run`.

Exact on one device type, torch build and thread count: a run that was stopped anywhere and resumed ends with the same
bits, since every random number is a function of (seed, step) and the state holds all the rest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches import Batches, Normalisation, every, total_steps
from resnet_dsl.training.data.dataset import Part
from resnet_dsl.training.device import Plan
from resnet_dsl.training.errors import RunError
from resnet_dsl.training.evaluate import Scores, score
from resnet_dsl.training.optim import learning_rate, make_optimizer
from resnet_dsl.training.progress import Snapshot, Watcher
from resnet_dsl.training.seeds import derive


class Keeper(Protocol):
    """Where a loop puts what must outlive it."""

    def log(self, row: dict[str, Any]) -> None:
        """One line of metrics."""

    def save(self, step: int, state: dict[str, Any]) -> None:
        """A checkpoint."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What the network is evaluated on, on the way: `on` is `test` or `validation`."""

    on: str
    part: Part
    normalisation: Normalisation


class Sums:
    """Loss, hits and images since a moment, on the device."""

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(3, device=device)

    def add(self, loss: torch.Tensor, hits: torch.Tensor, images: int) -> None:
        """One batch's mean loss and number of right guesses."""
        self.values += torch.stack((loss * images, hits.to(loss.dtype), torch.full_like(loss, images)))

    def take(self) -> tuple[float, float]:
        """Mean loss and accuracy; begins anew."""
        loss, hits, images = self.values.tolist()
        self.values.zero_()
        return loss / images, hits / images


class Loop:
    """One training run of one network."""

    def __init__(
        self, model: torch.nn.Module, batches: Batches, judge: Judge, keeper: Keeper, watcher: Watcher, stop: Callable[[], bool]
    ) -> None:
        self.model, self.batches, self.judge, self.keeper, self.watcher, self.stop = model, batches, judge, keeper, watcher, stop
        self.recipe: Recipe = batches.recipe
        self.plan: Plan = batches.plan
        self.total = total_steps(self.recipe, batches.per_epoch)
        self.optimizer = make_optimizer(model.parameters(), self.recipe, self.plan.torch_device)
        self.step = 0
        self.evaluated = 0
        self.seconds = 0.0
        self.scores: Scores | None = None
        self.last_train: tuple[float, float] | None = None
        self._since_log, self._since_evaluation = Sums(self.plan.torch_device), Sums(self.plan.torch_device)
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=self.plan.torch_device)
        self._shown: tuple[float, float] | None = None
        self._began, self._began_step = time.monotonic(), 0
        self._busy, self._rate = 0.0, 0.0

    def run(self) -> bool:
        """Train to the end, or until `stop`; False if stopped. The state is saved either way. Raises RunError."""
        self.model.train()
        self._began, self._began_step = time.monotonic(), self.step
        evaluate_every, save_every = (every(e, self.batches.per_epoch) for e in (self.recipe.eval_every, self.recipe.checkpoint_every))
        saved = self.step
        while True:
            # Evaluation comes first in a turn, so that a run that was stopped within one takes it up again.
            due = self.step % evaluate_every == 0 or self.step == self.total
            if due and self.evaluated != self.step and not self._evaluate():
                break
            if self.step != saved and (self.step % save_every == 0 or self.step == self.total):
                self._save()
                saved = self.step
            if self.step == self.total or self.stop():
                break
            self._train_one()
        if self.step != saved:
            self._save()
        return self.step == self.total and self.evaluated == self.step

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on; plain values and tensors only."""
        return {
            "step": self.step, "evaluated": self.evaluated, "seconds": self.elapsed(),
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "since_log": self._since_log.values, "since_evaluation": self._since_evaluation.values,
            "scores": self.scores.to_dict() if self.scores else None, "last_train": self.last_train,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.step, self.evaluated, self.seconds = state["step"], state["evaluated"], state["seconds"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._since_log.values.copy_(state["since_log"])
        self._since_evaluation.values.copy_(state["since_evaluation"])
        self.scores = Scores(**state["scores"]) if state["scores"] else None
        self.last_train = tuple(state["last_train"]) if state["last_train"] else None

    @property
    def rate(self) -> float:
        """Training images a second in this process, evaluation and saving left out."""
        return self._rate

    def _train_one(self) -> None:
        began = time.monotonic()
        lr = learning_rate(self.recipe, self.step, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        images, labels = self.batches(self.step)
        # The only use of torch's own generator: dropout and droppath masks.
        torch.manual_seed(derive(self.recipe.seed, "masks", self.step))
        with self.plan.autocast():
            logits = self.model(images)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            hits = (logits.argmax(1) == labels).sum()
            for sums in (self._since_log, self._since_evaluation):
                sums.add(loss.detach(), hits, len(labels))
            self._first_bad = torch.where((self._first_bad < 0) & ~loss.detach().isfinite(), self.step, self._first_bad)
        self.step += 1
        log_due = self.step % self.recipe.log_every == 0
        # Reading the flag waits for the device, which costs nothing on the CPU and a queue's worth of work elsewhere.
        if log_due or self.plan.device == "cpu":
            self._refuse_bad()
        self._busy += time.monotonic() - began
        self._rate = (self.step - self._began_step) * self.recipe.batch / max(1e-9, self._busy)
        if log_due:
            mean_loss, accuracy = self._shown = self._since_log.take()
            self.keeper.log(
                {
                    "event": "train",
                    "step": self.step,
                    "epoch": self._epoch(),
                    "lr": lr,
                    "loss": mean_loss,
                    "accuracy": accuracy,
                    "images_per_s": round(self._rate, 1),
                    "seconds": round(self.elapsed(), 3),
                }
            )
        self._show(lr)

    def _evaluate(self) -> bool:
        self._refuse_bad()
        scores = score(self.model, self.judge.part, self.judge.normalisation, self.plan, self.stop)
        if scores is None:
            return False
        self.evaluated, self.scores = self.step, scores
        self.last_train = self._shown = self._since_evaluation.take()
        train_loss, train_accuracy = self.last_train
        self.keeper.log(
            {
                "event": self.judge.on,
                "step": self.step,
                "epoch": self._epoch(),
                **scores.to_finite(),
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                "seconds": round(self.elapsed(), 3),
            }
        )
        self._show(learning_rate(self.recipe, self.step - 1, self.total))
        return True

    def _save(self) -> None:
        self._refuse_bad()
        bad = [name for name, p in self.model.named_parameters() if not bool(p.isfinite().all())]
        if bad:
            raise self._not_finite(self.step - 1, f"{bad[0]} is not finite")
        self.keeper.save(self.step, self.state())

    def _refuse_bad(self) -> None:
        bad = int(self._first_bad)
        if bad >= 0:
            raise self._not_finite(bad, "the loss is not finite")

    def _not_finite(self, step: int, what: str) -> RunError:
        lr = learning_rate(self.recipe, step, self.total)
        return RunError(
            "not-finite",
            f"{what} at step {step + 1:,} (learning rate {lr:.4g}); checkpoints from before are kept",
            f"try --set train.lr={self.recipe.lr / 10:.2g}, a longer warmup, or a norm in the network",
            at="training",
            exit_code=1,
        )

    def _epoch(self) -> float:
        return round(self.step / self.batches.per_epoch, 4)

    def elapsed(self) -> float:
        """Seconds of this run, all its processes together."""
        return self.seconds + time.monotonic() - self._began

    def _show(self, lr: float) -> None:
        done = self.step - self._began_step
        left = (self.total - self.step) * (time.monotonic() - self._began) / max(1, done)
        epochs = math.ceil(self.total / self.batches.per_epoch)
        loss, accuracy = self._shown or (None, None)
        epoch = min(epochs, (self.step - 1) // self.batches.per_epoch + 1)
        self.watcher.show(
            Snapshot(
                self.step,
                self.total,
                epoch,
                epochs,
                lr,
                loss,
                accuracy,
                self._rate,
                left,
                self.scores.top1 if self.scores else None,
                self.judge.on,
            )
        )
