"""Expressions: exact arithmetic and conditions over names (docs/language.md, Expressions). No eval, no attributes, no strings.

`parse` gives an `Expression`: what it is (a number or a condition) given the kinds of the names in scope is decided by
`kind`, before anything runs; `value` computes it. Numbers are int or Fraction, conditions bool; arithmetic is exact.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from resnet_dsl.diagnostics import quote
from resnet_dsl.language.grammar import FUNCTIONS, LIMIT, WORDS, ExpressionError, Parser, Term
from resnet_dsl.ops.arguments import Number, Result

__all__ = ["WORDS", "Expression", "ExpressionError", "Kind", "Number", "Result", "of", "parse"]

Kind = Literal["number", "condition"]

MAX_LENGTH = 1_000
_FINEST = 10**60
"""Denominators stay below this: far finer than any rate, and no product can grow without end."""


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A parsed expression. `names` are the free names; `literal` is its value where it is just a number or true/false."""

    text: str
    tree: Term
    names: frozenset[str] = field(default_factory=frozenset)

    @property
    def literal(self) -> Result | None:
        """The value where nothing has to be computed, else None."""
        t = self.tree
        if t.op == "negative" and t.args[0].op == "literal" and not isinstance(t.args[0].value, bool):
            assert t.args[0].value is not None
            return -t.args[0].value
        return t.value if t.op == "literal" else None

    def kind(self, scope: Mapping[str, Kind]) -> Kind:
        """Number or condition. Raises ExpressionError for unknown names and where one stands for the other."""
        return _kind(self.tree, scope)

    def value(self, env: Mapping[str, Result]) -> Result:
        """The value. Raises ExpressionError for a division by zero and for numbers beyond the limits."""
        return _value(self.tree, env)


def of(value: Result) -> Expression:
    """The expression that is just this value."""
    return Expression(str(value).lower(), Term("literal", value=value))


def parse(text: str) -> Expression:
    """Read an expression. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        opened, closed = text.count("("), text.count(")")
        unclosed = " (and a parenthesis is not closed)" if opened > closed else ""
        raise ExpressionError(
            "limit", f"an expression of {len(text):,} characters is over the limit of {MAX_LENGTH:,}{unclosed}", "split it with `let`"
        )
    stripped = text.strip(" \t\n\r")
    if re.fullmatch(r"\+[0-9.][0-9.eE+-]*", stripped):
        stripped = stripped[1:]
    parser = Parser(stripped)
    tree = parser.parse()
    return Expression(text, tree, frozenset(parser.names))


# --- what it is --------------------------------------------------------------------------------------------

_ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%", "negative", *FUNCTIONS})
_COMPARISON = frozenset({"<", ">", "<=", ">=", "==", "!="})


def _kind(t: Term, scope: Mapping[str, Kind]) -> Kind:
    if t.op == "literal":
        return "condition" if isinstance(t.value, bool) else "number"
    if t.op == "name":
        if t.name not in scope:
            raise ExpressionError("unknown-variable", t.name, "")
        return scope[t.name]
    kinds = [_kind(a, scope) for a in t.args]
    op = t.operators[0] if t.op == "chain" else t.op
    sign = "-" if op == "negative" else op
    if op in _ARITHMETIC or op in _COMPARISON:
        if "condition" in kinds:
            raise ExpressionError("expression-kind", f"{quote(sign)} computes with numbers, but one side is a condition (true or false)",
                                  "turn a condition into a number with `1 if ... else 0`")  # fmt: skip
        return "condition" if op in _COMPARISON else "number"
    if t.op == "if":
        if kinds[0] != "condition":
            raise ExpressionError("expression-kind", "`if` needs a condition between `if` and `else`, not a number", "compare it: `k > 0`")
        if kinds[1] != kinds[2]:
            raise ExpressionError(
                "expression-kind",
                "`if ... else` gives a number on one side and a condition on the other",
                "make both sides numbers or both conditions",
            )
        return kinds[1]
    if "number" in kinds:
        raise ExpressionError("expression-kind", f"{quote(sign)} joins conditions, but here is a number", "compare it: `k > 0`")
    return "condition"


# --- what it is worth --------------------------------------------------------------------------------------


def _checked(value: Number) -> Number:
    # Numerator and denominator are compared as integers, which is faster than comparing fractions.
    above, below = value.numerator, value.denominator
    fits = -LIMIT * below <= above <= LIMIT * below
    if below == 1:
        value = above
    elif below > _FINEST and fits:
        raise ExpressionError("limit", "a fraction finer than the limit of 60 decimal places", "round it, or compute with fewer fractions")
    if not fits:
        raise ExpressionError("limit", "a value beyond the limit of 1e15", "numbers, intermediate ones too, are at most 1e15")
    return value


def _divisor(b: Number) -> Number:
    if b == 0:
        raise ExpressionError("division-by-zero", "division by zero", "guard it: `x / k if k > 0 else 0`")
    return b


def _divisible(x: Number, by: Number) -> Number:
    if by <= 0:
        raise ExpressionError(
            "division-by-zero" if by == 0 else "out-of-range",
            "divisible(x, by): division by zero" if by == 0 else "divisible(x, by): `by` must be positive",
            "use a positive `by`, 8 say",
        )
    return max(by, math.floor(Fraction(x) / Fraction(by) + Fraction(1, 2)) * by)


_BINARY: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: Fraction(a, _divisor(b)),
    "//": lambda a, b: a // _divisor(b),
    "%": lambda a, b: a % _divisor(b),
}
_COMPARE: Mapping[str, Callable[[Number, Number], bool]] = {
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip
_UNARY: Mapping[str, Callable[[Number], Number]] = {"negative": lambda a: -a, "ceil": math.ceil, "floor": math.floor, "round": round}


def _value(t: Term, env: Mapping[str, Result]) -> Result:
    op = t.op
    if op == "name":
        return env[t.name]
    if op == "literal":
        assert t.value is not None
        return t.value
    if op == "chain":
        return _fold(t, env)
    if op == "if":
        return _value(t.args[1] if _value(t.args[0], env) else t.args[2], env)
    if op == "not":
        return not _value(t.args[0], env)
    values = [_value(a, env) for a in t.args]
    if op == "divisible":
        return _checked(_divisible(values[0], values[1]))
    if op in _COMPARE:
        return _COMPARE[op](values[0], values[1])
    if op in _UNARY:
        return _checked(_UNARY[op](values[0]))
    return min(values) if op == "min" else max(values)


def _fold(t: Term, env: Mapping[str, Result]) -> Result:
    """A run of operators of one level, from the left; `and` and `or` stop where the answer is known."""
    total = _value(t.args[0], env)
    for op, arg in zip(t.operators, t.args[1:], strict=True):
        if op in ("and", "or"):
            if bool(total) == (op == "or"):
                return bool(total)
            total = _value(arg, env)
        else:
            total = _checked(_BINARY[op](total, _value(arg, env)))
    return total
