"""Student's t distribution, which the standard library does not have."""

from __future__ import annotations

import math


def quantile(probability: float, freedom: int) -> float:
    """The t below which `probability` (above 0.5, below 1) of the distribution with `freedom` degrees of freedom lies.

    By bisection, to the last digits. Raises ValueError.
    """
    if not (0.5 < probability < 1 and freedom >= 1):
        raise ValueError(f"no quantile {probability} with {freedom} degrees of freedom")
    low, high = 0.0, 1.0
    while _below(high, freedom) < probability:
        low, high = high, 2 * high
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _below(middle, freedom) < probability else (low, middle)
    return high


def _below(t: float, freedom: int) -> float:
    """The share of the distribution below t >= 0. Abramowitz & Stegun 1964, 26.7.3 and 26.7.4: finite sums."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2 == 1
    term = total = cosine if odd else 1.0
    for k in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine**2 * (k - 1) / k
        total += term
    within = 2 / math.pi * (angle + (sine * total if freedom > 1 else 0.0)) if odd else sine * total
    return (1 + within) / 2
