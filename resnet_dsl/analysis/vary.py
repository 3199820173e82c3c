"""Settings that vary: `{"shortcut": ["A", "B"]}` asks for one network per value, and two keys for one per pair."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod

from resnet_dsl.diagnostics import Argument, refuse

MAX_NETWORKS = 1_000

Varied = Mapping[str, Sequence[object] | object] | Iterable[str]
"""`{"shortcut": ["A", "B"]}`, or `["shortcut=A,B"]`, or the same as one text."""


def combinations(vary: Varied, networks: int) -> list[list[str]]:
    """The `KEY=VALUE` settings of every combination of values. Raises SpecError where `networks` of each would be too many."""
    if isinstance(vary, Mapping):
        axes = [
            (key, [_text(v) for v in values]) if isinstance(values, list | tuple) else _axis(f"{key}={_text(values)}")
            for key, values in vary.items()
        ]
    else:
        axes = [_axis(text) for text in ([vary] if isinstance(vary, str) else vary)]
    total = networks * prod(len(values) for _, values in axes)
    if total > MAX_NETWORKS:
        raise refuse(
            "limit",
            f"that would be {total:,} networks, over the limit of {MAX_NETWORKS:,}",
            "vary fewer keys, or fewer values",
            at=Argument("vary"),
        )
    keys = [key for key, _ in axes]
    return [[f"{k}={v}" for k, v in zip(keys, values, strict=True)] for values in product(*(values for _, values in axes))]


def varied(name: str, settings: Sequence[str], several: bool) -> str:
    """The label of a network with settings, of one spec or of `several`: `shortcut=A`, `resnet34 shortcut=A`, `resnet34`."""
    return " ".join([*([name] if several or not settings else []), *settings])


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _axis(text: str) -> tuple[str, list[str]]:
    """The key and the values of one `KEY=V1,V2`."""
    key, sign, rest = text.partition("=")
    values = [v.strip() for v in split(rest)]
    if not sign or not key.strip() or not all(values):
        at = Argument("vary")
        raise refuse("usage", f"expected KEY=V1,V2,..., not {text!r}", f"write {Argument('vary', 'shortcut=A,B,C')}", at=at)
    return key.strip(), values


def split(text: str) -> Iterator[str]:
    """The parts between the commas that stand in no quotes and no brackets."""
    part, mark, depth = "", "", 0
    for c in text:
        if mark:
            mark = "" if c == mark else mark
        elif c in "'\"":
            mark = c
        else:
            depth += (c in "([{") - (c in ")]}")
        if c == "," and not mark and depth == 0:
            yield part
            part = ""
        else:
            part += c
    yield part
