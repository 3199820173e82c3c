"""A spec with other numbers: the stages' widths and depths, its parameters, its input; and what such networks cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.graph.expand import expand
from resnet_dsl.graph.folding import fold
from resnet_dsl.graph.graph import Shape
from resnet_dsl.graph.template import Expansions, Overspent
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.spec import Spec, constant
from resnet_dsl.ops.arguments import DEPTH, SIZE

MAX_WORK = 150_000
"""Steps that are walked for all variants of one spec, counted as `graph.template.Expansions` counts: some seconds."""


class Variants:
    """The costs of one spec's variants. What is equal in them is expanded and counted once."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._shared = Expansions(spec, MAX_WORK)
        self._last: Costs | None = None

    def costs(
        self,
        *,
        widths: Mapping[int, int] | None = None,
        depths: Sequence[int] = (),
        params: Mapping[str, Result] | None = None,
        input: Shape = (),
    ) -> Costs | SpecError:
        """What the variant costs, or why there is no such network. Raises SpecError where the spec is too large for so many variants."""
        try:
            graph = expand(variant(self.spec, widths=widths, depths=depths, params=params, input=input), self._shared)
            graph = fold(graph) if self.spec.folded else graph
        except SpecError as e:
            return e
        except Overspent:
            raise refuse(
                "limit",
                f"{self.spec.name} is too large to be counted in many sizes: its variants have more than {MAX_WORK:,} steps to look at",
                "make it smaller: fewer blocks that differ, fewer steps in repeats, fewer params",
                at=self.spec.at,
            ) from None
        self._last = Costs(graph, like=self._last)
        return self._last


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
