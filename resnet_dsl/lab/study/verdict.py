"""The decision: from numbers of runs to a verdict. Pure functions, fixed before any run; see docs/studies.md.

Runs are paired by seed. We take the mean of the paired differences (or ratios), their standard deviation, and Student's 95 %
confidence interval of the mean. Where that interval lies decides. Fewer than two pairs decide nothing, except for figures that are
known exactly without training.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnet_dsl.lab.study.form import Hypothesis
from resnet_dsl.lab.study.measures import MEASURES
from resnet_dsl.lab.study.records import CANNOT_TELL, NOT_SUPPORTED, SUPPORTED, Judgement, Verdict
from resnet_dsl.lab.study.student import quantile

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of paired values, their standard deviation and the interval of the mean; None where there are too few values."""

    values: tuple[float, ...]
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


def estimate(values: Sequence[float], *, exact: bool = False) -> Estimate:
    """Mean, deviation and 95 % interval of values from independent seeds; `exact` values are all the same and have no error."""
    found = tuple(values)
    if not found:
        return Estimate(found, None, None, None, None)
    mean = statistics.fmean(found)
    if exact:
        return Estimate(found, mean, 0.0, mean, mean)
    if len(found) < 2:
        return Estimate(found, mean, None, None, None)
    sd = statistics.stdev(found)
    half = quantile((1 + CONFIDENCE) / 2, len(found) - 1) * sd / math.sqrt(len(found))
    return Estimate(found, mean, sd, mean - half, mean + half)


def judge(h: Hypothesis, of: Sequence[float | None], other: Sequence[float | None]) -> Judgement:
    """Decide one hypothesis from the measures of its two arms, paired by position; None stands for a run that is missing.

    `greater`, with margin m: supported where the whole interval lies above m, not supported where it lies below 0: the effect goes
    the other way. Between, there may be an effect, but none that is known to be as large as claimed.
    `at_most`, with margin m: supported where the whole interval lies below m, not supported where it lies above.
    `equivalent`, with margin m: supported where the whole interval lies within -m and m, not supported where it lies outside.
    `between`: supported where the whole interval of the ratio lies within low and high, not supported where it lies outside.
    """
    exact = MEASURES[h.measure].static
    missing = sum(a is None or b is None for a, b in zip(of, other, strict=True))
    pairs = [(a, b) for a, b in zip(of, other, strict=True) if a is not None and b is not None]
    ratio = h.rule == "between"
    if ratio and any(b == 0 or not math.isfinite(a / b) for a, b in pairs):
        return _judgement(h, estimate([]), CANNOT_TELL, f"A value of {h.other} is 0, and there is no ratio to it.")
    found = estimate([a / b if ratio else a - b for a, b in pairs], exact=exact)
    if missing:
        return _judgement(h, found, CANNOT_TELL, f"{missing} of {len(of)} pairs of runs {'is' if missing == 1 else 'are'} missing.")
    if found.low is None or found.high is None:
        return _judgement(h, found, CANNOT_TELL, "One pair of runs has no spread to judge by: it takes two seeds or more.")
    verdict = _placed(h, found.low, found.high)
    return _judgement(h, found, verdict, _why(h, found.low, found.high, verdict))


def overall(judgements: Sequence[Judgement]) -> tuple[Verdict, str]:
    """The verdict over all comparisons, and why: supported where each is, not supported where one is not, else undecided."""
    against = [j for j in judgements if j.verdict == NOT_SUPPORTED]
    if against:
        return NOT_SUPPORTED, f"{against[0].that}: {_lower(against[0].why)}"
    undecided = [j for j in judgements if j.verdict == CANNOT_TELL]
    if undecided:
        return CANNOT_TELL, f"{undecided[0].that}: {_lower(undecided[0].why)}"
    if len(judgements) == 1:
        return SUPPORTED, judgements[0].why
    return SUPPORTED, f"All {len(judgements)} comparisons hold."


def best_rate(losses: Mapping[float, Sequence[float | None]]) -> float:
    """The learning rate of an arm: that of the lowest final training loss on average over its seeds, the first of equals.

    `losses` has each rate's runs; None is a run that diverged, and counts as worse than any number.
    """
    return min(losses, key=lambda rate: statistics.fmean(math.inf if v is None else v for v in losses[rate]))


def _judgement(h: Hypothesis, e: Estimate, verdict: Verdict, why: str) -> Judgement:
    bounds = {"low": h.low, "high": h.high} if h.rule == "between" else {"margin": h.margin}
    interval = None if e.low is None or e.high is None else (e.low, e.high)
    return Judgement.model_validate({
        "that": h.that, "measure": h.measure, "of": h.of, "minus": h.minus, "over": h.over, "rule": h.rule, **bounds,
        "pairs": e.values, "mean": e.mean, "sd": e.sd, "interval": interval, "verdict": verdict, "why": why,
    })  # fmt: skip


def _placed(h: Hypothesis, low: float, high: float) -> Verdict:
    if h.rule == "greater":
        return SUPPORTED if low > h.margin else NOT_SUPPORTED if high < 0 else CANNOT_TELL
    if h.rule == "at_most":
        return SUPPORTED if high < h.margin else NOT_SUPPORTED if low > h.margin else CANNOT_TELL
    first, last = (-h.margin, h.margin) if h.rule == "equivalent" else (h.low or 0.0, h.high or math.inf)
    if first <= low and high <= last:
        return SUPPORTED
    return NOT_SUPPORTED if high < first or last < low else CANNOT_TELL


def _why(h: Hypothesis, low: float, high: float, verdict: Verdict) -> str:
    unit = "points" if MEASURES[h.measure].unit == "%" else MEASURES[h.measure].unit
    exact = MEASURES[h.measure].static
    what = f"{h.of} {'over' if h.rule == 'between' else 'less'} {h.other}"
    at = f"{what} is exactly {_n(low)}" if exact else f"the 95 % interval of {what} is {_n(low)} to {_n(high)}"
    at += f" {unit}" if unit and h.rule != "between" else ""
    return f"{at[:1].upper()}{at[1:]}, {_place(h, low, high, verdict)}."


def _place(h: Hypothesis, low: float, high: float, verdict: Verdict) -> str:
    margin = _n(h.margin)
    if h.rule == "greater":
        unknown = "which holds 0" if low <= 0 <= high else f"not known to be above {margin}"
        return {SUPPORTED: f"above {margin}", NOT_SUPPORTED: "below 0: the difference goes the other way", CANNOT_TELL: unknown}[verdict]
    if h.rule == "at_most":
        return {SUPPORTED: f"below {margin}", NOT_SUPPORTED: f"above {margin}", CANNOT_TELL: f"which holds {margin}"}[verdict]
    inside = f"within {margin} of 0" if h.rule == "equivalent" else f"between {_n(h.low or 0)} and {_n(h.high or math.inf)}"
    return {SUPPORTED: inside, NOT_SUPPORTED: f"not {inside}", CANNOT_TELL: f"partly {inside}, partly not"}[verdict]


def _n(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
