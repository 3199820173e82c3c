"""The decision: from numbers of runs to a verdict. Pure functions, fixed before any run; see docs/studies.md.

Runs are paired by seed. Of the differences (or ratios) of the pairs the mean, the standard deviation and Student's 95 %
confidence interval of the mean are taken. Where that interval lies decides, and with fewer than two pairs nothing is decided; figures
that are exact without training need one.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resnet_dsl.lab.study.form import Comparison
from resnet_dsl.lab.study.measures import MEASURES
from resnet_dsl.lab.study.student import quantile

Verdict = Literal["supported", "not supported", "cannot tell at this budget"]
SUPPORTED: Verdict = "supported"
NOT_SUPPORTED: Verdict = "not supported"
CANNOT_TELL: Verdict = "cannot tell at this budget"

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of paired values, their standard deviation and the interval of the mean; None where there are too few values."""

    values: tuple[float, ...]
    mean: float | None
    sd: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is found of one comparison, and why in one sentence."""

    comparison: Comparison
    estimate: Estimate
    verdict: Verdict
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        c, e = self.comparison, self.estimate
        return {
            "that": c.that, "measure": c.measure, "of": c.of, "minus": c.minus, "over": c.over, "rule": c.rule,
            **({"low": c.low, "high": c.high} if c.rule == "between" else {"margin": c.margin}),
            "pairs": list(e.values), "mean": e.mean, "sd": e.sd, "interval": None if e.low is None else [e.low, e.high],
            "verdict": self.verdict, "why": self.why,
        }  # fmt: skip


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


def judge(comparison: Comparison, of: Sequence[float | None], other: Sequence[float | None]) -> Decision:
    """Decide one comparison from the measures of its two arms, paired by position; None stands for a run that is missing.

    `greater`, with margin m: supported where the whole interval lies above m, not supported where it lies below 0: the effect goes
    the other way. Between, there may be an effect, but none that is known to be as large as claimed.
    `at_most`, with margin m: supported where the whole interval lies below m, not supported where it lies above.
    `equivalent`, with margin m: supported where the whole interval lies within -m and m, not supported where it lies outside.
    `between`: supported where the whole interval of the ratio lies within low and high, not supported where it lies outside.
    """
    measure = MEASURES[comparison.measure]
    missing = sum(a is None or b is None for a, b in zip(of, other, strict=True))
    pairs = [(a, b) for a, b in zip(of, other, strict=True) if a is not None and b is not None]
    ratio = comparison.rule == "between"
    if ratio and any(b == 0 for _, b in pairs):
        return Decision(
            comparison,
            Estimate((), None, None, None, None),
            CANNOT_TELL,
            f"A value of {comparison.other} is 0, and there is no ratio to it.",
        )
    found = estimate([a / b if ratio else a - b for a, b in pairs], exact=measure.static)
    if missing:
        return Decision(comparison, found, CANNOT_TELL, f"{missing} of {len(of)} pairs of runs {'is' if missing == 1 else 'are'} missing.")
    if found.low is None or found.high is None:
        return Decision(comparison, found, CANNOT_TELL, "One pair of runs has no spread to judge by: it takes two seeds or more.")
    verdict = _placed(comparison, found.low, found.high)
    return Decision(comparison, found, verdict, _why(comparison, found.low, found.high, verdict))


def overall(decisions: Sequence[Decision]) -> tuple[Verdict, str]:
    """Of all comparisons: supported where each is, not supported where one is not, else it cannot be told. With one sentence why."""
    against = [d for d in decisions if d.verdict == NOT_SUPPORTED]
    if against:
        return NOT_SUPPORTED, f"{against[0].comparison.that}: {_lower(against[0].why)}"
    open_ = [d for d in decisions if d.verdict == CANNOT_TELL]
    if open_:
        return CANNOT_TELL, f"{open_[0].comparison.that}: {_lower(open_[0].why)}"
    if len(decisions) == 1:
        return SUPPORTED, decisions[0].why
    return SUPPORTED, f"All {len(decisions)} comparisons hold."


def best_rate(losses: Mapping[float, Sequence[float | None]]) -> float:
    """The learning rate of an arm: that of the lowest final training loss on average over its seeds, the first of equals.

    `losses` has each rate's runs; None is a run that diverged, and counts as worse than any number.
    """
    return min(losses, key=lambda rate: statistics.fmean(math.inf if v is None else v for v in losses[rate]))


def _placed(c: Comparison, low: float, high: float) -> Verdict:
    if c.rule == "greater":
        return SUPPORTED if low > c.margin else NOT_SUPPORTED if high < 0 else CANNOT_TELL
    if c.rule == "at_most":
        return SUPPORTED if high < c.margin else NOT_SUPPORTED if low > c.margin else CANNOT_TELL
    first, last = (-c.margin, c.margin) if c.rule == "equivalent" else (c.low or 0.0, c.high or math.inf)
    if first <= low and high <= last:
        return SUPPORTED
    return NOT_SUPPORTED if high < first or last < low else CANNOT_TELL


def _why(c: Comparison, low: float, high: float, verdict: Verdict) -> str:
    unit = "points" if MEASURES[c.measure].unit == "%" else MEASURES[c.measure].unit
    exact = MEASURES[c.measure].static
    what = f"{c.of} {'over' if c.rule == 'between' else 'less'} {c.other}"
    at = f"{what} is exactly {_n(low)}" if exact else f"the 95 % interval of {what} is {_n(low)} to {_n(high)}"
    at += f" {unit}" if unit and c.rule != "between" else ""
    return f"{at[:1].upper()}{at[1:]}, {_place(c, low, high, verdict)}."


def _place(c: Comparison, low: float, high: float, verdict: Verdict) -> str:
    margin = _n(c.margin)
    if c.rule == "greater":
        unknown = "which holds 0" if low <= 0 <= high else f"not known to be above {margin}"
        return {SUPPORTED: f"above {margin}", NOT_SUPPORTED: "below 0: the difference goes the other way", CANNOT_TELL: unknown}[verdict]
    if c.rule == "at_most":
        return {SUPPORTED: f"below {margin}", NOT_SUPPORTED: f"above {margin}", CANNOT_TELL: f"which holds {margin}"}[verdict]
    inside = f"within {margin} of 0" if c.rule == "equivalent" else f"between {_n(c.low or 0)} and {_n(c.high or math.inf)}"
    return {SUPPORTED: inside, NOT_SUPPORTED: f"not {inside}", CANNOT_TELL: f"partly {inside}, partly not"}[verdict]


def _n(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
