"""Which shipped block the blocks of stages are, and with which arguments: one row of `KINDS` per block.

A row recognises a block by the kernels of its layers and by where its norms stand, and reads from the shapes the widths and
the arguments that give them. Whether all shapes agree is not checked here: the spec is compiled and compared with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

from resnet_dsl.diagnostics import quote
from resnet_dsl.graph.graph import Shape
from resnet_dsl.ops.arguments import MAX_SIZE
from resnet_dsl.recovery.layers import BlockLayers, Layer, Modules, StageLayers, Unread, contents

Args = Mapping[str, int]
Reader = Callable[[Sequence[BlockLayers]], Iterator[tuple[Args, tuple[int, ...]]]]


@dataclass(frozen=True, slots=True)
class BlockReading:
    """The blocks of a stage as the language says them: the reference, their width, and the channels that enter the stage's first and leave its last.

    `before` is true where a block's norms stand before its convs; `definition` is that of a block which is not shipped.
    """

    name: str
    args: Args
    width: int
    enters: int
    leaves: int
    before: bool
    definition: Mapping[str, Any] | None = None

    @property
    def reference(self) -> str | dict[str, Any]:
        """As a spec says it."""
        return {self.name: dict(self.args)} if self.args else self.name


@dataclass(frozen=True, slots=True)
class BlockKind:
    """A row: `layers` are the kernel of each conv of the body, or `linear`; `before`: each norm stands before its conv.

    `se`: squeeze-and-excitation may end the body.
    """

    name: str
    layers: tuple[int | str, ...]
    before: bool
    read: Reader
    se: bool = False
    concat: bool = False

    def fits(self, block: BlockLayers) -> bool:
        """True where the block's layers are those of the row, whatever their widths."""
        body = Modules((k, v) for k, v in block.body.items() if k != "se")
        weighted, norms = body.layers("conv", "linear"), body.layers("batch", "norm")
        names = {f"bn{i + 1}" for i in range(len(norms))}
        if self.layers[0] == "linear":
            names |= {f"fc{i + 1}" for i in range(len(weighted))}
        else:
            names |= {f"conv{i + 1}" for i in range(len(weighted))}
        return (
            set(body) == names
            and tuple(_what(layer) for layer in weighted) == self.layers
            and all(layer.bias == (layer.kind == "linear") for layer in weighted)
            and (not norms or [n.out for n in norms] == (_inputs(weighted) if self.before else [layer.out for layer in weighted]))
            and (self.se or "se" not in block.body)
        )


def shipped_blocks(stages: Sequence[StageLayers]) -> Iterator[list[BlockReading]]:
    """The shipped blocks, with one set of arguments, that all blocks of all stages may be; likelier ones first."""
    for kind in KINDS:
        if _fits(kind, stages):
            yield from _alike(kind, stages)


def alone(stage: StageLayers) -> BlockReading | None:
    """The likeliest shipped block for one stage, regardless of the other stages."""
    return next((reading for kind in KINDS if _fits(kind, [stage]) for (reading,) in _alike(kind, [stage])), None)


def nearest(stages: Sequence[StageLayers]) -> list[BlockReading]:
    """The nearest reading of the stages, where some of their blocks fit no row. Raises Unread where no block fits one."""
    blocks = [block for stage in stages for block in stage.blocks]
    found = []
    for stage in stages:
        reading = next((r for kind in _likely(stage, blocks) for r in _alike(kind, [stage])), None)
        if reading is None:
            block = stage.blocks[0]
            raise Unread(f"the blocks of {quote(stage.name)} are none that is shipped: {quote(block.path)} holds {contents(block)}")
        found += reading
    return found


def _fits(kind: BlockKind, stages: Sequence[StageLayers]) -> bool:
    return all(kind.fits(block) for stage in stages for block in stage.blocks)


def _likely(stage: StageLayers, blocks: Sequence[BlockLayers]) -> list[BlockKind]:
    """The rows that fit blocks of a stage: first those that fit the most of all the network's blocks."""
    likely = [kind for kind in KINDS if any(kind.fits(block) for block in stage.blocks)]
    return sorted(likely, key=lambda kind: -sum(kind.fits(block) for block in blocks))


def _alike(kind: BlockKind, stages: Sequence[StageLayers]) -> Iterator[list[BlockReading]]:
    """Such a block with the same arguments in all stages, read from the first block of each that is one."""
    firsts = [next(block for block in stage.blocks if kind.fits(block)) for stage in stages]
    for args, widths in kind.read(firsts):
        ends = [_channels(stage, kind.concat) for stage in stages]
        yield [BlockReading(kind.name, args, w, *e, kind.before) for w, e in zip(widths, ends, strict=True)]


def _channels(stage: StageLayers, concat: bool) -> tuple[int, int]:
    """What enters a stage's first block, and what leaves its last, for blocks whose first layer has no groups."""
    first, last = (stage.blocks[i].body.layers("conv", "linear") for i in (0, -1))
    return first[0].weight[1], last[0].weight[1] + last[-1].out if concat else last[-1].out


def _inputs(layers: Sequence[Layer]) -> list[int]:
    """The channels that enter each of some layers in a row, the first of which has no groups."""
    return [layers[0].weight[1], *(layer.out for layer in layers[:-1])]


def _what(layer: Layer) -> int | str:
    if layer.kind == "linear":
        return "linear"
    height, width = layer.kernel
    return height if height == width else f"{height}x{width}"


# --- what rows read ----------------------------------------------------------------------------------------------------


def _weights(blocks: Sequence[BlockLayers]) -> list[list[Shape]]:
    """The shapes of each block's weights."""
    return [[layer.weight for layer in block.body.layers("conv", "linear")] for block in blocks]


def _basic(blocks: Sequence[BlockLayers]) -> Iterator[tuple[Args, tuple[int, ...]]]:
    widths = tuple(shapes[-1][0] for shapes in _weights(blocks))
    for se in _squeezes(blocks, widths):
        yield se, widths


def _bottleneck(blocks: Sequence[BlockLayers]) -> Iterator[tuple[Args, tuple[int, ...]]]:
    """Expansions that divide the output channels, with base widths that give the middle. Several may fit, for the same network."""
    shapes = _weights(blocks)
    outs, middles = tuple(s[2][0] for s in shapes), [s[1][0] for s in shapes]
    groups = {s[1][0] // s[1][1] for s in shapes}
    if len(groups) > 1:
        return
    (group,) = groups
    common = gcd(*outs)
    for expansion in sorted((e for e in range(1, min(common, MAX_SIZE) + 1) if common % e == 0), key=lambda e: e != 4):
        widths = tuple(out // expansion for out in outs)
        # width * base // 64 * groups is the middle: all bases between these two give it.
        base = _common([(-(-64 * (m // group) // w), (64 * (m // group + 1) - 1) // w) for m, w in zip(middles, widths, strict=True)], 64)
        if base is None or any(m % group for m in middles):
            continue
        own = {"expansion": (expansion, 4), "groups": (group, 1), "base_width": (base, 64)}
        for se in _squeezes(blocks, outs):
            yield {**{k: v for k, (v, default) in own.items() if v != default}, **se}, widths


def _dense(blocks: Sequence[BlockLayers]) -> Iterator[tuple[Args, tuple[int, ...]]]:
    shapes = _weights(blocks)
    widths = tuple(s[1][0] for s in shapes)
    factors = {s[0][0] / s[1][0] for s in shapes}
    if len(factors) == 1 and (factor := factors.pop()) == int(factor):
        yield ({} if factor == 4 else {"factor": int(factor)}), widths


def _mlp(blocks: Sequence[BlockLayers]) -> Iterator[tuple[Args, tuple[int, ...]]]:
    shapes = _weights(blocks)
    widths, hidden = tuple(s[1][0] for s in shapes), {s[0][0] for s in shapes}
    if all(s[0][0] == w for s, w in zip(shapes, widths, strict=True)):
        yield {}, widths
    elif len(hidden) == 1:
        yield {"hidden": hidden.pop()}, widths


def _single(blocks: Sequence[BlockLayers]) -> Iterator[tuple[Args, tuple[int, ...]]]:
    yield {}, tuple(shapes[0][0] for shapes in _weights(blocks))


def _squeezes(blocks: Sequence[BlockLayers], outs: Sequence[int]) -> Iterator[Args]:
    """The `se` that gives the squeezed channels of every stage: nothing where no block has one."""
    if not any("se" in block.body for block in blocks):
        yield {}
        return
    ranges = []
    for block, out in zip(blocks, outs, strict=True):
        se = block.body.get("se")
        fc1 = se.get("fc1") if isinstance(se, Modules) else None
        if not isinstance(fc1, Layer) or fc1.kind != "conv":
            return
        # out // ratio is what is squeezed to: all ratios between these two give it.
        ranges.append((out // (fc1.out + 1) + 1, out // fc1.out))
    ratio = _common(ranges, 16)
    if ratio is not None:
        yield {"se": ratio}


def _common(ranges: Sequence[tuple[int, int]], usual: int) -> int | None:
    """A whole number that lies in every range (both ends in it): the usual one where it does, else the roundest."""
    low, high = max(a for a, _ in ranges), min(b for _, b in ranges)
    if low > high:
        return None
    if low <= usual <= high:
        return usual
    step = 1
    while (low + 2 * step - 1) // (2 * step) * 2 * step <= high:
        step *= 2
    return -(-low // step) * step


KINDS: Sequence[BlockKind] = (
    BlockKind("basic", (3, 3), False, _basic, se=True),
    BlockKind("bottleneck", (1, 3, 1), False, _bottleneck, se=True),
    BlockKind("preact_basic", (3, 3), True, _basic, se=True),
    BlockKind("preact_bottleneck", (1, 3, 1), True, _bottleneck, se=True),
    BlockKind("dense", (1, 3), True, _dense, concat=True),
    BlockKind("mlp", ("linear", "linear"), False, _mlp),
    BlockKind("single", (3,), False, _single),
)
"""Every shipped block that weights can tell; where two fit, the earlier is likelier."""
