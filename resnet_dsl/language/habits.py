"""What people write by habit where a number or a word of the language is wanted, and what they mean by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_NUMBER_WORDS: Mapping[str, int] = {
    word: n
    for n, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
    )
} | {"twenty": 20, "thirty": 30, "fifty": 50, "hundred": 100, "thousand": 1000}
_POWERS: Mapping[str, int] = {"k": 10**3, "K": 10**3, "M": 10**6, "mio": 10**6, "million": 10**6, "thousand": 10**3}
_UNITS = re.compile(
    r"([0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?) ?(px|pixels?|ch|channels?|features?|classes|blocks?|layers?|units?|filters?|epochs?|"
    r"steps?|images?|x|f|L|[kKM]|mio|million|thousand|%)"
)


def number_meant(text: str) -> str | None:
    """The number that a text is meant to be: `three`, `32px`, `64k`, `1,000`, `0,1`, `10,`, `50%`; None where it is none of these."""
    word = text.strip().strip("\"'").rstrip(",;").strip()
    if word.lower() in _NUMBER_WORDS:
        return str(_NUMBER_WORDS[word.lower()])
    if word != text.strip() and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", word):
        return word
    if re.fullmatch(r"[0-9]{1,3}([,_' ][0-9]{3})+", word):
        return re.sub("[,_' ]", "", word)
    if re.fullmatch(r"[0-9]+,[0-9]+", word):
        return word.replace(",", ".")
    if found := _UNITS.fullmatch(word):
        number, unit = found[1], found[2]
        if unit == "%":
            return f"{float(number) / 100:g}"
        return f"{float(number) * _POWERS[unit]:.0f}" if unit in _POWERS else number
    if found := re.fullmatch(r"([0-9]+) ?/ ?([1-9][0-9]*)", word):
        return f"{int(found[1][:15]) / int(found[2][:15]):g}"
    return None


def word_meant(text: str, known: Iterable[str]) -> tuple[str, str] | None:
    """The known name that a text begins with, and what has to go after it: a comma, a semicolon, or a comment without its space."""
    found = re.fullmatch(r"([A-Za-z_][\w.-]*?)\s*([,;]|#.*)", text)
    if found is None or found[1] not in set(known):
        return None
    return found[1], "a comment needs a space before its #" if found[2].startswith("#") else f"no {found[2]} stands at the end of a line"


def joined(key: str) -> tuple[str, str, str] | None:
    """A key and its value that are written as one word, `depth:2` or `depth=2`: the key, the sign, the value."""
    found = re.fullmatch(r"([A-Za-z_]\w*) ?([:=]) ?(\S.*)", key)
    return (found[1], found[2], found[3]) if found else None


def shape_meant(text: str) -> tuple[int, ...] | None:
    """The shape that a text is meant to be, (channels, height, width) or (features,): `3,224,224`, `[3, 224]`, `224x224x3`, `(1, 3, 8, 8)`.

    Channels that are missing are 3, and a batch is left out. None where it is no list of sizes.
    """
    words = re.fullmatch(r"[\[({]?\s*([0-9]{1,9}(?:\s*(?:[xX\u00d7*,;:]|\s)\s*[0-9]{1,9}){0,3})\s*[\])}]?", text.strip())
    if words is None:
        return None
    sides = tuple(map(int, re.findall("[0-9]+", words[1])))
    if len(sides) == 4:
        sides = sides[1:]
    if len(sides) == 2:
        # 3x224 lacks a side, 224x224 its channels.
        return (sides[0], sides[1], sides[1]) if sides[0] <= _CHANNELS < sides[1] else (3, *sides)
    return (sides[2], *sides[:2]) if _channels_last(sides) else sides


def _channels_last(sides: Sequence[int]) -> bool:
    """224x224x3, and not 64x32x4, which may be meant: a square of one to four channels, or any other picture in colour."""
    if len(sides) != 3 or sides[0] <= _CHANNELS:
        return False
    return sides[2] == 3 or (sides[2] <= _CHANNELS and sides[0] == sides[1])


_CHANNELS = 4
"""Up to so many channels a picture has: grey, colour, colour with transparency or depth."""


def shape_fault(text: str) -> str:
    """What is wrong with a shape that `shape_meant` reads, in a few words."""
    sides = list(map(int, re.findall("[0-9]+", text)))
    if len(sides) == 4:
        return "an input is one picture, without a batch"
    if len(sides) == 2:
        return "a map has channels, a height and a width"
    return "channels come first" if _channels_last(sides) else "sizes are joined by x"
