"""The device plan: tables of facts and what follows from them, and the trial under a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, refuse
from resnet_dsl.records.record import PlanRecord
from resnet_dsl.training.device import device, plan
from resnet_dsl.training.device.device import Facts
from resnet_dsl.training.device.plan import PLAN_PARTS, Pins, Plan, candidates
from resnet_dsl.training.device.trial import Length, decide

pytestmark = pytest.mark.usefixtures("one_thread")

AMX = Facts("cpu", "", "matrix", "", 2)
VECTOR = Facts("cpu", "", "vector", "", 2)
OLD = Facts("cpu", "", "none", "", 4)
BARE = Facts("cpu", "", "matrix", "no C++ compiler (g++)", 2)
GPU = Facts("cuda", "", "matrix", "", 8, memory=10_000)
PASCAL = Facts("cuda:1", "", "none", "no Triton", 8, memory=10_000)
APPLE = Facts("mps", "", "none", "torch.compile is not used on MPS", 8)


def text(p: Plan) -> str:
    return f"{p.device} {p.text()}"


@pytest.mark.parametrize(
    ("facts", "pinned", "expected"),
    [
        (AMX, "", ["bf16 no", "bf16 whole"]),
        (VECTOR, "", ["fp32 no", "fp32 whole", "bf16 no", "bf16 whole"]),
        (OLD, "", ["fp32 no", "fp32 whole"]),
        (BARE, "", ["bf16 no"]),
        (GPU, "", ["bf16 no", "bf16 blocks"]),
        (PASCAL, "", ["fp32 no"]),
        (APPLE, "", ["fp32 no"]),
        (VECTOR, "precision=bf16", ["bf16 no", "bf16 whole"]),
        (VECTOR, "compile=no", ["fp32 no", "bf16 no"]),
        (AMX, "compile=blocks", ["bf16 blocks"]),
        (GPU, "precision=fp32,compile=no", ["fp32 no"]),
    ],
)
def test_facts_to_candidates(facts: Facts, pinned: str, expected: list[str]) -> None:
    found = candidates(facts, Pins.read(pinned) if pinned else Pins())
    assert [f"{p.precision} {p.compile}" for p in found] == expected
    assert {p.device for p in found} == {facts.device}
    assert {(p.channels_last, p.fused) for p in found} == {(facts.kind != "mps", facts.kind != "mps")}
    assert {p.threads for p in found} == {facts.threads}


@pytest.mark.parametrize(
    ("facts", "size", "expected"),
    [
        (GPU, 4_000, "device"),
        (GPU, 4_001, "host"),
        (GPU, None, "stream"),
        (AMX, 10**15, "device"),
        (AMX, None, "stream"),
    ],
)
def test_where_data_lies(facts: Facts, size: int | None, expected: str) -> None:
    assert {p.data for p in candidates(facts, Pins(), data_bytes=size)} == {expected}
    assert {p.data for p in candidates(facts, Pins(data="host"), data_bytes=size)} == {"host"}


def test_the_one_line() -> None:
    assert str(candidates(BARE, Pins())[0]) == (
        "cpu, 2 threads, bf16, channels_last, eager, fused optimizer, data on the device "
        "(the CPU has amx_bf16; eager, no C++ compiler (g++))"
    )
    pinned = candidates(GPU, Pins.read("precision=fp32,layout=channels_first,compile=blocks,fused=no,data=host"))
    assert [str(p) for p in pinned] == [
        "cuda, fp32, channels_first, compiled block by block, plain optimizer, data in the host's memory (fp32 as asked)"
    ]


# The seconds of a step under each plan, and which plan comes out of a run of so many steps.
E16, E32, W16, W32 = "bf16 no", "fp32 no", "bf16 whole", "fp32 whole"


@pytest.mark.parametrize(
    ("facts", "steps", "seconds", "expected"),
    [
        (VECTOR, 10**6, {E32: 0.2, E16: 0.3, W32: 0.1, W16: 0.1}, W32),
        (VECTOR, 10**6, {E32: 0.3, E16: 0.2, W32: 0.1, W16: 0.1}, W16),
        (VECTOR, 10**6, {E32: 0.2, E16: 0.3, W32: 0.3, W16: 0.1}, E32),
        (VECTOR, 10**6, {E32: 0.3, E16: 0.2, W32: 0.1, W16: 0.3}, E16),
        # Not faster by the margin: the first stays.
        (VECTOR, 10**6, {E32: 0.2, E16: 0.199, W32: 0.198, W16: 0.1}, E32),
        # 1,000 steps of 0.2 s: a seventh of it is less than what compiling takes.
        (VECTOR, 1_000, {E32: 0.2, E16: 0.3, W32: 0.1, W16: 0.1}, E32),
        (AMX, 1_400, {E16: 0.2, W16: 0.1}, W16),
        (AMX, 1_200, {E16: 0.2, W16: 0.1}, E16),
        # Too few steps to try anything.
        (VECTOR, 599, {E32: 9, E16: 1, W32: 1, W16: 1}, E32),
        (VECTOR, 600, {E32: 9, E16: 1, W32: 1, W16: 0.5}, W16),
    ],
)
def test_the_clock_decides(facts: Facts, steps: int, seconds: dict[str, float], expected: str) -> None:
    """Every choice can win; what a first step takes (compilation) is not counted as the step's."""
    now = 0.0
    prepared: list[str] = []

    def prepare(p: Plan) -> Callable[[], None]:
        name = f"{p.precision} {p.compile}"
        prepared.append(name)
        first = True

        def step() -> None:
            nonlocal now, first
            now += 30.0 if first else seconds[name]
            first = False

        return step

    found = decide(candidates(facts, Pins()), Length(steps, 40.0), prepare, lambda: now)
    assert f"{found.precision} {found.compile}" == expected
    assert len(prepared) == len(set(prepared))
    if steps == 599:
        assert prepared == []
        assert "599 steps are too few to time others" in found.reason
    if found.compile == "whole":
        assert "compiled in 30 s" in found.reason
    if steps in (1_000, 1_200):
        assert "eager: compiling takes about 40 s, of a run of about 2" in found.reason


def test_what_cannot_be_compiled_stays_eager_and_says_why() -> None:
    def prepare(p: Plan) -> Callable[[], None]:
        def step() -> None:
            if p.compile != "no":
                raise refuse("compile-failed", "torch.compile failed: fatal error: omp.h", "help", at="--compile", exit_code=3)

        return step

    found = decide(candidates(AMX, Pins()), Length(10**9, 1.0), prepare, iter(range(1000)).__next__)
    assert found.compile == "no"
    assert found.reason == "the CPU has amx_bf16; eager: torch.compile failed: fatal error: omp.h"
    with pytest.raises(SpecError) as e:
        candidates(BARE, Pins.read("compile=whole"))
    assert (e.value.exit_code, e.value.diagnostics[0].message) == (3, "cannot compile: no C++ compiler (g++)")


def test_what_is_decided_is_not_timed() -> None:
    def prepare(p: Plan) -> Callable[[], None]:
        raise AssertionError("timed")

    for p in candidates(VECTOR, Pins()):
        stored = Pins.of(p)
        assert [decide(candidates(VECTOR, stored), Length(10**9, 0.0), prepare)] == [p]


def test_plans_go_through_text_and_json() -> None:
    for facts in (AMX, VECTOR, OLD, BARE, GPU, PASCAL, APPLE):
        for p in candidates(facts, Pins()):
            assert candidates(facts, Pins.read(p.text())) == (p,)
            assert Plan.of(PlanRecord.parse(json.dumps(p.record().to_dict()).encode(), Path())) == p
    assert [part.field for part in PLAN_PARTS.values()] == ["precision", "channels_last", "compile", "fused", "data", "threads"]
    early: dict[str, Any] = {"device": "cpu", "precision": "fp32", "channels_last": True, "threads": 2, "reason": ""}
    assert Plan.of(PlanRecord(**early)) == Plan("cpu", "fp32", True, 2)
    for damage in ({"threads": "2"}, {"precision": "fp8"}, {"device": None}, {"compile": "yes"}, {"threads": 0}):
        with pytest.raises(ValidationError, match=next(iter(damage))):
            PlanRecord(**{**early, **damage})


def test_a_plan_of_a_run(tmp_path: Path) -> None:
    p = replace(candidates(VECTOR, Pins())[2], threads=3)
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "data": "digits", "plan": p.record().to_dict()}))
    for name in ("spec.yaml", "recipe.yaml"):
        (tmp_path / name).touch()
    for where in (tmp_path, tmp_path / "run.json"):
        assert Pins.read(str(where)) == Pins.of(p)
    assert candidates(VECTOR, Pins.read(str(tmp_path))) == (p,)
    (tmp_path / "run.json").write_text("[]")
    for where, code in ((tmp_path, "run-damaged"), (tmp_path / "none.json", "run-missing")):
        with pytest.raises(SpecError) as e:
            Pins.read(str(where))
        assert (e.value.diagnostics[0].code, e.value.exit_code) == (code, 3)


@pytest.mark.parametrize(
    ("given", "message", "help"),
    [
        ("precison=bf16", "a plan has no 'precison'", "did you mean 'precision'?"),
        ("precision=bf61", "precision cannot be 'bf61'", "did you mean 'bf16'?"),
        ("layout=nchw", "layout cannot be 'nchw'", "value is one of: channels_last, channels_first"),
        ("compile", "compile has no value", "write compile=no|blocks|whole"),
        ("threads=0", "threads cannot be '0'", "write a whole number from 1 to 4096"),
        ("threads=two", "threads cannot be 'two'", "write a whole number from 1 to 4096"),
        ("fused=yes,fused=no", "fused is there twice", "say it once"),
        (",", "a plan without parts", "write precision=bf16, say, or a run's folder"),
    ],
)
def test_mistakes_in_a_plan(given: str, message: str, help: str) -> None:
    with pytest.raises(SpecError) as e:
        Pins.read(given)
    (found,) = e.value.diagnostics
    assert (found.message, found.help, e.value.exit_code, found.to_dict(COMMAND_LINE)["file"]) == (message, help, 2, "--plan")


def test_options_together() -> None:
    assert plan.pins_of("auto", "auto", None, None) == Pins()
    assert plan.pins_of("cpu", "bf16", False, "threads=1") == Pins("cpu", "bf16", compile="no", threads=1)
    assert plan.pins_of("cpu", None, True, None) == Pins("cpu", compile="whole")
    assert plan.pins_of("cpu", None, True, "compile=blocks") == Pins("cpu", compile="blocks")
    for options in (("cpu", "bf16", None, "precision=fp32"), ("cpu", None, True, "compile=no"), ("cpu", None, False, "compile=blocks")):
        with pytest.raises(SpecError, match="says otherwise"):
            plan.pins_of(*options)


def test_a_stored_plan_without_a_compiler() -> None:
    p = candidates(AMX, Pins())[1]
    assert plan.usable_here(p, AMX) is p
    assert plan.usable_here(p, BARE) == replace(p, compile="no")
    assert "no C++ compiler" in plan.usable_here(p, BARE).reason
    # On another kind of device the precision is what stays.
    elsewhere = plan.resumed_plan(Plan("cuda", "bf16", True, 9, compile="blocks", data="host"), "cpu")
    assert (elsewhere.device, elsewhere.precision, elsewhere.compile, elsewhere.data) == ("cpu", "bf16", "no", "device")
    assert plan.resumed_plan(Plan("cpu", "bf16", False, 9), None) == Plan("cpu", "bf16", False, 9)


def test_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = device.find("cpu")
    assert (here.kind, here.threads) == ("cpu", torch.get_num_threads())
    assert here.memory is None or here.memory > 2**28
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert device.find("cpu").no_compiler == "no C++ compiler (no-such-compiler)"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True, "avx512_bf16": True})
    assert device.find("cpu").bf16 == "matrix"
    with pytest.raises(SpecError, match="is not a device"):
        device.find("tpu")
