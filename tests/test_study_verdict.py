"""The rule that decides a study: Student's t, and comparisons of numbers."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from resnet_dsl.lab.study.form import Hypothesis
from resnet_dsl.lab.study.student import quantile
from resnet_dsl.lab.study.verdict import CANNOT_TELL, NOT_SUPPORTED, SUPPORTED, best_rate, estimate, judge, overall

ROOT = Path(__file__).parent.parent
ERRORS = Path(__file__).parent / "data" / "study" / "errors.md"


# --- Student's t ---------------------------------------------------------------------------------------------

# NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
TABLE = {
    1: (6.314, 12.706, 63.657), 2: (2.920, 4.303, 9.925), 3: (2.353, 3.182, 5.841), 4: (2.132, 2.776, 4.604), 5: (2.015, 2.571, 4.032),
    9: (1.833, 2.262, 3.250), 10: (1.812, 2.228, 3.169), 29: (1.699, 2.045, 2.756), 100: (1.660, 1.984, 2.626),
}  # fmt: skip


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_the_published_ones(freedom: int) -> None:
    found = tuple(round(quantile(p, freedom), 3) for p in (0.95, 0.975, 0.995))
    assert found == TABLE[freedom]


@pytest.mark.parametrize(("probability", "freedom"), [(0.5, 3), (1.0, 3), (0.9, 0)])
def test_there_is_no_such_quantile(probability: float, freedom: int) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile(probability, freedom)


def test_an_estimate_is_the_textbook_one() -> None:
    found = estimate([1.0, 2.0, 3.0])
    # 2 +- 4.302653 * 1 / sqrt(3)
    assert (found.mean, found.sd) == (2.0, 1.0)
    assert (found.low, found.high) == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)
    assert estimate([5.0]).low is None
    assert estimate([]).mean is None


# --- the rule ------------------------------------------------------------------------------------------------


def rule(text: str) -> Hypothesis:
    """`greater 2`, `between 1.8 2.2`."""
    name, *numbers = text.split()
    keys: dict[str, Any] = {"that": "a claim", "measure": "train_error", "of": "a", "rule": name}
    if name == "between":
        return Hypothesis(**keys, over="b", low=float(numbers[0]), high=float(numbers[1]))
    return Hypothesis(**keys, minus="b", margin=float(numbers[0]) if numbers else 0.0)


CASES = [
    # The rule, the runs of a and of b by seed, the verdict.
    ("greater 2", [48, 47, 49], [19, 20, 21], SUPPORTED),
    ("greater 2", [22.4, 22.5, 22.6], [20, 20, 20], SUPPORTED),
    ("greater 2", [20, 20, 20], [22.4, 22.5, 22.6], NOT_SUPPORTED),
    ("greater 2", [21, 21, 21], [20, 20, 20], CANNOT_TELL),  # an effect, but none that is known to be large enough
    ("greater 2", [30, 20, 25], [19, 20, 21], CANNOT_TELL),  # too much spread
    ("greater", [20, 21, 22], [20, 21, 22], CANNOT_TELL),  # the same runs twice: no spread, and no difference
    ("greater 2", [20, 21, 22], [20, 21, 22], CANNOT_TELL),
    ("greater", [20.1, 20.9, 22.2], [20, 21, 22], CANNOT_TELL),
    ("greater", [21, 22, 23], [20, 21, 22], SUPPORTED),  # paired: every difference is 1
    ("greater", [21, 22, 23], [22, 21, 20], CANNOT_TELL),  # the same runs, paired otherwise
    ("greater 2", [48], [19], CANNOT_TELL),
    ("greater 2", [48, 47], [19, 20], SUPPORTED),
    ("greater 2", [48, 35], [19, 20], CANNOT_TELL),
    ("greater 2", [48, None, 49], [19, 20, 21], CANNOT_TELL),
    ("greater 2", [], [], CANNOT_TELL),
    ("greater 2", [90, 90, 90], [19, 20, 21], SUPPORTED),  # all diverged: the error of chance
    ("at_most 5", [21, 22, 21], [20, 21, 20], SUPPORTED),
    ("at_most 5", [10, 11, 10], [20, 21, 20], SUPPORTED),  # better by far is at most, too
    ("at_most 5", [30, 31, 30], [20, 21, 20], NOT_SUPPORTED),
    ("at_most 5", [24, 27, 25], [20, 20, 20], CANNOT_TELL),
    ("equivalent 2", [20.5, 21.4, 22.6], [20, 21, 22], SUPPORTED),
    ("equivalent 2", [20, 21, 22], [20, 21, 22], SUPPORTED),
    ("equivalent 2", [26, 27, 28], [20, 21, 22], NOT_SUPPORTED),
    ("equivalent 2", [20, 21, 22], [26, 27, 28], NOT_SUPPORTED),
    ("equivalent 2", [22, 20, 24], [20, 21, 22], CANNOT_TELL),
    ("between 1.8 2.2", [20, 40, 60.5], [10, 20, 30], SUPPORTED),
    ("between 1.8 2.2", [30, 60, 90.5], [10, 20, 30], NOT_SUPPORTED),
    ("between 1.8 2.2", [11, 22, 33.5], [10, 20, 30], NOT_SUPPORTED),
    ("between 1.8 2.2", [10, 40, 90], [10, 20, 30], CANNOT_TELL),
    ("between 1.8 2.2", [10, 40], [0, 20], CANNOT_TELL),
]  # fmt: skip


@pytest.mark.parametrize(("text", "of", "other", "verdict"), CASES)
def test_a_comparison_is_decided(text: str, of: list[float | None], other: list[float | None], verdict: str) -> None:
    found = judge(rule(text), of, other)
    assert found.verdict == verdict
    assert re.fullmatch(r"[A-Z0-9].*\.", found.why)
    assert found.to_dict()["verdict"] == verdict


@pytest.mark.parametrize(
    ("text", "of", "other", "why"),
    [
        ("greater 2", [48, 47, 49], [19, 20, 21], "The 95 % interval of a less b is 25.52 to 30.48 points, above 2."),
        ("greater 2", [20, 20, 20], [22, 23, 24], "The 95 % interval of a less b is -5.484 to -0.5159 points, below 0: the difference goes the other way."),
        ("greater", [20, 21], [20, 21], "The 95 % interval of a less b is 0 to 0 points, which holds 0."),
        ("greater 2", [21, 21], [20, 20], "The 95 % interval of a less b is 1 to 1 points, not known to be above 2."),
        ("equivalent 2", [22, 20], [20, 21], "The 95 % interval of a less b is -18.56 to 19.56 points, partly within 2 of 0, partly not."),
        ("between 1.8 2.2", [20, 40], [10, 20], "The 95 % interval of a over b is 2 to 2, between 1.8 and 2.2."),
        ("greater", [20], [20], "One pair of runs has no spread to judge by: it takes two seeds or more."),
        ("greater", [20, None], [20, 21], "1 of 2 pairs of runs is missing."),
        ("greater", [20, None], [None, 21], "2 of 2 pairs of runs are missing."),
    ],
)  # fmt: skip
def test_why(text: str, of: list[float | None], other: list[float | None], why: str) -> None:
    assert judge(rule(text), of, other).why == why


def test_what_is_known_without_training_needs_no_seeds() -> None:
    exact = Hypothesis(that="doubled", measure="block_params", of="a", over="b", rule="between", low=1.8, high=2.2)
    assert judge(exact, [1941.0], [1000.0]).verdict == SUPPORTED
    assert judge(exact, [1941.0], [1000.0]).why == "A over b is exactly 1.941, between 1.8 and 2.2."
    assert judge(exact, [1500.0], [1000.0]).verdict == NOT_SUPPORTED


def test_noise_against_noise_is_rarely_called_an_effect() -> None:
    """The interval is one of 95 %: of 4,000 null studies some 2.5 % are wrong on each side, whatever the seeds."""
    draws = random.Random(0)
    for seeds in (2, 3, 5):
        noise = [[draws.gauss(20, 1) for _ in range(2 * seeds)] for _ in range(4000)]
        found = [judge(rule("greater"), runs[:seeds], runs[seeds:]).verdict for runs in noise]
        assert found.count(SUPPORTED) / 4000 == pytest.approx(0.025, abs=0.008)
        assert found.count(NOT_SUPPORTED) / 4000 == pytest.approx(0.025, abs=0.008)


def test_all_comparisons_have_to_hold() -> None:
    yes, no, open_ = (judge(rule("greater"), of, [1, 2, 3]) for of in ([9, 10, 11], [-9, -8, -7], [1, 2, 3]))
    assert overall([yes, yes]) == (SUPPORTED, "All 2 comparisons hold.")
    assert overall([yes])[0] == SUPPORTED
    assert overall([yes, open_])[0] == CANNOT_TELL
    assert overall([open_, no, yes]) == (NOT_SUPPORTED, f"a claim: {no.why[0].lower()}{no.why[1:]}")


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ({0.02: [1.0, 1.0], 0.1: [0.9, 1.0]}, 0.1),
        ({0.02: [1.0, 1.0], 0.1: [1.0, 1.0]}, 0.02),
        ({0.02: [2.0, 2.0], 0.1: [0.1, None]}, 0.02),  # a run that diverged spoils its rate
        ({0.02: [None], 0.1: [None]}, 0.02),
    ],
)
def test_the_rate_of_an_arm(losses: dict[float, list[float | None]], best: float) -> None:
    assert best_rate(losses) == best
