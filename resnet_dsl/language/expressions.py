"""Expressions: exact arithmetic and conditions over names (LANGUAGE section 5). No eval, no attributes, no strings.

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

from resnet_dsl.diagnostics import quote, suggest, visible

Number = int | Fraction
Result = int | Fraction | bool
Kind = Literal["number", "condition"]

MAX_LENGTH = 1_000
MAX_LEVELS = 64
LIMIT = 10**15
_FINEST = 10**60
"""Denominators stay below this: far finer than any rate, and no product can grow without end."""

WORDS = frozenset({"and", "or", "not", "if", "else", "true", "false", "min", "max", "ceil", "floor", "round", "divisible"})


class ExpressionError(Exception):
    """An expression that cannot be read or computed."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@dataclass(frozen=True, slots=True)
class _Tree:
    """A node: an operator or function with its operands, a literal, or a name.

    A left-associative run, `a + b - c`, is one node `chain` with its operators, so that depth is what was nested.
    """

    op: str
    args: tuple[_Tree, ...] = ()
    value: Result | None = None
    name: str = ""
    operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """A parsed expression. `names` are the free names; `literal` is its value where it is just a number or true/false."""

    text: str
    tree: _Tree
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
    return Expression(str(value).lower(), _Tree("literal", value=value))


# --- reading -----------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>//|==|!=|<=|>=|[-+*/%(),<>]))",
    re.ASCII,
)
_FUNCTIONS: Mapping[str, tuple[int, int | None]] = {
    "min": (1, None), "max": (1, None), "ceil": (1, 1), "floor": (1, 1), "round": (1, 1), "divisible": (2, 2),
}  # fmt: skip


def _syntax(message: str, help: str = "see `resnet-dsl explain expression-syntax` for what an expression may hold") -> ExpressionError:
    return ExpressionError("expression-syntax", message, help)


_ODD_TOKENS = (
    ("**", "there is no power operator **", "multiply instead: k * k"), ("&&", "'&&' is not an operator here", "write `and`"),
    ("||", "'||' is not an operator here", "write `or`"), ("->", "'->' is not an operator", "an expression computes a number or a condition"),
    (":=", "':=' is not an operator", "use `let` in a definition"), ("=", "'=' is not an operator", "write == to compare"),
    ("!", "'!' is not an operator here", "write `not`"), ("^", "'^' is not an operator: there are no powers", "multiply instead: k * k"),
    ("'", "there are no strings in expressions", "expressions hold numbers and conditions only"),
    ('"', "there are no strings in expressions", "expressions hold numbers and conditions only"),
    (".", "there are no attributes in expressions", "use plain names; a parameter is written k, not params.k"),
    ("[", "there are no lists or subscripts in expressions", "expressions hold numbers and conditions only"),
    ("#", "'#' is not allowed in an expression", "leave a space before # to start a YAML comment"),
    ("$", "'$' is not allowed in an expression: nothing is expanded", "write the name of a parameter: k"),
    ("{", "'{' is not allowed in an expression", "expressions hold numbers and conditions only"),
    (";", "';' is not allowed in an expression", "an expression is one value"),
    (":", "':' is not allowed in an expression", "an expression is one value; a mapping entry needs a space after its colon"),
)  # fmt: skip


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip(" \t\n\r"))
    while at < end:
        m = _TOKEN.match(text, at)
        rest = text[at:].lstrip(" \t\n\r")
        if m is None or rest.startswith("**"):
            for start, message, help in _ODD_TOKENS:
                if rest.startswith(start):
                    if start == "." and found and found[-1] == ("name", "params"):
                        word = re.match(r"\.\s*([A-Za-z_]\w*)", rest)
                        help = f"write {word.group(1)}" if word else help
                    raise _syntax(message, help)
            c = rest[0]
            raise _syntax(f"the character {visible(c)} is not allowed in an expression", "use plain ASCII: + - * / // % ( ) < > == != and names" if ord(c) > 126 else "see `resnet-dsl explain expression-syntax`")
        kind = m.lastgroup
        assert kind is not None
        word = m.group(kind)
        if kind == "name" and found and found[-1][0] == "number" and text[at] not in " \t\n\r":
            whole = found[-1][1] + word
            if re.fullmatch(r"[0-9]+(_[0-9]+)+", whole):
                raise _syntax(f"{quote(whole)} is not a number: digits are not grouped by underscores", f"write {whole.replace('_', '')}")
            if re.fullmatch(r"0[xob][0-9a-fA-F]+", whole):
                raise _syntax(f"{quote(whole)} is not a number here: numbers are decimal, not hexadecimal, octal or binary", f"write {int(whole, 0)}" if _readable(whole) else "write it as a decimal number")
            raise _syntax(f"{quote(whole)} is neither a number nor a name", "put an operator between a number and a name: 2 * k")
        found.append((kind, word))
        at = m.end()
    return found


def _readable(digits: str) -> bool:
    try:
        int(digits, 0)
    except ValueError:
        return False
    return len(digits) < 20


def number(text: str) -> Number:
    """An unsigned decimal literal, exactly. Raises ExpressionError for leading zeros and absurd sizes."""
    mantissa, _, exponent = text.lower().partition("e")
    if re.match(r"0[0-9]", mantissa):
        raise ExpressionError("number-form", f"{quote(text)} has a leading zero: octal in some languages, decimal in others", f"write {text.lstrip('0') or '0'}")
    if len(exponent.lstrip("+-")) > 3:
        raise ExpressionError("limit", f"the exponent of {quote(text)} is over the limit of three digits", "numbers are at most 1e15")
    if len(mantissa) > 400:
        raise ExpressionError("limit", f"a number of {len(mantissa)} digits is over the limit of 1e15", "numbers are at most 1e15")
    value = Fraction(text)
    return _checked(int(value) if value.denominator == 1 else value)


class _Parser:
    """Recursive descent with a level counter, so that no nesting can exhaust the stack."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.levels = 0
        self.names: set[str] = set()

    def parse(self) -> _Tree:
        if not self.tokens:
            raise _syntax("the expression is empty: a number or a condition is expected", "write a number, a name or an expression")
        tree = self.ternary()
        if self.at < len(self.tokens):
            word = self.tokens[self.at][1]
            if word == ")":
                raise _syntax("a closing parenthesis ')' too many", "delete it, or open one before")
            if word in ("<", ">", "<=", ">=", "==", "!="):
                raise _syntax("comparisons do not chain", "join two comparisons with `and`: a < b and b < c")
            if word == ",":
                raise _syntax("a comma is not allowed outside a function's parentheses", "an expression is one value; a pair is a list: [3, 3]")
            raise _syntax(f"{quote(word)} is not expected here", "put an operator between two values")
        return tree

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")
        self.at += 1
        return token

    def ternary(self) -> _Tree:
        self.levels += 1
        if self.levels > MAX_LEVELS:
            if sum(t[1] == "(" for t in self.tokens) > sum(t[1] == ")" for t in self.tokens):
                raise _syntax("a parenthesis '(' is not closed, and they nest over the limit", "close it")
            raise ExpressionError("limit", f"nested over the limit of {MAX_LEVELS} levels", "split it with `let`")
        then = self.any()
        if self.peek() == "if":
            self.take()
            condition = self.any()
            if self.take()[1] != "else":
                raise _syntax("`if` needs an `else`: a if condition else b", "add `else` and a value")
            then = _Tree("if", (condition, then, self.ternary()))
        self.levels -= 1
        return then

    def _left(self, operand: Callable[[], _Tree], operators: tuple[str, ...]) -> _Tree:
        args, ops = [operand()], []
        while self.peek() in operators:
            ops.append(self.take()[1])
            args.append(operand())
        return _Tree("chain", tuple(args), operators=tuple(ops)) if ops else args[0]

    def any(self) -> _Tree:
        return self._left(self.all, ("or",))

    def all(self) -> _Tree:
        return self._left(self.negation, ("and",))

    def negation(self) -> _Tree:
        if self.peek() == "not":
            self.take()
            return _Tree("not", (self._deeper(self.negation),))
        return self.comparison()

    def comparison(self) -> _Tree:
        tree = self.sum()
        if self.peek() in ("<", ">", "<=", ">=", "==", "!="):
            tree = _Tree(self.take()[1], (tree, self.sum()))
            if self.peek() in ("<", ">", "<=", ">=", "==", "!="):
                raise _syntax("comparisons do not chain", "join two comparisons with `and`: a < b and b < c")
        return tree

    def sum(self) -> _Tree:
        return self._left(self.product, ("+", "-"))

    def product(self) -> _Tree:
        return self._left(self.sign, ("*", "/", "//", "%"))

    def sign(self) -> _Tree:
        if self.peek() == "-":
            self.take()
            return _Tree("negative", (self._deeper(self.sign),))
        return self.atom()

    def _deeper(self, rule: Callable[[], _Tree]) -> _Tree:
        self.levels += 1
        if self.levels > MAX_LEVELS:
            raise ExpressionError("limit", f"nested over the limit of {MAX_LEVELS} levels", "split it with `let`")
        tree = rule()
        self.levels -= 1
        return tree

    def atom(self) -> _Tree:
        kind, word = self.take()
        if kind == "number":
            return _Tree("literal", value=number(word))
        if word == "(":
            tree = self.ternary()
            if self.take()[1] != ")":
                raise _syntax("a parenthesis '(' is not closed: expected ')'", "close it, or quote the expression if a comma ended it: inside { } and [ ] a comma ends a value")
            return tree
        if kind == "name":
            return self.word(word)
        if kind == "end":
            raise _syntax("the expression ends too early: a value is expected", "add the missing value")
        raise _syntax(f"{quote(word)} is not expected here: a value is", "see `resnet-dsl explain expression-syntax`")

    def word(self, word: str) -> _Tree:
        if self.peek() == "(":
            return self.call(word)
        if word in ("true", "false"):
            return _Tree("literal", value=word == "true")
        if word in WORDS:
            raise _syntax(f"the word {quote(word)} is not expected here", f"{word}(...) needs arguments" if word in _FUNCTIONS else "a value is missing before it")
        self.names.add(word)
        return _Tree("name", name=word)

    def call(self, word: str) -> _Tree:
        if word not in _FUNCTIONS:
            near = suggest(word, _FUNCTIONS)
            known = "the functions are " + ", ".join(_FUNCTIONS)
            raise _syntax(f"there is no function called {quote(word)}", f"did you mean '{near}'?" if near else known)
        self.take()
        args: list[_Tree] = []
        if self.peek() != ")":
            args.append(self.ternary())
            while self.peek() == ",":
                self.take()
                args.append(self.ternary())
        if self.take()[1] != ")":
            raise _syntax(f"the parenthesis of {word}( is not closed: expected ')'", "close it, or quote the expression if a comma ended it: inside { } and [ ] a comma ends a value")
        low, high = _FUNCTIONS[word]
        if len(args) < low or (high is not None and len(args) > high):
            wanted = f"{low} argument{'s' if low > 1 else ''}" if high == low else f"at least {low} argument"
            raise _syntax(f"{word}() takes {wanted}, not {len(args)}", f"write {'divisible(x, by)' if word == 'divisible' else word + '(x)'}")
        return _Tree(word, tuple(args))


def parse(text: str) -> Expression:
    """Read an expression. Raises ExpressionError."""
    if len(text) > MAX_LENGTH:
        opened, closed = text.count("("), text.count(")")
        unclosed = " (and a parenthesis is not closed)" if opened > closed else ""
        raise ExpressionError("limit", f"an expression of {len(text):,} characters is over the limit of {MAX_LENGTH:,}{unclosed}", "split it with `let`")
    stripped = text.strip(" \t\n\r")
    if re.fullmatch(r"\+[0-9.][0-9.eE+-]*", stripped):
        stripped = stripped[1:]
    parser = _Parser(stripped)
    tree = parser.parse()
    return Expression(text, tree, frozenset(parser.names))


# --- what it is --------------------------------------------------------------------------------------------

_ARITHMETIC = frozenset({"+", "-", "*", "/", "//", "%", "negative", *_FUNCTIONS})
_COMPARISON = frozenset({"<", ">", "<=", ">=", "==", "!="})


def _kind(t: _Tree, scope: Mapping[str, Kind]) -> Kind:
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
            raise ExpressionError("expression-kind", "`if ... else` gives a number on one side and a condition on the other", "make both sides numbers or both conditions")
        return kinds[1]
    if "number" in kinds:
        raise ExpressionError("expression-kind", f"{quote(sign)} joins conditions, but here is a number", "compare it: `k > 0`")
    return "condition"


# --- what it is worth --------------------------------------------------------------------------------------


def _checked(value: Number) -> Number:
    if isinstance(value, Fraction):
        if value.denominator == 1:
            value = int(value)
        elif value.denominator > _FINEST and abs(value) <= LIMIT:
            raise ExpressionError("limit", "a fraction finer than the limit of 60 decimal places", "round it, or compute with fewer fractions")
    if not -LIMIT <= value <= LIMIT:
        raise ExpressionError("limit", "a value beyond the limit of 1e15", "numbers, intermediate ones too, are at most 1e15")
    return value


def _divisor(b: Number) -> Number:
    if b == 0:
        raise ExpressionError("division-by-zero", "division by zero", "guard it: `x / k if k > 0 else 0`")
    return b


def _divisible(x: Number, by: Number) -> Number:
    if by <= 0:
        raise ExpressionError("division-by-zero" if by == 0 else "out-of-range", "divisible(x, by): division by zero" if by == 0 else "divisible(x, by): `by` must be positive", "use a positive `by`, 8 say")
    return max(by, math.floor(Fraction(x) / Fraction(by) + Fraction(1, 2)) * by)


_BINARY: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: Fraction(a) / Fraction(_divisor(b)),
    "//": lambda a, b: a // _divisor(b),
    "%": lambda a, b: a % _divisor(b),
}
_COMPARE: Mapping[str, Callable[[Number, Number], bool]] = {
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b,
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
}  # fmt: skip
_UNARY: Mapping[str, Callable[[Number], Number]] = {"negative": lambda a: -a, "ceil": math.ceil, "floor": math.floor, "round": round}


def _value(t: _Tree, env: Mapping[str, Result]) -> Result:
    op = t.op
    if op == "literal":
        assert t.value is not None
        return t.value
    if op == "name":
        return env[t.name]
    if op == "if":
        return _value(t.args[1] if _value(t.args[0], env) else t.args[2], env)
    if op == "chain":
        return _fold(t, env)
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


def _fold(t: _Tree, env: Mapping[str, Result]) -> Result:
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
