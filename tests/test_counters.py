"""What the usual counters say: against recorded figures of torchvision's networks, and against the counters themselves."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_dsl.analysis.cost import KINDS, Costs, total_work
from resnet_dsl.analysis.counters import COUNTERS, counters
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.verbs.modules import build

DATA = Path(__file__).parent / "data" / "counters"
RECORDED = {name: case for name, case in json.loads((DATA / "recorded.json").read_text()).items() if name != "about"}


def said(graph: Graph) -> dict[str, int]:
    return {s.counter.name: s.count for s in counters(graph).rows}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_figures(name: str) -> None:
    case = RECORDED[name]
    spec = case["spec"]
    ours = said(compile(load(str(DATA / spec) if spec.endswith(".yaml") else spec)))
    because = case.get("because", {})
    assert {k: ours[k] + sum(n for n, _ in because.get(k, ())) for k in case["says"]} == case["says"]


def test_pixels_that_torchinfo_forgets() -> None:
    """The one correction of the recorded figures that is no plain count: each 1x1 conv once, not at each pixel."""
    graph = compile(load(str(DATA / "convnext_tiny.yaml")))
    lost = 0
    for f in graph.nodes():
        if f.node.op == "conv" and f.node.pair("kernel") == (1, 1):
            channels, height, width = f.node.shape
            lost += channels * (f.in_shapes[0][0] + 1) * (height * width - 1)
    assert -lost == RECORDED["convnext_tiny"]["because"]["torchinfo"][0][0]


# --- beside the counters -----------------------------------------------------------------------------------


def fvcore(model: nn.Module, x: torch.Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis

    found = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    found.tracer_warnings("none")
    return float(found.total())


def fvcore_training(model: nn.Module, x: torch.Tensor) -> float:
    return fvcore(model.train(), x.repeat(2, *(1 for _ in x.shape[1:]))) / 2


def torchinfo(model: nn.Module, x: torch.Tensor) -> float:
    from torchinfo import summary

    return float(summary(model, input_data=x, verbose=0).total_mult_adds)


def ptflops(backend: str) -> Callable[[nn.Module, torch.Tensor], float]:
    def count(model: nn.Module, x: torch.Tensor) -> float:
        from ptflops import get_model_complexity_info

        with contextlib.redirect_stdout(io.StringIO()):
            found, _ = get_model_complexity_info(model, tuple(x.shape[1:]), as_strings=False, print_per_layer_stat=False, backend=backend)
        return float(found)

    return count


def own(model: nn.Module, x: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        model(x)
    return float(counter.get_total_flops())


TOOLS: dict[str, Callable[[nn.Module, torch.Tensor], float]] = {
    "torch": own, "fvcore": fvcore, "fvcore, train()": fvcore_training, "torchinfo": torchinfo,
    "ptflops": ptflops("pytorch"), "ptflops, aten": ptflops("aten"),
}  # fmt: skip

ACTS = ("relu6", "leaky_relu", "gelu", "silu", "hardswish", "softmax", "elu", "tanh", "sigmoid", "hardsigmoid")
SPECS: dict[str, dict[str, Any]] = {
    **NETWORKS,
    "acts": small(stem=["cifar", *({"act": act} for act in ACTS), {"act": {"kind": "softmax", "groups": 2}}]),
    "group": small(norm={"group": {"groups": 4}}),
    "layer": small(norm="layer"),
    "instance": small(norm="instance"),
    "pools": small(stem=["cifar", {"maxpool": {"kernel": 3, "stride": 1, "padding": 1}}, {"avgpool": {"kernel": 3, "stride": 1, "padding": 1}}],
                   head=[{"globalpool": {"kind": "max"}}, "flatten", {"linear": {"out": 5, "bias": False}}]),
    "vectors": {"input": {"features": 12}, "classes": 5, "norm": "layer", "stem": [{"linear": {"out": 16}}, "norm"], "block": "mlp",
                "shortcut": "identity", "stages": [{"depth": 2, "width": 16}]},
    "scales": small(stem=["cifar", {"scale": {"per": "channel"}}, {"bias": {"per": "channel"}}, {"scale": {"learn": False}}]),
}  # fmt: skip


@pytest.fixture(scope="module", params=SPECS)
def network(request: pytest.FixtureRequest) -> tuple[dict[str, int], nn.Module, torch.Tensor]:
    graph = compiled(SPECS[request.param])
    return said(graph), build(graph, seed=0).eval(), torch.randn(1, *graph.input)


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tool_says_so(network: tuple[dict[str, int], nn.Module, torch.Tensor], tool: str) -> None:
    ours, model, x = network
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tools' own
        assert TOOLS[tool](model, x) == ours[tool]
    model.eval()


@pytest.mark.parametrize("tool", ["fvcore", "torchinfo"])
def test_the_tool_says_so_of_resnet50(tool: str) -> None:
    graph = compile(load("resnet50"))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        assert TOOLS[tool](build(graph, seed=0).eval(), torch.randn(1, 3, 224, 224)) == RECORDED["resnet50"]["says"][tool]


# --- what may be counted -----------------------------------------------------------------------------------


def test_kinds_add_up() -> None:
    """ResNet-50 by hand: its elements as in the recorded make-ups of the tools."""
    graph = compile(load("resnet50"))
    extra = {"norm": 11_113_984, "act": 9_608_704, "pool": 9 * 200_704 + 100_352, "add": 5_519_360, "bias": 1_000}
    exact = 4_089_184_256
    assert {kind: Costs(graph, ["conv", "linear", kind]).network.macs - exact for kind in extra} == extra
    assert Costs(graph, KINDS).network.macs == exact + sum(extra.values())
    assert Costs(graph, ["conv"]).network.macs == exact - 2_048_000
    assert Costs(graph, ["linear"]).network.macs == 2_048_000


def test_every_quantity_that_a_counter_names_exists() -> None:
    known = {what for spec in SPECS.values() for what in total_work(compiled(spec))}
    assert {what for c in COUNTERS for what in c.adds} - known == set()
    assert {what for _, adds in KINDS.values() for what in adds} - known == set()


def test_the_table_says_what_makes_a_figure_up() -> None:
    text = counters(compile(load("resnet50"))).render(width=200)
    assert "MACs + 2 x 11,113,984 batch norm + 100,352 global avg pool inputs" in text
    assert "MACs - 231,211,008: the stride of each bottleneck in its first 1x1" in text
