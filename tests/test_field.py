"""Receptive fields and strides, against where torch's gradients go and against figures that are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import compiled, small
from torch import nn

import resnet_dsl as rd
from resnet_dsl.analysis.field import Reach, Reaches
from resnet_dsl.analysis.formulas import total_stride
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.verbs.modules import build


@pytest.mark.parametrize(
    ("name", "size"),
    [("resnet18", 435), ("resnet34", 899), ("resnet50", 427), ("resnet50-v1", 483), ("resnet101", 971), ("resnet20", 81), ("vgg16", 212)],
)
def test_known_fields(name: str, size: int) -> None:
    """ResNet-50 with the stride in the 1x1, and VGG-16, as in Araujo et al. 2019; the others follow from the rule."""
    last = rd.inspect(compile(load(name))).stages[-1]
    assert last.reach.size == (size, size)


ODD = {"conv": {"out": 4, "kernel": [5, 3], "stride": [2, 1], "dilation": [1, 2], "padding": [2, 0]}}
SPECS: dict[str, dict[str, Any]] = {
    "plain": small(),
    "zero-pad": small(shortcut="A"),
    "pooled": small(shortcut="D"),
    "bottleneck": small(block="bottleneck"),
    "oblong": small(stem=[ODD, "act", {"maxpool": {"kernel": [1, 2], "stride": [1, 2]}}]),
    "branches": small(stem=[{"branches": {"merge": "concat", "paths": [[{"conv": {"out": 2, "kernel": 3, "dilation": 3}}], [{"avgpool": {"kernel": 5, "stride": 1, "padding": 2}}]]}}]),
    "shift": small(stem=[{"conv": {"out": 4, "kernel": 4, "padding": 1}}, {"subsample": {"stride": 2}}, {"avgpool": {"kernel": 2, "ceil": True}}]),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_gradients_reach_just_that_far(name: str) -> None:
    graph = compiled(SPECS[name] | {"input": {"channels": 3, "height": 200, "width": 210}})
    model = build(graph, seed=0).double().eval()
    for module in model.modules():
        for key, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):  # a maximum has one winner; what it looked at is what an average reads
                setattr(module, key, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
            if isinstance(child, nn.ReLU):
                setattr(module, key, nn.Identity())
    with torch.no_grad():
        for p in model.parameters():
            p.abs_().add_(0.01)
    seen: list[torch.Tensor] = []
    model.get_submodule("layer2").register_forward_hook(lambda _, args, out: seen.append(out))
    x = torch.randn(1, *graph.input, dtype=torch.double, requires_grad=True)
    model(x)
    reach = rd.inspect(graph).stages[-1].reach
    assert reach.sides is not None
    middle = [side // 2 for side in seen[0].shape[2:]]
    (grad,) = torch.autograd.grad(seen[0][0, 0, middle[0], middle[1]], x)
    rows = grad.abs().sum((0, 1, 3)).nonzero().flatten()
    columns = grad.abs().sum((0, 1, 2)).nonzero().flatten()
    for positions, at, (stride, first, last) in zip((rows, columns), middle, reach.sides, strict=True):
        assert (int(positions.min()), int(positions.max())) == (at * stride + first, at * stride + last)


def test_a_gate_sees_everything_and_keeps_the_stride() -> None:
    r = rd.inspect(compile(load("resnet50", ["block={bottleneck: {se: 16}}"])))
    assert [(s.reach.size, s.reach.jump) for s in r.stages] == [(None, (n, n)) for n in (4, 8, 16, 32)]
    assert r.head.reach == Reach(None, whole=True)


@pytest.mark.parametrize(("name", "stride"), [("resnet50", 32), ("resnet20", 4), ("vgg16", 32)])
def test_total_stride(name: str, stride: int) -> None:
    assert total_stride(compile(load(name))) == stride


def test_repeats_are_not_walked() -> None:
    graph = compile(load("resnet20", {"params.n": "30000"}))
    root = list(Reaches(graph).nodes(graph.root, Reach()))
    assert next(after.size for node, _, after in root if node.path == "layer3") == (28 * 30_000 - 3, 28 * 30_000 - 3)
