"""Stem and head: the layers beside the stages, as shipped sequences or as lists of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import Any

from resnet_dsl.recovery.layers import Layer, Modules, natural
from resnet_dsl.recovery.steps import Steps, chain_steps, is_norm

POOL: Steps = {"maxpool": {"kernel": 3, "stride": 2, "padding": 1}}


@dataclass(frozen=True, slots=True)
class Stem:
    """A stem as a spec says it: the channels (or features) that enter it, an input's usual side (None for features), and what it divides it by."""

    steps: Steps
    input: int
    side: int | None
    divides: int

    @property
    def name(self) -> str:
        """The sequence's name; nothing for a list of steps."""
        return self.steps if isinstance(self.steps, str) else next(iter(self.steps)) if isinstance(self.steps, dict) else ""

    @property
    def arguments(self) -> int:
        """How many arguments the sequence has."""
        return sum(len(args) for args in self.steps.values()) if isinstance(self.steps, dict) else 0


@dataclass(frozen=True, slots=True)
class Ends:
    """A stem and a head as a spec says them. `map` is the side of the map that the head needs, None where it takes any."""

    stem: Stem
    head: Steps
    classes: int
    map: int | None = None


def read_ends(ends: Modules, enters: int, leaves: int, *, first_width: int, before: bool, normless: bool) -> Iterator[Ends]:
    """The stems and heads that these layers may be; likelier ones first.

    `enters` and `leaves` are the channels that the stages are given and give; `before`: their blocks have norms before convs,
    so that the head begins with one.
    """
    rows = [sorted((k for k in ends if natural(k)[0] == kind), key=natural) for kind in ("conv", "bn", "fc")]
    convs, norms, linears = ([ends[k] for k in names] for names in rows)
    counted = [[f"{kind}{i + 1}" for i in range(len(names))] for kind, names in zip(("conv", "bn", "fc"), rows, strict=True)]
    if len(ends) != sum(map(len, rows)) or rows[:2] != counted[:2] or rows[2] not in (["fc"], counted[2]):
        return
    if not ends:
        yield Ends(Stem([], enters, None, 1), [], leaves)
    for in_stem in range(len(convs), -1, -1):
        for of_stem in range(len(norms) - 1, -1, -1) if before else range(len(norms), -1, -1):
            for first in range(min(2, len(linears))):
                head = _head(convs[in_stem:], norms[of_stem:], linears[first:], leaves)
                if head is not None:
                    for stem in _stems([*convs[:in_stem], *linears[:first]], norms[:of_stem], enters, first_width, normless):
                        yield Ends(stem, *head)


def _head(
    convs: Sequence[Layer | Modules], norms: Sequence[Layer | Modules], linears: Sequence[Layer | Modules], leaves: int
) -> tuple[Steps, int, int | None] | None:
    """The head of these layers, its classes, and the side of the map that it needs; None where their widths do not follow."""
    row = [layer for layer in linears if isinstance(layer, Layer) and layer.kind == "linear"]
    if len(row) < len(linears) or any(a.out != b.weight[1] for a, b in pairwise(row)):
        return None
    last = row[-1]
    args = {} if last.bias else {"bias": False}
    classifier: Steps = {"classifier": args} if args else "classifier"
    if not convs and len(row) == 1 and last.weight[1] == leaves:
        if not norms:
            return classifier, last.out, None
        if len(norms) == 1 and is_norm(norms[0], leaves):
            return {"preact_classifier": args} if args else "preact_classifier", last.out, None
    steps = chain_steps(convs, norms, leaves)
    if steps is None:
        return None
    channels = convs[-1].out if convs and isinstance(convs[-1], Layer) else leaves
    side = isqrt(row[0].weight[1] // channels)
    if side * side * channels != row[0].weight[1]:
        return None
    if len(row) == 1 and side == 1:
        return [*steps, classifier], last.out, None
    steps += ["flatten"] if side > 1 else ["globalpool", "flatten"]
    for layer in row:
        out = "classes" if layer is last else layer.out
        steps += [{"linear": {"out": out, **({} if layer.bias else {"bias": False})}}, *([] if layer is last else ["act"])]
    return steps, last.out, side if side > 1 else None


def _stems(
    weighted: Sequence[Layer | Modules], norms: Sequence[Layer | Modules], enters: int, first_width: int, normless: bool
) -> Iterator[Stem]:
    if not weighted:
        if not norms:
            yield Stem([], enters, 32, 1)
        return
    first = weighted[0]
    if isinstance(first, Modules):
        if len(weighted) == 1:
            yield from _deep(first, norms, enters, first_width, normless)
        return
    if first.kind == "linear":
        if len(weighted) == 1 and not norms:
            yield Stem([{"linear": {"out": enters} | ({} if first.bias else {"bias": False})}], first.weight[1], None, 1)
        return
    inputs = first.weight[1]
    args: dict[str, Any] = {} if enters == first_width else {"width": enters}
    if not norms and not normless:
        args["norm"] = False
    alone = len(weighted) == 1 and not first.bias and first.out == enters and all(is_norm(n, enters) for n in norms) and len(norms) < 2
    for name, kernel, side, divides in (("imagenet", 7, 224, 4), ("cifar", 3, 32, 1)):
        if alone and first.kernel == (kernel, kernel):
            yield Stem({name: args} if args else name, inputs, side, divides)
            return
    steps = chain_steps(weighted, norms, inputs)
    if steps is not None:
        yield Stem(steps, inputs, 32, 1)


def _deep(scope: Modules, norms: Sequence[Layer | Modules], enters: int, first_width: int, normless: bool) -> Iterator[Stem]:
    """timm's deep stem: three convs in a chain, with norms between them."""
    places = {"0", "3", "6"} if normless else {"0", "1", "3", "4", "6"}
    if set(scope) != places or len(norms) > 1 or not all(is_norm(n, enters) for n in norms):
        return
    convs = scope.layers("conv")
    if len(convs) != 3 or any(c.bias or c.kernel != (3, 3) for c in convs) or convs[-1].out != enters:
        return
    args: dict[str, Any] = {} if enters == first_width else {"width": enters}
    if convs[0].out != enters // 2:
        args["mid"] = convs[0].out
    if not norms and not normless:
        args["norm"] = False
    inputs = convs[0].weight[1]
    if convs[0].out == convs[1].out:
        yield Stem({"deep": args} if args else "deep", inputs, 224, 4)
        return
    a, b, c = (conv.out for conv in convs)
    chain = [
        {"conv_norm_act": {"out": a, "kernel": 3, "stride": 2}},
        {"conv_norm_act": {"out": b, "kernel": 3}},
        {"conv": {"out": c, "kernel": 3}},
    ]
    end = ["norm", "act"] if norms or normless else []
    yield Stem([{"chain": {"as": "conv1", "steps": chain}}, *end, POOL], inputs, 224, 4)
