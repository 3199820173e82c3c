"""Reads pickles without running them.

A pickle is a program for a small stack machine. `Machine` carries out what builds plain values (numbers, text, lists, dicts). Every
global stays a name (`Global`), and a call of one, or an object made of it, stays a record of that (`Made`), so that nothing is imported
and no code of the file's choice can run. Nothing is hashed but text, and every step counts: time and memory are bounded by `MAX_STEPS`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from resnet_dsl.checkpoints.tensor import Span, Unsound

MAX_STEPS = 1_500_000
"""Steps of one file: an opcode is one, and so are 16 bytes of text. A tensor takes about 30."""

MAX_TEXT = 64 << 10
"""Bytes of a text that is read; a longer one stays where it is."""

_MAX_LINE = 4096


class Bytes(Protocol):
    """The content of a file: bytes, or a map of it."""

    def __len__(self) -> int:
        """Its size."""

    def __getitem__(self, at: slice, /) -> bytes:
        """A part of it."""

    def find(self, sub: bytes, start: int, end: int, /) -> int:
        """Where `sub` begins, -1 where it is not."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name of something in a program: `module.name`."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class Entries:
    """A dict: its entries under text. Those under anything else are left out."""

    entries: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True, eq=False, repr=False)
class Made:
    """What a program would make by calling `of` with `args`, then setting `state` and `items` in it."""

    of: str
    args: tuple[object, ...] = ()
    state: object = None
    items: Entries | None = None


Call = Callable[[tuple[object, ...]], object]


class Machine:
    """One pickle after another in `data`, up to `end`. `calls` are globals that are answered, `load` answers persistent ids.

    Raises Unsound.
    """

    def __init__(
        self, data: Bytes, at: int, end: int, calls: Mapping[str, Call], load: Callable[[object], object], *, most: int = MAX_STEPS
    ) -> None:
        self.data, self.at, self.end, self.calls, self.load, self.left = data, at, end, calls, load, most
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}

    def run(self) -> object:
        """The value of the pickle that begins at `at`."""
        self.stack, self.marks, self.memo = [], [], {}
        data, step = self.data, _STEPS
        try:
            while True:
                self.left -= 1
                if self.left < 0:
                    self.spend(0)
                code = data[self.at : self.at + 1]
                self.at += 1
                if code == b".":
                    return self.stack.pop()
                if self.at > self.end or code not in step:
                    raise Unsound("is cut short" if self.at > self.end else "is no sound pickle")
                step[code](self)
        except (IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, struct.error):
            raise Unsound("is no sound pickle") from None

    # --- what follows an opcode ---

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        start = self.skip(n)
        return self.data[start : self.at]

    def skip(self, n: int) -> int:
        """Where the next `n` bytes begin, which are passed over."""
        start = self.at
        if n < 0 or start + n > self.end:
            raise Unsound("is cut short")
        self.at += n
        return start

    def number(self, n: int) -> int:
        """The next `n` bytes as a number from 0."""
        return int.from_bytes(self.take(n), "little")

    def line(self, coding: str = "utf-8", most: int = _MAX_LINE) -> str:
        """The rest of the line."""
        end = self.data.find(b"\n", self.at, min(self.end, self.at + most))
        if end < 0:
            raise Unsound("is no sound pickle")
        text = self.take(end + 1 - self.at)[:-1]
        self.spend(len(text) >> 4)
        return text.decode(coding, "replace")

    def spend(self, steps: int) -> None:
        """Count steps. Raises Unsound where they are too many."""
        self.left -= steps
        if self.left < 0:
            raise Unsound(f"takes more than {MAX_STEPS:,} steps to unpickle, which no file of weights needs")

    def marked(self) -> list[object]:
        """What was put on the stack since the last mark."""
        found, self.stack = self.stack, self.marks.pop()
        self.spend(len(found))
        return found

    def text(self, n: int) -> None:
        """Put a text of `n` bytes on the stack; a long one as the place where it is."""
        if n > MAX_TEXT:
            self.stack.append(Span(self.skip(n), n, text=True))
            return
        self.spend(n >> 4)
        self.stack.append(self.take(n).decode("utf-8", "surrogatepass"))

    def old_text(self, n: int) -> None:
        """Python 2's text, which may be bytes: each is the character of that number."""
        if n > MAX_TEXT:
            self.stack.append(Span(self.skip(n), n))
            return
        self.spend(n >> 4)
        self.stack.append(self.take(n).decode("latin1"))

    def bytes(self, n: int) -> None:
        """Put the place of `n` bytes on the stack."""
        self.stack.append(Span(self.skip(n), n))

    # --- what is made ---

    def call(self, of: object, args: object) -> object:
        """What a call gives: the answer of `calls`, or a record of it."""
        name, given = of.name if isinstance(of, Global) else "", args if isinstance(args, tuple) else ()
        self.spend(len(given))
        if name in self.calls:
            return self.calls[name](given)
        made = Made(name, given)
        if given and isinstance(given[0], list) and name.endswith("Dict"):
            # An ordered dict of old, made from its pairs.
            self.spend(len(given[0]))
            made.items = Entries()
            self.set_items(made, [part for pair in given[0] if isinstance(pair, list | tuple) and len(pair) == 2 for part in pair])
        return made

    def build(self) -> None:
        """Set an object's state."""
        state, at = self.stack.pop(), self.stack[-1]
        if isinstance(at, Made):
            at.state = state

    def set_items(self, at: object, pairs: list[object]) -> None:
        """Set entries of a dict: keys and values by turns."""
        self.spend(len(pairs))
        if isinstance(at, Made):
            at.items = at.items or Entries()
            at = at.items
        if isinstance(at, Entries):
            at.entries.update((k, v) for k, v in zip(pairs[::2], pairs[1::2], strict=True) if isinstance(k, str))

    def extend(self, at: object, more: list[object]) -> None:
        """Append to a list; what is no list keeps nothing."""
        self.spend(len(more))
        if isinstance(at, list):
            at.extend(more)

    def memoize(self, index: int) -> None:
        """Keep what lies on the stack."""
        self.memo[index] = self.stack[-1]


def _signed(raw: bytes) -> int:
    # A longer number is no size of anything.
    return int.from_bytes(raw, "little", signed=True) if len(raw) <= 16 else 0


def _word(m: Machine) -> int:
    text = m.line().rstrip("L")
    return int(text) if len(text) <= 40 else 0


def _integer(m: Machine) -> None:
    n = _word(m)
    m.stack.append(n)


def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _tuple(m: Machine, n: int) -> None:
    parts = tuple(m.stack[-n:])
    if len(parts) < n:
        raise IndexError
    m.stack[-n:] = [parts]


def _above(m: Machine, then: Callable[[object, list[object]], None]) -> None:
    more = m.marked()
    then(m.stack[-1], more)


def _pair(m: Machine) -> list[object]:
    value, key = m.stack.pop(), m.stack.pop()
    return [key, value]


def _dict(m: Machine) -> Entries:
    pairs, found = m.marked(), Entries()
    m.set_items(found, pairs)
    return found


def _called(m: Machine) -> object:
    args = m.stack.pop()
    return m.call(m.stack.pop(), args)


def _called_by_name(m: Machine) -> object:
    args = m.stack.pop(), m.stack.pop()
    return m.call(m.stack.pop(), args[1])


def _instance(m: Machine) -> object:
    name = f"{m.line()}.{m.line()}"
    return m.call(Global(name), tuple(m.marked()))


def _object(m: Machine) -> object:
    of, *args = m.marked()
    return m.call(of, tuple(args))


def _stacked_global(m: Machine) -> Global:
    name, module = m.stack.pop(), m.stack.pop()
    return Global(f"{module if isinstance(module, str) else ''}.{name if isinstance(name, str) else ''}")


def _set_pair(m: Machine) -> None:
    pair = _pair(m)
    m.set_items(m.stack[-1], pair)


def _append(m: Machine) -> None:
    value = m.stack.pop()
    m.extend(m.stack[-1], [value])


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.marked()


def _push(make: Callable[[Machine], object]) -> Callable[[Machine], None]:
    """A step that puts a value on the stack, which is made first."""

    def step(m: Machine) -> None:
        made = make(m)
        m.stack.append(made)

    return step


_STEPS: Mapping[bytes, Callable[[Machine], object]] = {
    # Numbers and constants.
    b"N": _push(lambda m: None), b"\x88": _push(lambda m: True), b"\x89": _push(lambda m: False),
    b"I": _integer, b"L": _integer, b"F": _push(lambda m: float(m.line())), b"G": _push(lambda m: struct.unpack(">d", m.take(8))[0]),
    b"J": _push(lambda m: _signed(m.take(4))), b"K": _push(lambda m: m.number(1)), b"M": _push(lambda m: m.number(2)),
    b"\x8a": _push(lambda m: _signed(m.take(m.number(1)))), b"\x8b": _push(lambda m: _signed(m.take(m.number(4)))),
    # Text and bytes.
    b"S": _push(lambda m: m.line().strip("'\"")), b"V": _push(lambda m: m.line("raw-unicode-escape", MAX_TEXT)),
    b"U": lambda m: m.old_text(m.number(1)), b"T": lambda m: m.old_text(m.number(4)),
    b"X": lambda m: m.text(m.number(4)), b"\x8c": lambda m: m.text(m.number(1)), b"\x8d": lambda m: m.text(m.number(8)),
    b"B": lambda m: m.bytes(m.number(4)), b"C": lambda m: m.bytes(m.number(1)), b"\x8e": lambda m: m.bytes(m.number(8)),
    b"\x96": lambda m: m.bytes(m.number(8)),
    # Lists, tuples, dicts, sets.
    b"(": _mark, b"]": _push(lambda m: []), b"l": _push(lambda m: m.marked()), b"a": _append, b"e": lambda m: _above(m, m.extend),
    b")": _push(lambda m: ()), b"t": _push(lambda m: tuple(m.marked())),
    b"\x85": lambda m: _tuple(m, 1), b"\x86": lambda m: _tuple(m, 2), b"\x87": lambda m: _tuple(m, 3),
    b"}": _push(lambda m: Entries()), b"d": _push(_dict), b"s": _set_pair, b"u": lambda m: _above(m, m.set_items),
    b"\x8f": _push(lambda m: []), b"\x90": lambda m: _above(m, m.extend), b"\x91": _push(lambda m: m.marked()),
    # The stack and the memo.
    b"0": _pop, b"1": lambda m: m.marked(), b"2": lambda m: m.stack.append(m.stack[-1]),
    b"p": lambda m: m.memoize(_word(m)), b"q": lambda m: m.memoize(m.number(1)), b"r": lambda m: m.memoize(m.number(4)),
    b"\x94": lambda m: m.memoize(len(m.memo)),
    b"g": _push(lambda m: m.memo[_word(m)]), b"h": _push(lambda m: m.memo[m.number(1)]), b"j": _push(lambda m: m.memo[m.number(4)]),
    # Names of programs, and what they would make.
    b"c": _push(lambda m: Global(f"{m.line()}.{m.line()}")), b"\x93": _push(_stacked_global),
    b"\x82": _push(lambda m: Global(f"extension {m.number(1)}")), b"\x83": _push(lambda m: Global(f"extension {m.number(2)}")),
    b"\x84": _push(lambda m: Global(f"extension {m.number(4)}")),
    b"R": _push(_called), b"\x81": _push(_called), b"\x92": _push(_called_by_name), b"i": _push(_instance), b"o": _push(_object),
    b"b": lambda m: m.build(), b"P": _push(lambda m: m.load(m.line())), b"Q": _push(lambda m: m.load(m.stack.pop())),
    # Its version, and the length of a frame: what is in it follows.
    b"\x80": lambda m: m.skip(1), b"\x95": lambda m: m.skip(8),
}  # fmt: skip
