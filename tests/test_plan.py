"""The device plan: tables of facts and what follows from them, the trial under a clock of its own, and compilation."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, refuse
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.records.record import PlanRecord
from resnet_dsl.runtime.build import build
from resnet_dsl.training.device import device, plan, regional
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


SETTINGS = ["stages=[{depth: 2, width: 4}, {depth: 1, width: 8, stride: 2}]", "head={classifier: {dropout: 0.5}}"]


def network() -> torch.nn.Module:
    return build(compile(load("resnet20-digits", SETTINGS)), seed=0)


def steps(p: Plan, model: torch.nn.Module, count: int) -> None:
    """A few steps as a run takes them."""
    forward = p.compiled(p.place(model).train())
    draws = torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, fused=True)
    for step in range(count):
        images = torch.randn(16, 1, 8, 8, generator=draws).to(memory_format=p.memory_format)
        torch.manual_seed(step)
        loss = functional.cross_entropy(forward(images), torch.arange(16) % 10)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_a_real_trial_leaves_no_trace() -> None:
    model = network()
    before = copy.deepcopy(model.state_dict())
    made: list[Plan] = []

    def prepare(p: Plan) -> Callable[[], None]:
        made.append(p)
        own = network()
        return lambda: steps(p, own, 1)

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    here = replace(device.find("cpu"), bf16="vector")
    found = decide(candidates(here, Pins(compile="no")), Length(10**6, 1.0), prepare)
    assert torch.equal(torch.rand(3), expected)
    assert [p.precision for p in made] == ["fp32", "bf16"]
    assert found in made
    assert "ms a step: fp32 " in found.reason
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_blocks_are_found_by_their_source() -> None:
    model = network()
    assert regional.blocks(model) == [*model.get_submodule("layer1").children(), *model.get_submodule("layer2").children()]
    assert regional.compile_seconds(model, "no") == 0 < regional.compile_seconds(model, "blocks") < regional.compile_seconds(model, "whole")
    plain = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU()))
    assert regional.blocks(plain) == [plain]


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: torch's own error comes out as ours."""

    def broken(graph: object, inputs: object) -> object:
        raise RuntimeError("fatal error: Python.h: No such file")

    real = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: real(self, backend=broken, **options))
    torch._dynamo.reset()
    with pytest.raises(SpecError) as e:
        steps(Plan("cpu", "fp32", True, 1, compile="whole"), network(), 1)
    assert e.value.diagnostics[0].code == "compile-failed"
    assert "Python.h" in e.value.diagnostics[0].message
    torch._dynamo.reset()


# torch's own, while it looks at what enters a compiled block.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize(("extent", "graphs"), [("whole", 1), ("blocks", 2)])
def test_what_compilation_leaves_alone(extent: regional.Extent, graphs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, copies and pickles are a network's own; it judges as it is written; equal blocks are compiled once.

    Traced and differentiated by torch.compile, but not built: that takes long, and the next test does it.
    """
    real = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **options: real(self, backend="aot_eager", **options))
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    p = Plan("cpu", "fp32", True, 1, compile=extent)
    first, second = network(), network()
    steps(p, first, 3)
    assert counters["stats"]["unique_graphs"] == graphs
    steps(p, second, 3)
    weights = first.state_dict()
    assert list(weights) == list(network().state_dict())
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in weights.items())
    images = torch.randn(5, 1, 8, 8)
    loaded = p.place(network())
    loaded.load_state_dict(weights)
    with regional.eager(), torch.no_grad():
        judged = first.eval()(images)
        for twin in (loaded, copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
            assert torch.equal(twin.eval()(images), judged)
    # Neither a second network of the same source nor another size of batch is compiled again.
    assert counters["stats"]["unique_graphs"] == graphs
    assert counters["recompiles"] == {}
    torch._dynamo.reset()


@pytest.mark.needs("compiler")
def test_compiled_steps_are_eager_ones_but_for_rounding_and_repeat_to_the_bit() -> None:
    graph = compile(load("resnet20-digits", ["stages=[{depth: 1, width: 4}]"]))
    eager, *others = (build(graph, seed=0) for _ in range(3))
    steps(Plan("cpu", "fp32", True, 1), eager, 3)
    for model in others:
        torch._dynamo.reset()
        steps(Plan("cpu", "fp32", True, 1, compile="whole"), model, 3)
    for name, value in eager.state_dict().items():
        a, b = (model.state_dict()[name] for model in others)
        assert torch.equal(a, b), name
        assert torch.allclose(a, value, rtol=1e-3, atol=1e-4), name


def test_bench(capsys: pytest.CaptureFixture[str]) -> None:
    from resnet_dsl.using.bench import compare

    small = ["bench", "resnet20-digits", "--set", "params.n=1", "--batch", "8", "--seconds", "0", "--device", "cpu"]
    assert main([*small, "--format", "json", "--plan", "precision=bf16,compile=no"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["batch"], found["plan"]["precision"], found["plan"]["compile"]) == ("resnet20-digits", 8, "bf16", "no")
    for what in ("training", "inference"):
        assert found[what]["pairs"] == 3
        assert found[what]["low"] <= found[what]["ratio"] <= found[what]["high"]
        assert found[what]["images_per_s"] > 0
    assert main(small) == 0
    assert "plan: cpu, 1 thread, " in capsys.readouterr().out
    assert main([*small, "--fold-bn"]) == 0
    assert capsys.readouterr().out.endswith("\nInference under the plan is with batch norms folded.\n")
    # Work that takes 1 and 3 seconds by a clock of its own.
    now = 0.0

    def work(seconds: float) -> Callable[[], None]:
        def step() -> None:
            nonlocal now
            now += seconds

        return step

    timing = compare([work(1), work(3)], 6, 20, torch.device("cpu"), lambda: now)
    assert (timing.images_per_s, timing.plain_images_per_s, timing.ratio, timing.low, timing.high) == (6, 2, 3, 3, 3)
    assert timing.pairs == 5


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--plan", "precision=bf17"], 2, "precision cannot be 'bf17'"),
        (["--plan", "precision=bf16", "--precision", "fp32"], 2, "says otherwise"),
        (["--device", "cuda:99"], 3, "no cuda"),
        (["--device", "gpu"], 2, "gpu is not a device"),
    ],
)
def test_bench_refuses(options: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    if options[-1] == "cuda:99" and torch.cuda.is_available():
        message = "there is no cuda:99"
    assert main(["bench", "resnet20-digits", *options]) == code
    assert message in capsys.readouterr().err
