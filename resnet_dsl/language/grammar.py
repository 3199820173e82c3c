"""The grammar of expressions: text to terms (docs/language.md, Expressions), with a message for what people write by habit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from resnet_dsl.diagnostics import quote, suggest
from resnet_dsl.ops.arguments import Number, Result

MAX_LEVELS = 64
LIMIT = 10**15

WORDS = frozenset({"and", "or", "not", "if", "else", "true", "false", "min", "max", "ceil", "floor", "round", "divisible"})
FUNCTIONS: Mapping[str, tuple[int, int | None]] = {
    "min": (1, None), "max": (1, None), "ceil": (1, 1), "floor": (1, 1), "round": (1, 1), "divisible": (2, 2),
}  # fmt: skip
"""The functions with the fewest and the most arguments that they take."""


class ExpressionError(Exception):
    """An expression that cannot be read or computed."""

    def __init__(self, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.code, self.message, self.help = code, message, help


@dataclass(frozen=True, slots=True)
class Term:
    """A node: an operator or function with its operands, a literal, or a name.

    A left-associative run, `a + b - c`, is one node `chain` with its operators, so depth counts only what was nested.
    """

    op: str
    args: tuple[Term, ...] = ()
    value: Result | None = None
    name: str = ""
    operators: tuple[str, ...] = ()


_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>//|==|!=|<=|>=|[-+*/%(),<>]))",
    re.ASCII,
)


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
    """The tokens with their kinds: number, name, op."""
    found: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip(" \t\n\r"))
    while at < end:
        m = _TOKEN.match(text, at)
        rest = text[at:].lstrip(" \t\n\r")
        if m is None or rest.startswith("**"):
            raise _odd_character(rest, found)
        kind = m.lastgroup
        assert kind is not None
        word = m.group(kind)
        if kind == "name" and found and found[-1][0] == "number" and text[at] not in " \t\n\r":
            raise _odd_number(found[-1][1] + word)
        found.append((kind, word))
        at = m.end()
    return found


def _odd_character(rest: str, before: list[tuple[str, str]]) -> ExpressionError:
    for start, message, help in _ODD_TOKENS:
        if rest.startswith(start):
            param = re.match(r"\.\s*([A-Za-z_]\w*)", rest) if before and before[-1] == ("name", "params") else None
            return _syntax(message, f"write {param[1]}" if param else help)
    c = rest[0]
    if ord(c) > 126:
        return _syntax(f"the character {quote(c)} is not allowed in an expression", "use plain ASCII: + - * / // % ( ) < > == != and names")
    return _syntax(f"the character {c} is not allowed in an expression")


def _odd_number(text: str) -> ExpressionError:
    """Reports digits with letters right after them."""
    if re.fullmatch(r"[0-9]+(_[0-9]+)+", text):
        return _syntax(f"{quote(text)} is not a number: digits are not grouped by underscores", f"write {text.replace('_', '')}")
    if re.fullmatch(r"0[xob][0-9a-fA-F]+", text):
        fix = f"write {int(text, 0)}" if _readable(text) else "write it as a decimal number"
        return _syntax(f"{quote(text)} is not a number here: numbers are decimal, not hexadecimal, octal or binary", fix)
    return _syntax(f"{quote(text)} is neither a number nor a name", "put an operator between a number and a name: 2 * k")


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
        raise ExpressionError(
            "number-form",
            f"{quote(text)} has a leading zero: octal in some languages, decimal in others",
            f"write {text.lstrip('0') or '0'}",
        )
    if len(exponent.lstrip("+-")) > 3:
        raise ExpressionError("limit", f"the exponent of {quote(text)} is over the limit of three digits", "numbers are at most 1e15")
    if len(mantissa) > 400:
        raise ExpressionError("limit", f"a number of {len(mantissa)} digits is over the limit of 1e15", "numbers are at most 1e15")
    value = Fraction(text)
    if abs(value) > LIMIT:
        raise ExpressionError("limit", f"the number {quote(text)} is beyond the limit of 1e15", "numbers are at most 1e15")
    return int(value) if value.denominator == 1 else value


_OTHER_FUNCTIONS: Mapping[str, str] = {
    "abs": "write max(x, -x)", "int": "write floor(x)", "trunc": "write floor(x)", "pow": "multiply instead: there are no powers",
    "sqrt": "there are no powers or roots", "log": "there are no logarithms", "sum": "add with +",
}  # fmt: skip


class Parser:
    """Recursive descent with a level counter, so that no nesting can exhaust the stack."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.levels = 0
        self.names: set[str] = set()

    def parse(self) -> Term:
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
                raise _syntax(
                    "a comma is not allowed outside a function's parentheses", "an expression is one value; a pair is a list: [3, 3]"
                )
            raise _syntax(f"{quote(word)} is not expected here", "put an operator between two values")
        return tree

    def peek(self) -> str:
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        token = self.tokens[self.at] if self.at < len(self.tokens) else ("end", "")
        self.at += 1
        return token

    def ternary(self) -> Term:
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
            then = Term("if", (condition, then, self.ternary()))
        self.levels -= 1
        return then

    def _left(self, operand: Callable[[], Term], operators: tuple[str, ...]) -> Term:
        args, ops = [operand()], []
        while self.peek() in operators:
            ops.append(self.take()[1])
            args.append(operand())
        return Term("chain", tuple(args), operators=tuple(ops)) if ops else args[0]

    def any(self) -> Term:
        return self._left(self.all, ("or",))

    def all(self) -> Term:
        return self._left(self.negation, ("and",))

    def negation(self) -> Term:
        if self.peek() == "not":
            self.take()
            return Term("not", (self._deeper(self.negation),))
        return self.comparison()

    def comparison(self) -> Term:
        tree = self.sum()
        if self.peek() in ("<", ">", "<=", ">=", "==", "!="):
            tree = Term(self.take()[1], (tree, self.sum()))
            if self.peek() in ("<", ">", "<=", ">=", "==", "!="):
                raise _syntax("comparisons do not chain", "join two comparisons with `and`: a < b and b < c")
        return tree

    def sum(self) -> Term:
        return self._left(self.product, ("+", "-"))

    def product(self) -> Term:
        return self._left(self.sign, ("*", "/", "//", "%"))

    def sign(self) -> Term:
        if self.peek() == "-":
            self.take()
            return Term("negative", (self._deeper(self.sign),))
        return self.atom()

    def _deeper(self, rule: Callable[[], Term]) -> Term:
        self.levels += 1
        if self.levels > MAX_LEVELS:
            raise ExpressionError("limit", f"nested over the limit of {MAX_LEVELS} levels", "split it with `let`")
        tree = rule()
        self.levels -= 1
        return tree

    def atom(self) -> Term:
        kind, word = self.take()
        if kind == "number":
            return Term("literal", value=number(word))
        if word == "(":
            tree = self.ternary()
            if self.take()[1] != ")":
                raise _syntax(
                    "a parenthesis '(' is not closed: expected ')'",
                    "close it, or quote the expression if a comma ended it: inside { } and [ ] a comma ends a value",
                )
            return tree
        if kind == "name":
            return self.word(word)
        if kind == "end":
            raise _syntax("the expression ends too early: a value is expected", "add the missing value")
        raise _syntax(f"{quote(word)} is not expected here: a value is", "see `resnet-dsl explain expression-syntax`")

    def word(self, word: str) -> Term:
        if self.peek() == "(":
            return self.call(word)
        if word in ("true", "false"):
            return Term("literal", value=word == "true")
        if word in WORDS:
            raise _syntax(
                f"the word {quote(word)} is not expected here",
                f"{word}(...) needs arguments" if word in FUNCTIONS else "a value is missing before it",
            )
        self.names.add(word)
        return Term("name", name=word)

    def call(self, word: str) -> Term:
        if word not in FUNCTIONS:
            near = suggest(word, FUNCTIONS)
            known = f"did you mean '{near}'?" if near else "the functions are " + ", ".join(FUNCTIONS)
            raise _syntax(f"there is no function called {quote(word)}", _OTHER_FUNCTIONS.get(word, known))
        self.take()
        args: list[Term] = []
        if self.peek() != ")":
            args.append(self.ternary())
            while self.peek() == ",":
                self.take()
                args.append(self.ternary())
        if self.take()[1] != ")":
            raise _syntax(
                f"the parenthesis of {word}( is not closed: expected ')'",
                "close it, or quote the expression if a comma ended it: inside { } and [ ] a comma ends a value",
            )
        low, high = FUNCTIONS[word]
        if len(args) < low or (high is not None and len(args) > high):
            wanted = f"{low} argument{'s' if low > 1 else ''}" if high == low else f"at least {low} argument"
            raise _syntax(
                f"{word}() takes {wanted}, not {len(args)}", f"write {'divisible(x, by)' if word == 'divisible' else word + '(x)'}"
            )
        return Term(word, tuple(args))
