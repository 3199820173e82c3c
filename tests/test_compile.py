"""torch.compile for training: what is compiled, what it leaves alone, and a trial that leaves no trace."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.runtime.build import build
from resnet_dsl.training.device import device, regional
from resnet_dsl.training.device.plan import Pins, Plan, candidates
from resnet_dsl.training.device.trial import Length, decide

pytestmark = pytest.mark.usefixtures("one_thread")

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
