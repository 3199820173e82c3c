"""The command line: what a command declares of its arguments and options, and the words of a line read by it.

A command is a function. The annotation of each of its parameters is `Annotated[type, Option(...)]` or `Annotated[type,
Argument(...)]`; the type decides how a word is read. Nothing but the standard library is needed, so that it starts at once.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

Complete = Callable[[str], list[str]]
"""What the shell offers for the beginning of a word."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What a command says of a parameter, beside its type, its name and its default."""

    metavar: str | None = None
    help: str = ""
    show_default: bool = True
    min: float | None = None
    max: float | None = None
    autocompletion: Complete | None = None


@dataclass(frozen=True, slots=True)
class _DeclaredArgument(Declared):
    """An argument: a word by its place."""


@dataclass(frozen=True, slots=True)
class _DeclaredOption(Declared):
    """An option, by its names; `--name/--no-name` is a switch with two sides. Without names: the parameter's, with dashes."""

    names: tuple[str, ...] = ()


def Argument(**declared: Any) -> Any:
    """An argument's declaration; the keywords are the fields of `Declared`."""
    return _DeclaredArgument(**declared)


def Option(*names: str, **declared: Any) -> Any:
    """An option's declaration; the keywords are the fields of `Declared`."""
    return _DeclaredOption(names=names, **declared)


class Exit(Exception):
    """The end of a command, with an exit code."""

    def __init__(self, exit_code: int = 0) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class UsageError(Exception):
    """A mistake in the words of a line."""


def echo(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Text to standard output, or to standard error; at once, so that the two keep their order."""
    stream = sys.stderr if err else sys.stdout
    if stream is not None:
        stream.write(f"{text}\n" if nl else text)
        stream.flush()


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or option of a command, read from a function's signature."""

    name: str
    declared: Declared
    kind: type | tuple[Any, ...]
    """`str`, `int`, `float`, `bool`, `Path`, or the words of a choice."""
    many: bool
    """May it be given more than once? Its value is a list then."""
    default: Any = None
    required: bool = False
    options: tuple[str, ...] = ()
    """An option's names; empty for an argument."""
    negations: tuple[str, ...] = ()

    @property
    def is_switch(self) -> bool:
        """Does it take no value?"""
        return self.kind is bool and bool(self.options)

    @property
    def hint(self) -> str:
        """What it is called in messages."""
        return " / ".join(f"'{x}'" for x in self.options) if self.options else f"'{self.declared.metavar or self.name}'"

    def read(self, text: str) -> Any:
        """A word's value. Raises UsageError."""
        value = self._value(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = self.declared.min, self.declared.max
            # Turned round, so that what is no number at all is refused.
            if high is not None and not value <= high:
                raise self._wrong(f"Input should be less than or equal to {high}")
            if low is not None and not value >= low:
                raise self._wrong(f"Input should be greater than or equal to {low}")
        return value

    def _value(self, text: str) -> Any:
        if isinstance(self.kind, tuple):
            if text not in self.kind:
                raise self._wrong(f"{visible(repr(text))} is not one of {', '.join(map(repr, self.kind))}.")
            return text
        if self.kind is int:
            if not re.fullmatch(r"\s*[+-]?\d+(_\d+)*(\.0+)?\s*", text, flags=re.ASCII) or len(text) > 4000:
                raise self._wrong("Input should be a valid integer, unable to parse string as an integer")
            return int(text.partition(".")[0])
        if self.kind is float:
            try:
                return float(text.encode("ascii"))
            except ValueError:
                raise self._wrong("Input should be a valid number, unable to parse string as a number") from None
        return Path(text) if self.kind is Path else text

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"Invalid value for {self.hint}: {what}")


def visible(text: str) -> str:
    """Text without what moves a terminal's cursor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda m: f"\\x{ord(m[0]):02x}", text)


def switch(name: str, help: str, *options: str) -> Parameter:
    """An option without a value, which is off where it is not given."""
    return Parameter(name, Declared(help=help), bool, many=False, default=False, options=options)


HELP = switch("help", "Show this message and exit.", "-h", "--help")


def parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The arguments and options of a command, in the order of its signature, and `--help`."""
    return (*(_parameter(p) for p in inspect.signature(function, eval_str=True).parameters.values()), HELP)


def _parameter(p: inspect.Parameter) -> Parameter:
    annotation, declared = get_args(p.annotation)
    kind, many = _kind(annotation)
    required = p.default is p.empty
    default = None if required else p.default
    if isinstance(declared, _DeclaredArgument):
        return Parameter(p.name, declared, kind, many, default, required)
    dashed = f"--{p.name.replace('_', '-')}"
    names = declared.names or ((f"{dashed}/--no-{dashed[2:]}",) if kind is bool else (dashed,))
    sides = [name.partition("/")[::2] for name in names]
    options, negations = (tuple(s for s in side if s) for side in zip(*sides, strict=True))
    return Parameter(p.name, declared, kind, many, default, required, options, negations)


def _kind(annotation: Any) -> tuple[type | tuple[Any, ...], bool]:
    """The type of one word, and whether there may be several."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        (one,) = (a for a in get_args(annotation) if a is not NoneType)
        return _kind(one)
    if origin is list:
        return _kind(get_args(annotation)[0])[0], True
    if origin is Literal:
        return get_args(annotation), False
    assert annotation in (str, int, float, bool, Path), annotation
    return annotation, False


@dataclass
class Words:
    """The words of a line, sorted by the parameters that they are for."""

    given: dict[str, list[str | bool]] = field(default_factory=dict)
    """By a parameter's name, in the order of the line: what was given to it."""
    rest: list[str] = field(default_factory=list)
    """Words that no parameter takes; for a group, a command and what follows it."""


def sort(words: Sequence[str], known: Sequence[Parameter], *, group: bool = False, lenient: bool = False) -> Words:
    """Options first, wherever they stand, then arguments by place. Raises UsageError, unless it is to be `lenient`.

    The options of a `group` end where its command begins.
    """
    found = Words()
    places: list[str] = []
    left = deque(words)
    try:
        while left:
            word = left.popleft()
            if word == "--":
                break
            if len(word) > 1 and word[0] == "-":
                _option(word, left, known, found)
            elif group:
                left.appendleft(word)
                break
            else:
                places.append(word)
    except UsageError:
        if not lenient:
            raise
    _arguments([*places, *left], known, found)
    return found


def _option(word: str, left: deque[str], known: Sequence[Parameter], found: Words) -> None:
    """One word that begins with a dash: `--name`, `--name=value`, `-n`, `-nvalue`, `-abc`."""
    by_name = {name: p for p in known for name in (*p.options, *p.negations)}
    name, equals, value = word.partition("=")
    if word.startswith("--"):
        p = by_name.get(name)
        if p is None:
            near = get_close_matches(name, [n for n in by_name if n.startswith("--")])
            hint = f" (Possible options: {', '.join(sorted(near))})" if near else ""
            raise UsageError(f"No such option: {visible(name)}{hint}")
        if p.is_switch and equals:
            raise UsageError(f"Option {name!r} does not take a value.")
        if equals:
            left.appendleft(value)
        _give(p, name, left, found)
        return
    for i, letter in enumerate(word[1:], start=2):
        p = by_name.get(f"-{letter}")
        if p is None:
            raise UsageError(f"No such option: {visible(f'-{letter}')}")
        if not p.is_switch and i < len(word):
            left.appendleft(word[i:])
        _give(p, f"-{letter}", left, found)
        if not p.is_switch:
            return


def _give(p: Parameter, name: str, left: deque[str], found: Words) -> None:
    if not p.is_switch and not left:
        raise UsageError(f"Option {name!r} requires an argument.")
    value = name not in p.negations if p.is_switch else left.popleft()
    # Of several values for one the last counts.
    found.given[p.name] = [*(found.given.get(p.name, []) if p.many else []), value]


def _arguments(places: list[str], known: Sequence[Parameter], found: Words) -> None:
    """Words by place: one for each argument, and for one that takes many what the others leave."""
    arguments = [p for p in known if not p.options]
    after = next((len(arguments) - i - 1 for i, p in enumerate(arguments) if p.many), 0)
    for p in arguments:
        count = max(0, len(places) - after) if p.many else 1
        if taken := places[:count]:
            found.given[p.name] = list(taken)
        del places[:count]
    found.rest = places


def values(words: Words, known: Sequence[Parameter]) -> dict[str, Any]:
    """The keyword arguments to call a command with. Raises UsageError for the first mistake, in the order of the line."""
    by_name = {p.name: p for p in known if p is not HELP}
    arguments = [p.name for p in known if not p.options]
    given = [name for name in words.given if name in by_name and name not in arguments]
    read = {}
    for name in dict.fromkeys([*given, *arguments, *by_name]):
        p = by_name[name]
        if name in words.given:
            each = [value if isinstance(value, bool) else p.read(value) for value in words.given[name]]
            read[name] = each if p.many else each[-1]
        elif p.required:
            raise UsageError(_missing(p))
        else:
            read[name] = p.default
    if words.rest:
        raise UsageError(f"Got unexpected extra argument(s) ({' '.join(words.rest)})")
    return {name: read[name] for name in by_name}


def _missing(p: Parameter) -> str:
    what = f"Missing {'option' if p.options else 'argument'} {p.hint}."
    return what + (" Choose from:\n\t" + ",\n\t".join(p.kind) if isinstance(p.kind, tuple) else "")


def choices(p: Parameter, beginning: str) -> list[str]:
    """What the shell offers for a value."""
    if p.declared.autocompletion is not None:
        return [c for c in p.declared.autocompletion(beginning) if c.startswith(beginning)]
    return [c for c in p.kind if c.startswith(beginning)] if isinstance(p.kind, tuple) else []
