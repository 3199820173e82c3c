"""What a probe found, as a table, JSON and a plot, and assertions about its figures."""

from __future__ import annotations

import base64
import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.assertion import Assertion
from resnet_dsl.lab.finding import Finding, Plot, across, figure_text
from resnet_dsl.pictures.drawing.lines import Series, chart
from resnet_dsl.table import Column


def finding(**changes: Any) -> Finding:
    plot = Plot((Series("a", [(1.0, 10.0), (2.0, 1000.0)], 0),), "depth", "norm", log=True)
    columns = (Column("layer", "layer"), Column("norm", "norm", right=True))
    rows = (("conv1", 2.0), ("conv2", math.inf))
    return replace(Finding("gradients", "net", "weights of seed 0", columns, rows, {"first": 2.0}, ("A note.",), plot), **changes)


def test_a_finding_as_a_table_and_as_json() -> None:
    found = finding()
    assert found.table(30).render("table") == (
        "net: weights of seed 0\n\nlayer  norm\n-----  ----\nconv1   2.0\nconv2   inf\n\nfirst = 2\n\nA note.\n"
    )
    assert found.table(prose=False).render("table") == "layer  norm\n-----  ----\nconv1   2.0\nconv2   inf\n\nfirst = 2\n"
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document == {
        "probe": "gradients", "network": "net", "about": "weights of seed 0", "figures": {"first": 2.0},
        "rows": [{"layer": "conv1", "norm": 2.0}, {"layer": "conv2", "norm": None}], "notes": ["A note."],
    }  # fmt: skip


def test_a_finding_in_python_and_in_a_notebook(tmp_path: Path) -> None:
    found = finding()
    assert repr(found) == "<Finding gradients of net: first 2>"
    assert len(repr(finding(figures={f"figure_{i}": 1 / 3 for i in range(99)}))) <= 300
    assert repr(finding(figures={})) == "<Finding gradients of net: 2 rows>"
    assert str(found) == found.table(80).render("table")
    assert found.render(quiet=True) == found.table(prose=False).render("table")
    svg = found._repr_svg_()
    assert svg is not None
    page = found._repr_html_()
    assert page.startswith("<p><b>net: weights of seed 0</b></p>\n<table>")
    (data,) = re.findall(r'<img alt="gradients of net" src="data:image/svg\+xml;base64,(.*)">', page)
    assert base64.b64decode(data).decode() == svg
    assert found.plot is not None
    assert repr(found.plot) == "<Picture gradients of net>"
    found.plot.save(tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text() == svg
    without = finding(chart=None)
    assert without.plot is None
    assert without._repr_svg_() is None
    assert "<img" not in without._repr_html_()


def test_findings_at_several_steps() -> None:
    several = [(0, finding()), (10, finding(figures={"first": 3.0}, rows=(("conv1", 5.0), ("conv2", 6.0))))]
    below, beside = across(several), across(several, "norm")
    assert across(several[:1]) is several[0][1]
    assert below.rows == ((0, "conv1", 2.0), (0, "conv2", math.inf), (10, "conv1", 5.0), (10, "conv2", 6.0))
    assert [c.key for c in beside.columns] == ["layer", "norm_at_0", "norm_at_10"]
    assert beside.rows == (("conv1", 2.0, 5.0), ("conv2", math.inf, 6.0))
    assert below.figures == beside.figures == {"first_at_0": 2.0, "first_at_10": 3.0}
    assert below.notes == ("A note.",)
    drawn = ET.fromstring(below.svg() or "")
    assert "step 0, step 10" in (drawn[0].text or "")
    assert "picture shows step 10" in across([(s, finding(chart="<svg/>")) for s in (0, 10)]).notes[-1]


def test_a_plot_without_a_finite_point_is_none() -> None:
    assert Plot((Series("a", [(0.0, math.nan), (1.0, 0.0)], 0),), "x", "y", log=True).svg() is None
    assert Plot((Series("a", [(0.0, math.nan), (1.0, 0.0)], 0),), "x", "y").svg() is not None


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1, 1000], ["1", "10", "100", "1000"]),
        ([3e-5, 2.0], ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"]),
        ([2, 3], ["2", "5"]),
        ([5, 5], ["5", "10"]),
        ([0.15, 4], ["0.1", "0.2", "0.5", "1", "2", "5"]),
        ([1e-20, 1e20], ["1e-20", "1e-15", "1e-10", "1e-05", "1", "100000", "1e+10", "1e+15", "1e+20"]),
    ],
)
def test_a_logarithmic_axis(values: list[float], ticks: list[str]) -> None:
    root = ET.fromstring(chart([Series("a", list(enumerate(map(float, values))), 0)], x="x", y="y", log=True))
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text") if t.get("text-anchor") == "end"]
    assert words == ticks
    line = next(p.get("d") or "" for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke-width") == "1.6")
    assert all(16 <= float(point.split()[1]) <= 356 for point in line[1:].split("L"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.53124, "0.5312"),
        (1390.2, "1,390"),
        (1.234e7, "1.234e+07"),
        (7.0, "7"),
        (-0.01, "-0.01"),
        (math.nan, "nan"),
        (0.0, "0"),
        (1e-12, "1e-12"),
    ],
)
def test_figures_as_text(value: float, text: str) -> None:
    assert figure_text(value) == text


FIGURES = {"first": 744.2, "last": 1e-30, "broken": math.nan, "neighbours": -0.0059}


@pytest.mark.parametrize(
    "text",
    ["first > 100", "first / 2 > 372 and last < 1", "not first < 1", "neighbours >= -0.0059", "neighbours == -0.0059", "last * 1e10 < 1"],
)
def test_an_assertion_that_holds(text: str) -> None:
    assert Assertion.read(text).failure(FIGURES) is None


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("first < 20", 1, "first < 20 does not hold: first = 744.2"),
        ("first < 20 or broken > 0", 1, "broken = nan"),
        ("not broken > 0", 1, "broken = nan"),
        ("firsst < 20", 2, "did you mean 'first'?"),
        ("first", 2, "is a number, and an assertion is true or false"),
        ("first < ", 2, "error[expression-syntax]"),
        ("first ** 2 < 1", 2, "no power operator"),
        ("first < (last > 1)", 2, "computes with numbers"),
        ("first / (last - last) > 1", 2, "division by zero"),
    ],
)
def test_an_assertion_that_does_not(text: str, code: int, said: str) -> None:
    try:
        failure = Assertion.read(text).failure(FIGURES)
    except SpecError as e:
        failure = e
    assert failure is not None
    assert failure.exit_code == code
    assert said in str(failure)
