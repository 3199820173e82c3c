"""Strides and pools of one axis, dilation of stages, and output_stride: the module's shapes, costs and values, and torchvision's rule."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import compiled, small
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

import resnet_dsl as rd
from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.language.resolved import resolved
from resnet_dsl.runtime.build import build

SIDES = ([1, 2], [3, 1])
OWN: dict[str, Any] = {
    # The stage's stride comes through an argument, a let, a sequence and a residual in place.
    "args": {"by": "stride", "way": 3},
    "let": {"again": "by"},
    "body": [
        {"conv": {"out": "width", "kernel": ["way", 1], "stride": "again if again > 1 else 1"}},
        {"residual": {"body": ["norm", "act", {"conv_norm_act": {"kernel": 3}}]}},
        {"repeat": {"times": 2, "steps": [{"conv": {"kernel": "index * 2 + 1"}}]}},
    ],
}
STRIDED: dict[str, Any] = {
    "body": [
        {"residual": {"stride": "stride", "shortcut": "D", "body": [{"conv_norm_act": {"out": "width", "kernel": 3, "stride": "stride"}}]}}
    ]
}

NETWORKS: dict[str, dict[str, Any]] = {
    **{f"{block}-{policy}": {"block": block, "shortcut": policy} for block in ("basic", "bottleneck", "preact_basic", "preact_bottleneck") for policy in "ABCD"},
    "paper": {"block": {"bottleneck": {"stride_at": 1, "se": 4}}},
    "single": {"block": "single", "shortcut": "none"},
    "dense": {"block": {"dense": {"growth": 4}}, "shortcut": "D"},
    "highway": {"block": "preact_basic", "merge": {"highway": {"gate": "conv", "kernel": 3}}},
    "highway-channel": {"merge": {"highway": {"gate": "channel"}}},
    "own": {"blocks": {"own": OWN}, "block": "own"},
    "strided": {"blocks": {"own": STRIDED}, "block": "own"},
    "stem": {"stem": [{"conv": {"out": 8, "kernel": [3, 5], "stride": [1, 2]}}, "norm", {"maxpool": {"kernel": [1, 3], "stride": [1, 2], "padding": [0, 1]}}, {"avgpool": {"kernel": [2, 1]}}]},
}  # fmt: skip


def sided(changes: dict[str, Any], stride: list[int], **more: Any) -> dict[str, Any]:
    stages = [{"depth": 2, "width": 8}, {"depth": 2, "width": 16, "stride": stride}, {"depth": 1, "width": 16, "stride": stride[::-1]}]
    return small(input={"channels": 2, "height": 13, "width": 22}, stages=stages) | changes | more


def require_the_modules_figures(graph: Graph) -> None:
    """Shapes at every node, parameters and MACs as torch has them."""
    with torch.device("meta"):
        model, x = build(graph).eval(), torch.empty(1, *graph.input)
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    with FlopCounterMode(display=False) as counter:
        model(x)
    nodes = {f.path: f.node.shape for f in graph.nodes() if f.path in seen}
    assert len(nodes) > 5
    assert {name: seen[name] for name in nodes} == nodes
    cost = Costs(graph).network
    assert sum(p.numel() for p in model.parameters()) == cost.params
    assert counter.get_total_flops() == 2 * cost.macs


@pytest.mark.parametrize("stride", SIDES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_with_strides_of_one_axis(name: str, stride: list[int]) -> None:
    require_the_modules_figures(compiled(sided(NETWORKS[name], stride)))


@pytest.mark.parametrize("name", ["basic-B", "bottleneck-D", "preact_basic-A", "dense", "highway", "own"])
def test_read_again_and_in_reverse(name: str, tmp_path: Path) -> None:
    """The resolved text gives the same graph; the turned network on the turned picture gives the same classes."""
    spec = sided(NETWORKS[name], [1, 2])
    path = tmp_path / "small.yaml"
    path.write_text(json.dumps(spec))
    graph = compile(load(str(path)))
    path.write_text(resolved(load(str(path)), origins=False))
    assert compile(load(str(path))).text() == graph.text()
    if name == "own":
        return  # its kernel has a direction
    turned = json.loads(json.dumps(spec))
    turned["input"].update(height=22, width=13)
    for stage in turned["stages"]:
        if "stride" in stage:
            stage["stride"].reverse()
    model, other = build(graph, seed=0).eval(), build(compiled(turned), seed=0).eval()
    state = {k: v.transpose(2, 3) if v.dim() == 4 else v for k, v in model.state_dict().items()}
    other.load_state_dict(state)
    x = torch.randn(2, 2, 13, 22)
    assert torch.allclose(model(x), other(x.transpose(2, 3)), atol=1e-5)


def test_shortcuts_by_axis() -> None:
    """Each policy beside what it is by hand."""
    x = torch.randn(1, 8, 6, 10)
    for policy in "ABD":
        changes = {"stem": [], "input": {"channels": 8, "height": 6, "width": 10}, "shortcut": policy}
        model = build(compiled(small(stages=[{"depth": 1, "width": 12, "stride": [1, 2]}]) | changes), seed=0).eval()
        short = model.layer1[0].downsample  # type: ignore[union-attr, index]
        if policy == "A":
            expected = functional.pad(x[:, :, :, ::2], (0, 0, 0, 0, 0, 4))
        elif policy == "B":
            expected = functional.conv2d(x, short[0].weight, stride=(1, 2)) / (1 + 1e-5) ** 0.5
        else:
            expected = functional.conv2d(functional.avg_pool2d(x, (1, 2)), short[1].weight) / (1 + 1e-5) ** 0.5
        assert torch.allclose(short(x), expected, atol=1e-6)


def test_a_signal_of_height_1() -> None:
    """`basic` on one line is a network for signals: its middle rows, as a network of Conv1d."""
    spec = small(
        input={"channels": 3, "height": 1, "width": 64}, stages=[{"depth": 1, "width": 8}, {"depth": 1, "width": 16, "stride": [1, 2]}]
    )
    graph = compiled(spec)
    require_the_modules_figures(graph)
    model = build(graph, seed=0).eval()
    x = torch.randn(2, 3, 64)
    state = model.state_dict()

    def line(name: str, y: torch.Tensor, stride: int = 1) -> torch.Tensor:
        kernel = state[f"{name}.weight"]
        kernel = kernel[:, :, kernel.shape[2] // 2]
        return functional.conv1d(y, kernel, stride=stride, padding=kernel.shape[2] // 2) / (1 + 1e-5) ** 0.5

    y = line("conv1", x).relu()
    y = (line("layer1.0.conv2", line("layer1.0.conv1", y).relu()) + y).relu()
    y = (line("layer2.0.conv2", line("layer2.0.conv1", y, 2).relu()) + line("layer2.0.downsample.0", y, 2)).relu()
    assert torch.allclose(model(x[:, :, None]), functional.linear(y.mean(2), state["fc.weight"], state["fc.bias"]), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message", "help"),
    [
        ({"input": {"channels": 1, "height": 1, "width": 64}}, "the height of a map of 8x1x64 is 1 already: the map is too small", "write stride: [1, 2]"),
        ({"input": {"channels": 1, "height": 64, "width": 1}}, "the width of a map of 8x64x1 is 1 already", "write stride: [2, 1]"),
        ({"input": {"channels": 1, "height": 1, "width": 1}}, "the map is too small", "use fewer strides or a larger input"),
        ({"stages": [{"depth": 1, "width": 8, "stride": [1, 2, 2]}]}, "'stride' takes one number or a pair of two", "write 3 or"),
        ({"stages": [{"depth": 1, "width": 8, "stride": []}]}, "'stride' takes one number or a pair", "write 3 or"),
        ({"stages": [{"depth": 1, "width": 8, "stride": [0, 2]}]}, "'stride' must be at least 1", "use a whole number"),
        ({"stages": [{"depth": 1, "width": 8, "stride": [1, 300]}]}, "'stride' is over the limit", "use a whole number"),
        ({"stages": [{"depth": 1, "width": 8, "stride": {"h": 1}}]}, "must be a whole number", "write"),
        ({"stages": [{"depth": 1, "width": 8, "stride": ["k", 1]}]}, "unknown name 'k'", "params"),
        ({"stages": [{"depth": 1, "width": 8, "stride": [1, 2]}], "shortcut": "identity"}, "with stride [1, 2]", "use a policy"),
        ({"stages": [{"depth": 1, "width": 8, "stride": [1, 2]}], "blocks": {"own": {"body": [{"conv": {"out": "width", "kernel": 3}}]}}, "block": "own"},
         "no step takes the stage's stride of [1, 2]", "give one step"),
        ({"stages": [{"depth": 1, "width": 8, "dilation": [2, 0]}]}, "'dilation' must be at least 1", "use a whole number"),
        ({"stages": [{"depth": 1, "width": 8, "dilation": 2}], "blocks": {"own": {"body": [{"conv": {"out": "width", "kernel": 3}}]}}, "block": "own"},
         "block 'own' takes no dilation, but stage 'layer1' has one", "conv: {..., dilation: dilation}"),
        ({"stages": [{"depth": 1, "width": 8, "dilation": 2}, {"depth": 1, "width": 8, "block": "own"}], "blocks": {"own": {"body": [{"conv": {"out": "width", "kernel": 3}}]}}},
         "which it has from the stage before", "conv: {..., dilation: dilation}"),
        ({"input": {"features": 8}, "stem": [], "block": "mlp", "shortcut": "Ws", "stages": [{"depth": 1, "width": 8, "dilation": 2}]}, "dilation must be 1 where features", "delete the dilation"),
        ({"input": {"features": 8}, "stem": [], "block": "mlp", "shortcut": "Ws", "stages": [{"depth": 1, "width": 8, "stride": [1, 2]}]}, "stride must be 1 where features", "delete the stride"),
        ({"input": {"features": 8}, "stem": [], "block": "mlp", "shortcut": "Ws", "stages": [{"depth": 1, "width": 8}], "output_stride": 2}, "output_stride is for maps", "delete it"),
        ({"output_stride": 4}, "output_stride is 4, but the stages divide the input by 2", "use output_stride: 2, or delete it"),
        ({"output_stride": 0}, "'output_stride' must be at least 1", "use a whole number"),
        ({"output_stride": 1, "stem": "imagenet"}, "the stages divide the input by 4: only the `stride` of stages becomes dilation", "use output_stride: 4"),
        ({"params": {"dilation": 2}}, "'dilation' is already taken", "choose another name"),
    ],
)  # fmt: skip
def test_what_is_refused(changes: dict[str, Any], message: str, help: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(small(**changes))
    assert any(message in d.message and help in d.help for d in caught.value.diagnostics), [
        (d.message, d.help) for d in caught.value.diagnostics
    ]


# --- dilation ----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """torchvision's Bottleneck with dilation, or timm's BasicBlock (`first` is the first convolution's), by hand."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int, first: int, basic: bool) -> None:
        super().__init__()
        out = width if basic else width * 4
        self.basic, self.relu = basic, nn.ReLU()
        if basic:
            self.conv1 = nn.Conv2d(channels, width, 3, stride, first, dilation=first, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation=dilation, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
        else:
            self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, first, dilation=first, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) if self.basic else self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Twin(nn.Module):
    """ResNet as torchvision writes it: `replace` says of layer2 to layer4 whether their stride becomes dilation."""

    def __init__(self, depths: tuple[int, ...], basic: bool, replace: tuple[bool, ...]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels, dilation = 64, 1
        for i, depth in enumerate(depths):
            before, stride = dilation, 1 if i == 0 else 2
            if i > 0 and replace[i - 1]:
                dilation, stride = dilation * stride, 1
            blocks = []
            for j in range(depth):
                blocks.append(Block(channels, 64 * 2**i, stride if j == 0 else 1, dilation, before if j == 0 else dilation, basic))
                channels = 64 * 2**i * (1 if basic else 4)
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, 1000)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        found = []
        for i in range(1, 5):
            x = getattr(self, f"layer{i}")(x)
            found.append(x)
        return [*found, self.fc(x.mean((2, 3)))]


@pytest.mark.parametrize(
    ("name", "depths", "stride", "replace"),
    [
        ("resnet18", (2, 2, 2, 2), 8, (False, True, True)),
        ("resnet18", (2, 2, 2, 2), 4, (True, True, True)),
        ("resnet50", (3, 4, 6, 3), 8, (False, True, True)),
        ("resnet50", (3, 4, 6, 3), 16, (False, False, True)),
        ("resnet50", (3, 4, 6, 3), 32, (False, False, False)),
    ],
)
def test_an_output_stride_is_torchvisions_replacement(name: str, depths: tuple[int, ...], stride: int, replace: tuple[bool, ...]) -> None:
    model = rd.build(name, output_stride=stride, seed=0).eval()
    twin = Twin(depths, name == "resnet18", replace).eval()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if key.endswith("running_mean"):
                value.uniform_(-0.1, 0.1)
    twin.load_state_dict(model.state_dict())  # names and shapes are those of the network with its strides
    assert model.state_dict().keys() == rd.build(name).state_dict().keys()
    x = torch.randn(1, 3, 65, 64)
    found, expected = rd.build(name, output_stride=stride, outputs=("layer2", "layer4")).eval(), twin(x)
    found.load_state_dict(model.state_dict(), strict=False)
    taps = found(x)
    assert torch.equal(taps[0], expected[1]) and torch.equal(taps[1], expected[3])
    assert torch.allclose(model(x), expected[4], atol=1e-6)
    assert [f["reduction"] for f in found.feature_info] == [min(8, stride), stride]


def test_the_short_form_is_the_long_one() -> None:
    """What people wrote by hand: a block of their own with an argument called dilation."""
    long: dict[str, Any] = {
        "extends": "resnet50",
        "stages": {"layer3": {"stride": 1, "block": {"dilated": {"dilation": 2, "first": 1}}}, "layer4": {"stride": 1, "block": {"dilated": {"dilation": 4, "first": 2}}}},
        "blocks": {"dilated": {
            "args": {"dilation": 1, "first": 1}, "out": "width * 4", "after": ["act"],
            "body": [
                {"conv": {"out": "width", "kernel": 1}}, "norm", "act",
                {"conv": {"out": "width", "kernel": 3, "stride": "stride", "dilation": "first if index == 0 else dilation"}}, "norm", "act",
                {"conv": {"out": "out", "kernel": 1}}, "norm",
            ],
        }},
    }  # fmt: skip
    by_hand = compiled(long)
    stages = {"layer3": {"stride": 1, "dilation": 2}, "layer4": {"stride": 1, "dilation": 4}}
    by_stage, short = compiled({"extends": "resnet50", "stages": stages}), compile(load("resnet50", {"output_stride": "8"}))
    inherited = compiled({"extends": "resnet50", "stages": {"layer3": {"stride": 1, "dilation": 2}}, "output_stride": 8})
    assert by_stage.text().split("\n", 1)[1] == short.text().split("\n", 1)[1] == inherited.text().split("\n", 1)[1]
    for graph in (by_hand, short):
        require_the_modules_figures(graph)
    assert Costs(by_hand).network == Costs(short).network
    assert all(c.status == "same" for c in rd.diff(by_stage, short).changes)
    assert rd.diff("resnet50", short).weights.fits


@pytest.mark.parametrize(
    "name",
    ["resnext50-32x4d", "se-resnet50", "resnet50d", "preresnet50", "wrn-28-10", "mobilenetv2", "regnetx-400mf", "efficientnet-b0"],
)
def test_other_networks(name: str) -> None:
    plain = compile(load(name))
    most = 2 if name == "wrn-28-10" else 8
    graph = compile(load(name, {"output_stride": str(most)}))
    require_the_modules_figures(graph)
    with torch.device("meta"):
        state = build(graph).state_dict()
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in build(plain).state_dict().items()}
    # The map before the head is as large as the input divided by it.
    last = [f.node.shape for f in graph.nodes() if len(f.node.shape) == 3 and f.node.shape[1] > 1][-1]
    assert last[1] == graph.input[1] // most


def test_a_dilation_stays_until_a_stage_says_otherwise() -> None:
    stages = [{"depth": 2, "width": 8, "dilation": 2}, {"depth": 2, "width": 8}, {"depth": 2, "width": 8, "dilation": [1, 3]}]
    graph = compiled(small(stages=stages))
    require_the_modules_figures(graph)
    found = [f.node.pair("dilation") for f in graph.nodes() if f.node.op == "conv" and "layer" in f.path and "downsample" not in f.path]
    # In each stage's first block the first conv keeps that of the stage before.
    assert found == [(1, 1), (2, 2), (2, 2), (2, 2), *[(2, 2)] * 4, (2, 2), (1, 3), (1, 3), (1, 3)]
