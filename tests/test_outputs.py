"""Values from inside a network in place of its classes: equal to what hooks see in the whole network, and nothing held for the rest."""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from test_memory import BATCH, measured
from torch import nn

import resnet_dsl as rd
from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.features import features
from resnet_dsl.analysis.memory import Saving
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.emission.source import emit
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.outputs import select
from resnet_dsl.graph.verify import verify
from resnet_dsl.language import load
from resnet_dsl.pictures.draw import draw
from resnet_dsl.verbs.modules import build

GOLDEN = Path(__file__).parent / "data" / "emitted_outputs.txt"


def values(model: nn.Module, names: list[str], x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What hooks on the whole network see. A clone: an activation in place may overwrite what it reads."""
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(lambda m, i, out, name=name: seen.__setitem__(name, out.clone())) for name in names
    ]
    model(x)
    for hook in hooks:
        hook.remove()
    return seen


def batch(graph: Graph) -> torch.Tensor:
    return torch.randn(3, *graph.input, generator=torch.Generator().manual_seed(1))


def parts(graph: Graph) -> list[str]:
    """Every module of the network by its path."""
    scopes = [path for path, _ in graph.instances() if path]
    held = {name for name, _ in build(graph).named_modules()}
    return [name for name in (*scopes, *(f.path for f in graph.nodes())) if name in held]


def same(graph: Graph, names: list[str], train: bool) -> nn.Module:
    whole = build(graph, seed=0).train(train)
    state = copy.deepcopy(whole.state_dict())
    cut = build(verify(select(graph, names)), seed=1).train(train)
    cut.load_state_dict({key: state[key] for key in cut.state_dict()})
    x = batch(graph)
    torch.manual_seed(3)
    expected = values(whole, names, x)
    torch.manual_seed(3)
    found = cut(x)
    assert isinstance(found, list) and len(found) == len(names)
    for name, value, feature in zip(names, found, features(select(graph, names)), strict=True):
        assert torch.equal(value, expected[name]), name
        assert (feature.name, feature.shape) == (name, tuple(value.shape[1:]))
    return cut


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_to_hooks_on_the_whole_network(name: str, train: bool) -> None:
    """Some modules alone, and draws of several: bit for bit."""
    graph = compiled(NETWORKS[name])
    # A mask of dropout is drawn from a stream that all draws share: with one, only what comes before a cut is the same.
    noisy = "drop" in str(NETWORKS[name])
    names = parts(graph)
    draw = random.Random(0)
    asked = [[one] for one in draw.sample(names, 4)] + [draw.sample(names, min(len(names), draw.randint(2, 6))) for _ in range(4)]
    for some in asked:
        if not (noisy and train):
            same(graph, some, train)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("resnet50", ["layer2", "layer3", "layer4"]),
        ("resnet50", ["layer3.2", "maxpool", "layer2.0.conv1", "layer3.5", "layer3"]),
        ("resnet20-digits", ["layer3.1", "layer1"]),
        ("densenet121", ["layer1", "layer2.3", "layer3"]),
        ("mobilenetv2", ["layer2", "layer4", "layer7"]),
    ],
)
def test_shipped_networks(name: str, names: list[str], train: bool) -> None:
    graph = compile(load(name, ["input={channels: 3, height: 64, width: 64}"] if name != "resnet20-digits" else []))
    same(graph, names, train)


def test_what_is_not_needed_is_not_there() -> None:
    graph = compile(load("resnet50"))
    whole, cut = build(graph), build(graph, outputs=("layer2", "layer3"))
    held = {name.partition(".")[0] for name, _ in cut.named_parameters()}
    assert held == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    assert list(cut.state_dict()) == [k for k in whole.state_dict() if k.partition(".")[0] in held]
    # By hand: the whole less layer4 (14,964,736) and fc (2,049,000).
    assert sum(p.numel() for p in cut.parameters()) == 25_557_032 - 14_964_736 - 2_049_000
    costs = Costs(select(graph, ("layer2", "layer3"))).network
    assert costs.params == sum(p.numel() for p in cut.parameters())
    assert (costs.depth, costs.shortcut_params) == (1 + 3 * (3 + 4 + 6), 256 * 66 + 512 * 258 + 1024 * 514)


def test_a_cut_inside_a_block_leaves_its_rest_away() -> None:
    cut = build("resnet50", outputs=["layer1.0.downsample", "layer1.0.bn1"])
    assert [name for name, _ in cut.named_children()] == ["conv1", "bn1", "act1", "maxpool", "layer1"]
    assert {name for name, _ in cut.get_submodule("layer1.0").named_children()} == {"conv1", "bn1", "downsample"}
    assert Costs(select(compile(load("resnet50")), ["layer1.0.conv2", "layer1.0.downsample"])).network.depth == 3


def test_a_norm_that_is_the_last_of_what_is_left_does_not_start_at_zero() -> None:
    """`zero_last` is for the sum of a block, which a cut before it does not have."""
    graph = compiled(small(init={"zero_last": True}))
    assert not build(graph).get_submodule("layer1.0.bn2").weight.any()
    assert build(graph, outputs=["layer1.0.bn1"]).get_submodule("layer1.0.bn1").weight.all()


def test_stem_and_head_are_their_last_values() -> None:
    graph = compile(load("resnet18"))
    cut = build(graph, seed=0, outputs=["head", "stem", "layer4"]).eval()
    assert list(cut.state_dict()) == list(build(graph).state_dict())
    x = batch(graph)
    head, stem, _ = cut(x)
    assert torch.equal(stem, values(cut, ["maxpool"], x)["maxpool"])
    assert head.shape == (3, 1000)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["layer5"], "resnet18 has no value called 'layer5'\n  help: did you mean 'layer4'?"),
        (["layer1.2"], "resnet18 has no value called 'layer1.2'\n  help: did you mean 'layer1.1'?"),
        (["layer1.0.conv3"], "resnet18 has no value called 'layer1.0.conv3'\n  help: did you mean 'layer1.0.conv2'?"),
        (["Stem"], "did you mean 'stem'?"),
        (["conv1.weight"], "resnet18 has no value called 'conv1.weight'\n  help: conv1 is one operation"),
        ([""], "each output is one of: conv1, bn1, "),
        (["layer1", "layer1"], "'layer1' is asked for twice"),
    ],
)
def test_names_that_the_network_does_not_have(names: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build("resnet18", outputs=names)
    assert message in str(caught.value)
    assert str(caught.value).startswith("outputs=: error[usage]: ")
    assert caught.value.exit_code == 2


def test_a_stage_may_have_any_name() -> None:
    graph = compiled(small(stages=[{"name": "early", "depth": 2, "width": 8}, {"name": "self_", "depth": 3, "width": 16, "stride": 2}]))
    found = build(graph, outputs=["self_.1", "early"])
    assert [f["module"] for f in found.feature_info] == ["self_.1", "early"]
    assert [tuple(v.shape) for v in found(batch(graph))] == [(3, 16, 4, 4), (3, 8, 8, 8)]


def test_channels_and_strides_are_told() -> None:
    model = build("resnet50", outputs=("stem", "layer2", "layer4", "avgpool", "fc"))
    assert model.feature_info == [
        {"module": "stem", "num_chs": 64, "reduction": 4},
        {"module": "layer2", "num_chs": 512, "reduction": 8},
        {"module": "layer4", "num_chs": 2048, "reduction": 32},
        {"module": "avgpool", "num_chs": 2048, "reduction": None},
        {"module": "fc", "num_chs": 1000, "reduction": None},
    ]


def test_what_inspect_tells_of_outputs() -> None:
    found = rd.inspect("resnet50", outputs=("layer2", "layer3.1"))
    whole = rd.inspect("resnet50")
    assert [(f.name, f.shape, f.channels, f.reduction) for f in found.features] == [
        ("layer2", (512, 28, 28), 512, 8),
        ("layer3.1", (1024, 14, 14), 1024, 16),
    ]
    assert whole.features == ()
    assert found.params < whole.params and found.macs < whole.macs and found.activations < whole.activations
    assert found.memory.total(8) < whole.memory.total(8)
    assert repr(found) == "<Report resnet50: 3x224x224 to 2 outputs, 4,074,560 params, 2.40 G MACs, depth 28>"
    assert "Outputs: layer2 (512x28x28, /8); layer3.1 (1024x14x14, /16)." in str(found)
    document = found.to_dict()
    assert document["classes"] is None
    assert document["outputs"] == [
        {"name": "layer2", "out": [512, 28, 28], "stride": [8, 8]},
        {"name": "layer3.1", "out": [1024, 14, 14], "stride": [16, 16]},
    ]
    assert rd.inspect("resnet50", outputs="layer2, layer3.1").to_dict() == document


@pytest.mark.parametrize("names", ["layer2", "layer1.0.bn1,layer1.0.downsample", "stem,layer1.1,layer2.1.conv2"])
@pytest.mark.parametrize("options", [{}, {"by": "block"}, {"by": "op"}, {"style": "overview"}, {"style": "paper"}])
def test_pictures_say_what_is_given(names: str, options: dict[str, Any]) -> None:
    drawing = draw(select(compiled(small(shortcut="C")), names), **options)
    assert f"gives {names.replace(',', ', ')}" in drawing.dot
    assert "5 classes" not in drawing.description


@pytest.mark.parametrize("names", ["layer2", "layer1.0.bn1,layer2.0", "layer1.1,layer2.1.conv2,stem", "conv1"])
def test_memory_is_what_torch_saves(names: str) -> None:
    cut = select(compiled(small()), names)
    assert Saving(cut).total.of(BATCH) == measured(cut)
    assert measured(cut) < measured(compiled(small()))


def saved(folder: Path, state: dict[str, Any]) -> Path:
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


def test_weights_load_by_name(tmp_path: Path) -> None:
    """From a file of the whole network, of another head, and of the cut itself; what is left out is not read."""
    graph = compile(load("resnet18"))
    whole = build(graph, seed=0)
    names = ["layer2", "layer1.0"]
    expected = {k: v for k, v in whole.state_dict().items() if k in build(graph, outputs=names).state_dict()}
    other = whole.state_dict() | {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    for state in (whole.state_dict(), other, expected, {f"module.{k}": v for k, v in whole.state_dict().items()}):
        found = build(graph, weights=saved(tmp_path, state), outputs=names).state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(found[k], expected[k]) for k in expected)
    for wrong, message in (
        ({k: v for k, v in expected.items() if k != "layer1.1.conv1.weight"}, "lacks layer1.1.conv1.weight"),
        (expected | {"layer1.2.weight": torch.zeros(1)}, "has layer1.2.weight"),
    ):
        with pytest.raises(SpecError, match=message):
            build(graph, weights=saved(tmp_path, wrong), outputs=names)


def test_the_emitted_text() -> None:
    """A stage that is split, a block that gives a tap, another that is cut short. Reviewed by eye."""
    graph = compiled(small(stages=[{"depth": 5, "width": 8}, {"depth": 3, "width": 16, "stride": 2}]))
    text = emit(select(graph, ["stem", "layer1.2", "layer1.3.conv1", "layer2.1.bn1", "layer1"]))
    assert text.partition("Written by")[2].partition("\n")[2] == GOLDEN.read_text()


@pytest.mark.parametrize("names", [["layer2"], ["layer1.0.conv1", "layer2.1"]])
def test_compile_export_and_pickle(names: list[str]) -> None:
    torch._dynamo.reset()
    graph = compiled(small())
    model, x = build(graph, seed=0, outputs=names).eval(), batch(graph)
    expected = model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.testing.assert_close(torch.compile(model, fullgraph=True, backend="eager")(x), expected)
        exported = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(exported.module()(torch.cat([x, x])), model(torch.cat([x, x])))
    again = pickle.loads(pickle.dumps(model))
    assert all(torch.equal(a, b) for a, b in zip(again(x), expected, strict=True))
    assert again.feature_info == model.feature_info


def test_gradients_reach_all_that_is_left() -> None:
    model = build(compiled(small()), seed=0, outputs=["layer1.1", "layer2.0"])
    sum(v.square().mean() for v in model(torch.randn(2, 3, 8, 8))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
