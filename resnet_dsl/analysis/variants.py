"""A spec with other numbers: the stages' widths and depths, its parameters, its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnet_dsl.graph.graph import Shape
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.spec import Spec, constant
from resnet_dsl.ops.arguments import DEPTH, SIZE


def variant(
    spec: Spec,
    *,
    widths: Mapping[int, int] | None = None,
    depths: Sequence[int] = (),
    params: Mapping[str, Result] | None = None,
    input: Shape = (),
) -> Spec:
    """The spec with these widths (by the stage's number, from 0), depths (of all stages), params and input."""
    stages = []
    for i, stage in enumerate(spec.stages):
        width = constant(widths[i], SIZE, stage.width.at, "width") if widths and i in widths else stage.width
        depth = constant(depths[i], DEPTH, stage.depth.at, "depth") if depths else stage.depth
        stages.append(replace(stage, width=width, depth=depth))
    return replace(spec, stages=tuple(stages), params={**spec.params, **(params or {})}, input=input or spec.input)
