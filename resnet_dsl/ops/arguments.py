"""What may be given to a named thing: arguments, the rules of their values, and the numbers that values are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from resnet_dsl.ops.site import Value

MAX_SIZE = 65_536
MAX_WINDOW = 255
MAX_CLASSES = 65_536

Number = int | Fraction
Result = int | Fraction | bool
"""What an expression gives: an exact number, or a condition."""


@dataclass(frozen=True, slots=True)
class ValueRule:
    """What a value must be: a condition, or a number, whole or not, between `low` and `high` (below it if `below`)."""

    kind: Literal["number", "condition"] = "number"
    whole: bool = False
    low: int | None = None
    high: int | None = None
    below: bool = False

    def complaint(self, value: Result) -> tuple[str, str, str] | None:
        """Code, what is wrong and the fix, or None where the value is fine."""
        if isinstance(value, bool) != (self.kind == "condition"):
            if self.kind == "condition":
                return (
                    "expression-kind",
                    f"must be a condition (true or false), not the number {number_text(value)}",
                    "write true, false or a comparison: `k > 0`",
                )
            return (
                "expression-kind",
                f"must be {self.wanted}, not the condition {str(value).lower()}",
                "write a number, or turn the condition into one: `1 if ... else 0`",
            )
        if isinstance(value, bool):
            return None
        if self.whole and not isinstance(value, int):
            return "not-whole", f"must be {self.wanted}, but is {number_text(value)}", "use // to divide, or round, floor or ceil"
        # Numerator and denominator are compared as integers, which is faster than comparing fractions.
        above, under = value.numerator, value.denominator
        if self.low is not None and above < self.low * under:
            return "out-of-range", f"must be at least {self.low}, but is {number_text(value)}", f"use {self.wanted}"
        if self.high is not None and (above > self.high * under or (self.below and above == self.high * under)):
            if self.below:
                return "out-of-range", f"must be less than {self.high}, but is {number_text(value)}", f"use {self.wanted}"
            return "limit", f"is over the limit: at most {self.high:,}, but is {number_text(value)}", f"use {self.wanted}"
        return None

    @property
    def wanted(self) -> str:
        """The value in words: `a whole number of at least 1`."""
        if self.kind == "condition":
            return "a condition (true or false)"
        noun = "a whole number (an integer)" if self.whole else "a number"
        if self.low is not None and self.high is not None:
            return f"{noun} between {self.low} and {self.high:,}" + (f" ({self.high} excluded)" if self.below else "")
        return f"{noun} of at least {self.low}" if self.low is not None else noun


CONDITION = ValueRule("condition")
NUMBER = ValueRule()
SIZE = ValueRule(whole=True, low=1, high=MAX_SIZE)
COUNT = ValueRule(whole=True, low=1)
CLASSES = ValueRule(whole=True, low=2, high=MAX_CLASSES)
FIGURE = ValueRule(whole=True, low=0)
DEPTH = ValueRule(whole=True, low=1, high=100_000)
TIMES = ValueRule(whole=True, low=0, high=10_000)
INDEX = ValueRule(whole=True, low=0, high=MAX_SIZE)
WINDOW = ValueRule(whole=True, low=1, high=MAX_WINDOW)
PADDING = ValueRule(whole=True, low=0, high=MAX_WINDOW)
RATE = ValueRule(low=0, high=1, below=True)
FRACTION = ValueRule(low=0, high=1)
POSITIVE = ValueRule(low=0)


def number_text(value: Result) -> str:
    """A number as a person would write it; never more than a line."""
    if isinstance(value, Fraction):
        return f"{float(value):.6g}"
    return f"{value:,}" if abs(value) < 10**15 else f"{float(value):.3g}"


Form = Literal["value", "pair", "padding", "word", "steps", "paths", "shortcut", "merge"]


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: its form, the rule of its values, its default (None: computed from the input, or required)."""

    form: Form
    about: str
    rule: ValueRule = NUMBER
    default: Result | str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    counts: bool = False
    """Steps that are copied, which `index` numbers."""

    @property
    def real(self) -> bool:
        """Is its value a number that is no count? Then no shape, parameter or multiply-accumulate depends on it."""
        return self.form == "value" and self.rule.kind == "number" and not self.rule.whole

    def typed(self, value: Result) -> Value:
        """A value as an attribute: a condition, an integer where the rule wants one, else a float."""
        if isinstance(value, bool):
            return value
        return int(value) if self.rule.whole else float(value)

    @property
    def initial(self) -> Value:
        """The default as an attribute. There must be one."""
        assert self.default is not None
        if isinstance(self.default, str):
            return self.default
        one = self.typed(self.default)
        return (one, one) if self.form == "pair" and isinstance(one, int) else one


@dataclass(frozen=True, slots=True)
class Signature:
    """What may be given to a name, and one line about it. `op` is the row of the op table that it becomes."""

    about: str
    args: Mapping[str, Arg]
    op: str = ""


def value(rule: ValueRule, about: str, default: Result | None = None, *, required: bool = False) -> Arg:
    """A number or a condition."""
    return Arg("value", about, rule, default, required)


def pair(rule: ValueRule, about: str, default: Result | None = None, *, required: bool = False) -> Arg:
    """A number for both sides, or [height, width]."""
    return Arg("pair", about, rule, default, required)


def word(about: str, default: str, *choices: str) -> Arg:
    """One of a few words."""
    return Arg("word", about, default=default, choices=choices)
