"""The op table's column `exact` against torch: what a row calls the identity or zero is that, bit for bit, and bounds hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_dsl.emission.source import emit
from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program, Shape
from resnet_dsl.ops.exactness import ANYTHING, Bounds, Fill, Goal
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS
from resnet_dsl.runtime.build import load_source
from resnet_dsl.runtime.transfer import set_to

Attrs = dict[str, Any]
CONV: Attrs = {"out": 8, "kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, "bias": False}
POOL: Attrs = {"kernel": (3, 3), "stride": (1, 1), "padding": (1, 1), "ceil": False}
MAP: Shape = (8, 5, 7)
FEATURES: Shape = (8,)
POSITIVE = (0.0, inf)

# An operation, its attributes, the shape that it reads, the bounds of the block's input; can it give that back, can it give zero?
ROWS: tuple[tuple[str, Attrs, Shape, Bounds, bool, bool], ...] = (
    ("conv", CONV, MAP, ANYTHING, True, True),
    ("conv", CONV | {"bias": True, "groups": 4, "kernel": (3, 5), "padding": (1, 2)}, MAP, ANYTHING, True, True),
    ("conv", CONV | {"kernel": (5, 5), "padding": (4, 4), "dilation": (2, 2), "groups": 8}, MAP, ANYTHING, True, True),
    ("conv", CONV | {"kernel": (1, 1), "padding": (0, 0)}, MAP, ANYTHING, True, True),
    ("conv", CONV | {"out": 4}, MAP, ANYTHING, False, True),
    ("conv", CONV | {"stride": (2, 2)}, MAP, ANYTHING, False, True),
    ("conv", CONV | {"kernel": (2, 2), "padding": (1, 1), "dilation": (2, 2)}, MAP, ANYTHING, False, True),
    ("linear", {"out": 8, "bias": True}, FEATURES, ANYTHING, True, True),
    ("linear", {"out": 9, "bias": False}, FEATURES, ANYTHING, False, True),
    *(("batch_norm", {"eps": eps, "momentum": 0.1}, shape, ANYTHING, True, True)
      for eps in (1e-12, 1e-5, 1e-3, 0.3, 0.9) for shape in (MAP, FEATURES)),
    ("batch_norm", {"eps": 1.0, "momentum": 0.1}, MAP, ANYTHING, False, True),
    ("group_norm", {"groups": 4, "eps": 1e-5}, MAP, ANYTHING, False, True),
    ("layer_norm", {"eps": 1e-6}, MAP, ANYTHING, False, True),
    ("instance_norm", {"eps": 1e-5}, MAP, ANYTHING, False, True),
    *((op, attrs, MAP, bounds, same, zero) for op, attrs, bounds, same, zero in (
        ("no_norm", {}, ANYTHING, True, True),
        ("no_act", {}, ANYTHING, True, True),
        ("relu", {}, ANYTHING, False, True),
        ("relu", {}, POSITIVE, True, True),
        ("relu6", {}, POSITIVE, False, True),
        ("relu6", {}, (0.0, 6.0), True, True),
        ("leaky_relu", {"slope": 0.2}, ANYTHING, False, True),
        ("leaky_relu", {"slope": 0.2}, POSITIVE, True, True),
        ("elu", {}, POSITIVE, True, True),
        ("elu", {}, ANYTHING, False, True),
        ("gelu", {}, POSITIVE, False, True),
        ("silu", {}, POSITIVE, False, True),
        ("hardswish", {}, POSITIVE, False, True),
        ("tanh", {}, POSITIVE, False, True),
        ("sigmoid", {}, (0.0, 1.0), False, False),
        ("hardsigmoid", {}, (0.0, 1.0), False, False),
        ("softmax", {"groups": 2}, (0.0, 1.0), False, False),
        ("maxpool", POOL, ANYTHING, False, True),
        ("avgpool", POOL, ANYTHING, False, True),
        ("globalpool", {"kind": "avg"}, ANYTHING, False, True),
        ("flatten", {}, ANYTHING, False, True),
        ("dropout", {"rate": 0.3}, ANYTHING, True, True),
        ("droppath", {"rate": 0.3}, ANYTHING, True, True),
        ("scale", {"init": 0.5, "per": "channel", "learn": True}, ANYTHING, True, True),
        ("scale", {"init": 1, "per": "scalar", "learn": False}, ANYTHING, True, True),
        ("scale", {"init": 0.5, "per": "scalar", "learn": False}, ANYTHING, False, True),
        ("scale", {"init": 0, "per": "scalar", "learn": False}, ANYTHING, False, True),
        ("bias", {"init": 0.5, "per": "channel"}, ANYTHING, True, True),
        ("subsample", {"stride": (1, 1)}, ANYTHING, True, True),
        ("subsample", {"stride": (2, 1)}, ANYTHING, False, True),
        ("pad_channels", {"out": 8}, ANYTHING, True, True),
        ("pad_channels", {"out": 9}, ANYTHING, False, True),
        ("slice", {"from": 0, "to": 8}, ANYTHING, True, True),
        ("slice", {"from": 1, "to": 8}, ANYTHING, False, True),
        ("channel_shuffle", {"groups": 2}, ANYTHING, False, True),
    )),
)  # fmt: skip

MERGES = (("add", 2, True), ("add", 3, True), ("mul", 2, False), ("concat", 2, False), ("highway", 3, True))
"""A merge, its operands, and whether it can give one of them back; each can give zero."""


def values(shape: Shape, bounds: Bounds, seed: int) -> Tensor:
    """Eight samples within the bounds, and among the numbers some zeros."""
    drawn = 100 * torch.randn(8, *shape, generator=torch.Generator().manual_seed(seed))
    drawn[::3] *= 0.001
    drawn[:, ::4] = 0
    return drawn.clamp(*bounds)


def model_of(op: str, attrs: Attrs, shape: Shape) -> tuple[torch.nn.Module, Node]:
    node = Node("op", op, OPS[op].shape(Site(attrs, (shape,))), (SCOPE_INPUT,), tuple(attrs.items()))
    # One step is no network of classes, which is what `build` asks for.
    model: torch.nn.Module = load_source(emit(Graph("net", 2, Program("network", "network", shape, (node,)), "torch"))).Net().eval()
    with torch.no_grad():
        for i, tensor in enumerate(model.state_dict().values()):
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(i)) + 0.5)
    return model, node


def put(model: torch.nn.Module, fills: Sequence[tuple[str, Fill]]) -> None:
    state: Mapping[str, Tensor] = model.state_dict()
    for name, fill in fills:
        set_to(state[f"op.{name}"], fill)


def same_numbers(x: Tensor, y: Tensor) -> bool:
    """Bit for bit, except for the sign of a zero."""
    return torch.equal((x + 0.0).view(torch.int32), (y + 0.0).view(torch.int32))


@pytest.mark.parametrize(("op", "attrs", "shape", "bounds", "same", "zero"), ROWS)
def test_what_a_row_calls_exact_is(op: str, attrs: Attrs, shape: Shape, bounds: Bounds, same: bool, zero: bool) -> None:
    exact = OPS[op].exact
    site = Site(attrs, (shape,), OPS[op].shape(Site(attrs, (shape,))))
    goals: tuple[tuple[Goal, bool], ...] = (("same", same), ("zero", zero))
    for goal, can in goals:
        ways = (exact.same if goal == "same" else exact.zero)(site, bounds)
        assert isinstance(ways, tuple) == can, ways
        for way in ways if isinstance(ways, tuple) else ():
            model, _ = model_of(op, attrs, shape)
            put(model, way.tensors)
            x = values(shape, bounds, 3)
            if way.operands == ("zero",):
                x = torch.zeros_like(x)
            with torch.no_grad():
                y = model(x)
            assert same_numbers(y, x if goal == "same" else torch.zeros_like(y)), way


@pytest.mark.parametrize(("op", "operands", "can"), MERGES)
def test_what_a_merge_calls_exact_is(op: str, operands: int, can: bool) -> None:
    x = values(MAP, ANYTHING, 1)
    highway = {"t": torch.sigmoid}
    expression = OPS[op].expression
    assert expression is not None
    goals: tuple[tuple[Goal, bool], ...] = (("same", can), ("zero", True))
    for goal, possible in goals:
        exact = OPS[op].exact
        ways = (exact.same if goal == "same" else exact.zero)(Site({}, (MAP,) * operands, MAP), ANYTHING)
        assert isinstance(ways, tuple) == possible
        for way in ways if isinstance(ways, tuple) else ():
            given = [{"same": x, "zero": torch.zeros_like(x), None: values(MAP, ANYTHING, 2 + i)}[g] for i, g in enumerate(way.operands)]
            names = [f"v{i}" for i in range(operands)]
            space = dict(zip(names, given, strict=True)) | {"torch": torch, "highway": lambda f, s, t: t * f + (1 - t) * s} | highway
            y = eval(expression(Site({}, (MAP,) * operands), names), space)
            assert same_numbers(y, x if goal == "same" else torch.zeros_like(y)), way


@pytest.mark.parametrize(("op", "attrs", "shape", "bounds", "same", "zero"), ROWS)
def test_bounds_hold(op: str, attrs: Attrs, shape: Shape, bounds: Bounds, same: bool, zero: bool) -> None:
    del same, zero
    model, _ = model_of(op, attrs, shape)
    for within in (bounds, (0.0, 1.0), (-2.0, -1.0), (2.0, 9.0), POSITIVE, ANYTHING):
        low, high = OPS[op].exact.bounds(Site(attrs, (shape,)), [within])
        with torch.no_grad():
            y = model(values(shape, within, 5))
        assert low <= y.min() + 1e-6 and y.max() - 1e-6 <= high, within


def test_bounds_of_merges_hold() -> None:
    kinds = ((0.0, 1.0), (-1.0, 0.5), (2.0, 3.0), POSITIVE, ANYTHING)
    for op, operands, _ in MERGES:
        for i in range(len(kinds) ** 2):
            within = [kinds[i % 5], kinds[i // 5], kinds[(i * 7) % 5]][:operands]
            low, high = OPS[op].exact.bounds(Site({}, (MAP,) * operands), within)
            v = [values(MAP, b, 11 + k).clamp(-1e6, 1e6) for k, b in enumerate(within)]
            made = {"add": lambda v: sum(v), "mul": lambda v: v[0] * v[1], "concat": lambda v: torch.cat(v, 1),
                    "highway": lambda v: torch.sigmoid(v[2]) * v[0] + (1 - torch.sigmoid(v[2])) * v[1]}[op](v)  # fmt: skip
            assert low <= made.min() + 1e-4 and made.max() - 1e-4 <= high, (op, within)


def test_every_row_has_a_cell() -> None:
    assert {row[0] for row in ROWS} | {row[0] for row in MERGES} == set(OPS)
