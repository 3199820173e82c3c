"""Strides and dilations of stages, and strides that become dilation so that a network divides its input by less (`output_stride`).

A stage that gives up its stride keeps what its weights see: the steps between the pixels that they read grow instead (Yu & Koltun 2016;
Chen et al. 2017, section 3.1). As in torchvision (`replace_stride_with_dilation`) and timm (`output_stride`), the strided convolution of the
stage's first block keeps the dilation of the stage before, since its input has still the old spacing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.graph.env import Env, Sides
from resnet_dsl.graph.graph import SCOPE_INPUT, Program
from resnet_dsl.graph.scope import INPUT, ScopeDraft
from resnet_dsl.language.spec import Definition, Slot, Spec, Stage
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS

ONE: Sides = (1, 1)
NAMES = frozenset(("dilation", "first_dilation"))
"""What a block reads of the dilation of its stage."""


@dataclass(frozen=True, slots=True)
class StageSides:
    """The stride of a stage's first block, the dilation of its blocks, and that of the stage before."""

    stride: Sides
    dilation: Sides
    before: Sides

    def block(self, index: int) -> Mapping[str, Sides]:
        """What a block's expressions find: `stride`, `dilation`, and `first_dilation`, which its strided convolution takes."""
        if index:
            return {"stride": ONE, "dilation": self.dilation, "first_dilation": self.dilation}
        return {"stride": self.stride, "dilation": self.dilation, "first_dilation": self.before}

    def require_used(self, stage: Stage, definition: Definition) -> None:
        """Refuse a dilation that no convolution of the stage's block takes. Raises SpecError."""
        if self.dilation == ONE or definition.uses & NAMES or any(s.expression.names & NAMES for s in stage.block.args.values()):
            return
        at = stage.dilation[0].at if stage.dilation is not None else stage.at
        why = "" if stage.dilation is not None else ", which it has from the stage before or from output_stride"
        raise refuse(
            "dilation",
            f"block {quote(definition.name)} takes no dilation, but stage {quote(stage.name)} has one{why}",
            "give its convolution the stage's: conv: {..., dilation: dilation}"
            if not definition.shipped
            else "use a block with a spatial convolution, or dilation: 1",
            at=at,
        )


class OutputStride:
    """Goes from stage to stage: which dilation each has, and which strides become dilation so that the input is divided by `most` at most."""

    def __init__(self, most: int | None, slot: Slot | None) -> None:
        self.most, self.slot = most, slot
        self._dilation = ONE
        self._strides: dict[int, Sides | None] = {}

    @staticmethod
    def of(spec: Spec, base: Env) -> OutputStride:
        """That of a spec. Raises SpecError where its input has no sides."""
        slot = spec.output_stride
        if slot is not None and len(spec.input) == 1:
            raise refuse("output-stride", "output_stride is for maps: features (a vector) have no size to divide", "delete it", at=slot.at)
        return OutputStride(None if slot is None else int(base.value(slot)), slot)

    def stage(self, root: ScopeDraft, entering: int, stride: Sides, dilation: Sides | None) -> StageSides:
        """The sides of the next stage, whose input is a value of `root`."""
        before, own, kept = self._dilation, list(self._dilation if dilation is None else dilation), list(stride)
        if self.most is not None:
            reached = self._reached(root, entering)
            for side in (0, 1):
                if reached[side] * stride[side] > self.most:
                    own[side] *= stride[side]
                    kept[side] = 1
        self._dilation = own[0], own[1]
        return StageSides((kept[0], kept[1]), self._dilation, before)

    def require(self, root: ScopeDraft, leaving: int) -> None:
        """Refuse an `output_stride` that the stages' strides cannot give. Raises SpecError."""
        if self.most is None or self.slot is None:
            return
        reached = max(self._reached(root, leaving))
        if reached == self.most:
            return
        why = "" if reached < self.most else ": only the `stride` of stages becomes dilation, not that of stems and of lists of steps"
        help = f"use output_stride: {reached}" + (", or delete it" if reached < self.most else "")
        raise refuse(
            "output-stride", f"output_stride is {self.most}, but the stages divide the input by {reached}{why}", help, at=self.slot.at
        )

    def _reached(self, root: ScopeDraft, value: int) -> Sides:
        """The stride of a value against the network's input."""
        values: dict[int, Sides | None] = {INPUT: ONE}
        for number, d in enumerate(root.drafts):
            own = self._stride(d.op, Site(dict(d.attrs), tuple(root.shape(v) for v in d.inputs), d.shape), d.program)
            values[number] = _joined([values[v] for v in d.inputs], own, d.times)
        return values[value] or ONE

    def _stride(self, op: str, site: Site, program: Program | None) -> Sides | None:
        if program is None:
            window = OPS[op].window(site)
            return None if window is None else (window[0][0], window[1][0])
        if id(program) not in self._strides:
            values: dict[str, Sides | None] = {SCOPE_INPUT: ONE}
            last = SCOPE_INPUT
            for n in program.nodes:
                values[n.path] = _joined([values[i] for i in n.inputs], self._stride(n.op, program.site(n), n.program), n.times)
                last = n.path
            self._strides[id(program)] = values[last]
        return self._strides[id(program)]


def _joined(inputs: list[Sides | None], own: Sides | None, times: int) -> Sides | None:
    """The stride of what comes out. A value that sees the whole map, such as a gate, has none, and leaves that of what it is merged with."""
    known = [i for i in inputs if i is not None]
    if not known or own is None:
        return None
    height, width = (max(i[side] for i in known) * own[side] ** times for side in (0, 1))
    return height, width
