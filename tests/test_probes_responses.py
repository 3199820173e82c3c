"""Responses, gates and landscapes, each against a case whose answer is known."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import pytest
import torch
from networks import NETWORKS, compiled, small
from probing import HALF, noise_shown, stack
from torch import nn

from resnet_dsl.lab.probes import gates, landscape, responses
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.training.batches.seeds import generator

# --- responses -----------------------------------------------------------------------------------------------


def test_responses_are_what_norms_give() -> None:
    s = noise_shown(small(), images=40)
    seen: list[float] = []
    norms = [m for name, m in s.model.named_modules() if isinstance(m, nn.BatchNorm2d) and "downsample" not in name]
    with torch.no_grad():
        for m in s.model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(len(m.weight)))
                m.bias.normal_(generator=torch.Generator().manual_seed(5))
    found = responses.measure(s)
    handles = [m.register_forward_hook(lambda m, x, y: seen.append(y.std(correction=0).item())) for m in norms]
    s.model.train()(s.images)
    for handle in handles:
        handle.remove()
    assert [row[0] for row in found.rows] == [
        "conv1", *(f"layer{stage}.{i}.conv{k}" for stage, n in ((1, 2), (2, 3)) for i in range(n) for k in (1, 2))
    ]  # fmt: skip
    assert [row[2] for row in found.rows] == pytest.approx(seen)
    assert sorted(found.rows, key=lambda row: row[3])[0][2] == pytest.approx(max(seen))
    assert found.chart.series[1].points == [(i, pytest.approx(v)) for i, v in enumerate(sorted(seen, reverse=True), 1)]  # type: ignore[union-attr]


RESPONDING = {
    "plain": ["conv1 bn1", "layer1.0.conv1 layer1.0.bn1", "layer1.0.conv2 layer1.0.bn2"],
    "preact": ["conv1 bn1", "layer1.0.conv1 layer1.0.bn2", "layer1.0.conv2 layer1.0.conv2"],
    "mlp": ["fc1 fc1", "layer1.0.fc1 layer1.0.fc1", "layer1.0.fc2 layer1.0.fc2"],
}


@pytest.mark.parametrize("name", RESPONDING)
def test_where_a_layer_responds(name: str) -> None:
    """After its norm, where one reads it and nothing else; shortcuts, gates and the head are no layers of the main path."""
    found = [" ".join(pair) for pair in responses.response_paths(compiled(NETWORKS[name]))]
    assert found[:3] == RESPONDING[name]
    assert not any(word in line for line in found for word in ("downsample", "gate")) and not found[-1].startswith(("fc ", "head"))


def test_padded_channels_beside_carried_ones() -> None:
    s = noise_shown(small(shortcut="A"), images=64)
    with torch.no_grad():
        for i in range(3):
            s.model.layer2[i].bn2.weight[8:] = 3  # type: ignore[index, union-attr]
    found = responses.measure(s, channels="padded")
    assert [row[:3] for row in found.rows] == [(f"layer2.{i}", 8, 8) for i in range(3)]
    assert found.figures["response_ratio"] == pytest.approx(3, rel=1e-3)
    assert all(row[5] > 0 and row[6] > 0 for row in found.rows)


def test_lipschitz_of_blocks_that_add_half() -> None:
    found = responses.measure(noise_shown(stack(3, 2, HALF)), lipschitz=True)
    assert [row[1:] for row in found.rows] == [(pytest.approx(0.5), pytest.approx(0.5))] * 2


# --- gates ---------------------------------------------------------------------------------------------------


def test_gates_of_known_bias() -> None:
    s = noise_shown(NETWORKS["gate-conv"])
    with torch.no_grad():
        for block in blocks_of(s.graph):
            gate = s.model.get_submodule(block.path).gate
            gate.weight.zero_()  # type: ignore[union-attr, operator]
            gate.bias[0::2] = -3  # type: ignore[index]
            gate.bias[1::2] = 3  # type: ignore[index]
    found = gates.measure(s)
    closed, opened = (1 / (1 + math.exp(b)) for b in (3, -3))
    for row, block in zip(found.rows, blocks_of(s.graph), strict=True):
        units = block.program.shape[0]
        assert row == (block.path, units, *map(pytest.approx, (0.5, (opened - closed) / 2)), pytest.approx(0, abs=1e-7), 0.5, 0.5)
    assert found.figures["closed"] == found.figures["open"] == 0.5


def test_openness_between_units_and_within_them() -> None:
    gate = torch.tensor([[[0.0, 0.1], [1.0, 1.0]], [[0.0, 0.1], [1.0, 1.0]]])
    assert gates.openness(gate) == (2, pytest.approx(0.525), pytest.approx(0.475), pytest.approx(0.025), 0.5, 0.5)


# --- landscape -----------------------------------------------------------------------------------------------


def test_directions_have_each_filters_length() -> None:
    model = noise_shown(small()).model
    way = landscape.direction(model, torch.Generator().manual_seed(0))
    parameters = dict(model.named_parameters())
    assert way.keys() == {name for name, p in parameters.items() if p.ndim > 1}
    for name, d in way.items():
        torch.testing.assert_close(d.flatten(1).norm(dim=1), parameters[name].detach().flatten(1).norm(dim=1))
    again = landscape.direction(model, torch.Generator().manual_seed(0))
    assert all(torch.equal(way[name], again[name]) for name in way)


def test_the_squared_error_of_a_linear_model_is_a_parabola() -> None:
    """|X (W + a D + b E) - Y|^2 / N by its coefficients."""
    draws = torch.Generator().manual_seed(2)
    model = nn.Linear(4, 3, bias=False).double()
    x, y = torch.randn(20, 4, generator=draws).double(), torch.randn(20, 3, generator=draws).double()
    ways = [landscape.direction(model, draws) for _ in range(2)]
    places = [-1.0, -0.5, 0.0, 0.5, 1.0]
    r, d, e = x @ model.weight.detach().T - y, *(x @ way["weight"].T for way in ways)
    with torch.no_grad():
        found = landscape.surface(model, ways, places, lambda: float((model(x) - y).square().mean()))
    expected = [
        [float((r * r + a * a * d * d + b * b * e * e + 2 * (a * r * d + b * r * e + a * b * d * e)).mean()) for a in places]
        for b in places
    ]
    assert found == [pytest.approx(row) for row in expected]


def test_the_landscape_of_a_linear_classifier() -> None:
    """One direction, against log-softmax by hand; the weights are left as they were."""
    s = noise_shown(stack(5, 1, [{"linear": {"out": 5}}], shortcut="none"), images=30)
    before = copy.deepcopy(s.model.state_dict())
    found = landscape.measure(s, grid=5, span=2.0)
    d = landscape.direction(s.model, generator(s.seed, "landscape", 0))
    fc = s.model.layer1[0].fc  # type: ignore[index, union-attr]
    for a, loss in found.rows:
        logits = s.images @ (fc.weight + a * d["layer1.0.fc.weight"]).T + fc.bias
        by_hand = (logits.exp().sum(1).log() - logits[torch.arange(30), s.labels]).mean()
        assert loss == pytest.approx(by_hand.item(), rel=1e-5)
    assert [row[0] for row in found.rows] == [-2, -1, 0, 1, 2]
    assert found.figures["convex"] == 1.0 and found.figures["bumps"] == pytest.approx(0, abs=1e-6)
    assert found.figures["centre"] == found.rows[2][1]
    assert all(torch.equal(v, before[k]) for k, v in s.model.state_dict().items())


BUMPS = [([3.0, 1, 2], 0), ([1.0, 2, 3], 0), ([0.0, 2, 0], 4), ([2.0, 0, 1, 0, 2], 2), ([3.0, 1, 2, 0, 5], 2)]


@pytest.mark.parametrize(("line", "expected"), BUMPS)
def test_bumps(line: Sequence[float], expected: float) -> None:
    assert landscape.bumps(line) == expected
