"""How many of the CPU's threads compute: THE rule, for training, evaluation, predictions, probes and benchmarks.

Threads meet after every operation. Where an operation is small, or where another program holds a core, they wait for each other
longer than they compute: on a laptop with a browser open, two threads may take ten times as long as one. So work that is small or
short is done by one thread, and for the rest a few steps are timed.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph import Graph
from resnet_dsl.runtime.build import build
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.device.plan import Pins, Plan, by_rule, pins_of
from resnet_dsl.training.device.trial import Clock, Prepare, undisturbed

SMALL = 32e6
"""Multiply-accumulates of a layer in one forward pass of a batch below which a second thread gains little even where all cores are idle."""
SHORT = 1e12
"""Multiply-accumulates in all below which timing does not pay: half a minute of one core."""
MARGIN = 1.2
"""How much faster than one thread several must be: the other cores have other work."""
ROUNDS = 5
"""Timed steps of each. Their median counts, not the fastest: being disturbed is what is measured."""
LEAST_ROUNDS, HOPELESS = 2, 2.0
"""Several threads that take so many times as long after so many rounds are not tried further: it is they that make the trial long."""
SLOWER = 3.0
"""A run whose steps take so many times what they took in the trial is timed again."""
WATCHED = 5
"""The last steps of a run, whose median is compared with the trial."""

TRAINED = 3
"""Forward, and backward to the maps and to the weights."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be computed, in multiply-accumulates: `layer` of a mean weighted layer in one forward pass of a batch, `whole` of it all."""

    layer: float
    whole: float

    @staticmethod
    def of(graph: Graph, rows: int, passes: float) -> Work:
        """Of a network that sees batches of `rows` images, and does as much as `passes` forward passes of one image."""
        cost = Costs(graph).network
        return Work(cost.macs * rows / max(1, cost.depth), cost.macs * passes)


@dataclass(frozen=True, slots=True)
class Threads:
    """How many threads compute, why, and the seconds of a step, where it was timed."""

    number: int
    why: str = ""
    seconds: float | None = None

    def on(self, plan: Plan) -> Plan:
        """A plan with so many."""
        return plan.because(self.why, threads=self.number, seconds=self.seconds)


def shared(plan: Plan, work: Work, prepare: Prepare, clock: Clock = time.perf_counter) -> Threads:
    """One thread where work is small or short; otherwise one thread and the plan's are timed, and the faster are taken.

    `prepare` as in `trial.decide`. Raises what the steps raise.
    """
    if plan.torch_device.type != "cpu" or plan.threads == 1:
        return Threads(plan.threads)
    if work.layer < SMALL:
        return Threads(1, "one thread: the layers are small")
    if work.whole < SHORT:
        return Threads(1, "one thread: the work is short")
    return timed(plan, plan.threads, prepare, clock)


def timed(plan: Plan, most: int, prepare: Prepare, clock: Clock = time.perf_counter) -> Threads:
    """One thread, or `most`, whichever does the steps of a plan faster."""
    plans = [replace(plan, threads=n) for n in (1, most)]
    with undisturbed(plan):
        steps = [prepare(p) for p in plans]
        taken: list[list[float]] = [[], []]
        for turn in range(ROUNDS + 1):
            for p, step, times in zip(plans, steps, taken, strict=True):
                with p.computing():
                    start = clock()
                    step()
                    if turn:
                        times.append(clock() - start)
            if turn >= LEAST_ROUNDS and sum(taken[1]) > sum(taken[0]) * HOPELESS:
                break
    one, several = map(statistics.median, taken)
    why = f"ms a step: 1 thread {1000 * one:,.1f}, {most} threads {1000 * several:,.1f}"
    return Threads(most, why, several) if several * MARGIN < one else Threads(1, why, one)


def choose(device: str, precision: str, graph: Graph, rows: int, passes: float) -> Plan:
    """The plan for evaluation and whatever else is no training: by the rules, eager, and on as many threads as `shared` says.

    `device` as in `device.find`, `precision` as in a recipe, `rows` and `passes` as in `Work.of`. Raises SpecError as `device.find`.
    """
    return unless_asked(pins_of(device, precision, False, None), graph, rows, passes)


def unless_asked(asked: Pins, graph: Graph, rows: int, passes: float) -> Plan:
    """The plan by the rules and what was asked for, on as many threads as `shared` says where nobody has asked for a number."""
    plan = by_rule(asked)
    if asked.threads is not None:
        return plan
    return shared(plan, Work.of(graph, rows, passes), forward_passes(graph, rows)).on(plan)


def forward_passes(graph: Graph, rows: int) -> Prepare:
    """Forward passes of a network of its own on noise, for a trial."""

    def prepare(plan: Plan) -> Callable[[], object]:
        model = plan.place(build(graph, seed=0)).eval()
        images = torch.randn(rows, *graph.input, generator=generator(0, "trial"))
        images = images.to(memory_format=plan.memory_format) if images.ndim == 4 else images

        def step() -> None:
            with torch.inference_mode(), plan.autocast():
                model(images)

        return step

    return prepare


class StepWatch:
    """Watches the steps of a run, and tells when they have become `SLOWER` times what the trial took."""

    def __init__(self, seconds: float | None) -> None:
        self.trial = seconds
        self._last: deque[float] = deque(maxlen=WATCHED)

    def slowed(self, seconds: float) -> float | None:
        """After a step of so many seconds: how many times slower the last steps were, where that is too many."""
        self._last.append(seconds)
        if self.trial is None or len(self._last) < WATCHED:
            return None
        times = statistics.median(self._last) / self.trial
        return times if times >= SLOWER else None

    def renew(self, seconds: float, changed: bool) -> None:
        """After it was timed again. Where nothing was changed, the steps that were seen are what is normal now."""
        self.trial = seconds if changed else max(seconds, statistics.median(self._last))
        self._last.clear()
