"""Parameters and multiply-accumulates as exact polynomials in the stages' widths, the spec's parameters and the input's size.

The network is compiled and counted at the points of a lattice around the spec itself, and the polynomial through them is
found in fractions. It stands only if it also gives the counts at points that were not used. Where the network rounds
(`in // 16`, say) no polynomial holds for all widths, but one holds in steps of 16: the smallest step is searched for. What
is in no step a polynomial is held at its value, and said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import factorial, lcm, prod
from textwrap import wrap

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.analysis.field import Reach, Reaches
from resnet_dsl.analysis.polynomial import Monomial, Polynomial, lattice, through
from resnet_dsl.analysis.variants import Variants
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import Shape
from resnet_dsl.language.spec import Spec
from resnet_dsl.table import Answer, Column, Layout, Table

STEPS = (1, 2, 4, 8, 16, 32, 64)
MAX_DEGREE = 4
MAX_POINTS = 300
MAX_VARIABLES = 8
FAR = (-3, 7, 18, 37)
"""Steps away from the spec at which a polynomial has to hold too, where there is such a network: rounding shows there."""


@dataclass(frozen=True, slots=True)
class Variable:
    """What a formula speaks of: the width of stages (by number), a parameter, or a side of the input.

    The formula holds for `here` plus or minus multiples of `step`; `degree` is the highest power.
    """

    name: str
    meaning: str
    here: int
    stages: tuple[int, ...] = ()
    param: str = ""
    step: int = 1
    degree: int = 1

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return {"name": self.name, "is": self.meaning, "here": self.here, "step": self.step}


@dataclass(frozen=True, slots=True, repr=False)
class Formulas(Answer):
    """Costs of the parts of a network as polynomials, by the part's name; the last is the whole (`total`).

    `held` are variables in which the costs are no polynomial, `least` is the smallest square input that the network takes.
    """

    name: str
    variables: tuple[Variable, ...]
    params: Mapping[str, Polynomial]
    macs: Mapping[str, Polynomial]
    held: tuple[str, ...] = ()
    least: int | None = None

    def to_dict(self) -> dict[str, object]:
        """The JSON document of `inspect --symbolic --format json`."""
        parts = [{"name": n, "params": str(self.params[n]), "macs": str(self.macs[n])} for n in self.params]
        return {"name": self.name, "variables": [v.to_dict() for v in self.variables], "held": list(self.held),
                "parts": parts, "smallest_input": self.least}  # fmt: skip

    def summary(self) -> str:
        """The network, and its parameters as a polynomial."""
        return f"{self.name}: params = {self.params['total']}, in {', '.join(v.name for v in self.variables)}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """Two rows per part: its parameters and its multiply-accumulates."""
        columns = (Column("part", "part"), Column("figure", "figure"), Column("formula", "formula", wrap=True))
        rows = [[n, figure, str(found[n])] for n in self.params for figure, found in (("params", self.params), ("MACs", self.macs))]
        notes = ["Exact: found from counts, and tested against counts at other points.", *map(_about, self.variables)]
        if self.held:
            notes += [
                "Held, since no polynomial was found:",
                *(line for text in self.held for line in wrap(text, 76, initial_indent="  ", subsequent_indent="    ")),
            ]
        if self.least is not None:
            notes.append(f"The smallest square input that it takes is {self.least}x{self.least}.")
        return [Table(columns, rows, f"{self.name}: costs as polynomials", notes=tuple(notes))]


def formulas(spec: Spec) -> Formulas:
    """The polynomials of a spec that compiles. Raises SpecError where it does not."""
    searched = _Search(spec)
    variables, held = searched.variables()
    params, macs, lost = searched.fit(variables)
    held += [f"{v.name}, {v.meaning}: none in it and the others together" for v in lost]
    least = smallest_input(searched.variants)
    return Formulas(spec.name, (*(v for v in variables if v not in lost), *searched.sides), params, macs, tuple(held), least)


def smallest_input(variants: Variants) -> int | None:
    """The side of the smallest square input that a spec takes, at most its own smaller side; None for features."""
    shape = variants.spec.input
    if len(shape) == 1:
        return None
    sides = range(1, min(shape[1:]))
    return next((s for s in sides if not isinstance(variants.costs(input=(shape[0], s, s)), SpecError)), min(shape[1:]))


def total_stride(graph: Graph) -> int:
    """What the sides of an input must be divisible by, so that no stride of the network leaves a remainder."""
    reaches = Reaches(graph)
    found = 1
    todo = [(graph.root, Reach())]
    seen = set()
    while todo:
        program, entry = todo.pop()
        if (id(program), entry) in seen:
            continue
        seen.add((id(program), entry))
        for node, before, after in reaches.nodes(program, entry):
            found = lcm(found, *(after.jump or (1, 1)))
            if node.program is not None:
                todo.append((node.program.pattern, before))
    return found


def _about(v: Variable) -> str:
    some = "" if v.step == 1 else f"; a multiple of {v.step}" if v.here % v.step == 0 else f"; in steps of {v.step}"
    return f"  {v.name}: {v.meaning}, here {v.here:,}{some}"


Figures = Mapping[str, tuple[int, int]]
"""Parameters and multiply-accumulates of each part."""


class _Search:
    """Counts of a spec around itself, remembered."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.variants = Variants(spec)
        own = self.variants.costs()
        if isinstance(own, SpecError):
            raise own
        self.graph = own.graph
        self.known: dict[tuple[tuple[str, tuple[int, ...], int], ...], Figures | None] = {}
        self.refused = ""
        self.sides: tuple[Variable, ...] = ()
        if len(spec.input) == 3:
            stride = total_stride(self.graph)
            sizes = [max(1, round(side / stride)) * stride for side in spec.input[1:]]
            taken = set(spec.params)
            names = [n if n not in taken else f"input.{n}" for n in ("H", "W")]
            meanings = (f"the input's {side}" for side in ("height", "width"))
            self.sides = tuple(Variable(n, m, s, step=stride) for n, m, s in zip(names, meanings, sizes, strict=True))

    def figures(self, values: Mapping[Variable, int]) -> Figures | None:
        """The counts with these values, the spec's own for all others; None where there is no such network."""
        key = tuple(sorted((v.name, v.stages, value) for v, value in values.items()))
        if key not in self.known:
            widths = {i: value for v, value in values.items() for i in v.stages}
            params = {v.param: value for v, value in values.items() if v.param}
            sides = [values[v] for v in self.sides if v in values]
            shape: Shape = (self.spec.input[0], *sides) if sides else ()
            found = self.variants.costs(widths=widths, params=params, input=shape)
            self.known[key] = None if isinstance(found, SpecError) else _count(found)
            if isinstance(found, SpecError):
                self.refused = f": {', '.join(f'{v.name} = {value}' for v, value in values.items())}: {found.diagnostics[0].message}"
        return self.known[key]

    def variables(self) -> tuple[list[Variable], list[str]]:
        """Those that a polynomial holds in, each by itself, with their steps and degrees; and those that none does, in words."""
        groups: list[tuple[int, ...]] = [(i,) for i, stage in enumerate(self.spec.stages) if stage.width.expression.literal is not None]
        held: list[str] = []
        found: list[Variable] = []
        for name, value in self.spec.params.items():
            if name != "classes" and isinstance(value, int) and not isinstance(value, bool) and value > 0:
                v = self._alone(Variable(name, f"params.{name}", value, param=name))
                if v is None:
                    held.append(f"params.{name} = {value}{self.refused}")
                elif v.degree:
                    found.append(v)
        room = max(0, MAX_VARIABLES - len(found))
        held += [
            f"the width {self._here(i)} of {_named(self.spec, (i,))}: a formula has {MAX_VARIABLES} variables at most"
            for (i,) in groups[room:]
        ]
        groups = todo = groups[:room]
        while todo:
            stages, *todo = todo
            v = self._alone(self._width(stages))
            if v is not None:
                found += [v] if v.degree else []
                continue
            # A shortcut may be an identity only because two stages are of one width: they are then one variable.
            equal = tuple(i for (i,) in groups if self._here(i) == self._here(stages[0]))
            if len(stages) < len(equal):
                found = [v for v in found if not set(v.stages) & set(equal)]
                todo = [equal, *(s for s in todo if not set(s) & set(equal))]
            else:
                held.append(f"the width {self._here(stages[0])} of {_named(self.spec, stages)}{self.refused}")
        return sorted(found, key=lambda v: (not v.param, v.stages)), held

    def _here(self, stage: int) -> int:
        return int(self.spec.stages[stage].width.expression.literal or 0)

    def _width(self, stages: tuple[int, ...]) -> Variable:
        return Variable(f"w{stages[0] + 1}", f"the width of {_named(self.spec, stages)}", self._here(stages[0]), stages)

    def _alone(self, v: Variable) -> Variable | None:
        """The variable with the smallest step in which all counts are polynomials in it, and their degree."""
        self.refused = ""
        for step in STEPS:
            far = {i: c for i in FAR if v.here + i * step > 0 and (c := self.figures({v: v.here + i * step})) is not None}
            for degree in range(MAX_DEGREE + 1):
                near = [c for i in range(degree + 3) if (c := self.figures({v: v.here + i * step})) is not None]
                if len(near) < degree + 3:
                    break
                if all(
                    _goes_on([c[part][k] for c in near], degree, {i: c[part][k] for i, c in far.items()})
                    for part in near[0]
                    for k in (0, 1)
                ):
                    return replace(v, step=step, degree=degree)
        return None

    def fit(self, variables: Sequence[Variable]) -> tuple[dict[str, Polynomial], dict[str, Polynomial], list[Variable]]:
        """Polynomials of each part in all variables together, and variables that had to be held for that."""
        lost: list[Variable] = []
        kept = list(variables)
        while True:
            found = self._together([*kept, *self.sides])
            if found is not None:
                return (*found, lost)
            if not kept:
                sides, self.sides = self.sides, ()
                assert sides, "a network without variables is a constant"
                lost += sides
                continue
            lost.append(kept.pop())

    def _together(self, variables: Sequence[Variable]) -> tuple[dict[str, Polynomial], dict[str, Polynomial]] | None:
        """Polynomials in all these together: first such that know height and width by their product alone, which needs half the counts."""
        widths = variables[: len(variables) - len(self.sides)]
        for area in (True, False) if len(self.sides) == 2 else (False,):
            if (found := self._through(widths, area)) is not None:
                return found
        return None

    def _through(self, widths: Sequence[Variable], area: bool) -> tuple[dict[str, Polynomial], dict[str, Polynomial]] | None:
        variables = (*widths, *self.sides)

        def at(point: Monomial) -> Figures | None:
            return self.figures({v: v.here + d * v.step for v, d in zip(variables, point, strict=True)})

        degrees = [v.degree for v in widths]
        corners = [(0, 0), (1, 0)] if area else lattice([1] * len(self.sides), len(self.sides))
        checks = [tuple((3 * i + k) % 4 + 1 + 6 * k * (1 + i) for i, _ in enumerate(variables)) for k in range(3)]
        for total in range(max(degrees, default=0), sum(degrees) + 1):
            points = [(*p, *q) for p in lattice(degrees, total) for q in corners]
            if len(points) > MAX_POINTS:
                return None
            counts = {p: c for p in (*points, *checks) if (c := at(p)) is not None}
            if any(p not in counts for p in points) or not any(p in counts for p in checks):
                return None
            tested = [
                (dict(zip((v.name for v in variables), (v.here + d * v.step for v, d in zip(variables, p, strict=True)), strict=True)), c)
                for p in checks
                if (c := counts.get(p)) is not None
            ]
            parts = list(counts[points[0]])
            found = [{n: self._polynomial(widths, area, {p: counts[p][n][k] for p in points}) for n in parts} for k in (0, 1)]
            if all(found[k][n](values) == c[n][k] for values, c in tested for n in parts for k in (0, 1)):
                return found[0], found[1]
        return None

    def _polynomial(self, widths: Sequence[Variable], area: bool, values: Mapping[Monomial, int]) -> Polynomial:
        """The polynomial through counts; with `area` in the product of height and width, of which height alone was changed."""
        variables = [*widths, *self.sides]
        origin, steps, names = [v.here for v in variables], [v.step for v in variables], tuple(v.name for v in variables)
        if not area:
            return through(names, origin, steps, values, values)
        height, width = self.sides
        origin[-2:], steps[-2:] = [height.here * width.here], [height.step * width.here]
        values = {p[:-1]: value for p, value in values.items()}
        found = through(names[:-1], origin, steps, values, values)
        return Polynomial(names, {(*p, p[-1]): c for p, c in found.terms.items()})


def _named(spec: Spec, stages: Sequence[int]) -> str:
    return " and ".join(spec.stages[i].name for i in stages)


def _goes_on(near: Sequence[int], degree: int, far: Mapping[int, int]) -> bool:
    """Are these, from 0 on, values of a polynomial of this degree, and so are those farther away?"""
    differences = [near[0]]
    rest = list(near)
    for _ in range(degree + 1):
        rest = [b - a for a, b in pairwise(rest)]
        differences.append(rest[0])
    if any(rest):
        return False
    return all(sum(d * prod(range(i, i - k, -1)) // factorial(k) for k, d in enumerate(differences)) == value for i, value in far.items())


def _count(costs: Costs) -> Figures:
    """What the stem, each stage and the head cost, and all of it."""
    parts: dict[str, Cost] = {"stem": Cost()}
    for node, cost in costs.nodes(costs.graph.root):
        name = node.path if node.role == "stage" else node.role
        parts[name] = parts.get(name, Cost()) + cost
    parts["total"] = costs.network
    return {name: (cost.params, cost.macs) for name, cost in parts.items()}
