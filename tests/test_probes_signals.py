"""Signals, gradients and shattering against closed forms, finite differences and networks written by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from networks import compiled, small
from probing import features, of, subject
from torch.nn import functional

from resnet_dsl.lab.probes import gradients, shattering, signals
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.lab.probes.measuring import measure
from resnet_dsl.lab.probes.probed import ProbedNetwork, ProbeRequest
from resnet_dsl.lab.probes.still import batch_statistics, held_statistics
from resnet_dsl.lab.table import find

# --- signals -------------------------------------------------------------------------------------------------


def doubled(changes: dict[str, Any]) -> ProbedNetwork:
    """Blocks of one linear layer, twice the identity each."""
    s = subject(compiled(features([{"linear": {"out": "out", "bias": False}}], **changes)), double=True)
    with torch.no_grad():
        for block in blocks_of(s.graph):
            s.model.get_submodule(f"{block.path}.fc").weight.copy_(2 * torch.eye(4))
    return s


def test_signals_of_a_chain_of_doublings_are_powers_of_two() -> None:
    found = signals.measure(doubled({"shortcut": "none"})).figures
    assert found["variance_growth"] == pytest.approx(4**2)
    assert found["gradient_growth"] == pytest.approx(2**2)
    assert "branch_ratio_last" not in found


def test_signals_of_doublings_beside_a_skip_are_powers_of_three() -> None:
    found = signals.measure(doubled({}))
    assert found.figures["variance_growth"] == pytest.approx(9**2)
    assert found.figures["gradient_growth"] == pytest.approx(3**2)
    assert (found.figures["branch_ratio_first"], found.figures["branch_ratio_last"]) == pytest.approx((4, 4))


def test_signals_are_those_of_a_network_written_by_hand() -> None:
    s = subject(compiled(features([{"linear": {"out": 4}}, "act", {"linear": {"out": "out"}}], depth=1)), double=True)
    w = dict(s.model.named_parameters())
    x = functional.linear(s.images, w["fc.weight"] if "fc.weight" in w else w["fc1.weight"])
    first, last = [k.rpartition(".")[0] for k in w if k.startswith("layer1.0.") and k.endswith("weight")]
    a = functional.linear(x, w[f"{first}.weight"], w[f"{first}.bias"]).relu()
    branch = functional.linear(a, w[f"{last}.weight"], w[f"{last}.bias"])
    y = x + branch
    head = [k.rpartition(".")[0] for k in w][-1]
    loss = s.loss(functional.linear(y, w[f"{head}.weight"], w[f"{head}.bias"]))
    by_a, by_branch, by_w = torch.autograd.grad(loss, [a, branch, w[f"{first}.weight"]], retain_graph=True)
    (by_b,) = torch.autograd.grad(loss, [w[f"{first}.bias"]])

    found = signals.measure(s, by="op")
    assert found.figures["loss"] == pytest.approx(loss.item())
    rows = {r[0]: r for r in found.rows}
    assert rows["layer1.0.act1"][1:5] == pytest.approx(
        (a.mean().item(), a.var(correction=0).item(), (a == 0).double().mean().item(), by_a.norm().item())
    )
    assert of(found, last, "gradient") == pytest.approx(by_branch.norm().item())
    assert of(found, first, "weight_gradient") == pytest.approx(math.hypot(by_w.norm().item(), by_b.norm().item()))
    assert of(found, "layer1.0.add", "branch_ratio") is None
    assert signals.measure(s).figures["branch_ratio_first"] == pytest.approx(
        (branch.var(correction=0) / x.var(correction=0)).item()
    )  # fmt: skip


def test_signals_rows() -> None:
    graph = compiled(small())
    assert list(signals.row_paths(graph, "stage")) == ["conv1", "bn1", "act1", "layer1", "layer2", "avgpool", "flatten", "fc"]
    blocks = ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer2.2"]
    assert list(signals.row_paths(graph, "block")) == ["conv1", "bn1", "act1", *blocks, "avgpool", "flatten", "fc"]
    assert list(signals.row_paths(graph, "op")) == [n.path for n in graph.nodes()]
    by_stage, by_block = (signals.measure(subject(graph), by) for by in ("stage", "block"))
    assert by_stage.figures == by_block.figures
    ratios = [of(by_block, b, "branch_ratio") for b in blocks]
    assert of(by_stage, "layer2", "branch_ratio") == pytest.approx(sum(ratios[2:]) / 3)


# --- gradients -----------------------------------------------------------------------------------------------


def test_gradients_are_finite_differences() -> None:
    s = subject(compiled(small(stages=[{"depth": 1, "width": 2}], stem=[{"conv": {"out": 2, "kernel": 3}}])), double=True)
    found = gradients.measure(s)
    with torch.no_grad(), batch_statistics(s.model):
        for path in ("conv1", "layer1.0.conv2"):
            weight = s.model.get_submodule(path).weight
            squares = 0.0
            for i in range(weight.numel()):
                losses = []
                for step in (1e-5, -2e-5):
                    weight.view(-1)[i] += step
                    losses.append(s.loss(s.model(s.images)).item())
                weight.view(-1)[i] += 1e-5
                squares += ((losses[0] - losses[1]) / 2e-5) ** 2
            assert of(found, path, "gradient") == pytest.approx(math.sqrt(squares), rel=1e-6)


def test_gradients_of_a_chain_of_doublings_are_equal() -> None:
    """A layer's gradient is what comes back times what goes in: 2^(L - l) and 2^l."""
    found = gradients.measure(doubled({"shortcut": "none"}))
    inner = [row[1] for row in found.rows[1:-1]]
    assert inner == pytest.approx([inner[0]] * 3)
    # The stem's is twice that: its output is doubled once more, and its input is the image, not a rotation of it.
    assert found.figures["per_layer"] == pytest.approx(found.figures["first_over_last"] ** (1 / 3))


def test_gradients_are_told_by_norm_rms_and_relative_to_the_weight() -> None:
    s = subject(compiled(small(shortcut="C")), double=True)
    norm, rms, relative = (gradients.measure(s, of=kind) for kind in gradients.MEASURES)
    weight = s.model.get_submodule("layer2.0.conv1").weight.detach()
    n = of(norm, "layer2.0.conv1", "gradient")
    assert of(rms, "layer2.0.conv1", "gradient") == pytest.approx(n / math.sqrt(weight.numel()))
    assert of(relative, "layer2.0.conv1", "gradient") == pytest.approx(n / weight.norm().item())
    trunk = gradients.weighted(s.graph, trunk=True)
    assert [r[0] for r in norm.rows if r[0] not in trunk] == [*(f"{b.path}.downsample.0" for b in blocks_of(s.graph)), "fc"]
    assert norm.figures["max_over_min"] == max(of(norm, p, "gradient") for p in trunk) / min(of(norm, p, "gradient") for p in trunk)


# --- shattering ----------------------------------------------------------------------------------------------


def test_a_linear_network_does_not_shatter() -> None:
    s = subject(compiled(features([{"linear": {"out": "out", "bias": False}}])), double=True)
    found = shattering.measure(s, intervals=8, pairs=3)
    assert [row[1] for row in found.rows] == pytest.approx([1] * 4)
    assert [row[0] for row in found.rows] == [1, 2, 4, 8]
    assert found.figures["neighbours_sd"] == pytest.approx(0, abs=1e-9)


def test_cosines_by_distance() -> None:
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    assert shattering.by_distance(torch.stack([a, b, a, b])).tolist() == pytest.approx([0, 1, 0])
    assert shattering.by_distance(torch.stack([a, 2 * a, -a])).tolist() == pytest.approx([0, -1])
    assert shattering.by_distance(torch.stack([a, a + b / 3])).tolist() == pytest.approx([math.sqrt(0.5)])


def test_input_gradients_are_finite_differences() -> None:
    s = subject(compiled(small(input={"channels": 1, "height": 4, "width": 4})), double=True)
    u = torch.randn(5, dtype=torch.float64)
    with held_statistics(s.model, s.images):
        found = shattering.input_gradients(s.model, s.images[:2], u)
        for i in range(16):
            step = torch.zeros(16, dtype=torch.float64)
            step[i] = 1e-6
            up, down = (s.model(s.images[:2] + sign * step.view(1, 4, 4)) @ u for sign in (1, -1))
            assert ((up - down) / 2e-6).tolist() == pytest.approx(found[:, i].tolist(), rel=1e-4, abs=1e-6)


def test_plain_networks_shatter_and_residual_ones_do_not() -> None:
    """Balduzzi et al. 2017: with batch norm a deep plain network's gradients are white noise."""
    plain, residual = (measure(find("shattering"), ProbeRequest(f"{name}20-digits"), {"pairs": 2}).figures for name in ("plain", "resnet"))
    assert plain["neighbours"] < 0.5 < 0.75 < residual["neighbours"]
