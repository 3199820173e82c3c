"""Before a run: what it would take, and at which learning rate. Both work on a network of their own and write nothing."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from resnet_dsl.diagnostics import Argument, call, refuse
from resnet_dsl.language import Spec
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.request import Request
from resnet_dsl.records.results import RatePoint, RateSearch, Rehearsal
from resnet_dsl.table import size
from resnet_dsl.training.batches.batches import Batches, total_steps
from resnet_dsl.training.device.planning import planned
from resnet_dsl.training.job import Job, make, settle
from resnet_dsl.training.loop.progress import Watcher
from resnet_dsl.training.loop.step import Stepper
from resnet_dsl.training.ranks.parallel import ParallelModel
from resnet_dsl.training.ranks.world import alone

TIMED_STEPS = 5

RATES = {"sgd": (1e-5, 10.0), "adamw": (1e-7, 1.0)}
"""Where a search for the learning rate begins and ends."""
SEARCH_STEPS = 100
_SMOOTHING = 0.9
_DIVERGED = 4.0


def dry_run(spec: Spec, recipe: Recipe, request: Request, *, watcher: Watcher) -> Rehearsal:
    """Everything that a run would check, and what it would take: steps, memory, time. Raises as `session.begin`.

    Raises SpecError (exit 3) where a step would need more memory than is free.
    """
    RunFolder.require_new(request.home)
    job, batches, network = _made(spec, recipe, request, watcher)
    needed, free = _memory(job, batches, network), _free_memory(job.plan.torch_device)
    if free is not None and needed > free:
        raise refuse(
            "memory",
            f"a step of {job.recipe.batch:,} images needs about {size(needed)}, and {size(free)} are free",
            f"use {Argument('overrides', f'train.accumulate={2 * job.recipe.accumulate}', option='set')}, or a smaller batch",
            at=job.plan.device,
            exit_code=3,
        )
    with job.plan.computing():
        seconds = _seconds_a_step(Stepper(network, job.recipe, job.plan, alone()), batches)
    batches.close()
    total = total_steps(job.recipe, batches.per_epoch)
    return Rehearsal(
        name=job.graph.name,
        data=job.data.name,
        images=len(batches.train),
        params=sum(p.numel() for p in network.model.parameters()),
        plan=str(job.plan),
        batch=job.recipe.batch,
        steps=total,
        epochs=round(total / batches.per_epoch, 4),
        memory_bytes=needed,
        free_bytes=free,
        seconds_per_step=seconds,
        seconds=seconds * total,
    )


def find_lr(spec: Spec, recipe: Recipe, request: Request, *, watcher: Watcher, stop: Callable[[], bool] = lambda: False) -> RateSearch:
    """The learning-rate range test of Smith 2017 ("Cyclical Learning Rates", section 3.3), with an exponential ramp.

    The loss is smoothed by a running mean (0.9, the bias of its beginning divided out). The ramp ends where that is 4
    times its lowest, or not finite. `suggested` is a tenth of the rate at the lowest smoothed loss: at the lowest itself
    the loss is about to rise. `steepest` is the rate at which the loss falls fastest along the logarithm of the rate.
    """
    job, batches, network = _made(spec, recipe, request, watcher)
    with job.plan.computing():
        curve = Ramp(*RATES[job.recipe.optimizer], SEARCH_STEPS).climb(Stepper(network, job.recipe, job.plan, alone()), batches, stop)
    batches.close()
    return read_curve(curve, name=job.graph.name, data=job.data.name, optimizer=job.recipe.optimizer, batch=job.recipe.batch)


@dataclass(frozen=True, slots=True)
class Ramp:
    """Learning rates from `low` to `high` in `steps` steps, each by the same factor above the last."""

    low: float
    high: float
    steps: int

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0)."""
        return float(self.low * (self.high / self.low) ** (step / (self.steps - 1)))

    def climb(self, take: Callable[[Batches, int, float], Any], batches: Batches, stop: Callable[[], bool]) -> list[RatePoint]:
        """Train along the ramp, until the loss has gone up for good."""
        points: list[RatePoint] = []
        mean = 0.0
        for step in range(self.steps):
            lr = self.rate(step)
            loss = float(take(batches, step, lr).loss)
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
            smoothed = mean / (1 - _SMOOTHING ** (step + 1))
            if stop() or not math.isfinite(loss) or (points and smoothed > _DIVERGED * min(p.smoothed for p in points)):
                break
            points.append(RatePoint(lr, loss, smoothed))
        return points


def read_curve(points: list[RatePoint], *, name: str, data: str, optimizer: str, batch: int) -> RateSearch:
    """What a ramp says. Raises SpecError (exit 1) where the loss never fell."""
    lowest = min(range(len(points)), key=lambda i: points[i].smoothed, default=0)
    if lowest < 2:
        raise refuse(
            "not-finite",
            "the loss does not fall at any learning rate",
            f"look at the network and its data: {call('train', overfit_batch=True)}",
            at="training",
            exit_code=1,
        )
    falls = [points[i - 1].smoothed - points[i].smoothed for i in range(1, lowest + 1)]
    steepest = points[max(range(len(falls)), key=falls.__getitem__) + 1]
    return RateSearch(
        name, data, optimizer, batch,
        suggested=float(f"{points[lowest].lr / 10:.2g}"), lowest=points[lowest].lr, steepest=steepest.lr, curve=tuple(points),
    )  # fmt: skip


def _made(spec: Spec, recipe: Recipe, request: Request, watcher: Watcher) -> tuple[Job, Batches, ParallelModel]:
    job = planned(make(*settle(spec, recipe, request), watcher))
    batches, _ = job.prepare()
    network = job.network()
    network.model.train()
    return job, batches, network


def _seconds_a_step(take: Callable[[Batches, int, float], Any], batches: Batches) -> float:
    """The median of a few steps, after one that is not counted: it compiles and allocates."""
    times = []
    for step in range(TIMED_STEPS + 1):
        began = time.perf_counter()
        float(take(batches, step, 0.0).loss)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def _memory(job: Job, batches: Batches, network: ParallelModel) -> int:
    """Bytes of a step: weights, gradients, what the optimizer and the average keep, and what the backward pass needs.

    The last is counted in a forward pass of two images.
    """
    weights = sum(p.numel() * p.element_size() for p in network.model.parameters())
    copies = 2 + (2 if job.recipe.optimizer == "adamw" else 1 if job.recipe.momentum else 0) + (2 if job.recipe.ema is not None else 0)
    first = batches(0)
    images = first.images[:2].clone()
    seen: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in network.model.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t), job.plan.autocast():
        network.model(images)
    a_part = len(first.images) / len(images)
    return int(weights * copies + sum(seen.values()) * a_part + first.images.numel() * first.images.element_size())


def _free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
