"""The device plan of a run: what the rules leave open, steps of the run's own kind decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from resnet_dsl.runtime.build import build
from resnet_dsl.training.batches.batches import Batch, total_steps
from resnet_dsl.training.batches.mixing import Targets
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.device.device import find, wait
from resnet_dsl.training.device.plan import Pins, Plan, candidates
from resnet_dsl.training.device.regional import compile_seconds, extent
from resnet_dsl.training.device.threads import TRAINED, Threads, Work, shared, timed
from resnet_dsl.training.device.trial import Length, decide
from resnet_dsl.training.job import Job
from resnet_dsl.training.loop.step import Stepper
from resnet_dsl.training.ranks.world import alone

ENOUGH = 240
"""Steps of a run of which a twentieth is enough to time threads on whole batches."""


def planned(job: Job) -> Job:
    """A job under the plan that is fastest over its whole length, in what its request leaves open.

    The recipe's `precision` counts as asked for where the job leaves it open. Where the images grow on the way, nothing is compiled
    unless it is asked for: every size would be compiled again. Raises SpecError (exit 3) where compilation is asked for and there is none.
    """
    recipe = job.recipe
    asked = job.pins.over(Pins(
        precision="fp32" if recipe.precision == "fp32" else "bf16" if recipe.precision == "bf16" else None,
        compile="no" if recipe.resolution is not None else None,
    ))  # fmt: skip
    facts = find(job.plan.device)
    plans = candidates(facts, asked, data_bytes=job.data.bytes)
    steps = total_steps(recipe, _per_epoch(job))
    if asked.threads is None:
        threads = shared_steps(job, plans[0], steps)
        plans = tuple(map(threads.on, plans))
    # Weights cost nothing to make on the meta device; the blocks are what is counted.
    with torch.device("meta"):
        length = Length(steps, compile_seconds(build(job.graph), extent(facts.kind)))
    return replace(job, plan=decide(plans, length, lambda plan: rehearsal(replace(job, plan=plan))))


def _per_epoch(job: Job) -> int:
    """About how many batches an epoch has."""
    images = min(len(job.data.train) - job.recipe.validation, job.request.limit_train or len(job.data.train))
    return max(1, min(images // job.recipe.batch, job.request.limit_batches or images))


def shared_steps(job: Job, plan: Plan, steps: int) -> Threads:
    """The threads for so many steps of a job. Where they are few, the trial is of an eighth of the images."""
    whole = job.recipe.batch // job.recipe.accumulate
    rows = whole if steps >= ENOUGH else min(whole, max(2, whole // 8))
    work = Work.of(job.graph, whole, TRAINED * job.recipe.batch * steps)
    found = shared(plan, work, lambda plan: rehearsal(replace(job, plan=plan), rows))
    return found if found.seconds is None else replace(found, seconds=found.seconds * whole / rows)


def timed_again(job: Job, most: int) -> Threads:
    """The threads for a run whose steps have become slow, `most` at most."""
    return timed(replace(job.plan, compile="no"), most, lambda plan: rehearsal(replace(job, plan=plan)))


def rehearsal(job: Job, rows: int | None = None) -> Callable[[], None]:
    """One step of a job, done on a network of its own and on `rows` images of noise; it returns when the device has done it."""
    network = job.network()
    network.model.train()
    stepper = Stepper(network, job.recipe, job.plan, alone())
    rows = rows or job.recipe.batch // job.recipe.accumulate
    draws = generator(job.recipe.seed, "trial")
    images = torch.randn(rows, *job.graph.input, generator=draws).to(job.plan.torch_device, memory_format=job.plan.memory_format)
    labels = torch.randint(job.graph.classes, (rows,), generator=draws).to(job.plan.torch_device)
    noise = _Noise(Batch(images, Targets(labels)))

    def step() -> None:
        with job.plan.computing():
            stepper(noise, 0, 0.0)
        wait(job.plan.torch_device)

    return step


@dataclass(frozen=True, slots=True)
class _Noise:
    """Stands for the batches of a run: always the same one."""

    batch: Batch

    def __call__(self, step: int, part: int = 0) -> Batch:
        return self.batch
