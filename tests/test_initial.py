"""The initial weights, measured on the tensors."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from networks import compiled, small
from torch import nn

from resnet_dsl.verbs.modules import build

WIDE = {"stages": [{"depth": 2, "width": 64}, {"depth": 2, "width": 96, "stride": 2}]}


def model(**spec: Any) -> nn.Module:
    return build(compiled(small(**WIDE) | spec), seed=0)


def he(fan: int) -> float:
    return sqrt(2 / fan)


# scheme -> standard deviation of layer2.0.conv1 (64 to 96 channels, 3x3), of layer2.0.downsample.0 (1x1), of the head.
DEVIATIONS = {
    "he": (he(96 * 9), he(96), 1 / sqrt(3 * 96)),
    "he_fan_in": (he(64 * 9), he(64), 1 / sqrt(3 * 96)),
    "xavier": (sqrt(2 / (160 * 9)), sqrt(2 / 160), 1 / sqrt(3 * 96)),
    "torch": (1 / sqrt(3 * 64 * 9), 1 / sqrt(3 * 64), 1 / sqrt(3 * 96)),
    "fixup": (he(96 * 9) * 4**-0.5, he(96), 0),
}


@pytest.mark.parametrize("scheme", DEVIATIONS)
def test_scale_of_the_weights(scheme: str) -> None:
    m = model(init={"weights": scheme})
    layers = (m.layer2[0].conv1, m.layer2[0].downsample[0], m.fc)
    assert [layer.weight.std().item() for layer in layers] == pytest.approx(DEVIATIONS[scheme], rel=0.06)
    assert m.layer2[0].bn1.weight.eq(1).all()
    assert m.layer2[0].bn1.bias.eq(0).all()
    assert m.fc.bias.any() == (scheme != "fixup")


def test_he_is_normal_and_xavier_uniform() -> None:
    def kurtosis(w: torch.Tensor) -> float:
        return ((w - w.mean()) ** 4).mean().item() / w.var().item() ** 2

    assert kurtosis(model().layer2[0].conv1.weight) == pytest.approx(3, abs=0.1)
    assert kurtosis(model(init={"weights": "xavier"}).layer2[0].conv1.weight) == pytest.approx(1.8, abs=0.05)


CONV = {"conv": {"out": "out", "kernel": 3, "stride": "stride", "bias": True}}

# Body steps of a block, and the parameters of it that `zero_last` zeroes.
LAST: dict[str, tuple[list[Any], list[str]]] = {
    "norm": ([CONV, "norm", "act"], ["bn1.weight"]),
    "conv": ([CONV, "norm", {"conv": {"kernel": 1, "bias": True}}, "act"], ["conv2.weight", "conv2.bias"]),
    "scale": ([CONV, "norm", {"scale": {"per": "channel"}}], ["scale.weight"]),
    "constant": ([CONV, "norm", {"scale": {"init": 0.1, "learn": False}}], ["bn1.weight"]),
    "not-nested": ([CONV, "norm", {"se": {"ratio": 4}}], ["bn1.weight"]),
    "no-norm": ([CONV, {"norm": "none"}], ["conv1.weight", "conv1.bias"]),
}


@pytest.mark.parametrize("name", LAST)
def test_zero_last(name: str) -> None:
    body, zeroed = LAST[name]
    changes: dict[str, Any] = {"block": "own", "blocks": {"own": {"body": body}}}
    before = dict(model(init={"weights": "torch"}, **changes).layer1[0].named_parameters())
    after = dict(model(init={"weights": "torch", "zero_last": True}, **changes).layer1[0].named_parameters())
    assert sorted(k for k in after if before[k].any() and not after[k].any()) == sorted(k for k in zeroed if before[k].any())
    assert not any(after[k].any() for k in zeroed)


AGAIN = {"conv": {"out": "out", "kernel": 3}}
STARTS: dict[str, dict[str, Any]] = {
    "zero gamma": {"init": {"zero_last": True}},
    "zero gamma, bottleneck": {"init": {"zero_last": True}, "block": {"bottleneck": {"expansion": 1}}},
    "fixup": {
        "init": {"weights": "fixup"},
        "norm": "none",
        "block": "own",
        "blocks": {"own": {"body": ["bias", CONV, "act", AGAIN, "scale"], "after": ["act"]}},
    },
    "skipinit": {
        "norm": "none",
        "block": "own",
        "blocks": {"own": {"body": [CONV, "act", AGAIN, {"scale": {"init": 0}}], "after": ["act"]}},
    },
}


@pytest.mark.parametrize("name", STARTS)
def test_a_block_starts_as_its_shortcut(name: str) -> None:
    """What enters is the output of an activation, so the last act changes nothing."""
    x = torch.rand(2, 64, 8, 8, generator=torch.Generator().manual_seed(1))
    block = model(**STARTS[name]).layer1[1]
    for training in (True, False):
        assert torch.equal(block.train(training)(x), x)
    assert not torch.equal(model().layer1[1](x), x)


def test_fixup_counts_a_bodys_layers_through_its_chains() -> None:
    body = [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}, {"repeat": {"times": 2, "steps": [{"conv": {"kernel": 3}}]}}]
    m = model(block="own", blocks={"own": {"body": body}}, init={"weights": "fixup"})
    first, second, last = (layer.weight for layer in (m.layer2[1].conv1, m.layer2[1].repeat[0], m.layer2[1].repeat[1]))
    expected = he(96 * 9) * 4 ** (-1 / 4)
    assert [w.std().item() for w in (first, second)] == pytest.approx([expected] * 2, rel=0.05)
    assert not last.any()


@pytest.mark.parametrize("scheme", ["he", "torch"])
@pytest.mark.parametrize("gate", ["conv", "channel"])
def test_a_gate_starts_at_its_bias(scheme: str, gate: str) -> None:
    m = model(merge={"highway": {"gate": gate, "bias": -3}}, init={"weights": scheme})
    assert m.layer1[0].gate.bias.eq(-3).all()


def test_a_layer_with_a_bias_starts_without() -> None:
    m = model(block={"basic": {"se": 8}})
    assert not m.layer1[0].se.fc1.bias.any()
    assert m.layer1[0].se.fc1.weight.std().item() == pytest.approx(he(8), rel=0.15)


def test_scale_and_bias_start_where_they_are_told() -> None:
    m = model(block="own", blocks={"own": {"body": [CONV, {"scale": {"init": 0.25}}, {"bias": {"init": -1, "per": "channel"}}]}})
    assert m.layer1[0].scale.weight.item() == 0.25
    assert m.layer1[0].bias.bias.eq(-1).all()


def test_weights_can_be_drawn_again() -> None:
    """For a module whose memory came later (`to_empty`), or a second start."""
    m = model()
    again = type(m).__init__.__globals__["init_weights"]
    before = m.conv1.weight.clone()
    again(m)
    assert not torch.equal(m.conv1.weight, before)


def test_plain_and_zero_padded_twins_start_equal() -> None:
    """They have the same parameters, so a comparison of the two has no noise from the start."""
    a, plain = model(shortcut="A").state_dict(), model(shortcut="none").state_dict()
    assert a.keys() == plain.keys()
    assert all(torch.equal(a[k], plain[k]) for k in a)
