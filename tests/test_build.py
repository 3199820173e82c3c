"""What people do with a module beyond calling it: load weights, copy, pickle, hook, compile, export, cast, run elsewhere."""

from __future__ import annotations

import copy
import json
import pickle
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch
from networks import NETWORKS, compiled, small
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.verbs.modules import build

TESTS = Path(__file__).parent
KEYS = json.loads((TESTS / "data" / "torchvision_keys.json").read_text())
OURS = {
    "wide_resnet50_2": ("resnet50", {"block": "{bottleneck: {base_width: 128}}"}),
    "resnext50_32x4d": ("resnet50", {"block": "{bottleneck: {groups: 32, base_width: 4}}"}),
}
SPECS = sorted([*(TESTS.parent / "specs" / "he2015").glob("*.yaml"), *(TESTS / "data" / "legal").glob("*.yaml")])


def batch(graph: Graph, n: int = 2) -> torch.Tensor:
    return torch.randn(n, *graph.input, generator=torch.Generator().manual_seed(7))


def made(name: str) -> tuple[nn.Module, torch.Tensor]:
    graph = compiled(NETWORKS[name])
    return build(graph, seed=0), batch(graph)


@pytest.mark.parametrize("name", KEYS)
def test_state_dict_is_torchvisions(name: str) -> None:
    """Keys, shapes and order."""
    with torch.device("meta"):
        model = build(compile(load(*OURS.get(name, (name,)))))
    assert [(k, list(v.shape)) for k, v in model.state_dict().items()] == list(KEYS[name].items())


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_graph_says_what_the_module_does(path: Path) -> None:
    """The shape at every node, parameters and macs, on the meta device."""
    graph = compile(load(str(path)))
    with torch.device("meta"):
        model, x = build(graph).eval(), torch.empty(1, *graph.input)
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    with FlopCounterMode(display=False) as counter:
        model(x)
    nodes = {f.path: f.node.shape for f in graph.nodes() if f.path in seen}
    assert {name: seen[name] for name in nodes} == nodes
    assert nodes.keys() >= {name for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))}
    cost = Costs(graph).network
    assert sum(p.numel() for p in model.parameters()) == cost.params
    assert counter.get_total_flops() == 2 * cost.macs


@pytest.mark.parametrize("name", NETWORKS)
def test_writing_in_place_changes_nothing(name: str) -> None:
    model, x = made(name)
    careful = copy.deepcopy(model)
    for m in careful.modules():
        if hasattr(m, "inplace"):
            m.inplace = False
    found = []
    for m in (model, careful):
        given = x.clone().requires_grad_()
        torch.manual_seed(0)
        out = m(given)
        out.square().sum().backward()
        assert torch.equal(given, x)
        found.append([out, given.grad, *(p.grad for p in m.parameters())])
    torch.testing.assert_close(*found, rtol=0, atol=0)
    assert torch.equal(model.eval()(x), careful.eval()(x))


def test_a_seed_is_the_weights_and_leaves_the_generator_alone() -> None:
    graph = compiled(NETWORKS["small"])
    before = torch.get_rng_state()
    a, b, c = (build(graph, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not torch.equal(a["conv1.weight"], c["conv1.weight"])
    torch.manual_seed(1)
    assert torch.equal(build(graph).state_dict()["layer2.0.conv1.weight"], a["layer2.0.conv1.weight"])


@pytest.mark.parametrize("seed", [None, 0])
def test_meta_device_and_default_dtype(seed: int | None) -> None:
    with torch.device("meta"):
        assert {p.device.type for p in build("resnet1202", seed=seed).parameters()} == {"meta"}
    torch.set_default_dtype(torch.float64)
    try:
        assert {p.dtype for p in build("resnet20", seed=seed).parameters()} == {torch.float64}
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.needs("cuda")
def test_a_seed_is_the_same_weights_on_a_gpu() -> None:
    graph = compiled(NETWORKS["small"])
    before = torch.cuda.get_rng_state()
    with torch.device("cuda"):
        there = build(graph, seed=1).state_dict()
    here = build(graph, seed=1).state_dict()
    assert all(there[k].is_cuda and torch.equal(there[k].cpu(), here[k]) for k in here)
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_a_name_a_spec_and_a_graph_are_the_same_network() -> None:
    spec = load("resnet20-digits")
    names = [list(build(network).state_dict()) for network in ("resnet20-digits", spec, compile(spec))]
    assert names[0] == names[1] == names[2]


def test_deepcopy_is_another_model() -> None:
    model, x = made("mixed")
    twin = copy.deepcopy(model.eval())
    assert type(twin) is type(model)
    assert not twin.training
    assert torch.equal(twin(x), model(x))
    with torch.no_grad():
        twin.conv1.weight.zero_()
    assert model.conv1.weight.any()


def python(code: str, *arguments: str, cwd: Path, isolated: bool = False) -> str:
    done = subprocess.run([sys.executable, *(["-I"] if isolated else []), "-c", code, *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pickle_in_a_fresh_process(tmp_path: Path) -> None:
    """The whole model with its state, and a block alone."""
    model, x = made("mixed")
    model.train()(x)
    model.eval()
    model.note = "kept"
    torch.save((model, model.layer1[0], x, model(x)), tmp_path / "model.pt")
    code = """
import torch
model, block, x, expected = torch.load("model.pt", weights_only=False)
assert torch.equal(model(x), expected) and model.note == "kept" and not model.training
assert torch.equal(block(torch.ones(1, 8, 8, 8)), model.layer1[0](torch.ones(1, 8, 8, 8))) and type(block) is type(model.layer1[0])
print(type(model).__name__)
"""
    assert python(code, cwd=tmp_path) == "Small\n"


def test_a_pickle_holds_the_source_once() -> None:
    model, _ = made("small")
    assert pickle.dumps(model).count(b"Written by resnet-dsl") == 1


def test_emitted_files_need_torch_alone(tmp_path: Path) -> None:
    """Run by an interpreter that refuses every import of ours; same keys, same outputs."""
    for name, spec in NETWORKS.items():
        graph = compiled(spec)
        model = build(graph, seed=0).eval()
        folder = tmp_path / name
        folder.mkdir()
        (folder / "net.py").write_text(emit(graph))
        torch.save((class_name(graph), model.state_dict(), batch(graph), model(batch(graph)).detach()), folder / "expected.pt")
    code = """
import pathlib, runpy, sys
sys.modules["resnet_dsl"] = None
import torch
for folder in pathlib.Path.cwd().iterdir():
    name, weights, x, expected = torch.load(folder / "expected.pt")
    model = runpy.run_path(str(folder / "net.py"))[name]()
    assert list(model.state_dict()) == list(weights)
    model.load_state_dict(weights)
    assert torch.equal(model.eval()(x), expected), folder
    print(folder.name)
"""
    assert set(python(code, cwd=tmp_path, isolated=True).split()) == set(NETWORKS)


def test_hooks_fire_at_every_level() -> None:
    model, x = made("small")
    fired = []
    for path in ("layer1", "layer1.0", "layer2.0.downsample", "layer2.0.downsample.0"):
        model.get_submodule(path).register_forward_hook(lambda m, i, out, path=path: fired.append(path))
    model(x)
    assert fired == ["layer1.0", "layer1", "layer2.0.downsample.0", "layer2.0.downsample"]


def test_tracebacks_and_debuggers_show_the_source() -> None:
    model, x = made("small")
    with pytest.raises(RuntimeError) as caught:
        model(x[:, :2])
    assert "    x = self.conv1(x)" in "\n".join(traceback.format_exception(caught.value))


def test_printing_shows_the_structure() -> None:
    text = str(made("small")[0])
    assert "(layer1): Sequential(" in text
    assert "(0): Basic(" in text


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo looks at it itself
@pytest.mark.parametrize("name", NETWORKS)
def test_compile_as_one_graph(name: str) -> None:
    """The whole network from a function elsewhere, and each block alone; captured without a break."""
    torch._dynamo.reset()
    model, x = made(name)
    model.eval()
    expected = model(x)
    whole = torch.compile(lambda x: model(x) * 1, fullgraph=True, backend="eager")
    torch.testing.assert_close(whole(x), expected)
    for path, block in model.named_modules():
        if re.fullmatch(r"layer\d\.\d", path):
            block.compile(fullgraph=True, backend="eager")
    torch.testing.assert_close(model(x), expected)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # dynamo looks at it itself
def test_more_distinct_blocks_than_dynamo_recompiles() -> None:
    """Each distinct block is code of its own, so none counts against the recompile limit of another."""
    torch._dynamo.reset()
    depth = torch._dynamo.config.recompile_limit + 3
    model = build(compiled(small(block={"dense": {"growth": 1}}, shortcut="identity", stages=[{"depth": depth, "width": 8}])))
    x = torch.randn(2, 8, 4, 4)
    for block in model.layer1:
        x = torch.compile(block, fullgraph=True, backend="eager")(x)
    assert x.shape == (2, 8 + depth, 4, 4)


@pytest.mark.needs("compiler")
@pytest.mark.filterwarnings("ignore")  # what inductor says about its own machine
def test_compile_to_machine_code() -> None:
    torch._dynamo.reset()
    block, x = made("small")[0].eval().layer1[0], torch.randn(2, 8, 8, 8)
    torch.testing.assert_close(torch.compile(block, fullgraph=True)(x), block(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_export_keeps_the_levels(name: str) -> None:
    model, x = made(name)
    model.eval()
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(exported.module()(torch.cat([x, x])), model(torch.cat([x, x])))
    levels = {path for n in exported.graph.nodes for path, _ in n.meta.get("nn_module_stack", {}).values()}
    assert {"layer1", "layer1.0"} <= levels


@pytest.mark.parametrize("name", ["small", "zero-pad", "bottleneck", "mixed", "gate-channel"])
def test_channels_last(name: str) -> None:
    model, x = made(name)
    expected = model.eval()(x)
    model.to(memory_format=torch.channels_last)
    layouts = []
    model.layer2.register_forward_hook(lambda m, i, out: layouts.append(out.is_contiguous(memory_format=torch.channels_last)))
    torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-5)
    assert layouts == [True]


@pytest.mark.parametrize("name", NETWORKS)
def test_bf16_autocast_trains(name: str) -> None:
    model, x = made(name)
    expected = copy.deepcopy(model).eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = model.eval()(x)
        assert out.dtype == torch.bfloat16
        torch.testing.assert_close(out.float(), expected, rtol=0.1, atol=0.1)
        loss = model.train()(x).float().square().sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
