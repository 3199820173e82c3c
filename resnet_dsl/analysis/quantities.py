"""Numbers as people write them: 24GiB of memory, a budget of 5M parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from resnet_dsl.diagnostics import Argument, SpecError, quote, refuse
from resnet_dsl.language.habits import shape_fault, shape_meant
from resnet_dsl.table import shape_text

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def input_shape(given: str | int | Sequence[int]) -> tuple[int, ...]:
    """The shape of an input: (3, 224, 224) or "3x224x224", or a number of features. Raises SpecError."""
    text = str(given) if isinstance(given, str | int) else "x".join(map(str, given))
    meant = shape_meant(text)
    swapped = meant is not None and re.fullmatch(r"[0-9]+x[0-9]+x[0-9]+", text) and "x".join(map(str, meant)) != text
    if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9}x[0-9]{1,9})?", text) or swapped:
        what = f"an input is CxHxW, or a number of features, not {quote(text)}"
        if meant is None:
            raise refuse("usage", what, f"write {Argument('input', '3x224x224')}, or {Argument('input', '784')}", at=Argument("input"))
        raise refuse("usage", f"{what}: {shape_fault(text)}", f"write {Argument('input', shape_text(meant))}", at=Argument("input"))
    return tuple(int(side) for side in text.split("x"))


def fitting_input(error: SpecError, given: Sequence[int], own: Sequence[int], name: str) -> SpecError:
    """The error of a network for an input that is no input of its kind, a vector for one that reads maps: what to write; else `error`."""
    if len(given) == len(own):
        return error
    reads = "maps" if len(own) == 3 else "vectors"
    wanted = (own[0], given[0], given[0]) if len(own) == 3 else own
    help = f"write {Argument('input', shape_text(wanted))}"
    return refuse(
        "usage", f"{name} reads {reads}, and {shape_text(given)} is {'a vector' if len(own) == 3 else 'a map'}", help, at=Argument("input")
    )


def input_setting(given: str | int | Sequence[int]) -> str:
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
