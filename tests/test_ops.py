"""The op table against torch, on the meta device: shapes, parameters, macs, and what is refused, at random odd geometries."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_dsl.emission.source import emit
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program, Shape
from resnet_dsl.ops.shapes import ShapeProblem
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS
from resnet_dsl.ops.torch_text import HELPERS
from resnet_dsl.runtime.build import load_source

Attrs = dict[str, Any]


def a_map(r: Random, channels: int = 0) -> Shape:
    return (channels or r.randint(1, 13), r.randint(2, 17), r.randint(2, 17))


def either(r: Random) -> Shape:
    return r.choice([a_map(r), (r.randint(2, 13),)])


def pair(r: Random, low: int, high: int) -> tuple[int, int]:
    return r.randint(low, high), r.randint(low, high)


def conv(r: Random) -> tuple[Shape, Attrs]:
    groups = r.choice([1, 1, 2, 3, 4])
    geometry = {"kernel": pair(r, 1, 7), "stride": pair(r, 1, 4), "padding": pair(r, 0, 4), "dilation": pair(r, 1, 3)}
    return a_map(r, groups * r.randint(1, 4)), {"out": groups * r.randint(1, 5), "groups": groups, "bias": r.random() < 0.5, **geometry}


def pool(r: Random) -> tuple[Shape, Attrs]:
    kernel = pair(r, 1, 7)
    padding = (r.randint(0, kernel[0] // 2), r.randint(0, kernel[1] // 2))
    return a_map(r), {"kernel": kernel, "stride": pair(r, 1, 7), "padding": padding, "ceil": r.random() < 0.6}


def grouped(extra: Attrs) -> Callable[[Random], tuple[Shape, Attrs]]:
    def sample(r: Random) -> tuple[Shape, Attrs]:
        groups = r.choice([1, 2, 3, 4])
        return a_map(r, groups * r.randint(1, 4)), {"groups": groups, **extra}

    return sample


def part(r: Random) -> tuple[Shape, Attrs]:
    shape = either(r)
    start = r.randint(0, shape[0] - 1)
    return shape, {"from": start, "to": r.randint(start + 1, shape[0])}


def padded(r: Random) -> tuple[Shape, Attrs]:
    shape = either(r)
    return shape, {"out": shape[0] + r.randint(0, 5)}


SAMPLES: dict[str, Callable[[Random], tuple[Shape, Attrs]]] = {
    "conv": conv,
    "linear": lambda r: ((r.randint(1, 30),), {"out": r.randint(1, 30), "bias": r.random() < 0.5}),
    "batch_norm": lambda r: (either(r), {"eps": r.choice([1e-5, 1e-3]), "momentum": 0.1}),
    "group_norm": grouped({"eps": 1e-5}),
    "layer_norm": lambda r: (either(r), {"eps": 1e-6}),
    "instance_norm": lambda r: (a_map(r), {"eps": 1e-5}),
    **dict.fromkeys(("no_norm", "relu", "relu6", "gelu", "silu", "hardswish", "elu", "tanh", "sigmoid", "hardsigmoid", "no_act"),
                    lambda r: (either(r), {})),
    "leaky_relu": lambda r: (either(r), {"slope": 0.2}),
    "softmax": grouped({}),
    "maxpool": pool,
    "avgpool": pool,
    "globalpool": lambda r: (a_map(r), {"kind": r.choice(["avg", "max"])}),
    "flatten": lambda r: (a_map(r), {}),
    "dropout": lambda r: (either(r), {"rate": 0.3}),
    "droppath": lambda r: (either(r), {"rate": 0.3}),
    "scale": lambda r: (either(r), {"init": r.choice([0, 0.5]), "per": r.choice(["scalar", "channel"]), "learn": r.random() < 0.7}),
    "bias": lambda r: (either(r), {"init": 0, "per": r.choice(["scalar", "channel"])}),
    "subsample": lambda r: (a_map(r), {"stride": pair(r, 1, 5)}),
    "pad_channels": padded,
    "slice": part,
    "channel_shuffle": grouped({}),
}  # fmt: skip


def run(shape: Shape, *steps: tuple[str, str, tuple[str, ...], Attrs]) -> None:
    """Emit a network of these steps (path, op, inputs, attributes), run it, compare what the table says of each step."""
    shapes = {SCOPE_INPUT: shape}
    nodes, params, macs = [], 0, 0
    for path, op, inputs, attrs in steps:
        row, x = OPS[op], tuple(shapes[i] for i in inputs)
        shapes[path] = row.shape(Site(attrs, x))
        site = Site(attrs, x, shapes[path])
        params += row.params(site)
        macs += row.macs(site)
        assert row.label(site)
        nodes.append(Node(path, op, shapes[path], inputs, tuple(attrs.items())))
    with torch.device("meta"):
        # One step is no network of classes, which is what `build` asks for.
        model = load_source(emit(Graph("net", 2, Program("network", "network", shape, tuple(nodes)), "torch"))).Net()
        batch = torch.empty(2, *shape)
    with FlopCounterMode(display=False) as counter:
        out = model(batch)
    assert out.shape == (2, *shapes[path])
    assert model.eval()(batch).shape == out.shape
    assert sum(p.numel() for p in model.parameters()) == params
    assert counter.get_total_flops() == 2 * 2 * macs  # a multiply-accumulate is two; a batch of two


@pytest.mark.parametrize("op", SAMPLES)
def test_a_row_says_what_torch_does(op: str) -> None:
    r, done = Random(op), 0
    while done < 25:
        shape, attrs = SAMPLES[op](r)
        try:
            OPS[op].shape(Site(attrs, (shape,)))
        except ShapeProblem:
            continue
        run(shape, ("op", op, (SCOPE_INPUT,), attrs))
        done += 1


Step = tuple[str, str, tuple[str, ...], Attrs]
CUT: Step = ("c", "slice", ("",), {"from": 0, "to": 3})
GATE: Step = ("g", "globalpool", ("",), {"kind": "avg"})
MERGES: dict[str, tuple[str, list[Step]]] = {
    "add": ("map", [("y", "add", ("", "", ""), {})]),
    "add-vectors": ("vector", [("y", "add", ("", ""), {})]),
    "mul": ("map", [("y", "mul", ("", ""), {})]),
    "mul-gate": ("map", [GATE, ("y", "mul", ("g", ""), {})]),
    "mul-gate-second": ("map", [GATE, ("y", "mul", ("", "g"), {})]),
    "concat": ("map", [CUT, ("y", "concat", ("", "c", ""), {})]),
    "concat-vectors": ("vector", [CUT, ("y", "concat", ("c", ""), {})]),
    "highway": ("map", [("t", "tanh", ("",), {}), ("y", "highway", ("t", "", ""), {})]),
    "highway-channel": ("map", [GATE, ("f", "flatten", ("g",), {}), ("y", "highway", ("", "", "f"), {})]),
    "highway-vectors": ("vector", [("y", "highway", ("", "", ""), {})]),
}


@pytest.mark.parametrize("name", MERGES)
def test_a_merge_says_what_torch_does(name: str) -> None:
    shape, steps = MERGES[name]
    run((5, 7, 3) if shape == "map" else (5,), *steps)


def test_every_op_is_tested() -> None:
    merges = {op for _, steps in MERGES.values() for _, op, _, _ in steps if OPS[op].group == "merge"}
    assert {*SAMPLES, *merges} == set(OPS)


NAMESPACE: dict[str, Any] = {"torch": torch, "nn": nn, "F": torch.nn.functional}
for text in HELPERS.values():
    exec(text, NAMESPACE)


@pytest.mark.parametrize("op", ["conv", "maxpool", "avgpool", "group_norm", "channel_shuffle", "softmax"])
def test_what_the_table_refuses_torch_refuses_too(op: str) -> None:
    """But for a stride along a side of 1, which torch lets pass and the language does not."""
    r, refused = Random(op), 0
    for _ in range(600):
        shape, attrs = SAMPLES[op](r)
        shape = r.choice([shape, (shape[0] + 1, *shape[1:]), (*shape[:1], 1, *shape[2:])]) if len(shape) == 3 else a_map(r)
        if "padding" in attrs:
            attrs["padding"] = pair(r, 0, 5)
        try:
            OPS[op].shape(Site(attrs, (shape,)))
        except ShapeProblem as problem:
            if problem.argument == "stride":
                continue
            refused += 1
            module = OPS[op].module
            assert module is not None
            with pytest.raises((RuntimeError, ValueError)), torch.device("meta"):
                eval(module(Site(attrs, (shape,), (attrs.get("out", shape[0]), 1, 1))), NAMESPACE)(torch.empty(2, *shape))
    assert refused > 20


def test_droppath_drops_whole_samples_and_keeps_the_mean() -> None:
    drop = NAMESPACE["DropPath"](0.25)
    torch.manual_seed(0)
    out = drop(torch.ones(8000, 3, 2, 2))
    assert sorted(set(out.flatten().tolist())) == [0, pytest.approx(4 / 3)]
    assert (out == out[:, :1, :1, :1]).all()
    assert out.mean() == pytest.approx(1, abs=0.02)
    assert drop.eval()(out) is out


def test_softmax_is_across_groups() -> None:
    x = torch.randn(2, 6, 3, 3)
    out = NAMESPACE["GroupSoftmax"](2)(x)
    assert torch.allclose(out[:, :3] + out[:, 3:], torch.ones(2, 3, 3, 3))
    assert torch.allclose(out[:, :3], torch.sigmoid(x[:, :3] - x[:, 3:]), atol=1e-6)


def test_layer_norm_of_a_map_is_over_the_channels_of_each_pixel() -> None:
    x = torch.randn(2, 6, 3, 4)
    norm = NAMESPACE["LayerNorm2d"](6, eps=1e-6)
    expected = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
    assert torch.allclose(norm(x), expected, atol=1e-5)


def test_shortcut_a_takes_every_second_pixel_and_appends_zeros() -> None:
    x = torch.arange(2 * 3 * 5 * 5.0).reshape(2, 3, 5, 5)
    out = NAMESPACE["PadChannels"](2)(NAMESPACE["Subsample"]((2, 2))(x))
    assert out.shape == (2, 5, 3, 3)
    assert (out[:, :3] == x[:, :, ::2, ::2]).all()
    assert not out[:, 3:].any()


def test_highway_mixes_by_the_gate() -> None:
    f, s = torch.tensor([1.0, 1.0, 1.0]), torch.tensor([5.0, 5.0, 5.0])
    assert NAMESPACE["highway"](f, s, torch.tensor([0.0, 0.5, 1.0])).tolist() == [5, 3, 1]
