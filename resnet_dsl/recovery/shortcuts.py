"""Which shortcut policy the blocks of a stage follow, and which strides their projections show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from resnet_dsl.diagnostics import quote
from resnet_dsl.recovery.layers import Layer, Modules, StageLayers, Unread

Where = Literal["first", "every"]
Layers = tuple[tuple[str, str], ...]
"""A shortcut's layers by place, each in words: a conv's are its kernel, `3x3`, and `biased`."""

SHIPPED: Mapping[Layers, tuple[str, str | None, bool]] = {
    (("0", "1x1"), ("1", "norm")): ("B", "C", True),
    (("0", "1x1"),): ("B", "C", False),
    (("1", "1x1"), ("2", "norm")): ("D", None, True),
    (("1", "1x1"),): ("D", None, False),
    (("0", "linear"),): ("Ws", None, True),
}
"""The layers of a shortcut to the policy that has them where the shape changes, the one that has them everywhere, and its `norm`."""

OWN = "own"
"""What a policy is called that is not shipped; without weights it is the one that has shortcuts where the shape stays."""


@dataclass(frozen=True, slots=True)
class Projections:
    """The shortcuts of a stage's blocks: the layers that those with weights have, and which blocks these are.

    In a stage of one block, a projection is both in `every` block and in the `first`.
    """

    layers: Layers
    where: frozenset[Where]


@dataclass(frozen=True, slots=True)
class ShortcutReading:
    """A stage's policy and its stride. `stride_known`: the projections tell it; `policy_known`: no other policy has these weights."""

    policy: str | dict[str, Any]
    stride: int
    stride_known: bool
    policy_known: bool
    definition: Mapping[str, Any] | None = None
    """That of a policy which is not shipped."""

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy if isinstance(self.policy, str) else next(iter(self.policy))


def projections(stage: StageLayers) -> Projections:
    """The shortcuts of a stage. Raises Unread where no policy has their weights in these blocks."""
    found = [block.shortcut for block in stage.blocks]
    layers = {tuple((k, _what(v)) for k, v in sorted(scope.items())) for scope in found if scope is not None}
    if not layers:
        return Projections((), frozenset())
    if len(layers) > 1:
        raise Unread(f"the shortcuts of {quote(stage.name)} are not alike")
    (own,) = layers
    where: set[Where] = set()
    if all(found):
        where.add("every")
    if found[0] and not any(found[1:]):
        where.add("first")
    if not where:
        path = next(block.path for block in stage.blocks if block.shortcut is not None)
        raise Unread(f"{quote(path)} has a shortcut with weights, but neither has every block of its stage, nor the first alone")
    return Projections(own, frozenset(where))


def read_shortcuts(
    found: Sequence[Projections], channels: Sequence[tuple[int, int]], strides: Sequence[int], weightless: str, normless: bool
) -> list[ShortcutReading]:
    """The policy and the stride of each stage, from the projections and the channels that enter and leave.

    `strides` are what is taken where nothing tells, `weightless` is the policy of stages in a network that has no
    projections. Raises Unread.
    """
    everywhere = any(p.where == {"every"} for p in found)
    some = next((p for p in found if p.where), None)
    # Where each stage is one block with a projection, it may have it for the change or as all have.
    alone = not everywhere and all("every" in p.where for p in found)
    readings = []
    for p, (enters, leaves), usual in zip(found, channels, strides, strict=True):
        changes = enters != leaves
        if not p.where and (some is None or everywhere or changes):
            readings.append(ShortcutReading(weightless, usual, False, False, {"change": "none"} if weightless == OWN else None))
        elif not p.where:
            # Where the shape changes there are projections, and here there is none: so the map keeps its size.
            assert some is not None
            readings.append(_projecting(some, 1, True, normless, False))
        elif "every" in p.where and everywhere:
            readings.append(_projecting(p, usual, False, normless, True))
        else:
            reading = _projecting(p, usual if changes else 2, not (changes or alone), normless, False)
            readings.append(replace(reading, policy_known=not alone))
    return _named(readings)


def _named(readings: Sequence[ShortcutReading]) -> list[ShortcutReading]:
    """The readings, their own policies numbered where there are several."""
    own = list(dict.fromkeys(str(r.definition) for r in readings if r.definition is not None))
    if len(own) < 2:
        return list(readings)
    return [r if r.definition is None else replace(r, policy=f"{OWN}{own.index(str(r.definition)) + 1}") for r in readings]


def _projecting(found: Projections, stride: int, known: bool, normless: bool, everywhere: bool) -> ShortcutReading:
    """A policy with weights. Without norms in the net, its norm has none."""
    at_change, always, norm = SHIPPED.get(found.layers, (None, None, True))
    name = always if everywhere else at_change
    if name is not None:
        return ShortcutReading(name if norm or normless else {name: {"norm": False}}, stride, known, True)
    steps = _steps(found.layers)
    definition = {"change": steps}
    if everywhere:
        definition["same"] = steps
    return ShortcutReading(OWN, stride, known, True, definition)


def _steps(layers: Layers) -> list[Any]:
    """A policy's steps: a conv with the stride, where an average pool before it has not got it, and what follows."""
    places = [int(place) for place, _ in layers]
    words = [what for _, what in layers]
    pooled = places[0] == 1
    found = re.fullmatch(r"([0-9]+)x\1( biased)?", words[0])
    if found is None or words[1:] not in ([], ["norm"]) or places != list(range(pooled, pooled + len(places))):
        shown = ", ".join(f"{place}: {what}" for place, what in layers)
        raise Unread(f"no shortcut policy is known that has these layers: {shown}")
    conv: dict[str, Any] = {"out": "out", "kernel": int(found[1])}
    if int(found[1]) % 2 == 0:
        conv["padding"] = 0
    if not pooled:
        conv["stride"] = "stride"
    if found[2]:
        conv["bias"] = True
    pool = [{"avgpool": {"kernel": "stride", "ceil": True}}] if pooled else []
    return [*pool, {"conv": conv}, *words[1:]]


def _what(node: Layer | Modules) -> str:
    if isinstance(node, Modules):
        return "a scope"
    if node.kind == "conv":
        height, width = node.kernel
        return f"{height}x{width}{' biased' if node.bias else ''}"
    if node.kind == "linear":
        return "linear biased" if node.bias else "linear"
    return "norm" if node.kind in ("batch", "norm") else node.kind
