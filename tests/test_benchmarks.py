"""The benchmarks that train: every part of them runs, in sizes that measure nothing."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.usefixtures("one_thread")

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script finds the modules beside it."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def load(name: str) -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / name))


def test_gpu_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert load("gpu.py")["main"](["--device", "cpu", "--tiny"]) == 0
    out = capsys.readouterr().out
    assert "--tiny: this tests the program and measures nothing" in out
    for what in ("ResNet-50, 32", "ResNet-18, 32", "no waiting in a step"):
        assert f"\n{what} " in out
    assert "not checked: no CUDA" in out
    assert "product of 64 x 64" in out


def test_gpu_says_what_it_leaves_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program = load("gpu.py")
    monkeypatch.setitem(program["main"].__globals__, "TOTAL_SECONDS", 30.0)
    assert program["main"](["--device", "cpu", "--tiny"]) == 0
    out = capsys.readouterr().out
    assert out.count("left out: ") == 2
    assert "it needs 120" in " ".join(out.split())


def test_gpu_without_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert load("gpu.py")["main"]([]) == 3
    assert "no CUDA device here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "box", "recipe", "note"),
    [
        (0.0, 60.0, "quick", "0.0% after "),
        (1.0, 60.0, "quick", "100.0% not reached; "),
        (1.0, 0.0, "quick", "never evaluated; stopped after 0 s, at step 0 of 4"),
        (1.0, 0.0, "quik", "left out: "),
    ],
)
def test_a_run_in_a_box(target: float, box: float, recipe: str, note: str) -> None:
    """Training to a target: reached, not reached, out of time, with a recipe that is not there."""
    small = ["params.n=1", "train.steps=4", "train.batch=16", "train.augment.flip=false"]
    (line,) = load("gpu.py")["trained"]("x", "resnet20-digits", small, recipe, target, "cpu", box, "digits")
    assert note in line.note


@pytest.mark.parametrize(("name", "share"), [("NVIDIA H200", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA L40S", 362), ("NVIDIA L4", 121)])
def test_peaks_by_name(name: str, share: float) -> None:
    assert load("gpu.py")["peak"](name, torch.device("cpu"), 8) == (share, "data sheet")


@pytest.mark.parametrize(
    ("fp32", "bf16", "verdict"),
    [
        ((91.0, 91.2, 91.1), (91.1, 91.3, 91.0), "+0.03 points: within the noise"),
        ((91.0, 91.2, 91.1), (90.0, 90.2, 90.1), "-1.00 points: NOT within the noise"),
    ],
)
def test_the_verdict_on_bf16(fp32: tuple[float, ...], bf16: tuple[float, ...], verdict: str) -> None:
    assert verdict in load("training.py")["accuracy_table"]({"fp32": fp32, "bf16": bf16}).render("table")


def test_side_by_side_on_noise() -> None:
    """One row of the table of training.py: rates, ratios and the share of data loading."""
    program = load("training.py")
    case = program["CASES"]["ResNet-18, 3x32x32"]
    small = type(case)("resnet20", ("params.n=1",), lambda: program["TWIN"]["ResNet"](
        program["TWIN"]["Basic"], (1, 1, 1), (16, 32, 64), classes=10, shortcut="A", stem="cifar"), case.data)  # fmt: skip
    program["CASES"]["small"] = small
    name, *rates, plain, _, hand, _, share = program["side_by_side"]("small", 8, 3, 1, 100, False)
    assert name == "small"
    assert all(rate > 0 for rate in [*rates, plain, hand])
    assert 0 < share < 1


def test_inference_beside_one_laid_out_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """Every way computes the same: to rounding in fp32, to eight bits in bf16."""
    load("inference.py")["main"](["--turns", "2", "--side", "32", "--batches", "3"])
    rows = re.findall(r"^(\S.*?) (fp32|bf16) +([\d.]+) .* ([\d.e+-]+) +(\d) of 3$", capsys.readouterr().out, re.MULTILINE)
    assert [(way, kind) for way, kind, *_ in rows] == [
        ("plain", "fp32"), ("by hand", "fp32"), ("ready", "fp32"), ("by hand", "bf16"), ("ready", "bf16"),
    ]  # fmt: skip
    for _, kind, ms, error, agree in rows:
        assert float(ms) > 0
        assert float(error) <= (1e-5 if kind == "fp32" else 0.05)
        assert agree == "3"


def test_demo_prints_both_times(capsys: pytest.CaptureFixture[str]) -> None:
    program = load("demo.py")
    program["main"].__globals__["demo"] = lambda epochs: (31.0 if epochs == 1 else 29.0, 50.0)
    assert [program["main"](["--epochs", "1", "--goals"]), program["main"](["--epochs", "1"]), program["main"](["--goals"])] == [1, 0, 0]
    out = capsys.readouterr().out
    assert "all cores free: 31.0 s (goal 30 s), user 50.0 s, load before " in out
    assert "one core busy: 31.0 s (goal 60 s), user 50.0 s, load before " in out
