"""Probes of trained networks, each against a case whose answer is known: a closed form, a network changed by hand, an enumeration."""

from __future__ import annotations

import copy
import math
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from torch import Tensor, nn
from torch.nn import functional

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph
from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.probes import gates, landscape, lesion, paths, responses, target
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.lab.probes.subject import Subject
from resnet_dsl.lab.table import probe
from resnet_dsl.pictures.drawing.heat import Axis, heat
from resnet_dsl.runtime.build import build
from resnet_dsl.training.batches.seeds import derive, generator


def subject(spec: dict[str, Any], images: int = 6, *, step: int | None = 0) -> Subject:
    """A network of a spec with its initial weights, and noise to look at."""
    graph = compiled(spec)
    draws = torch.Generator().manual_seed(7)

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, *graph.input, generator=draws), torch.randint(graph.classes, (n,), generator=draws)

    return Subject("small", graph, build(graph, seed=1), *drawn(images), 3, "noise", step, drawn)


def stack(width: int, depth: int, body: list[Any], **more: Any) -> dict[str, Any]:
    """A spec that maps features to as many numbers through equal blocks."""
    return {
        "input": {"features": width}, "classes": width, "norm": "none", "stem": [], "head": [], "block": "unit", "shortcut": "identity",
        "blocks": {"unit": {"body": body}}, "stages": [{"depth": depth, "width": width}],
    } | more  # fmt: skip


HALF = [{"scale": {"init": 0.5}}]
"""F = x / 2."""


# --- lesion ---


def without_by_hand(graph: Graph, model: nn.Module, path: str) -> nn.Module:
    """A copy whose weights are changed so that the block at `path` hands on its shortcut; a plain block is replaced."""
    changed = copy.deepcopy(model)
    block = changed.get_submodule(path)
    program = next(b.program for b in blocks_of(graph) if b.path == path)
    if program.nodes[-1].op != "highway" and all(n.role != "merge" for n in program.nodes):
        stage, _, name = path.rpartition(".")
        setattr(changed.get_submodule(stage), name, nn.Identity())
        return changed
    with torch.no_grad():
        if hasattr(block, "gate"):
            block.gate.weight.zero_()
            block.gate.bias.fill_(-1e4)
        else:
            (*_, last) = (
                [*m.parameters()] for n in program.nodes if n.role == "body" and [*(m := block.get_submodule(n.path)).parameters()]
            )
            for p in last:
                p.zero_()
    return changed


LESIONS = {
    "zero-pad": {"layer1.0": "identity", "layer1.1": "identity", "layer2.0": "A", "layer2.1": "identity", "layer2.2": "identity"},
    "projections": {"layer1.0": "C", "layer1.1": "C", "layer2.0": "C", "layer2.1": "C", "layer2.2": "C"},
    "plain": {"layer1.0": "identity", "layer1.1": "identity", "layer2.0": None, "layer2.1": "identity", "layer2.2": "identity"},
    "preact": {"layer1.0": "identity", "layer1.1": "identity", "layer2.0": "B", "layer2.1": "identity", "layer2.2": "identity"},
    "gate-conv": {"layer1.0": "identity", "layer1.1": "identity", "layer2.0": "B", "layer2.1": "identity", "layer2.2": "identity"},
    "dense": {"layer1.0": None, "layer1.1": None, "layer2.0": None, "layer2.1": None, "layer2.2": None},
}


@pytest.mark.parametrize("name", LESIONS)
def test_what_remains_of_a_block(name: str) -> None:
    assert {b.path: lesion.remains(b) for b in blocks_of(compiled(NETWORKS[name]))} == LESIONS[name]


@pytest.mark.parametrize("name", sorted(LESIONS.keys() - {"dense"}))
def test_a_dropped_block_is_one_whose_branch_gives_nothing(name: str) -> None:
    s = subject(NETWORKS[name])
    model = s.model.eval()
    with torch.no_grad():
        for block in blocks_of(s.graph):
            if LESIONS[name][block.path] is not None:
                expected = without_by_hand(s.graph, model, block.path)(s.images)
                torch.testing.assert_close(lesion.without(s.graph, model, block)(s.images), expected, rtol=0, atol=0)
                assert not torch.equal(expected, model(s.images))


def test_swapped_blocks_are_blocks_with_each_others_weights() -> None:
    s = subject(small())
    model = s.model.eval()
    first, second = (b for b in blocks_of(s.graph) if b.path in ("layer2.1", "layer2.2"))
    by_hand, before = copy.deepcopy(model), list(model.layer2.children())  # type: ignore[union-attr, operator]
    by_hand.layer2[1].load_state_dict(model.layer2[2].state_dict())  # type: ignore[index, union-attr]
    by_hand.layer2[2].load_state_dict(model.layer2[1].state_dict())  # type: ignore[index, union-attr]
    with torch.no_grad():
        whole = model(s.images)
        with lesion.swapped(model, first, second):
            assert torch.equal(model(s.images), by_hand(s.images))
        assert torch.equal(model(s.images), whole)
    assert all(a is b for a, b in zip(model.layer2.children(), before, strict=True))  # type: ignore[union-attr, operator]


def test_error_counts_wrong_images_and_what_is_not_finite() -> None:
    outputs = torch.tensor([[2.0, 1], [1, 2], [2, 1], [math.nan, 1], [math.inf, 1]])
    labels = torch.tensor([0, 0, 1, 0, 0])
    assert lesion.error(lambda x: outputs[x.long()], torch.arange(5), labels) == 4 / 5


def test_lesion_of_a_network_with_one_block_that_matters() -> None:
    """Four blocks x + F(x) whose F is 0, but for the third, which turns every answer round."""
    s = subject(stack(2, 4, ["act", {"linear": {"out": 2}}], act="identity"))
    with torch.no_grad():
        for p in s.model.parameters():
            p.zero_()
        s.model.layer1[2].fc.weight.copy_(torch.diag(torch.tensor([-2.0, -2.0])))  # type: ignore[index, union-attr]
    images = torch.randn(40, 2)
    labels = (-images).argmax(1)
    found = lesion.measure(Subject("four", s.graph, s.model, images, labels, 0, "known", None, lambda n: (images[:n], labels[:n])))
    assert [row[2:] for row in found.rows] == [(0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0)]
    assert found.figures == {"base_error": 0.0, "median_rise": 0.0, "max_rise": 1.0, "changed": 4}


# --- paths ---


@pytest.mark.parametrize("name", ["small", "zero-pad", "projections", "preact", "bottleneck"])
def test_the_gradients_of_all_paths_add_up_to_the_gradient(name: str) -> None:
    s = subject(NETWORKS[name])
    s.model.double().eval()
    s = Subject("double", s.graph, s.model, s.images.double(), s.labels, 3, "noise", 0, s.test)
    merges = paths.residual_merges(blocks_of(s.graph))
    images = s.images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(functional.cross_entropy(s.model(images), s.labels), images)
    every = [set(c) for k in range(len(merges) + 1) for c in combinations(merges, k)]
    total = torch.stack([paths.path_gradient(s, chosen) for chosen in every]).sum(0)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(paths.path_gradient(s, (), whole=merges), expected)
    assert len(every) == 2 ** len(merges)


@pytest.mark.parametrize("samples", [1, 100])
def test_paths_of_a_linear_network_are_a_binomial(samples: int) -> None:
    """Blocks x + x / 2: a path of k branches carries 2^-k of the shortest, and C(n, k) of them (1/2)^k / (3/2)^n of the gradient."""
    n = 7
    found = paths.measure(subject(stack(3, n, HALF)), samples)
    shares = [math.comb(n, k) * 0.5**k / 1.5**n for k in range(n + 1)]
    assert [row[1] for row in found.rows] == [math.comb(n, k) for k in range(n + 1)]
    assert [row[4] for row in found.rows] == pytest.approx(shares)
    assert found.figures == pytest.approx(
        {"blocks": n, "effective_length": n / 3, "peak": 2, "low": 0, "high": 4, "norm_ratio": 0.5**n}, rel=1e-5
    )


# --- responses ---


def test_responses_are_what_norms_give() -> None:
    s = subject(small(), images=40)
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
    s = subject(small(shortcut="A"), images=64)
    with torch.no_grad():
        for i in range(3):
            s.model.layer2[i].bn2.weight[8:] = 3  # type: ignore[index, union-attr]
    found = responses.measure(s, channels="padded")
    assert [row[:3] for row in found.rows] == [(f"layer2.{i}", 8, 8) for i in range(3)]
    assert found.figures["response_ratio"] == pytest.approx(3, rel=1e-3)
    assert all(row[5] > 0 and row[6] > 0 for row in found.rows)


def test_lipschitz_of_blocks_that_add_half() -> None:
    found = responses.measure(subject(stack(3, 2, HALF)), lipschitz=True)
    assert [row[1:] for row in found.rows] == [(pytest.approx(0.5), pytest.approx(0.5))] * 2


# --- gates ---


def test_gates_of_known_bias() -> None:
    s = subject(NETWORKS["gate-conv"])
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


# --- landscape ---


def test_directions_have_each_filters_length() -> None:
    model = subject(small()).model
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
    s = subject(stack(5, 1, [{"linear": {"out": 5}}], shortcut="none"), images=30)
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


# --- target ---


def test_targets_are_the_maps_they_are_called() -> None:
    d, x = 8, torch.randn(50, 8)
    made = {name: make(d, torch.Generator().manual_seed(1)) for name, make in target.TARGETS.items()}
    assert torch.equal(made["identity"](x), x) and torch.equal(made["negation"](x), -x) and not made["zero"](x).any()
    assert len(made["constant"](x).unique(dim=0)) == 1
    assert 0 < (made["near-identity"](x) - x).abs().max() <= 0.3
    turn = made["rotation"](torch.eye(d))
    torch.testing.assert_close(turn @ turn.T, torch.eye(d))
    assert torch.linalg.det(turn).item() == pytest.approx(1)


def test_stacked_networks_train_as_if_alone() -> None:
    """Against a plain loop over one module with torch's Adam."""
    graph = compiled(stack(6, 3, [{"linear": {"out": 6}}, "act", {"linear": {"out": 6}}]))
    names, seeds = ["identity", "constant", "rotation"], [11, 12]
    arm = target.Arm(graph, "scaled")
    found = target.fits(arm, names, seeds, 5, 16, 0.01)
    for name in names:
        for i, seed in enumerate(seeds):
            model = build(graph, seed=seed)
            with torch.no_grad():
                for block in model.layer1:  # type: ignore[union-attr]
                    for p in block.fc2.parameters():
                        p.div_(math.sqrt(3))
            start = torch.cat([p.detach().clone().flatten() for p in model.parameters()])
            f = target.TARGETS[name](6, generator(seed, name))
            points, optimizer = generator(seed, "points"), torch.optim.Adam(model.parameters(), lr=0.01)
            for _ in range(5):
                x = torch.randn(16, 6, generator=points)
                optimizer.zero_grad()
                functional.mse_loss(model(x), f(x)).backward()
                optimizer.step()
            x = torch.randn(target.TESTED, 6, generator=generator(seed, "test"))
            end = torch.cat([p.detach().flatten() for p in model.parameters()])
            fit = found[name][i]
            assert fit.after == pytest.approx(functional.mse_loss(model(x), f(x)).item(), rel=1e-4)
            assert fit.moved == pytest.approx((end - start).norm().item(), rel=1e-4)
            assert fit.to_zero == pytest.approx(start.norm().item(), rel=1e-5)


def test_a_branch_at_zero_is_the_identity() -> None:
    """Before any update, and where all weights are zero: what a residual and a plain stack then are worth has a closed form."""
    specs = [compiled(stack(4, 2, [{"linear": {"out": 4}}], shortcut=s), s) for s in ("identity", "none")]
    ways = {"init": "spec,zero-last", "updates": 0, "seeds": 1}
    errors = target.measure(specs, **ways)  # type: ignore[arg-type]
    distances = target.measure(specs, report="distance", **ways)  # type: ignore[arg-type]
    number = derive(0, "target", 0)
    x = torch.randn(target.TESTED, 4, generator=generator(number, "test"))
    rows = {row[:3]: row[3:] for row in errors.rows}
    far = {row[:3]: row[3:] for row in distances.rows}
    for name, make in target.TARGETS.items():
        y = make(4, generator(number, name))(x)
        identity, nothing = (pytest.approx((x - y).square().mean().item()), pytest.approx(y.square().mean().item()))
        assert rows[name, "identity", "zero-last"] == (identity,) * 4
        assert far[name, "identity", "zero-last"] == (identity, 0.0, 0.0, identity)
        assert far[name, "none", "spec"][3] == nothing
        assert errors.figures == distances.figures and errors.figures[f"identity_{target.identifier(name)}"] <= identity.expected
    assert rows.keys() == far.keys() and len(rows) == 6 * 3


def test_condition_number_of_a_linear_layer() -> None:
    """Of y = W x + b: J J^T is (X X^T + 1) for every output, whatever W."""
    model = nn.Linear(30, 3)
    x = torch.randn(16, 30, generator=generator(4, "condition")).double()
    assert target.condition_number(model, 30, 4) == pytest.approx(torch.linalg.cond(x @ x.T + 1).item(), rel=1e-6)
    assert target.condition_number(nn.Linear(5, 3), 5, 4) == math.inf


def test_deep_plain_stacks_are_worse_conditioned() -> None:
    """Note 002's question at its smallest: what depth does to the Gauss-Newton matrix of each kind."""
    two = [{"linear": {"out": 8}}, "act", {"linear": {"out": 8}}]
    stacks = [compiled(stack(8, 8, body, shortcut=s), s) for body, s in (([*two, "act"], "none"), (two, "identity"))]
    found = target.measure(stacks, target="zero", updates=0, seeds=1, condition=True)
    plain, residual = (found.figures[f"condition_{name}"] for name in ("none_spec", "identity_zero_last"))
    assert plain > 100 * residual


def test_a_network_must_be_a_function_of_one_point() -> None:
    graph = compiled(stack(4, 2, ["norm", {"linear": {"out": 4}}], norm="batch"))
    with pytest.raises(SpecError, match=r"error\[target-noise\]: layer1\.0\.bn1 makes what the network gives for a point depend on"):
        target.measure([graph])


# --- the picture of a map ---


def test_a_map_says_its_values() -> None:
    values = [[1.0, 10.0, 100.0], [math.nan, 0.0, 1000.0]]
    drawn = heat(values, Axis("a", ["l", "", "r"]), Axis("b", ["up", "<"]), title="t & u", log=True, floor=0.1, text=lambda v: f"{v:g}")
    fills = [line.split('fill="')[1][:7] for line in drawn.splitlines() if line.startswith("<rect")][1:7]
    assert fills == ["#3b528b", "#21918c", "#5ec962", "#bbbbbb", "#440154", "#fde725"]
    assert all(
        f">{word}</text>" in drawn
        for word in ("t &amp; u", "1", "100", "nan", "0", "l", "r", "a", "b", "&lt;", "0.1", "1e+03", "not finite")
    )
    assert drawn == heat(
        values, Axis("a", ["l", "", "r"]), Axis("b", ["up", "<"]), title="t & u", log=True, floor=0.1, text=lambda v: f"{v:g}"
    )


def test_lines_of_a_map_run_where_colours_meet() -> None:
    drawn = heat([[0.0, 0.0, 9.0], [0.0, 0.0, 9.0]], Axis("", ["", "", ""]), Axis("", ["", ""]), title="")
    (lines,) = re.findall('<path d="([^"]*)" stroke="#ffffff"', drawn)
    assert re.sub(r"[\d. ]", "", lines) == "MvMv" and "not finite" not in drawn


@pytest.mark.parametrize(("values", "log"), [([[math.nan]], False), ([[0.0]], True)])
def test_a_map_needs_something_to_show(values: list[list[float]], log: bool) -> None:
    with pytest.raises(ValueError, match="a map"):
        heat(values, Axis("", [""]), Axis("", [""]), title="", log=log)


# --- refusals ---

REFUSED = {
    "probe gates resnet20-digits": "resnet20-digits: error[probe-nothing]: has no gate: it has no merge highway\n"
    "  help: use a highway network: highway19, say, or --set merge=highway",
    "probe paths plain20-digits": "plain20-digits: error[probe-nothing]: has one path: no block adds a shortcut\n"
    "  help: use a residual network: --set shortcut=A, say",
    "probe responses plain20-digits --channels padded": "plain20-digits: error[probe-nothing]: has no stage that a shortcut enters with channels "
    "of zeros\n  help: use --set shortcut=A",
    "probe lesion densenet121 --data noise --images 2": "densenet121: error[probe-nothing]: has no block that can be dropped: each changes the shape\n"
    "  help: use a network with several equal blocks in a stage",
    "probe landscape resnet20-digits --grid 4": "--grid: error[usage]: 4 steps have no middle, where the weights themselves lie\n"
    "  help: use an odd number: 5",
    "probe landscape resnet20-digits --directions 3": "--directions: error[usage]: a picture has one direction or two\n  help: use 1 or 2",
    "probe target resnet20-digits": "resnet20-digits: error[target-shape]: reads 1x8x8 and gives 10 numbers: no target is a function of that kind\n"
    "  help: use a spec with input: {features: d}, classes: d; or the shipped plain-stack and residual-stack",
    "probe target --target indentity": "--target: error[usage]: there is no target 'indentity'\n  help: did you mean 'identity'?",
    "probe target --init small": "--init: error[usage]: there is no initial scheme 'small'\n  help: initial scheme is one of: spec, scaled, zero-last",
}  # fmt: skip


@pytest.mark.parametrize("line", REFUSED)
def test_what_a_probe_cannot_do_is_said(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err.startswith(REFUSED[line])


# --- all of them ---

MEASURES: dict[str, tuple[str, Callable[[Subject], Finding]]] = {
    "lesion": ("zero-pad", lesion.measure),
    "swap": ("zero-pad", partial(lesion.measure, change="swap")),
    "paths": ("zero-pad", partial(paths.measure, samples=2)),
    "responses": ("zero-pad", responses.measure),
    "padded": ("zero-pad", partial(responses.measure, channels="padded")),
    "lipschitz": ("zero-pad", partial(responses.measure, lipschitz=True)),
    "gates": ("gate-channel", gates.measure),
    "landscape": ("zero-pad", partial(landscape.measure, grid=3)),
    "map": ("zero-pad", partial(landscape.measure, grid=3, directions=2)),
}


@pytest.mark.parametrize("step", [0, None])
@pytest.mark.parametrize("name", MEASURES)
def test_looking_changes_nothing_and_finds_the_same_again(name: str, step: int | None) -> None:
    spec, look = MEASURES[name]
    s = subject(NETWORKS[spec], step=step)
    fixed = s.test(6)
    s = replace(s, test=lambda n: (fixed[0][:n], fixed[1][:n]))
    s.model.train()
    s.model.conv1.weight.grad = torch.ones_like(s.model.conv1.weight)  # type: ignore[union-attr, arg-type]
    before, drawn = copy.deepcopy(s.model.state_dict()), torch.get_rng_state()
    first, again = look(s), look(s)
    assert first.to_dict() == again.to_dict() and first.svg() == again.svg()
    ET.fromstring((first.svg() or "").encode())
    assert all(torch.equal(v, before[k]) for k, v in s.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), drawn) and all(m.training for m in s.model.modules())
    assert torch.equal(s.model.conv1.weight.grad, torch.ones_like(s.model.conv1.weight))  # type: ignore[union-attr, arg-type]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in s.model.modules())


@pytest.mark.parametrize("name", ["responses", "lesion", "paths", "gates", "landscape", "target"])
def test_examples_run(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in probe(name).examples:
        assert main(shlex.split(example)[1:]) == 0
        out, err = capsys.readouterr()
        assert "error[" not in err
        assert max(map(len, out.splitlines())) <= 80
        for word in example.split():
            assert not word.endswith(".svg") or ET.parse(tmp_path / word)
