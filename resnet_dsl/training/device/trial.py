"""The choice between plans that the rules leave open: a few real steps of each are timed, and the faster is kept.

The steps are done on a network and an optimizer of their own, so nothing of the run is touched. A trial may cost a small part of
the run alone, so a short run takes the first plan untimed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.device.plan import Plan

Clock = Callable[[], float]
Prepare = Callable[[Plan], Callable[[], object]]
"""Gives the function that does one step under a plan, and returns when the device has done it."""

ROUNDS = 5
"""Timed steps of each plan, in turn; the fastest counts, as whatever disturbs a step makes it slower."""
SHARE = 1 / 50
"""Of the run's steps, what eager steps are tried for at most."""
MARGIN = 1.03
"""How much faster than the plan before it a plan must be, so that the choice between equals does not change from run to run."""
GAIN = 0.15
"""What compilation is taken to save of a step before it was tried."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run is in steps, and about how many seconds its network takes to compile."""

    steps: int
    compile_seconds: float


def decide(plans: Sequence[Plan], length: Length, prepare: Prepare, clock: Clock = time.perf_counter) -> Plan:
    """The plan that is fastest over the whole run, its reason saying what was timed.

    `plans` as `plan.candidates` gives them: those that differ in precision are timed against each other, then the better one
    against itself compiled, if the run is long enough for compilation to pay. Raises what the steps raise; a plan that cannot
    be compiled is left out, unless compilation was asked for.
    """
    first = plans[0]
    if len(plans) == 1:
        return first
    alike = [p for p in plans if p.compile == first.compile]
    if len(alike) * (ROUNDS + 1) > length.steps * SHARE:
        return first.because(f"{length.steps:,} steps are too few to time others")
    with undisturbed(first):
        steps = [prepare(p) for p in alike]
        best, seconds = _race(alike, steps, clock)
        plan, step = alike[best], steps[best]
        if len(alike) > 1:
            other = [f"{p.precision} {1000 * s:,.1f}" for p, s in zip(alike, seconds, strict=True)]
            plan = plan.because(f"ms a step: {', '.join(other)}")
        compiled = next((p for p in plans if p.compile != first.compile and p.precision == plan.precision), None)
        if compiled is None:
            return plan
        return _compile(plan, step, seconds[best], compiled, length, prepare, clock)


def _compile(
    plan: Plan, step: Callable[[], object], seconds: float, compiled: Plan, length: Length, prepare: Prepare, clock: Clock
) -> Plan:
    """A plan, or the same compiled."""
    saved = length.steps * seconds * GAIN
    if saved < length.compile_seconds:
        return plan.because(
            f"eager: compiling takes about {length.compile_seconds:,.0f} s, of a run of about {length.steps * seconds:,.0f} s"
        )
    start = clock()
    try:
        other = prepare(compiled)
        other()
    except SpecError as e:
        if e.diagnostics[0].code != "compile-failed":
            raise
        return plan.because(f"eager: {e.diagnostics[0].message}")
    took = clock() - start
    best, (before, after) = _race((plan, compiled), (step, other), clock)
    timed = f"{1000 * before:,.1f} ms a step eager, {1000 * after:,.1f} compiled in {took:,.0f} s"
    return replace(compiled, reason=f"{plan.reason}; {timed}") if best else plan.because(timed)


def _race(plans: Sequence[Plan], steps: Sequence[Callable[[], object]], clock: Clock) -> tuple[int, list[float]]:
    """The winner's place, and the seconds of a step of each: the first unless another is faster by the margin."""
    for step in steps:
        step()
    seconds = [float("inf")] * len(plans)
    for _ in range(ROUNDS):
        for i, step in enumerate(steps):
            start = clock()
            step()
            seconds[i] = min(seconds[i], clock() - start)
    best = 0
    for i in range(1, len(plans)):
        if seconds[i] * MARGIN < seconds[best]:
            best = i
    return best, seconds


def undisturbed(plan: Plan) -> contextlib.AbstractContextManager[object]:
    """Inside `with`, torch's generators may be used; they come out as they went in."""
    cuda = plan.torch_device.type == "cuda"
    return torch.random.fork_rng(devices=[plan.torch_device.index or torch.cuda.current_device()] if cuda else [])
