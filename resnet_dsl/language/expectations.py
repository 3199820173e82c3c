"""What `expect` holds: figures and shapes that an author believes a network to have (docs/language.md, Expectations).

A figure is a number or an expression, a bound (`<= 300000`), or a range (`1M..2M`). Numbers of bounds and ranges may end in k, M or G.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.diagnostics import Location

FIGURES: Mapping[str, str] = {
    "params": "Elements of trainable parameters.",
    "macs": "Multiply-accumulates of convolutions and linear layers for one input.",
    "depth": "Weighted layers on the main path.",
    "activations": "Output elements of convolutions and linear layers.",
    "shortcut_params": "Parameters in shortcuts, with their norms.",
    "shortcut_macs": "Multiply-accumulates in shortcuts.",
    "blocks": "Blocks of all stages.",
    "receptive": "The side of the receptive field of the last stage, in input pixels, padding included; the shorter of two sides.",
}
"""The figures that may be expected, each with what it is."""

_NUMBER = r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([kMG]?)"
_BOUND = re.compile(rf"(<=|>=|<|>)\s*{_NUMBER}\Z")
_RANGE = re.compile(rf"(?:{_NUMBER})?\s*\.\.\s*(?:{_NUMBER})?\Z")
_SHAPE = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}x[1-9][0-9]{0,8})?\Z")
_POWERS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


_DASHED = re.compile(r"([0-9.]+[kMG]?)\s*(?:-|\u2013|\u2212|to)\s*([0-9.]+[kMG])\Z")
"""A range as people write it: 200k-300k. Without a unit at its end it is a difference."""


class ExpectationError(Exception):
    """A bound, a range or a shape that cannot be read: what is wrong, and what to write."""

    def __init__(self, message: str, help: str) -> None:
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True, slots=True)
class Expectation:
    """A figure that the author believes to lie between `low` and `high`, both included (None: no bound), and where it says so."""

    key: str
    low: int | None
    high: int | None
    at: Location

    @property
    def value(self) -> int | None:
        """The figure itself, where just one is believed."""
        return self.low if self.low == self.high else None

    def holds(self, figure: int) -> bool:
        """Is a figure what is believed?"""
        return (self.low is None or self.low <= figure) and (self.high is None or figure <= self.high)

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:,}"
        if self.low is None or self.high is None:
            return f"at least {self.low:,}" if self.low is not None else f"at most {self.high:,}"
        return f"from {self.low:,} to {self.high:,}"


@dataclass(frozen=True, slots=True)
class ExpectedShape:
    """The shape that the author believes the value `name` of a network to have: a stage, a step, or a path such as layer1.0.conv1."""

    name: str
    shape: tuple[int, ...]
    at: Location


def is_requirement(text: str) -> bool:
    """Is a text meant as a bound or a range, not as a number or an expression?"""
    return (
        ".." in text
        or _DASHED.match(text.strip()) is not None
        or bool(re.match(r"\s*(?:[<>=\u2264\u2265~\u2248]|at (?:least|most)\b)", text))
    )


def bounds(text: str) -> tuple[int | None, int | None]:
    """The lowest and the highest figure that a bound or a range allows. Raises ExpectationError."""
    words = text.strip()
    if (found := _BOUND.match(words)) is not None:
        sign, limit = found[1], _whole(found[2], found[3])
        # Figures are whole numbers, so a strict bound is the next one.
        low = limit + (sign == ">") if sign.startswith(">") else None
        high = limit - (sign == "<") if sign.startswith("<") else None
        return low, high
    if (found := _RANGE.match(words)) is not None and (found[1] or found[3]):
        low, high = (_whole(n, unit) if n else None for n, unit in ((found[1], found[2]), (found[3], found[4])))
        if low is not None and high is not None and low > high:
            raise ExpectationError(f"is the range {words}, which is empty", f"write {found[3]}{found[4]}..{found[1]}{found[2]}")
        return low, high
    if (dashed := _DASHED.match(words)) is not None:
        raise ExpectationError(f"is no range: {words}", f"write {dashed[1]}..{dashed[2]}")
    numbers = re.findall(_NUMBER, words)
    limit_text = "".join(numbers[0]) if numbers else "300k"
    if re.match(r"(=<|\u2264|at most)", words):
        raise ExpectationError(f"is no bound: {words}", f'write "<= {limit_text}"')
    if re.match(r"(=>|\u2265|at least)", words):
        raise ExpectationError(f"is no bound: {words}", f'write ">= {limit_text}"')
    if re.match(r"[=~\u2248]", words):
        raise ExpectationError(f"is no bound: {words}", f"write {limit_text}, or a range such as 1M..2M")
    raise ExpectationError(f"is no bound and no range: {words}", 'write "<= 300k", ">= 32" or 1M..2M')


def shape(text: str) -> tuple[int, ...]:
    """A shape that is expected, 64x8x8 of a map or 512 of a vector. Raises ExpectationError."""
    if _SHAPE.match(text.strip()) is None:
        raise ExpectationError(f"is a shape, channels x height x width, not {text}", "write 64x8x8, or 512 for a vector")
    return tuple(map(int, text.strip().split("x")))


def _whole(number: str, unit: str) -> int:
    whole, _, part = number.partition(".")
    power = _POWERS[unit]
    scaled: int = int(whole) * power + int(part or 0) * power // 10 ** len(part)
    if part and int(part) * power % 10 ** len(part):
        raise ExpectationError(f"holds {number}{unit}, and figures are whole numbers", f"write {scaled}")
    return scaled
