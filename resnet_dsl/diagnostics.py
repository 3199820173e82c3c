"""Located messages: what every refusal of a spec looks like, and the renderer with the caret.

A `Diagnostic` is a value. Code that finds a mistake makes one; the command line (or the caller of the
Python API) decides how it is shown. Nothing here knows what a spec is.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from resnet_dsl.synonyms import SYNONYMS

MAX_SHOWN = 20
"""Errors shown of one file; the rest is a count (docs/language.md, Errors)."""

_CLIP = 96
_WORD_CLIP = 60


Speech = Literal["python", "command line"]
"""Whom a message is for. It decides how arguments are written: `by=` or `--by`."""

COMMAND_LINE: Speech = "command line"

# Around an argument in the text of a message, until it is known whom the message is for.
_OPEN, _MIDDLE, _CLOSE = "\ufdd0", "\ufdd1", "\ufdd2"
_MARKS = _OPEN + _MIDDLE + _CLOSE
_MARKED = re.compile(f"{_OPEN}([^{_MIDDLE}]*){_MIDDLE}([^{_CLOSE}]*){_CLOSE}")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument as it stands in a message: `by='block'` in Python, `--by block` on the command line.

    Without a `value` it is the argument itself: `by=` and `--by`. A `value` of True is a switch: `--fold-bn`.
    `option` is its name on the command line where that is another.
    """

    name: str
    value: object = None
    option: str = ""

    def __str__(self) -> str:
        option = f"--{self.option or self.name.replace('_', '-')}"
        if self.value is None:
            return either(f"{self.name}=", option)
        shown = self.value if isinstance(self.value, bool | int | float) else str(self.value)
        return either(f"{self.name}={shown!r}", f"{option}{'' if self.value is True else f' {shown}'}")


def either(python: str, command_line: str) -> str:
    """A text in a message that is one thing in Python and another on the command line."""
    return f"{_OPEN}{python}{_MIDDLE}{command_line}{_CLOSE}"


OVERRIDES = either("overrides", "--set")
"""What overrides are called where a message blames one."""


def setting(key: str, value: str) -> str:
    """An override to write, in a message: `overrides={'shortcut': 'C'}`, or `--set shortcut=C`."""
    return either(f"overrides={{{key!r}: {value!r}}}", f"--set {key}={value}")


def call(verb: str, *positional: object, **named: object) -> str:
    """A command to type, in a message: `rd.train('net.yaml', out='runs/a')`, or `resnet-dsl train net.yaml --out runs/a`.

    An `Argument` among the positional ones is an option that stands there on the command line.
    """
    given = [*(p for p in positional if isinstance(p, Argument)), *(Argument(name, value) for name, value in named.items())]
    values = [str(p) for p in positional if not isinstance(p, Argument)]
    python = ", ".join([*map(repr, values), *(speak(str(a), "python") for a in given)])
    words = [speak(str(p), COMMAND_LINE) for p in (*positional, *(Argument(name, value) for name, value in named.items()))]
    line = " ".join(["resnet-dsl", verb.replace("_", "-"), *words])
    return either(f"rd.{verb}({python})", line)


def speak(text: str, speech: Speech = "python") -> str:
    """`text` with its arguments written as `speech` writes them."""
    return _MARKED.sub(lambda m: m[1] if speech == "python" else m[2], text) if _OPEN in text else text


@dataclass(frozen=True, slots=True)
class Source:
    """One text that positions refer to: a file, standard input, or the value of an option."""

    name: str
    text: str = field(repr=False)

    def line(self, number: int) -> str:
        """Line `number`, counted from 1, without its line break; empty where there is none."""
        lines = self.text.split("\n")
        return lines[number - 1].rstrip("\r") if 0 < number <= len(lines) else ""


@dataclass(frozen=True, slots=True)
class Location:
    """A stretch of a source: line and column from 1, `length` characters on that line.

    Line 0 means the whole file.
    """

    source: Source
    line: int = 0
    column: int = 0
    length: int = 1

    def __str__(self) -> str:
        """`file:line:column`, or the file alone."""
        return inline(self.path)

    @property
    def path(self) -> str:
        """The same for programs, the file's name as it is."""
        name = speak(self.source.name)
        return f"{name}:{self.line}:{self.column}" if self.line else name

    def spoken(self, speech: Speech) -> Location:
        """The same, the source called as a reader of this kind calls it."""
        return replace(self, source=replace(self.source, name=speak(self.source.name, speech)))


@dataclass(frozen=True, slots=True)
class Label:
    """A second place that an error is about: the stage that called for a step, the first of two names."""

    text: str
    location: Location


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake: `code` (see `resnet-dsl explain CODE`), what is wrong, where, and the edit that fixes it."""

    code: str
    message: str
    location: Location
    help: str
    labels: tuple[Label, ...] = ()
    level: Literal["error", "warning"] = "error"

    def spoken(self, speech: Speech = "python") -> Diagnostic:
        """The same for one kind of reader: arguments are written as they write them, and what could not be seen is spelled out."""
        labels = tuple(Label(clean(speak(x.text, speech)), x.location.spoken(speech)) for x in self.labels)
        message, help = clean(speak(self.message, speech)), clean(speak(self.help, speech))
        return replace(self, message=message, help=help, location=self.location.spoken(speech), labels=labels)

    def to_dict(self, speech: Speech = "python") -> dict[str, object]:
        """The JSON form that editors read: positions count from 1."""
        said, at = self.spoken(speech), self.location
        return {
            "code": said.code,
            "message": said.message,
            "file": said.location.source.name,
            "line": at.line,
            "column": at.column,
            "end_column": at.column + at.length if at.line else 0,
            "help": said.help,
            "labels": [{"text": x.text, "at": x.location.path} for x in said.labels],
        }


class SpecError(Exception):
    """What is refused: a spec, a request, a file, a run. `diagnostics` say why, sorted by position.

    `exit_code` is what the command line ends with: 2 where the request has to change, 1 where the run failed, 3 where the
    environment has to. `str()` speaks Python; `render(self.diagnostics, COMMAND_LINE)` speaks the command line.
    """

    def __init__(self, diagnostics: Iterable[Diagnostic], exit_code: int = 2) -> None:
        self.diagnostics: tuple[Diagnostic, ...] = tuple(sort(diagnostics))
        self.exit_code = exit_code
        super().__init__(self.diagnostics, exit_code)

    def __str__(self) -> str:
        return render(self.diagnostics)


def mistake(
    code: str,
    message: str,
    help: str,
    *,
    at: Location | Argument | Path | str,
    labels: Sequence[Label] = (),
    level: Literal["error", "warning"] = "error",
) -> Diagnostic:
    """One mistake: what is wrong, the edit that fixes it, and the place; see `refuse`."""
    place = at if isinstance(at, Location) else Location(Source(str(at), ""))
    return Diagnostic(code, message, place, help, tuple(labels), level)


def refuse(
    code: str,
    message: str,
    help: str,
    *,
    at: Location | Argument | Path | str,
    labels: Sequence[Label] = (),
    exit_code: int = 2,
) -> SpecError:
    """The error to raise for one mistake: what is wrong, the edit that fixes it, and the place.

    `at` is a place in a text, an argument, or the name of a whole file or folder.
    """
    return SpecError([mistake(code, message, help, at=at, labels=labels)], exit_code)


@dataclass
class Collector:
    """Gathers diagnostics over one pass; the same one at the same place is said once."""

    found: dict[tuple[str, str, int, int], Diagnostic] = field(default_factory=dict)

    def add(self, d: Diagnostic) -> None:
        """Keep `d` unless the same was reported at the same place already."""
        at = d.location
        self.found.setdefault((f"{d.code} {d.message}", at.source.name, at.line, at.column), d)

    def report(self, code: str, message: str, help: str, *, at: Location, labels: Sequence[Label] = ()) -> None:
        """Keep a mistake; the arguments are those of `refuse`."""
        self.add(mistake(code, message, help, at=at, labels=labels))

    def near(self, word: str, known: Iterable[str], *, what: str) -> str:
        """`did_you_mean` for the first mistakes, as many as are shown; for later ones the known names alone, which costs no search."""
        return did_you_mean(word, known, what=what) if len(self.found) < MAX_SHOWN else _one_of(list(known), what)

    def led_by(self, causes: Collector) -> None:
        """Put other findings first; what was found at one of their places follows from them, and is dropped."""
        places = {key[1:] for key in causes.found}
        self.found = {**causes.found, **{k: d for k, d in self.found.items() if k[1:] not in places}}

    def stop_if_any(self) -> None:
        """Raise what was found."""
        if self.found:
            raise SpecError(self.found.values())


def sort(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file in order of first mention, then by position."""
    found = list(diagnostics)
    files: dict[str, int] = {}
    for d in found:
        files.setdefault(d.location.source.name, len(files))
    return sorted(found, key=lambda d: (files[d.location.source.name], d.location.line, d.location.column))


def clean(text: str) -> str:
    """Prose that may quote a spec, a path or a name, as it is; only what cannot be shown safely is spelled out. Line breaks stay.

    That is control characters, those that turn the direction of writing, invisible ones (U+XXXX), and bytes of a path that are not
    UTF-8 (0xXX).
    """
    return (
        text
        if text.isascii() and text.isprintable()
        else "".join(c if c == "\n" or _shows(c) or c in _MARKS else _spelled(c) for c in text)
    )


def inline(text: str) -> str:
    """A path or a name within a line, of a table or a message: as `clean`, with line breaks spelled out too."""
    return clean(text).replace("\n", _spelled("\n"))


def quote(text: str) -> str:
    """A word that was written, as it may stand in a message: clipped, in quotes, and what looks like ASCII and is not spelled out."""
    clipped = text if len(text) <= _WORD_CLIP else text[:_WORD_CLIP] + "..."
    return (
        f"'{clipped}'" if clipped.isascii() and clipped.isprintable() else f"'{''.join(c if _plain(c) else _spelled(c) for c in clipped)}'"
    )


def quote_path(path: str) -> str:
    """A path in a message, in quotes, as the file system shows it."""
    return f"'{inline(path)}'"


def _spelled(c: str) -> str:
    return f"<0x{ord(c) - 0xDC00:02X}>" if "\udc80" <= c <= "\udcff" else f"<U+{ord(c):04X}>"


def _shows(c: str) -> bool:
    return " " <= c <= "~" or (ord(c) > 0xA0 and unicodedata.category(c)[0] in "LMNPS" and c != "\ufeff")


def _plain(c: str) -> bool:
    """Could nobody take it for an ASCII character? Letters without case (Chinese, Arabic, Thai, ...) and symbols look like none."""
    return " " <= c <= "~" or (ord(c) > 0xA0 and unicodedata.category(c) in ("Lo", "So"))


def render(diagnostics: Sequence[Diagnostic], speech: Speech = "python") -> str:
    """The text form: `file:line:col: error[CODE]: ...`, the source line, a caret, notes, `help:`."""
    shown = [_render_one(d, speech) for d in diagnostics[:MAX_SHOWN]]
    if len(diagnostics) > MAX_SHOWN:
        shown.append(f"... and {len(diagnostics) - MAX_SHOWN} more")
    return "\n".join(shown)


def _render_one(d: Diagnostic, speech: Speech) -> str:
    said = d.spoken(speech)
    lines = [f"{said.location}: {d.level}[{d.code}]: {said.message}"]
    if d.location.line:
        lines += _excerpt(d.location)
    lines += [f"  note: {label.location}: {label.text}" for label in said.labels]
    return "\n".join([*lines, f"  help: {said.help}"])


def _excerpt(at: Location) -> list[str]:
    """The source line, clipped around the place, and a caret under it; both made of the same visible cells."""
    text = at.source.line(at.line)
    start = max(0, at.column - 1)
    first = max(0, start - _CLIP // 2) if len(text) > _CLIP else 0
    cells = [" " if c == "\t" else c if _shows(c) and ord(c) < 0x2000 else f"<U+{ord(c):04X}>"
             for c in text[first:first + _CLIP]]  # fmt: skip
    lead = "..." if first else ""
    tail = "..." if len(text) > first + _CLIP else ""
    pad = len(lead) + sum(len(c) for c in cells[: start - first])
    width = max(1, sum(len(c) for c in cells[start - first : start - first + max(1, at.length)]))
    number = str(at.line)
    return [
        f"  {number} | {lead}{''.join(cells)}{tail}",
        f"  {' ' * len(number)} | {' ' * pad}{'^' * width}",
    ]


def _squeezed(word: str) -> str:
    """Alike for words that differ in case, in separators, or in letters that look like digits."""
    return word.lower().replace("_", "").replace("-", "").translate(str.maketrans("oli", "011"))


def suggest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` was meant to be, or None: case, synonyms, then spelling."""
    names = list(known)
    for w in (word, word.lower(), word.lower().replace("-", "_")):
        if w in names and w != word:
            return w
    squeezed = _squeezed(word)
    for n in names:
        if _squeezed(n) == squeezed and n != word:
            return n
    every = names
    # A ratio of 0.6 needs such lengths: with thousands of names, many are left out before they are compared.
    names = [n for n in names if 7 * min(len(n), len(word)) >= 3 * max(len(n), len(word))]
    close = difflib.get_close_matches(word[:64], names, 1, 0.75)
    if close:
        return close[0]
    for w in (word, word.lower()):
        for n in SYNONYMS.get(w, ()):
            if n in every:
                return n
    if word.lower() in SYNONYMS:
        # A word of another library, of which nothing is known here: no slip of the pen.
        return None
    looks = "".join(c for c in unicodedata.normalize("NFKD", word[:64]) if c.isascii())
    close = difflib.get_close_matches(looks.lower(), names, 1, 0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str], *, what: str) -> str:
    """The help line for an unknown name: a suggestion where one is near, else the known names."""
    names = list(known)
    near = suggest(word, names)
    return f"did you mean '{near}'?" if near is not None else _one_of(names, what)


def _one_of(names: list[str], what: str) -> str:
    """The help line that lists the known names."""
    what = what.removeprefix("a ").removeprefix("an ")
    if not names:
        return f"there is no {what} here; leave it out"
    listed = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    return f"{what} is one of: {listed}"
