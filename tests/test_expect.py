"""`expect`: bounds, ranges, more figures and shapes; and `check --exercise`, which gives no figure away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.language.expectations import FIGURES, ExpectationError, bounds, is_requirement, shape

NET = """input: {channels: 3, height: 32, width: 32}
classes: 10
stem: cifar
block: basic
shortcut: A
stages:
  - {depth: 3, width: 16}
  - {depth: 3, width: 32, stride: 2}
  - {depth: 3, width: 64, stride: 2}
"""
TRUE = (
    "params: 269722", "params: <= 269722", 'params: ">= 269722"', "params: < 269723", 'params: "> 269721"', "params: 269722..269722",
    "params: 0.2M..0.3M", "params: ..300k", "params: 1k..", "macs: 40M..41M", "depth: 20", "depth: 2 * 9 + 2", "blocks: 9", "shortcut_params: 0",
    "shortcut_macs: 0", "activations: ..1G", 'receptive: ">= 32"', "shapes: {layer3: 64x8x8}", "shapes: {conv1: [16, 32, 32]}", "shapes: {fc: 10}",
    "shapes: {layer1.0.conv1: 16x32x32, stem: 16x32x32}",
)  # fmt: skip
FALSE = {
    "params: 269721": "params is 269,722, not 269,721",
    "params: < 269722": "params is 269,722, not at most 269,721",
    'params: "> 269722"': "params is 269,722, not at least 269,723",
    "params: 1M..2M": "params is 269,722, not from 1,000,000 to 2,000,000",
    "macs: ..40M": "macs is 40,551,040, not at most 40,000,000",
    "macs: 81102080": "81,102,080 are floating point operations",
    "depth: 21..": "depth is 20, not at least 21",
    "blocks: 8": "blocks is 9, not 8",
    "shortcut_params: 1..": "shortcut_params is 0, not at least 1",
    "shapes: {layer3: 64x7x7}": "layer3 is 64x8x8, not 64x7x7",
    "shapes: {layer3: 64}": "layer3 is 64x8x8, not 64",
}  # fmt: skip
WRONG = {
    "params: =< 3": 'write "<= 3"',
    "params: => 3": 'write ">= 3"',
    "params: at most 3": 'write "<= 3"',
    "params: 3..2": "write 2..3",
    "params: ..": "300k",
    "params: ~3": "write 3, or a range such as 1M..2M",
    "params: <= many": "300k",
    "params: 1.5..2": "write 1",
    "params: 300k": "write 300000",
    "receptive: >= 32": 'put the bound in quotes: ">= 32"',
    "shapes: {layer3: 64x8}": "write 64x8x8, or 512 for a vector",
    "shapes: {layer3: {a: 1}}": "write 64x8x8, or 512 for a vector",
    "shapes: [64, 8, 8]": "write {layer3: 64x8x8}",
    "shapes: {layer9: 64x8x8}": "did you mean 'layer3'?",
    "paramz: 3": "did you mean 'params'?",
}  # fmt: skip


def written(folder: Path, expect: str) -> Path:
    path = folder / "s.yaml"
    path.write_text(f"{NET}expect:\n  {expect}\n")
    return path


@pytest.mark.parametrize("expect", TRUE)
def test_what_holds(expect: str, tmp_path: Path) -> None:
    assert rd.check(written(tmp_path, expect)).ok


@pytest.mark.parametrize("expect", FALSE)
def test_what_does_not_hold_is_located(expect: str, tmp_path: Path) -> None:
    (d,) = rd.check(written(tmp_path, expect)).diagnostics
    assert (d.code, d.location.line) == ("expect", 11)
    assert FALSE[expect] in d.message + d.help
    (d,) = rd.check(written(tmp_path, expect), exercise=True).diagnostics
    assert (d.code, d.location.line) == ("expect", 11)
    figures = [w for w in (d.message + d.help).replace(",", "").split() if w.isdigit()]
    assert figures == []


@pytest.mark.parametrize("expect", WRONG)
def test_what_cannot_be_read(expect: str, tmp_path: Path) -> None:
    (d,) = rd.check(written(tmp_path, expect)).diagnostics
    assert d.location.line == 11
    assert WRONG[expect] in d.help


def test_the_receptive_field_is_that_of_inspect(tmp_path: Path) -> None:
    path = written(tmp_path, "receptive: 0")
    (d,) = rd.check(path).diagnostics
    layer3 = rd.inspect(rd.load("resnet20"), by="stage", columns="receptive").to_dict()["stages"][-1]
    assert (layer3["name"], layer3["receptive"]) == ("layer3", [81, 81])
    assert "receptive is 81, not 0" in d.message


@pytest.mark.parametrize("text", ["<= 3", "3..4", "≥ 3", "=3", "..5", "at least 3"])
def test_requirements_are_told_from_expressions(text: str) -> None:
    assert is_requirement(text)
    assert not any(map(is_requirement, ("3", "k * 2", "300k", "-1", "1.5")))


def test_bounds_are_whole_and_closed() -> None:
    assert [bounds(t) for t in ("< 3", "<= 3", "> 3", ">=3", "1k..2M", "..2", "1.5k..")] == [
        (None, 2), (None, 3), (4, None), (3, None), (1000, 2_000_000), (None, 2), (1500, None),
    ]  # fmt: skip
    assert shape("64x8x8") == (64, 8, 8)
    with pytest.raises(ExpectationError):
        shape("64x8x")


def test_every_figure_has_a_value() -> None:
    from resnet_dsl.analysis.expect import _figures

    assert _figures(rd.compile("resnet20"), set(FIGURES)).keys() == FIGURES.keys()


def test_an_exercise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(tmp_path, "params: <= 300k"))
    assert main(["check", path, "--exercise"]) == 0
    assert capsys.readouterr().out == f"ok {path}: all that is expected holds\n"
    assert main(["check", path, "--exercise", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["specs"] == [{"spec": path, "ok": True, "cost": None, "diagnostics": []}]
    assert main(["check", path, "--exercise", "--format", "csv"]) == 0
    assert "269" not in capsys.readouterr().out
    assert main(["check", path, "--exercise", "--set", "classes=3"]) == 2
    assert "leave out --set" in capsys.readouterr().err
    (tmp_path / "s.yaml").write_text(NET)
    assert main(["check", path, "--exercise"]) == 2
    assert "nothing is expected here" in capsys.readouterr().err
