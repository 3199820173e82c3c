"""The names that a pattern of shards stands for: `{0000..0007}` and `{a,b}`, one in the other, as a shell has them; never more than a bound."""

from __future__ import annotations

import re

from resnet_dsl.diagnostics import SpecError, refuse

MOST = 10_000
"""Names of one pattern: a shard for each of them is opened."""

_DEEPEST = 20
_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?:\.\.(-?\d{1,18}))?\Z")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])\Z")


def expanded(pattern: str) -> list[str]:
    """The names, in order. Raises SpecError (exit 2) where braces do not pair, and where the names are more than `MOST`."""
    depth = 0
    for c in pattern:
        depth += (c == "{") - (c == "}")
        if not 0 <= depth <= _DEEPEST:
            break
    if depth:
        what = "has braces within braces, more than 20 deep" if depth > _DEEPEST else "has braces that do not pair"
        raise refuse("usage", what, "write shards-{0000..0007}.tar, say", at=pattern[:200])
    return _of(pattern, pattern)


def _of(text: str, pattern: str) -> list[str]:
    found = [""]
    while text:
        plain, brace, rest = text.partition("{")
        if not brace:
            return [f + plain for f in found]
        inside, text = _closed(rest)
        middle = _choices(inside, pattern)
        if len(found) * len(middle) > MOST:
            raise _too_many(pattern)
        found = [f + plain + m for f in found for m in middle]
    return found


def _closed(rest: str) -> tuple[str, str]:
    """What stands before the brace that closes, and after it."""
    depth = 1
    for i, c in enumerate(rest):
        depth += (c == "{") - (c == "}")
        if not depth:
            return rest[:i], rest[i + 1 :]
    raise AssertionError("braces pair")


def _choices(inside: str, pattern: str) -> list[str]:
    """What one pair of braces stands for; itself where it holds no choice."""
    if (ends := _RANGE.match(inside)) is not None:
        return _numbers(ends[1], ends[2], ends[3], pattern)
    if (letters := _LETTERS.match(inside)) is not None:
        first, last = map(ord, letters.groups())
        step = 1 if last >= first else -1
        return [chr(c) for c in range(first, last + step, step)]
    parts, depth, start = [], 0, 0
    for i, c in enumerate(inside):
        depth += (c == "{") - (c == "}")
        if c == "," and not depth:
            parts.append(inside[start:i])
            start = i + 1
    if not parts:
        return [f"{{{x}}}" for x in _of(inside, pattern)]
    found: list[str] = []
    for part in (*parts, inside[start:]):
        found += _of(part, pattern)
        if len(found) > MOST:
            raise _too_many(pattern)
    return found


def _numbers(first: str, last: str, by: str | None, pattern: str) -> list[str]:
    """A range, both ends in it; with leading zeros where an end has them."""
    a, b, step = int(first), int(last), max(1, abs(int(by or 1)))
    if abs(b - a) // step >= MOST:
        raise _too_many(pattern)
    padded = any(len(n.lstrip("-")) > 1 and n.lstrip("-").startswith("0") for n in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [f"{n:0{width}d}" for n in range(a, b + (1 if b >= a else -1), step if b >= a else -step)]


def _too_many(pattern: str) -> SpecError:
    return refuse(
        "usage", f"stands for more than {MOST:,} shards", "write a folder with an index.json, or fewer and larger shards", at=pattern[:200]
    )
