"""Expressions: values, kinds and refusals in tables; agreement with Python's own arithmetic; nothing but SpecError."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.expressions import ExpressionError, parse

NAMES: dict[str, Any] = {"k": 4, "n": 7, "in": 16, "half": Fraction(1, 2), "yes": True}
KINDS: dict[str, Any] = {name: "condition" if isinstance(value, bool) else "number" for name, value in NAMES.items()}

VALUES = [
    ("3", 3), ("+3", 3), ("-3", -3), ("3.0", 3), (".5", Fraction(1, 2)), ("1.6e1", 16), ("1e-2", Fraction(1, 100)), ("1E+2", 100),
    ("100 * 1.1", 110), ("0.1 + 0.2 == 0.3", True), ("1 / 3 * 3", 1), ("10 - 2 - 3", 5), ("2 + 3 * 4", 14), ("(2 + 3) * 4", 20),
    ("7 // 2", 3), ("-7 // 2", -4), ("7 // -2", -4), ("-7 % 3", 2), ("7 % -3", -2), ("7.5 % 2", Fraction(3, 2)), ("5.5 // 2", 2),
    ("12 / 3 / 2", 2), ("2 * 3 % 4", 2), ("- -3", 3), ("-k + 1", -3), ("2 * -k", -8), ("in * 2", 32), ("half * 2", 1),
    ("min(3, k, 2)", 2), ("max(k)", 4), ("ceil(7 / 2)", 4), ("floor(-7 / 2)", -4), ("round(2.5)", 2), ("round(3.5)", 4), ("round(-0.5)", 0),
    ("divisible(3, 8)", 8), ("divisible(12, 8)", 16), ("divisible(11.9, 8)", 8), ("divisible(20, 8)", 24), ("divisible(18, 8)", 16),
    ("1 < 2", True), ("2 <= 2", True), ("3 >= 4", False), ("3 != 3.0", False), ("not 1 < 2", False), ("not not yes", True),
    ("yes and k > 3", True), ("false or yes", True), ("true and false or true", True), ("true or false and false", True),
    ("1 if yes else 2", 1), ("1 if false else 2 if false else 3", 3), ("1 + 1 if false else 5", 5), ("yes if k > 3 else false", True),
    ("1 if yes else 1 / 0", 1), ("false and 1 / 0 > 1", False), ("yes or 1 / 0 > 1", True), ("1e15", 10**15), ("(k)", 4), ("k\n * 2", 8),
]  # fmt: skip

REFUSED = {
    "expression-syntax": [
        "", "k k", "2k", "2(3)", "k(3)", "1 < 2 < 3", "1 == 1 == 1", "1 if yes",
        "if yes else 2", "2 **3", "2 ^ 3", "1 & 2", "!yes", "k = 3",
        "+k", "1,000", "1_000", "0x10", "(1", "1)", "[1]", "k[0]", "k.real", "params.k", "'a'", "pow(2, 3)",
        "__import__(1)", "min()", "round(1, 2)",
        "divisible(3)", "lambda: 1", "k := 3", "k # 1", "$k", "\u0663", "k \u2212 1", "min",
    ],
    "unknown-variable": ["kk", "True", "1 if yes else kk"],
    "number-form": ["007", "00", "1 + 01"],
    "division-by-zero": ["1 / 0", "1 // (k - 4)", "1 % 0", "divisible(3, 0)"],
    "out-of-range": ["divisible(3, -8)"],
    "expression-kind": ["yes + 1", "-yes", "not k", "k and yes", "min(1, yes)", "1 if k else 2", "1 if yes else yes", "yes == yes"],
    "limit": [
        "1e16", "1e15 + 1", "1e15 * 10 / 10", "1e1000", "9" * 500, "1 +" * 500 + "1", "(" * 65 + "1" + ")" * 65, "-" * 65 + "1",
        "not " * 65 + "yes", "1e-40 * 1e-40",
    ],
}  # fmt: skip


def evaluate(text: str) -> Any:
    expression = parse(text)
    kind = expression.kind(KINDS)
    value = expression.value(NAMES)
    assert kind == ("condition" if isinstance(value, bool) else "number")
    return value


@pytest.mark.parametrize(("text", "value"), VALUES, ids=[text for text, _ in VALUES])
def test_value(text: str, value: Any) -> None:
    found = evaluate(text)
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)
    assert isinstance(found, int) or found.denominator > 1  # whole values are integers


@pytest.mark.parametrize(("code", "text"), [(code, text) for code, texts in REFUSED.items() for text in texts], ids=lambda s: s[:24])
def test_refused(code: str, text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text)
    assert caught.value.code == code


def test_the_largest_that_are_read() -> None:
    assert evaluate("(" * 63 + "k" + ")" * 63) == 4
    assert evaluate("+".join(["1"] * 500)) == 500
    assert parse("k + n * k").names == {"k", "n"}


# --- agreement with Python -----------------------------------------------------------------------------------

PYTHON: dict[str, Any] = {
    "__builtins__": {}, "F": Fraction, "min": min, "max": max, "ceil": math.ceil, "floor": math.floor, "round": round,
    "k": Fraction(4), "n": Fraction(7), "half": Fraction(1, 2), "yes": True, "true": True, "false": False,
}  # fmt: skip
LITERALS = st.one_of(st.integers(0, 20).map(str), st.decimals(0, 9, places=2).map(str), st.sampled_from(["k", "n", "half"]))


def numbers(part: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Sums, products and calls of numbers; parentheses only where chance puts them, so that precedence is tested."""
    operator = st.sampled_from([" + ", " - ", " * ", " / ", " // ", " % ", "*", "-"])
    call = st.sampled_from(["ceil", "floor", "round"])
    condition = st.tuples(part, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), part).map(" ".join)
    return st.one_of(
        st.tuples(part, operator, part).map("".join),
        part.map(lambda a: f"({a})"),
        part.map(lambda a: f"-{a}"),
        st.tuples(call, part).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["min", "max"]), part, part).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(part, condition, part).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
    )


NUMBERS = st.recursive(LITERALS, numbers, max_leaves=8)
COMPARISONS = st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map(" ".join)
CONDITIONS = st.recursive(
    st.one_of(COMPARISONS, st.sampled_from(["true", "false", "yes"])),
    lambda part: st.one_of(
        st.tuples(part, st.sampled_from(["and", "or"]), part).map(" ".join),
        part.map(lambda a: f"not {a}"),
        part.map(lambda a: f"({a})"),
    ),
    max_leaves=4,
)


def by_python(text: str) -> Any:
    """What Python makes of it, every literal a Fraction."""
    return eval(re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)", r"F('\1')", text), dict(PYTHON))


def outcome(compute: Callable[[str], Any], text: str) -> Any:
    try:
        return compute(text)
    except ZeroDivisionError:
        return "division-by-zero"
    except ExpressionError as e:
        return e.code


@settings(max_examples=400, deadline=None)
@given(st.one_of(NUMBERS, CONDITIONS))
@example("2 - 3 - 4 * 5 // 2 % 3")
@example("not 1 < 2 and false or 2 >= 1")
@example("-7 // 2 * -3 % 5")
def test_as_python(text: str) -> None:
    ours = outcome(evaluate, text)
    assert ours == outcome(by_python, text) or ours == "limit"


# --- nothing but SpecError -----------------------------------------------------------------------------------

SPEC = """\
input: {channels: 3, height: 16, width: 16}
params: {k: 2}
classes: 10
stem: cifar
block: {mine: {a: k}}
shortcut: B
merge: add
stages:
  - {depth: k, width: 8}
  - {depth: 1, width: 8 * k, stride: 2, after: [norm]}
blocks:
  mine:
    args: {a: 1}
    let: {m: width * a // 2}
    out: width
    body:
      - conv: {out: "max(m, 4)", kernel: 3, stride: stride}
      - residual: {merge: mul, body: [globalpool, {conv: {kernel: 1}}, {act: sigmoid}]}
      - branches: {merge: concat, paths: [[], [norm]]}
      - conv: {out: out, kernel: [1, 1]}
head: classifier
init: {zero_last: true}
"""
WORDS = [
    "{", "}", "[", "]", ": ", ", ", "- ", "\n", "\n  ", "\n      ", "#", "'", '"', "&a ", "*a", "!!str ", "<<", "|", ">", "%", "@", "\t",
    "~", "null", "true", "True", "0", "-1", "1.5", "1e9", "012", "99999999999999999999", "\u200b", "\u2028", "\x00",
    "width", "stride", "in", "k", "out", "1/0", "min(", ")", " if ", " else ", "conv", "norm", "repeat", "chain", "residual", "branches",
    "se", "stages", "blocks", "extends", "shortcut", "none", "highway", "concat", "resnet18", "../x.yaml", "when", "as", "as: type",
]  # fmt: skip
PIECES = st.lists(st.sampled_from(WORDS), max_size=6).map("".join)


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """The spec with one stretch replaced by words of the language, or by anything."""
    start = draw(st.integers(0, len(SPEC)))
    stop = draw(st.integers(start, min(len(SPEC), start + 40)))
    return SPEC[:start] + draw(st.one_of(PIECES, st.text(max_size=8))) + SPEC[stop:]


def is_refused(text: str, path: Path) -> bool:
    """True where the spec is refused, False where it is a network; anything else is raised."""
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    try:
        compile(load(str(path)))
    except SpecError as e:
        return bool(e.diagnostics)
    return False


def test_the_spec_to_mutate_is_legal(tmp_path: Path) -> None:
    assert not is_refused(SPEC, tmp_path / "spec.yaml")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(mutants(), PIECES, st.text(max_size=60)))
def test_nothing_but_spec_errors(text: str, tmp_path: Path) -> None:
    is_refused(text, tmp_path / "spec.yaml")
