"""Blocks that are not shipped, where they are convs in a row: a definition of their own, with numbers as expressions.

A number that differs between blocks must follow from their input channels or their width. Or it is the same within each stage,
and becomes an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from resnet_dsl.diagnostics import quote
from resnet_dsl.recovery.blocks import BlockReading
from resnet_dsl.recovery.layers import BlockLayers, Layer, Modules, StageLayers, Unread, contents
from resnet_dsl.recovery.steps import is_norm

Number = int | str


@dataclass(frozen=True, slots=True)
class _Style:
    """Where the norms of a block stand: `norms` says how many k convs have; `before`: each stands before its conv."""

    norms: Callable[[int], int]
    before: bool
    last: bool
    """The body ends in a norm."""


STYLES: Sequence[_Style] = (
    _Style(lambda k: k, before=False, last=True),
    _Style(lambda k: k, before=True, last=False),
    _Style(lambda k: k + 1, before=True, last=True),
    _Style(lambda k: k - 1, before=False, last=False),
    _Style(lambda k: 0, before=False, last=False),
)
"""After each conv; before each; before each and after the last; after each but the last; nowhere."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """A block's layers: what enters it, its convs, of which the first may stand in a `chain` with a norm, and `squeezes`: after
    which conv squeeze-and-excitation stands and to how many channels (None where there is none)."""

    path: str
    enters: int
    convs: tuple[Layer, ...]
    chained: bool
    style: int
    squeezes: tuple[int, int] | None
    scale: str | None

    @property
    def width(self) -> int:
        return self.convs[-1].out

    @property
    def structure(self) -> tuple[object, ...]:
        """What one definition must have in common."""
        se = self.squeezes[0] if self.squeezes else None
        return self.style, self.chained, tuple((c.bias, c.kernel[0] == c.kernel[1]) for c in self.convs), se, self.scale

    def inputs(self, i: int) -> int:
        """The channels that enter its i-th conv."""
        return self.convs[i - 1].out if i else self.enters


def read_custom(stages: Sequence[StageLayers], kinds: Sequence[BlockReading | None]) -> list[BlockReading]:
    """The blocks of stages: as `kinds` has them, else by definitions of their own. Raises Unread."""
    chains: list[list[_Chain]] = []
    here: int | None = None
    for stage, kind in zip(stages, kinds, strict=True):
        # Layers beside the blocks may change the channels.
        if stage.around:
            here = None
        own = []
        for block in stage.blocks if kind is None else ():
            own.append(_chain(block, here))
            here = own[-1].width
        if kind is not None or stage.around:
            here = None if stage.around or kind is None else kind.leaves
        if len({c.structure for c in own}) > 1:
            odd = next(c for c in own if c.structure != own[0].structure)
            raise Unread(f"{quote(odd.path)} has other layers than {quote(own[0].path)}")
        chains.append(own)
    structures = list(dict.fromkeys(own[0].structure for own in chains if own))
    names = ["own"] if len(structures) == 1 else [f"own{i + 1}" for i in range(len(structures))]
    made = {s: _Definition([own for own in chains if own and own[0].structure == s]) for s in structures}
    return [
        kind if kind is not None else made[own[0].structure].reading(names[structures.index(own[0].structure)], own)
        for kind, own in zip(kinds, chains, strict=True)
    ]


def _chain(block: BlockLayers, here: int | None) -> _Chain:
    """A block's convs in a row. `here` are the channels that enter it, None where that is not known. Raises Unread."""
    body = Modules((k, v) for k, v in block.body.items() if k not in ("se", "scale", "chain"))
    convs, norms = body.layers("conv"), body.layers("batch", "norm")
    names = {*(f"conv{i + 1}" for i in range(len(convs))), *(f"bn{i + 1}" for i in range(len(norms)))}
    chain = block.body.get("chain")
    if (
        isinstance(chain, Modules)
        and [layer.kind for layer in chain.every()] in (["conv", "batch"], ["batch", "conv"])
        and set(chain) == {"0", "1"}
    ):
        convs, norms = [*chain.layers("conv"), *convs], [*chain.layers("batch"), *norms]
    elif chain is not None:
        names.add("chain")
    if not convs or set(body) != names:
        raise Unread(f"{quote(block.path)} is not a shipped block, nor a row of convs: it holds {contents(block)}")
    # A first conv that reads one channel at a time is depthwise.
    enters = here if here is not None else convs[0].out if convs[0].weight[1] == 1 else convs[0].weight[1]
    inputs = [enters, *(c.out for c in convs[:-1])]
    if any(i % c.weight[1] for i, c in zip(inputs, convs, strict=True)):
        raise Unread(f"{quote(block.path)} has convs that do not follow one another")
    style = next((i for i, s in enumerate(STYLES) if len(norms) == s.norms(len(convs)) and _matches(s, norms, inputs, convs)), None)
    if style is None or (chain is not None and style):
        raise Unread(f"the norms of {quote(block.path)} are as wide as none of its convs in order")
    scale = block.body.get("scale")
    if scale is not None and not (isinstance(scale, Layer) and scale.kind == "scale"):
        raise Unread(f"{quote(block.path + '.scale')} is not a scale")
    per = None if scale is None else "channel" if scale.weight else "scalar"
    return _Chain(block.path, enters, tuple(convs), chain is not None, style, _squeeze(block, convs), per)


def _matches(style: _Style, norms: Sequence[Layer], inputs: Sequence[int], convs: Sequence[Layer]) -> bool:
    outs = [c.out for c in convs]
    wanted = [*inputs, *outs[-1:]] if style.before else outs
    return all(is_norm(n, c) for n, c in zip(norms, wanted, strict=False))


def _squeeze(block: BlockLayers, convs: Sequence[Layer]) -> tuple[int, int] | None:
    """After which conv squeeze-and-excitation stands (the last that is as wide), and to how many channels it squeezes."""
    se = block.body.get("se")
    if se is None:
        return None
    layers = se.layers("conv") if isinstance(se, Modules) else []
    after = [i for i, c in enumerate(convs) if len(layers) == 2 and c.out == layers[1].out]
    if not after or not isinstance(se, Modules) or sorted(se) != ["fc1", "fc2"]:
        raise Unread(f"{quote(block.path + '.se')} is not a squeeze-and-excitation of its block's output")
    return after[-1], layers[0].out


class _Definition:
    """One definition for the blocks of some stages."""

    def __init__(self, stages: Sequence[Sequence[_Chain]]) -> None:
        self.stages = stages
        self.args: dict[str, list[int]] = {}
        self.made = self._made()

    def reading(self, name: str, own: Sequence[_Chain]) -> BlockReading:
        """The blocks of one of the stages."""
        i = next(i for i, stage in enumerate(self.stages) if stage is own)
        args = {k: values[i] for k, values in self.args.items() if values[i] != values[0]}
        return BlockReading(name, args, own[0].width, own[0].enters, own[-1].width, STYLES[own[0].style].before, self.made)

    def _made(self) -> dict[str, Any]:
        first = self.stages[0][0]
        style, k = STYLES[first.style], len(first.convs)
        strided = next((i for i, c in enumerate(first.convs) if max(c.kernel) > 1), 0)
        body: list[Any] = []
        for i in range(k):
            if style.before and i:
                body += ["norm", "act"] if style.norms(k) else ["act"]
            args: dict[str, Any] = {"out": self._number(f"mid{i + 1}", lambda c, i=i: c.convs[i].out) if i < k - 1 else "width"}
            args["kernel"] = self._kernel(i)
            if i == strided:
                args["stride"] = "stride"
            groups = self._number(f"groups{i + 1}", lambda c, i=i: c.inputs(i) // c.convs[i].weight[1], i)
            if groups != 1:
                args["groups"] = groups
            if first.convs[i].bias:
                args["bias"] = True
            body.append({"conv": args})
            if not style.before and style.norms(k) > i:
                body.append("norm")
            if not style.before and i < k - 1:
                body.append("act")
            if i == 0 and first.chained:
                body = [{"chain": body}]
            if first.squeezes is not None and first.squeezes[0] == i and i < k - 1:
                body.append(self._se())
        if style.before and style.last:
            body.append("norm")
        if first.squeezes is not None and first.squeezes[0] == k - 1:
            body.append(self._se())
        if first.scale is not None:
            body.append({"scale": {"per": "channel"}} if first.scale == "channel" else "scale")
        made: dict[str, Any] = {"args": {name: values[0] for name, values in self.args.items()}} if self.args else {}
        if style.before:
            return {**made, "before": ["norm", "act"], "body": body}
        # What widens before it filters ends without an activation (Sandler et al. 2018, section 3.2).
        return {**made, "body": body, **({} if first.chained else {"after": ["act"]})}

    def _se(self) -> dict[str, Any]:
        return {"se": {"hidden": self._number("hidden", lambda c: c.squeezes[1] if c.squeezes else 0)}}

    def _kernel(self, i: int) -> Any:
        first = self.stages[0][0].convs[i].kernel
        if first[0] != first[1]:
            if any(c.convs[i].kernel != first for stage in self.stages for c in stage):
                raise Unread("its blocks have convs with kernels of different shapes")
            return list(first)
        return self._given(f"kernel{i + 1}", [[c.convs[i].kernel[0] for c in stage] for stage in self.stages])

    def _number(self, name: str, of: Callable[..., int], conv: int | None = None) -> Number:
        """A number of every block: an expression, one for all, or an argument that the stages give. Raises Unread."""
        values = [[of(c) for c in stage] for stage in self.stages]
        every = {v for stage in values for v in stage}
        # Where it is the same for stages of several widths, it does not come from them.
        if every != {1} and (len(every) > 1 or len({stage[0].width for stage in self.stages}) == 1):
            for text, holds in _expressions(values[0][0], self.stages[0][0], conv):
                if all(holds(c) == v for stage, row in zip(self.stages, values, strict=True) for c, v in zip(stage, row, strict=True)):
                    return text
        return self._given(name, values)

    def _given(self, name: str, values: Sequence[Sequence[int]]) -> Number:
        """A number that is the same in all stages, or an argument that they give. Raises Unread."""
        if len({v for row in values for v in row}) == 1:
            return values[0][0]
        if any(len(set(row)) > 1 for row in values):
            path = next(stage[0].path for stage, row in zip(self.stages, values, strict=True) if len(set(row)) > 1)
            raise Unread(
                f"the blocks of {quote(path.rpartition('.')[0])} differ in their inner widths, and neither their input nor their width tells how"
            )
        self.args[name] = [row[0] for row in values]
        return name


Of = Callable[[_Chain], int]
"""A number of a block."""

_KNOWN: Mapping[str, Of] = {"width": lambda c: c.width, "in": lambda c: c.enters}
"""What an expression may name."""


def _expressions(value: int, block: _Chain, conv: int | None) -> Iterator[tuple[Number, Of]]:
    """Expressions over what a block knows that give this value in this block: the text, and its value in another."""
    if conv is not None:
        yield from _groups(block, conv)
    for name, of in _KNOWN.items():
        base = of(block)
        if value == base:
            yield name, of
        elif value % base == 0:
            yield f"{name} * {value // base}", _scaled(of, value // base, 1)
        elif 0 < value < base:
            yield f"{name} // {base // value}", _scaled(of, 1, base // value)


def _groups(block: _Chain, conv: int) -> Iterator[tuple[Number, Of]]:
    """Groups by the channels that enter their conv: one a channel, or of a width."""
    each = block.convs[conv].weight[1]
    entering = block.inputs(conv)
    for name, of in _KNOWN.items():
        if entering % of(block) == 0:
            k = entering // of(block)
            text = name if k == 1 else f"{name} * {k}"
            yield (text if each == 1 else f"{text} // {each}"), _scaled(of, k, each)


def _scaled(of: Of, times: int, over: int) -> Of:
    return lambda block: of(block) * times // over
