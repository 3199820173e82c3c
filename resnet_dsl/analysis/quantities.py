"""Numbers as people write them: 24GiB of memory, a budget of 5M parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnet_dsl.diagnostics import Argument, quote, refuse

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def input_shape(given: str | Sequence[int]) -> tuple[int, ...]:
    """The shape of an input: (3, 224, 224) or "3x224x224", or a number of features. Raises SpecError."""
    text = given if isinstance(given, str) else "x".join(map(str, given))
    if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}x[0-9]{1,9})?", text):
        help = f"write {Argument('input', '3x224x224')}, or {Argument('input', '784')}"
        raise refuse("usage", f"an input is CxHxW, or a number of features, not {text!r}", help, at=Argument("input"))
    return tuple(int(side) for side in text.split("x"))


def input_setting(given: str | Sequence[int]) -> str:
    """The `KEY=VALUE` setting of an input. Raises SpecError."""
    sides = input_shape(given)
    return f"input={{features: {sides[0]}}}" if len(sides) == 1 else "input={{channels: {}, height: {}, width: {}}}".format(*sides)


def size(text: str | int, argument: str) -> int:
    """A number of bytes: 24GiB is in powers of 1024, 24GB and 24G are in powers of 1000. Raises SpecError at `argument`."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?([kmgt]?)(i?)b?", text.strip().lower()) if isinstance(text, str) else None
    if isinstance(text, int) and text >= 0:
        return text
    if found is None or (found[3] and not found[2]):
        at = Argument(argument)
        help = f"write {Argument(argument, '24GiB')}, or 500MB"
        raise refuse("usage", f"a size is a number of bytes with its unit, not {quote(str(text))}", help, at=at)
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _UNITS[found[2]])


def budget(text: str | int, argument: str) -> int:
    """A number of 1 or more: 5M, 4.1G or 4.1B, 5_000_000. Raises SpecError at `argument`."""
    found = re.fullmatch(r"([0-9][0-9,_]{0,15}(?:\.[0-9]{1,6})?) ?([kmgt]?)", str(text).strip().lower().replace("b", "g"))
    value = int(float(re.sub("[,_]", "", found[1])) * 1000 ** _UNITS[found[2]]) if found else 0
    if value < 1:
        at = Argument(argument)
        help = f"write {Argument(argument, '5M')}, or 5000000"
        raise refuse("usage", f"a budget is a number, 1 or more, not {quote(str(text))}", help, at=at)
    return value
