"""The network nearest under a budget, among those with the stages' widths or depths scaled.

All widths are scaled by one factor and all depths by another, then rounded, so the stages keep the proportions that their
author gave them. Costs grow with both, so widths are found by bisection; one more block in a stage costs what
its repeating block costs, which is arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import floor
from typing import Literal

from resnet_dsl.analysis.cost import Cost
from resnet_dsl.analysis.variants import Variants
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.spec import Spec
from resnet_dsl.ops.arguments import MAX_SIZE

Axis = Literal["width", "depth"]
Budget = Mapping[Literal["params", "macs"], int]
Depths = tuple[int, ...]

MAX_DEPTHS, MAX_DEPTHS_AND_WIDTHS = 2_000, 24
"""Depths that are tried, with widths as they are and with widths found for each."""

NEAR = Fraction(1, 50)


@dataclass(frozen=True, slots=True)
class Scaled:
    """A network of the family: widths and depths of its stages, and what it costs, counted on the compiled graph."""

    widths: tuple[int, ...]
    depths: Depths
    cost: Cost


class OverBudget(Exception):
    """No network of the family is cheap enough; `least` is the cheapest."""

    def __init__(self, least: Scaled) -> None:
        super().__init__()
        self.least = least


def fit(spec: Spec, budget: Budget, over: Sequence[Axis] = ("width",), multiple: int = 1) -> Scaled:
    """The dearest network within the budget.

    With both axes, both grow or both shrink. Of all networks within 2 % of the dearest, we take the one whose widths and depths
    change most alike. Widths are divisible by `multiple`. Raises OverBudget, and
    SpecError where the spec itself does not compile.
    """
    family = _Family(spec, multiple)
    grow = within(family.cost(family.unit, family.depths), budget)
    found: list[tuple[Fraction, Fraction, int, Depths]] = []
    tried = MAX_DEPTHS_AND_WIDTHS if "width" in over else MAX_DEPTHS
    for depths in islice(family.proportions(grow), tried) if "depth" in over else (family.depths,):
        if grow and not within(family.cost(family.unit, depths), budget):
            break
        scale = family.widest(depths, budget, grow) if "width" in over else family.unit
        cost = family.cost(scale, depths)
        if cost is not None and within(cost, budget):
            used = max(Fraction(getattr(cost, what), limit) for what, limit in budget.items())
            unlike = abs(Fraction(scale, family.unit) - Fraction(sum(depths), sum(family.depths)))
            found.append((used, unlike, scale, depths))
    if not found:
        shortest = tuple(1 for _ in family.depths) if "depth" in over else family.depths
        raise OverBudget(family.fitted(family.least if "width" in over else family.unit, shortest))
    most = max(used for used, *_ in found)
    near = [f for f in found if f[0] >= most - NEAR] if len(over) > 1 else [f for f in found if f[0] == most]
    _, _, scale, depths = min(near, key=lambda f: (f[1], -f[0]))
    return family.fitted(scale, depths)


def within(cost: Cost | None, budget: Budget) -> bool:
    """True for a network that is within the budget."""
    return cost is not None and all(getattr(cost, what) <= limit for what, limit in budget.items())


class _Family:
    """Networks that differ from a spec in scale: `unit` is the scale of the spec itself, `grain` what widths are multiples
    of, `least` the smallest scale that gives a network."""

    def __init__(self, spec: Spec, multiple: int) -> None:
        self.variants = Variants(spec)
        self.own, self.depths = _numbers(self.variants)
        self.parts: dict[int, tuple[Cost, tuple[Cost, ...]] | None] = {}
        self.grain = self._grain(multiple)
        self.unit = max(self.own) // self.grain
        self.regular = self._is_regular()
        low, high = 0, self.unit
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.cost(middle, self.depths) is not None else (middle, high)
        self.least = high

    def widths(self, scale: int) -> dict[int, int]:
        """The widths of all stages, rounded to the grain, halves up."""
        return {i: self.grain * max(1, floor(Fraction(w * scale, max(self.own)) + Fraction(1, 2))) for i, w in enumerate(self.own)}

    def fitted(self, scale: int, depths: Depths) -> Scaled:
        """A member, counted on its compiled graph. Raises SpecError where there is none."""
        widths = self.widths(scale)
        found = self.variants.costs(widths=widths, depths=depths)
        if isinstance(found, SpecError):
            raise found
        return Scaled(tuple(widths.values()), depths, found.network)

    def cost(self, scale: int, depths: Depths) -> Cost | None:
        """What a member costs; None where there is no such network."""
        if not self.regular:
            return self._compiled(scale, depths)
        if scale not in self.parts:
            self.parts[scale] = self._count(scale)
        parts = self.parts[scale]
        if parts is None:
            return None
        total, blocks = parts
        for block, depth in zip(blocks, depths, strict=True):
            total = total + block * (depth - 1)
        return total

    def widest(self, depths: Depths, budget: Budget, grow: bool) -> int:
        """The largest scale within the budget, by bisection; the least of all where none is."""
        low, high = (self.unit, 2 * self.unit) if grow else (self.least, self.unit)
        while grow and high * self.grain <= MAX_SIZE and within(self.cost(high, depths), budget):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if within(self.cost(middle, depths), budget) else (low, middle)
        return low

    def proportions(self, grow: bool) -> Iterator[Depths]:
        """The spec's depths and then all proportional ones, nearest first: rounded, at least 1."""
        last = None
        factor = Fraction(1)
        while True:
            depths = tuple(max(1, floor(d * factor + Fraction(1, 2))) for d in self.depths)
            if depths != last:
                yield depths
                last = depths
            if not grow and set(depths) == {1}:
                return
            # The nearest factor at which one more stage rounds to another depth; just below it, going down.
            turns = (Fraction(2 * n + (1 if grow else -1), 2 * d) for n, d in zip(depths, self.depths, strict=True) if grow or n > 1)
            factor = min(turns) if grow else max(turns) - Fraction(1, 10**9)

    def _compiled(self, scale: int, depths: Depths) -> Cost | None:
        found = self.variants.costs(widths=self.widths(scale), depths=depths)
        return None if isinstance(found, SpecError) else found.network

    def _count(self, scale: int) -> tuple[Cost, tuple[Cost, ...]] | None:
        """The cost with one block per stage, and the cost of one more block in each."""
        costs = self.variants.costs(widths=self.widths(scale), depths=[2] * len(self.own))
        if isinstance(costs, SpecError):
            return None
        blocks = tuple(costs.scope([n for n in stage.callee.nodes if n.role == "block"][-1].callee) for stage in costs.graph.stages)
        total = costs.network
        for block in blocks:
            total = total + block * -1
        return total, blocks

    def _is_regular(self) -> bool:
        """Does each block after a stage's first cost the same, so that depths are arithmetic?"""
        self.regular = True
        tried = (self.depths, tuple(1 for _ in self.depths), tuple(2 * d + 1 for d in self.depths))
        return all(self.cost(self.unit, depths) == self._compiled(self.unit, depths) for depths in tried)

    def _grain(self, multiple: int) -> int:
        """What widths must be multiples of so that there is a network: groups may have to divide them."""
        self.grain = multiple
        while self.grain * 2 <= max(self.own):
            unit = max(self.own) // self.grain
            if all(self._compiled(unit + i, self.depths) is not None for i in (1, 2, 3)):
                return self.grain
            self.grain *= 2
        return multiple


def _numbers(variants: Variants) -> tuple[tuple[int, ...], Depths]:
    """The widths and depths of a spec's stages. Raises SpecError where it does not compile."""
    spec = variants.spec
    if isinstance(own := variants.costs(), SpecError):
        raise own
    return tuple(int(s.width.value(spec.params)) for s in spec.stages), tuple(int(s.depth.value(spec.params)) for s in spec.stages)
