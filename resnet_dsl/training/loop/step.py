"""One step of training: forward and backward over the parts of a batch, clipping, the optimizer, the running average."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches.batches import Batch
from resnet_dsl.training.batches.seeds import derive
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.average import Average
from resnet_dsl.training.loop.nonfinite import first_bad
from resnet_dsl.training.loop.optim import make_optimizer
from resnet_dsl.training.ranks.parallel import ParallelModel, full_tensor
from resnet_dsl.training.ranks.world import World


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a step found, on the device: the batch's mean loss, the number of right guesses; and its images."""

    loss: torch.Tensor
    hits: torch.Tensor
    images: int


class BatchSource(Protocol):
    """Gives the batches of a run."""

    def __call__(self, step: int, part: int = 0) -> Batch:
        """Part `part` of the batch of a step (both from 0)."""


class TimedBatches:
    """A feed that counts the seconds that are spent in it: what a step waits for its images."""

    def __init__(self, feed: BatchSource) -> None:
        self._feed, self.seconds = feed, 0.0

    def __call__(self, step: int, part: int = 0) -> Batch:
        """As the feed."""
        began = time.monotonic()
        batch = self._feed(step, part)
        self.seconds += time.monotonic() - began
        return batch


class Stepper:
    """Takes the steps of a run.

    The first step whose loss or gradient is not finite changes no weight, and none after it does: `bad` is its number
    (from 0; -1 while all is well), on the device, so that nothing waits for it. The weights are then what they were before it.
    """

    def __init__(self, network: ParallelModel, recipe: Recipe, plan: Plan, world: World) -> None:
        self.network, self.model, self.recipe, self.plan, self.world = network, network.model, recipe, plan, world
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(self.parameters, recipe, plan.torch_device, plan.fused)
        self.average = Average(self.model, recipe.ema) if recipe.ema is not None else None
        self.bad = torch.full((), -1, dtype=torch.int64, device=plan.torch_device)

    def __call__(self, batches: BatchSource, step: int, lr: float) -> Outcome:
        """Step `step` (from 0)."""
        self._seed(step)
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.recipe.accumulate
        losses, hits, images = [], [], 0
        for part in range(parts):
            batch = batches(step, part)
            with self.network.part(part == parts - 1):
                loss, logits = self._loss(self.network.forward, batch)
                (loss / parts if parts > 1 else loss).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            hits.append((logits.detach().argmax(1) == batch.targets.labels).sum())
            images += len(batch.targets)
        loss = losses[0] if parts == 1 else torch.stack(losses).mean()
        self._update(step, lr, loss)
        return Outcome(loss, hits[0] if parts == 1 else torch.stack(hits).sum(), images)

    def refusal(self, batches: BatchSource, step: int) -> str | None:
        """The first thing in a bad step that was not finite, in words: the step done again by the model itself."""
        self._seed(step)
        for part in range(self.recipe.accumulate):
            batch = batches(step, part)
            with self.plan.as_written():
                found = first_bad(self.model, batch.images, lambda b=batch: self._loss(self.model, b)[0])  # type: ignore[misc]
            if found:
                return found
        return None

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside `with`, the model holds what is evaluated and saved: the average, where there is one."""
        if self.average is None:
            yield
            return
        with self.average.swapped_in(self.model):
            yield

    def _seed(self, step: int) -> None:
        # The only use of torch's own generators: dropout and droppath masks.
        torch.manual_seed(derive(self.recipe.seed, "masks", step, self.world.rank))

    def _loss(self, forward: Callable[[torch.Tensor], torch.Tensor], batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        with self.plan.autocast():
            logits = forward(batch.images)
        return batch.targets.loss(logits.float(), self.recipe.label_smoothing), logits

    def _update(self, step: int, lr: float, loss: torch.Tensor) -> None:
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        length = torch.nn.utils.get_total_norm(gradients)
        self.bad = torch.where((self.bad < 0) & ~(loss.isfinite() & full_tensor(length).isfinite()), step, self.bad)
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.recipe.clip_norm, length)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.plan.fused:
            # A fused optimizer leaves the weights alone where this is 1, and looks at it on the device (torch.amp's protocol).
            self.optimizer.found_inf = (self.bad >= 0).float()  # type: ignore[attr-defined]
        elif self.world.most(int(self.bad)) >= 0:
            return
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.model, step + 1)
