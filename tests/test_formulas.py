"""Costs as polynomials, against counts of the compiled network at points that the search has not seen."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random

import pytest
from networks import compiled, small

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.formulas import Formulas, formulas, smallest_input
from resnet_dsl.analysis.polynomial import Polynomial, lattice, through
from resnet_dsl.analysis.variants import Variants, variant
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load

DATA = Path(__file__).parent / "data" / "counters"
GROUPED = ("block={bottleneck: {groups: 32, base_width: 4}}",)

CASES = {
    "resnet50": ("resnet50", ()),
    "resnet20": ("resnet20", ()),
    "grouped": ("resnet50", GROUPED),
    "se": ("resnet18", ("block={basic: {se: 16}}",)),
    "equal": ("resnet18", ("stages.layer4.stride=1", "stages.layer4.width=256")),
    "convnext": (str(DATA / "convnext_tiny.yaml"), ()),
}


@pytest.fixture(scope="module")
def known() -> dict[str, Formulas]:
    return {name: formulas(load(spec, sets)) for name, (spec, sets) in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_exact_at_other_points(name: str, known: dict[str, Formulas]) -> None:
    spec, found = load(*CASES[name]), known[name]
    r, seen = Random(name), 0
    while seen < 5:
        values = {v.name: v.here + v.step * r.randint(0, 40 if v.stages else 3) for v in found.variables}
        widths = {i: values[v.name] for v in found.variables for i in v.stages}
        params = {v.param: values[v.name] for v in found.variables if v.param}
        try:
            graph = compile(variant(spec, widths=widths, params=params, input=(3, values["H"], values["W"])))
        except SpecError:  # option A takes no stage that narrows
            continue
        cost = Costs(graph).network
        assert (found.params["total"](values), found.macs["total"](values)) == (cost.params, cost.macs)
        parts = [n for n in found.params if n != "total"]
        assert sum(found.params[n](values) for n in parts) == cost.params
        seen += 1


def test_what_they_say(known: dict[str, Formulas]) -> None:
    assert str(known["resnet50"].macs["stem"]) == "147/4*w1*H*W"
    assert str(known["resnet20"].params["layer1"]) == "18*n*w1^2 + 4*n*w1"
    assert [v.name for v in known["resnet20"].variables] == ["n", "w1", "w2", "w3", "H", "W"]
    assert [v.step for v in known["grouped"].variables] == [16, 16, 16, 16, 32, 32]
    assert [v.step for v in known["se"].variables] == [16, 16, 16, 16, 32, 32]
    assert [v.stages for v in known["equal"].variables if v.stages] == [(0,), (1,), (2, 3)]
    assert known["convnext"].held == (
        "the width 96 of layer1: w1 = 224: conv: groups 224 does not divide the 96 channels that enter (in stage layer1)",
    )


@pytest.mark.parametrize(("name", "least"), [("resnet50", 17), ("resnet20", 3), ("vgg16", 32)])
def test_smallest_input(name: str, least: int) -> None:
    spec = load(name)
    assert smallest_input(Variants(spec)) == least
    compile(variant(spec, input=(3, least, least)))
    with pytest.raises(SpecError):
        compile(variant(spec, input=(3, least - 1, least - 1)))


def test_features_have_no_size() -> None:
    found = formulas(load(str(DATA / "mlp.yaml")))
    assert (found.least, found.variables) == (None, ())
    assert found.params["total"]({}) == 33_088


def test_variants_are_the_specs_that_overrides_make() -> None:
    spec = load("resnet20")
    one = compile(variant(spec, widths={1: 40}, depths=(1, 2, 3), params={"n": 9}, input=(3, 48, 40)))
    sets = ["stages.layer2.width=40", *(f"stages.layer{i}.depth={i}" for i in (1, 2, 3)), "input={channels: 3, height: 48, width: 40}"]
    assert one.text() == compile(load("resnet20", sets)).text()
    assert compiled(small()).text() == compiled(small()).text()


def test_polynomials_through_points() -> None:
    def f(x: int, y: int) -> int:
        return 3 * x * x * y - 7 * y * y + x + 5

    found = through(("x", "y"), [10, 4], [2, 3], lattice([2, 2], 3), {p: f(10 + 2 * p[0], 4 + 3 * p[1]) for p in lattice([2, 2], 3)})
    assert str(found) == "3*x^2*y - 7*y^2 + x + 5"
    assert all(found({"x": x, "y": y}) == f(x, y) for x in range(-3, 9) for y in range(-3, 9))
    half = Polynomial(("x",), {(1,): Fraction(-1, 2), (0,): Fraction(1, 3)})
    assert (str(half), str(half + half), str(Polynomial(("x",), {}))) == ("-1/2*x + 1/3", "-x + 2/3", "0")
