"""Hypotheses: what blocks, shortcuts, stem and head a file's layers may be, each with the spec that says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Any

from resnet_dsl.diagnostics import quote
from resnet_dsl.recovery.blocks import BlockReading, alone, nearest, shipped_blocks
from resnet_dsl.recovery.custom import read_custom
from resnet_dsl.recovery.ends import Ends, read_ends
from resnet_dsl.recovery.layers import Anatomy, StageLayers, Unread
from resnet_dsl.recovery.shortcuts import OWN, ShortcutReading, projections, read_shortcuts
from resnet_dsl.recovery.steps import around_steps
from resnet_dsl.recovery.text import input_mapping, raw_text

_DEFINITION = 4
"""How many arguments a definition is worth."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A hypothesis: what each part of a file may be, and the spec that says so."""

    blocks: Sequence[BlockReading]
    shortcuts: Sequence[ShortcutReading]
    ends: Ends
    norm: str
    depths: tuple[int, ...]
    rank: int
    """Which of the likely stems and heads it has, the likeliest being 0."""
    spec: dict[str, Any]
    text: str

    @property
    def length(self) -> tuple[int, int, int]:
        """Sort key, smaller is simpler: arguments in all (a definition counts as several), arguments of the stem, characters."""
        stem = self.ends.stem.arguments
        references = {str(b.reference): len(b.args) for b in self.blocks}
        own = len({b.name for b in self.blocks if b.definition is not None})
        blocks = sum(len(b.args) for b in self.blocks) if len(references) > 1 else len(self.blocks[0].args)
        return stem + blocks + _DEFINITION * own, stem, len(self.text)

    @property
    def title(self) -> str:
        """Its blocks and shortcuts, for a message."""
        blocks = " and ".join(dict.fromkeys(b.name for b in self.blocks))
        policies = " and ".join(dict.fromkeys(p.name for p in self.shortcuts))
        return f"a network of {blocks} blocks with shortcut {policies}"


def readings(found: Anatomy) -> Iterator[list[Reading]]:
    """Hypotheses, likelier ones first. Those in one list are the same network in other words. Raises Unread where there is none."""
    norm = _norm(found)
    shortcuts = [projections(stage) for stage in found.stages]
    merge = _merge(found.stages)
    depths = tuple(len(stage.blocks) for stage in found.stages)
    any_reading = False
    for _, alike in groupby(_blocks(found), key=lambda blocks: [b.name for b in blocks]):
        by_ends: dict[int, list[Reading]] = {}
        for blocks in alike:
            channels = [(b.enters, b.leaves) for b in blocks]
            around = _around(found.stages, channels)
            # Features have no strides; where layers stand between stages, these have them.
            still = blocks[0].name in ("mlp", "dense") or any(around)
            usual = [1 if i == 0 or still else 2 for i in range(len(blocks))]
            policies = read_shortcuts(shortcuts, channels, usual, _weightless(found.stages, blocks, still, merge), norm == "none")
            ends = read_ends(
                found.ends,
                blocks[0].enters,
                blocks[-1].leaves,
                first_width=blocks[0].width,
                before=blocks[-1].before,
                normless=norm == "none",
            )
            for i, end in enumerate(ends):
                spec = _spec(found.stages, blocks, policies, end, norm, around, merge)
                by_ends.setdefault(i, []).append(Reading(blocks, policies, end, norm, depths, i, spec, raw_text(spec)))
        for _, same in sorted(by_ends.items()):
            any_reading = True
            yield same
    if not any_reading:
        shown = ", ".join(quote(name) for name in found.ends) or "nothing"
        raise Unread(f"its stem and head are none that is known: beside the stages it holds {shown}")


def _blocks(found: Anatomy) -> list[list[BlockReading]]:
    """What the blocks of each stage may be; likelier ones first. Raises Unread where nothing is."""
    stages = found.stages
    read = list(shipped_blocks(stages))
    before = _norms_before(found)
    if before is not None:
        read.sort(key=lambda blocks: blocks[0].before != before)
    problem: Unread | None = None
    kinds = [alone(stage) for stage in stages]
    for each in (kinds, [None] * len(stages)):
        try:
            read.append(read_custom(stages, each))
        except Unread as e:
            problem = problem or e
    try:
        read.append(nearest(stages))
    except Unread as e:
        if not read:
            raise problem or e from None
    return read


def _norms_before(found: Anatomy) -> bool | None:
    """Whether norms stand before convs, where the shapes leave it open; None where nothing tells: the order of names in a file, or norms in projections,
    which pre-activation networks do not have (He et al. 2016, section 4.1)."""
    body = list(found.stages[0].blocks[0].body)
    if found.ordered and "bn1" in body and "conv1" in body:
        return body.index("bn1") < body.index("conv1")
    projecting = next((b.shortcut for stage in found.stages for b in stage.blocks if b.shortcut is not None), None)
    return None if projecting is None else not projecting.layers("batch", "norm")


def _weightless(stages: Sequence[StageLayers], blocks: Sequence[BlockReading], still: bool, merge: str | dict[str, Any]) -> str:
    """The policy of blocks whose shortcuts have no weights."""
    if still:
        return "identity"
    if merge == "add":
        # A shortcut around one layer makes it y = W x + x, which is no more than a layer (He et al. 2015, section 3.2).
        if all(len(block.body.layers("conv", "linear")) == 1 for stage in stages for block in stage.blocks):
            return "none"
        # Zero-padding cannot take channels away, so there are shortcuts where the shape stays (Sandler et al. 2018).
        if any(b.leaves < b.enters for b in blocks):
            return OWN
    return "A"


def _around(stages: Sequence[StageLayers], channels: Sequence[tuple[int, int]]) -> list[dict[str, list[Any]]]:
    """What stands before or after the blocks of each stage."""
    came = [None, *(leaves for _, leaves in channels[:-1])]
    goes = [*(enters for enters, _ in channels[1:]), None]
    return [around_steps(s, c, *own, g) for s, c, own, g in zip(stages, came, channels, goes, strict=True)]


def _merge(stages: Sequence[StageLayers]) -> str | dict[str, Any]:
    """How shortcut and body meet, as far as it has weights."""
    gates = [block.gate for stage in stages for block in stage.blocks]
    if not any(gates):
        return "add"
    kinds = {(gate.kind, gate.weight[2:]) if gate is not None else None for gate in gates}
    gate = gates[0]
    if len(kinds) > 1 or gate is None or gate.kind not in ("conv", "linear"):
        raise Unread("its blocks have gates that are not alike")
    if gate.kind == "linear":
        return {"highway": {"gate": "channel"}}
    return "highway" if gate.kernel == (1, 1) else {"highway": {"kernel": gate.kernel[0]}}


def _norm(found: Anatomy) -> str:
    kinds = {layer.kind for layer in found.every}
    channels = [layer.out for layer in found.every if layer.kind == "norm"]
    if "batch" in kinds and channels:
        raise Unread("some of its norms have running statistics and some have none")
    if not channels:
        return "batch" if "batch" in kinds else "none"
    return "group" if all(c % 32 == 0 for c in channels) else "layer"


def _spec(
    stages: Sequence[StageLayers],
    blocks: Sequence[BlockReading],
    policies: Sequence[ShortcutReading],
    ends: Ends,
    norm: str,
    around: Sequence[dict[str, list[Any]]],
    merge: str | dict[str, Any],
) -> dict[str, Any]:
    """A spec with every default left out."""
    stem = ends.stem
    side = stem.side
    if side is not None:
        # A transition halves the map, as a rule.
        divides = stem.divides * prod(p.stride for p in policies) * 2 ** sum(map(bool, around))
        side = max(side, divides) if ends.map is None else ends.map * divides
    block, shortcut = _shared([b.reference for b in blocks]), _shared([p.policy for p in policies])
    listed = []
    for i, (stage, b, p) in enumerate(zip(stages, blocks, policies, strict=True)):
        entry = {
            "depth": len(stage.blocks),
            "width": b.width,
            "stride": p.stride,
            "name": stage.name,
            "block": b.reference if block is None else None,
            "shortcut": p.policy if shortcut is None else None,
        }
        listed.append(_written(entry, {"stride": 1, "name": f"layer{i + 1}", "block": None, "shortcut": None}) | around[i])
    spec = {
        "input": input_mapping((stem.input,) if side is None else (stem.input, side, side)),
        "classes": ends.classes,
        "norm": norm,
        "stem": stem.steps,
        "block": block,
        "shortcut": shortcut,
        "merge": merge,
        "stages": listed,
        "head": ends.head,
        "blocks": {b.name: b.definition for b in blocks if b.definition is not None},
        "shortcuts": {p.name: p.definition for p in policies if p.definition is not None},
    }
    defaults: Mapping[str, Any] = {
        "norm": "batch",
        "block": None,
        "shortcut": None,
        "merge": "add",
        "head": "classifier",
        "blocks": {},
        "shortcuts": {},
    }
    return _written(spec, defaults)


def _shared(references: Sequence[str | dict[str, Any]]) -> str | dict[str, Any] | None:
    """The reference that all stages have; None where they differ."""
    return references[0] if len({str(r) for r in references}) == 1 else None


def _written(keys: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The keys whose values have to be written."""
    return {k: v for k, v in keys.items() if k not in defaults or v != defaults[k]}
