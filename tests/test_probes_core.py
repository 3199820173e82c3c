"""Probes against answers that are known: closed forms, finite differences, networks written by hand; and what they leave behind."""

from __future__ import annotations

import copy
import json
import math
import shlex
import xml.etree.ElementTree as ET
from dataclasses import replace
from importlib import import_module
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
from resnet_dsl.graph.ops import OPS
from resnet_dsl.lab.assertion import Assertion
from resnet_dsl.lab.finding import Finding, Plot, across, figure_text
from resnet_dsl.lab.probes import gradients, highway, identity, shattering, signals
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.lab.probes.measuring import measure
from resnet_dsl.lab.probes.still import batch_statistics, held_statistics, untouched
from resnet_dsl.lab.probes.subject import Ask, Subject, subjects
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.lab.table import PROBES, Probe, probe
from resnet_dsl.language import load
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.pictures.drawing.lines import Series, chart
from resnet_dsl.runtime import weights as weights_file
from resnet_dsl.runtime.build import build
from resnet_dsl.table import Column
from resnet_dsl.training.device.plan import Wishes
from resnet_dsl.training.job import Request
from resnet_dsl.training.loop.progress import Silent
from resnet_dsl.training.session import begin

OF_NETWORKS = [p for p in PROBES if p.of == "network"]


def subject(graph: Graph, *, images: int = 8, seed: int = 0, double: bool = False) -> Subject:
    """A network of a graph, with normal images and random labels."""
    dtype = torch.float64 if double else torch.float32
    draws = torch.Generator().manual_seed(seed)

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, *graph.input, generator=draws).to(dtype), torch.randint(graph.classes, (n,), generator=draws)

    return Subject(graph.name, graph, build(graph, seed=seed).to(dtype), *drawn(images), seed, "weights of a test", 0, drawn)


def features(body: list[Any], *, depth: int = 3, width: int = 4, **changes: Any) -> dict[str, Any]:
    """A network on vectors whose blocks have this body and nothing after the sum."""
    return {
        "input": {"features": width}, "classes": 3, "stem": [{"linear": {"out": width, "bias": False}}], "head": [{"linear": {"out": 3}}],
        "block": "cell", "blocks": {"cell": {"body": body}}, "shortcut": "Ws", "stages": [{"depth": depth, "width": width}], **changes,
    }  # fmt: skip


def of(finding: Finding, row: str, column: str) -> Any:
    """A cell by the first cell of its row and its column's key."""
    (cells,) = (r for r in finding.rows if r[0] == row)
    return cells[[c.key for c in finding.columns].index(column)]


# --- a network run node by node ----------------------------------------------------------------------------


def ignore(seen: Seen) -> Tensor:
    return seen.value


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("context", [untouched, batch_statistics])
def test_the_network_run_node_by_node_is_the_network(name: str, context: Any) -> None:
    s = subject(compiled(NETWORKS[name]))
    with context(s.model):
        found = [f(s.images.clone().requires_grad_()) for f in (s.model, lambda x: evaluate(s.graph, s.model, x, ignore))]
        assert torch.equal(*found)
        slopes = [torch.autograd.grad(s.loss(logits), list(s.model.parameters()), allow_unused=True) for logits in found]
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(*slopes, strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_is_seen_once_with_its_shape(name: str) -> None:
    s = subject(compiled(NETWORKS[name]))
    seen: list[Seen] = []

    def watch(node: Seen) -> Tensor:
        seen.append(node)
        return node.value

    with torch.no_grad(), untouched(s.model):
        evaluate(s.graph, s.model, s.images, watch)
    flat = list(s.graph.nodes())
    assert [n.path for n in seen if n.node.program is None] == [n.path for n in flat]
    assert sorted(n.path for n in seen if n.node.program is not None) == sorted(path for path, _ in s.graph.instances() if path)
    assert all(n.value.shape == (len(s.images), *n.node.shape) for n in seen)


def test_what_a_watch_gives_is_what_goes_on() -> None:
    s = subject(compiled(small()))
    with torch.no_grad(), untouched(s.model):
        logits = evaluate(s.graph, s.model, s.images, lambda n: n.value * 0 if n.path == "layer2" else n.value)
        assert torch.equal(logits, s.model.fc.bias.expand_as(logits))


# --- nothing is touched ------------------------------------------------------------------------------------


def everything(model: nn.Module) -> dict[str, Any]:
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "trained": [p.requires_grad for p in model.parameters()],
        "modules": [
            (type(m), m.training, getattr(m, "momentum", None), getattr(m, "track_running_stats", None), len(m._forward_hooks), len(m._forward_pre_hooks),
             len(m._backward_hooks), len(m._backward_pre_hooks)) for m in model.modules()
        ],
        "random": torch.get_rng_state(),
    }  # fmt: skip


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


SMALL_OPTIONS = {
    "shattering": {"intervals": 4, "pairs": 2},
    "landscape": {"grid": 3},
    "embed": {"updates": 2},
}


@pytest.mark.parametrize("name", ["small", "gate-conv"])
@pytest.mark.parametrize("row", OF_NETWORKS, ids=lambda p: p.name)
def test_a_probe_leaves_all_as_it_was_and_finds_the_same_again(row: Probe, name: str) -> None:
    s = subject(compiled(NETWORKS[name]))
    s.model.train()
    s.loss(s.model(s.images)).backward()
    s.model.conv1.weight.requires_grad = False
    before = everything(s.model)
    look = import_module(f"resnet_dsl.lab.probes.{row.name}").measure
    found = []
    for _ in range(2):
        fresh = subject(s.graph)
        try:
            found.append(
                look(Subject(s.name, s.graph, s.model, s.images, s.labels, 0, s.said, 0, fresh.test), **SMALL_OPTIONS.get(row.name, {}))
            )
        except SpecError as e:
            found.append(str(e))
        assert equal(everything(s.model), before)
    assert len({json.dumps(f.to_dict() if isinstance(f, Finding) else f) for f in found}) == 1


@pytest.mark.parametrize("row", PROBES, ids=lambda p: p.name)
def test_a_row_of_the_table_is_what_its_function_takes(row: Probe) -> None:
    look = import_module(f"resnet_dsl.lab.probes.{row.name}").measure
    arguments = look.__code__.co_varnames[1 : look.__code__.co_argcount + look.__code__.co_kwonlyargcount]
    assert {o.name for o in row.options} == set(arguments)
    defaults = [*(look.__defaults__ or ()), *(look.__kwdefaults__ or {}).values()]
    assert {o.default for o in row.options} == set(defaults)
    assert probe(row.name) is row


def test_held_statistics_make_a_network_a_function_of_one_image() -> None:
    s = subject(compiled(small()), double=True)
    with torch.no_grad():
        with batch_statistics(s.model):
            training = s.model(s.images)
        with held_statistics(s.model, s.images):
            alone = torch.cat([s.model(image[None]) for image in s.images])
    # The running variance is the unbiased one, of 8 * 8 * 8 numbers at first and 8 * 4 * 4 at the end.
    assert torch.allclose(alone, training, rtol=0.05, atol=0.02)
    assert not torch.equal(alone, training)


# --- signals -----------------------------------------------------------------------------------------------


def doubled(changes: dict[str, Any]) -> Subject:
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


# --- gradients ---------------------------------------------------------------------------------------------


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


# --- shattering --------------------------------------------------------------------------------------------


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
    plain, residual = (measure(probe("shattering"), Ask(f"{name}20-digits"), {"pairs": 2}).figures for name in ("plain", "resnet"))
    assert plain["neighbours"] < 0.5 < 0.75 < residual["neighbours"]


# --- identity ----------------------------------------------------------------------------------------------

SHAPE, RELU, GATE = "its shape changes: it gives the shortcut, {}{}", "ReLU comes after the addition", "the merge is no addition"


@pytest.mark.parametrize(
    ("changes", "first", "changing"),
    [
        ({"shortcut": "A"}, (1, False, RELU), SHAPE.format("A", "")),
        ({"shortcut": "B"}, (1, False, RELU), SHAPE.format("B", ", then ReLU")),
        ({"shortcut": "C"}, (None, False, "the shortcut, C, is no identity"), SHAPE.format("C", ", then ReLU")),
        ({"shortcut": "none"}, (None, False, "there is no shortcut: it gives zeros"), "there is no shortcut: it gives zeros"),
        ({"block": "preact_basic", "shortcut": "A"}, (1, True, ""), SHAPE.format("A", "")),
        ({"block": "preact_basic", "merge": "highway"}, (None, False, GATE), SHAPE.format("B", "")),
    ],
)  # fmt: skip
def test_identity(changes: dict[str, Any], first: tuple[int | None, bool, str], changing: str) -> None:
    found = identity.measure(subject(compiled(small(**changes))))
    own, anywhere, why = first
    assert of(found, "layer1.0", "why") == why
    assert (of(found, "layer1.0", "own_inputs") == 1) == (own == 1)
    assert (of(found, "layer1.0", "any_inputs") == 1) == anywhere
    assert of(found, "layer2.0", "why") == changing
    assert of(found, "layer2.0", "own_inputs") is None or "no shortcut" in changing
    assert found.figures["identities"] == (4 if own else 0)
    assert found.figures["identities_for_any"] == (4 if anywhere else 0)


def test_the_share_that_passes_a_relu_is_that_of_the_numbers_that_are_not_negative() -> None:
    s = subject(compiled(small(shortcut="A")))
    block = blocks_of(s.graph)[1]
    x = torch.tensor([1.0, -1.0, 0.0, -2.0]).repeat(8, 8, 16, 1)[:, :, :8].contiguous()
    with torch.no_grad(), untouched(s.model):
        identity.zero_branch(s.model, block)
        assert not any(s.model.get_submodule(block.path).conv1.weight.flatten())
        assert identity.passed(s.model, block, x).same == 0.5
        assert identity.passed(s.model, block, x.abs()) == identity.Passed(1, "")


# --- highway -----------------------------------------------------------------------------------------------


def test_the_jacobian_of_a_block_is_that_of_a_network_written_by_hand() -> None:
    s = subject(
        compiled(features([{"linear": {"out": 4, "bias": False}}, "act", {"linear": {"out": "out", "bias": False}}], depth=1)), double=True
    )
    (block,) = blocks_of(s.graph)
    module = s.model.get_submodule(block.path)
    first, last = (p for p in module.parameters() if p.ndim == 2)
    x = s.images
    found = highway.jacobian(block, module, x, 1, 0)
    v = torch.randn(x.shape, generator=highway.generator(0, "highway", block.path, 0)).double()
    bent = torch.stack([last @ torch.diag((first @ row > 0).double()) @ first for row in x]).detach()
    through = torch.einsum("nij,nj->ni", bent, v)
    whole = v + through
    lengths = [(a.norm() / v.norm()).item() for a in (v, through, whole)]
    assert (found.skip, found.branch, found.whole) == pytest.approx(lengths)
    assert found.along == pytest.approx(functional.cosine_similarity(whole.flatten(), v.flatten(), 0).item())
    assert (found.plus_one, found.error) == pytest.approx((0, 0), abs=1e-12)
    assert found.open is not None and bool(found.open.all())


@pytest.mark.parametrize(("name", "shortcut"), [("small", "identity"), ("preact", "identity"), ("projections", "C")])
def test_the_jacobian_of_a_block_is_a_finite_difference(name: str, shortcut: str) -> None:
    s = subject(compiled(NETWORKS[name]), double=True)
    block = blocks_of(s.graph)[1]
    module = s.model.get_submodule(block.path)
    assert block.shortcut == shortcut
    x = torch.rand(8, *block.program.input, generator=torch.Generator().manual_seed(3)).double()
    with batch_statistics(s.model):
        found = highway.jacobian(block, module, x, 1, 5)
        v = torch.randn(x.shape, generator=highway.generator(5, "highway", block.path, 0)).double()
        with torch.no_grad():
            slope = (module(x + 1e-7 * v) - module(x - 1e-7 * v)) / 2e-7
    assert found.whole == pytest.approx((slope.norm() / v.norm()).item(), rel=1e-4)
    assert found.error == pytest.approx(0, abs=1e-12)
    assert (found.plus_one == 0) == (shortcut == "identity")


def test_open_gates_are_the_positive_sums() -> None:
    s = subject(compiled(small(shortcut="A")))
    found = highway.measure(s, directions=1)
    sums: dict[str, Tensor] = {}
    with torch.no_grad(), batch_statistics(s.model):
        hooks = [
            s.model.get_submodule(b.path).register_forward_hook(lambda m, x, y, path=b.path: sums.update({path: y > 0}))
            for b in blocks_of(s.graph)
        ]  # fmt: skip
        s.model(s.images)
    for hook in hooks:
        hook.remove()
    both = sums["layer1.0"] & sums["layer1.1"]
    assert [of(found, "layer1.1", c) for c in ("open", "open_so_far")] == pytest.approx(
        [a.double().mean().item() for a in (sums["layer1.1"], both)]
    )
    assert of(found, "layer2.0", "open_so_far") == of(found, "layer2.0", "open")


def test_a_gradient_passes_branches_of_zeros_unchanged() -> None:
    s = subject(compiled(small(block="preact_basic", shortcut="A", init={"weights": "he"})))
    with torch.no_grad():
        for block in blocks_of(s.graph):
            identity.zero_branch(s.model, block)
    found = highway.measure(s, directions=2)
    assert [of(found, b, c) for b in ("layer1.0", "layer2.1") for c in ("along", "trunk", "open", "branch")] == pytest.approx(
        [1, 1, 1, 0] * 2
    )
    assert found.figures["trunk"] == pytest.approx(1)


def test_a_gate_is_no_plus_one() -> None:
    found = highway.measure(subject(compiled(NETWORKS["gate-conv"])), directions=1)
    assert {"error", "plus_one_error"} & found.figures.keys() == set()
    assert "no +1" in found.notes[-1]


# --- findings and assertions -------------------------------------------------------------------------------


def finding(**changes: Any) -> Finding:
    plot = Plot((Series("a", [(1.0, 10.0), (2.0, 1000.0)], 0),), "depth", "norm", log=True)
    columns = (Column("layer", "layer"), Column("norm", "norm", right=True))
    rows = (("conv1", 2.0), ("conv2", math.inf))
    return replace(Finding("gradients", "net", "weights of seed 0", columns, rows, {"first": 2.0}, ("A note.",), plot), **changes)


def test_a_finding_as_a_table_and_as_json() -> None:
    found = finding()
    assert found.table(30).render("table") == (
        "net: weights of seed 0\n\nlayer  norm\n-----  ----\nconv1   2.0\nconv2   inf\n\nfirst = 2\n\nA note.\n"
    )
    assert found.table(prose=False).render("table") == "layer  norm\n-----  ----\nconv1   2.0\nconv2   inf\n\nfirst = 2\n"
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert document == {
        "probe": "gradients", "network": "net", "about": "weights of seed 0", "figures": {"first": 2.0},
        "rows": [{"layer": "conv1", "norm": 2.0}, {"layer": "conv2", "norm": None}], "notes": ["A note."],
    }  # fmt: skip


def test_findings_at_several_steps() -> None:
    several = [(0, finding()), (10, finding(figures={"first": 3.0}, rows=(("conv1", 5.0), ("conv2", 6.0))))]
    below, beside = across(several), across(several, "norm")
    assert across(several[:1]) is several[0][1]
    assert below.rows == ((0, "conv1", 2.0), (0, "conv2", math.inf), (10, "conv1", 5.0), (10, "conv2", 6.0))
    assert [c.key for c in beside.columns] == ["layer", "norm_at_0", "norm_at_10"]
    assert beside.rows == (("conv1", 2.0, 5.0), ("conv2", math.inf, 6.0))
    assert below.figures == beside.figures == {"first_at_0": 2.0, "first_at_10": 3.0}
    assert below.notes == ("A note.",)
    drawn = ET.fromstring(below.svg() or "")
    assert "step 0, step 10" in (drawn[0].text or "")
    assert "picture shows step 10" in across([(s, finding(chart="<svg/>")) for s in (0, 10)]).notes[-1]


def test_a_plot_without_a_finite_point_is_none() -> None:
    assert Plot((Series("a", [(0.0, math.nan), (1.0, 0.0)], 0),), "x", "y", log=True).svg() is None
    assert Plot((Series("a", [(0.0, math.nan), (1.0, 0.0)], 0),), "x", "y").svg() is not None


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1, 1000], ["1", "10", "100", "1000"]),
        ([3e-5, 2.0], ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10"]),
        ([2, 3], ["2", "5"]),
        ([5, 5], ["5", "10"]),
        ([0.15, 4], ["0.1", "0.2", "0.5", "1", "2", "5"]),
        ([1e-20, 1e20], ["1e-20", "1e-15", "1e-10", "1e-05", "1", "100000", "1e+10", "1e+15", "1e+20"]),
    ],
)
def test_a_logarithmic_axis(values: list[float], ticks: list[str]) -> None:
    root = ET.fromstring(chart([Series("a", list(enumerate(map(float, values))), 0)], x="x", y="y", log=True))
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text") if t.get("text-anchor") == "end"]
    assert words == ticks
    line = next(p.get("d") or "" for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("stroke-width") == "1.6")
    assert all(16 <= float(point.split()[1]) <= 356 for point in line[1:].split("L"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.53124, "0.5312"),
        (1390.2, "1,390"),
        (1.234e7, "1.234e+07"),
        (7.0, "7"),
        (-0.01, "-0.01"),
        (math.nan, "nan"),
        (0.0, "0"),
        (1e-12, "1e-12"),
    ],
)
def test_figures_as_text(value: float, text: str) -> None:
    assert figure_text(value) == text


FIGURES = {"first": 744.2, "last": 1e-30, "broken": math.nan, "neighbours": -0.0059}


@pytest.mark.parametrize(
    "text",
    ["first > 100", "first / 2 > 372 and last < 1", "not first < 1", "neighbours >= -0.0059", "neighbours == -0.0059", "last * 1e10 < 1"],
)
def test_an_assertion_that_holds(text: str) -> None:
    assert Assertion.read(text).failure(FIGURES) is None


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("first < 20", 1, "first < 20 does not hold: first = 744.2"),
        ("first < 20 or broken > 0", 1, "broken = nan"),
        ("not broken > 0", 1, "broken = nan"),
        ("firsst < 20", 2, "did you mean 'first'?"),
        ("first", 2, "is a number, and an assertion is true or false"),
        ("first < ", 2, "error[expression-syntax]"),
        ("first ** 2 < 1", 2, "no power operator"),
        ("first < (last > 1)", 2, "computes with numbers"),
        ("first / (last - last) > 1", 2, "division by zero"),
    ],
)
def test_an_assertion_that_does_not(text: str, code: int, said: str) -> None:
    try:
        failure = Assertion.read(text).failure(FIGURES)
    except SpecError as e:
        failure = e
    assert failure is not None
    assert failure.exit_code == code
    assert said in str(failure)


# --- what is looked at -------------------------------------------------------------------------------------

TINY = {
    "input": {"channels": 1, "height": 8, "width": 8}, "classes": 10, "stem": [{"conv": {"out": 4, "kernel": 3, "stride": 2}}, "norm", "act"],
    "block": "basic", "shortcut": "B", "stages": [{"depth": 1, "width": 4}],
    "train": {"steps": 6, "batch": 32, "lr": 0.1, "log_every": 2, "warmup": 0.2, "schedule": "cosine", "augment": {"pad_crop": 1, "flip": False}},
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(TINY))
    return str(path)


def states(ask: Ask) -> dict[int | None, dict[str, Tensor]]:
    return {s.step: copy.deepcopy(s.model.state_dict()) for s in subjects(ask)}


def same_weights(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_moments_are_those_of_the_training_itself(tiny: str, tmp_path: Path) -> None:
    spec = load(tiny)
    recipe = recipe_of(spec)
    run = tmp_path / "run"
    begin(
        spec, recipe, Request("digits", plan=Wishes(device="cpu", precision="fp32", compile="no")), out=run, watcher=Silent(), command=["x"]
    )
    end = weights_file.load(run / "model.safetensors").tensors
    by_spec, by_run = states(Ask(tiny, steps=(0, 1, 6))), states(Ask(str(run), steps=(6,)))
    assert list(by_spec) == [0, 1, 6]
    assert same_weights(by_spec[0], build(compiled(TINY, "tiny"), seed=recipe.seed).state_dict())
    assert not same_weights(by_spec[0], by_spec[1])
    assert same_weights(by_spec[6], end)
    assert same_weights(by_run[6], end)
    (whole,) = subjects(Ask(str(run), images=5))
    assert same_weights(whole.model.state_dict(), end)
    assert (whole.step, len(whole.images), whole.said) == (None, 5, f"the weights of {run}; 5 training images of digits")
    (loaded,) = subjects(Ask(tiny, weights=run / "model.safetensors", images=5))
    assert same_weights(loaded.model.state_dict(), end)
    assert torch.equal(loaded.images, whole.images)
    (on_noise,) = subjects(Ask(tiny, weights=run, data="noise", images=5))
    assert same_weights(on_noise.model.state_dict(), end)
    assert on_noise.said == f"the weights of {run}; 5 images of standard normal noise, with random labels"
    # Looking on the way changes nothing.
    looked = measure(probe("highway"), Ask(tiny, steps=(0, 3, 6), images=4), {})
    alone = measure(probe("highway"), Ask(tiny, steps=(6,), images=4), {})
    assert looked.figures["trunk_at_6"] == alone.figures["trunk"]


def test_images_are_chosen_by_the_seed_and_normalised(tiny: str) -> None:
    (a,), (b,), (c,) = (subjects(Ask(tiny, images=50, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.labels, b.labels)
    assert not torch.equal(a.images, c.images)
    assert a.images.shape == (50, 1, 8, 8)
    assert abs(a.images.mean().item()) < 0.2 and abs(a.images.std().item() - 1) < 0.2
    (first, _), (again, labels) = a.test(20), a.test(20)
    assert torch.equal(first, again)
    assert len(labels) == 20


def test_a_network_that_fits_no_data_is_shown_noise() -> None:
    (s,) = subjects(Ask("residual-mlp", images=3, overrides=("input={features: 7}",)))
    assert s.images.shape == (3, 7)
    assert s.said == "initial weights of seed 0; 3 images of standard normal noise, with random labels"
    assert s.name == "residual-mlp (input={features: 7})"


@pytest.mark.parametrize(
    ("ask", "code", "said"),
    [
        (Ask("residual-mlp", steps=(0, 1), overrides=("input={features: 7}",)), 2, "noise teaches nothing"),
        (Ask("TINY", steps=(7,)), 2, "step 7 is after the end of the training, which takes 6 steps"),
        (Ask("TINY", data="fashion-mnist"), None, "fashion-mnist"),
        (Ask("TINY", data="nothing"), 2, "is no data set"),
        (Ask("FOLDER"), 3, "run"),
        (Ask("FOLDER", overrides=("shortcut=A",)), 2, "a run is looked at as it was trained"),
        (Ask("FOLDER", data="noise"), 2, "a run has its data"),
        (Ask("TINY", weights=Path("no.safetensors")), 3, "cannot be read"),
        (Ask("TINY", device="tpu"), 2, "tpu is no device"),
        (Ask("TINY", overrides=("train.lr=1e6",), steps=(6,)), 1, "not-finite"),
    ],
)
def test_what_cannot_be_looked_at(ask: Ask, code: int | None, said: str, tiny: str, tmp_path: Path) -> None:
    target = {"TINY": tiny, "FOLDER": str(tmp_path)}.get(ask.target, ask.target)
    with pytest.raises(SpecError, match=said) as e:
        list(subjects(Ask(**{f: getattr(ask, f) for f in Ask.__dataclass_fields__} | {"target": target})))
    assert code is None or e.value.exit_code == code


def test_no_pair_without_two_images() -> None:
    with pytest.raises(SpecError, match="4 pairs need 8 images, and there are 7"):
        shattering.measure(subject(compiled(small()), images=7))


def test_every_op_without_a_module_is_a_merge() -> None:
    """What `evaluate` counts on."""
    assert [name for name, row in OPS.items() if row.module is None and row.expression is None] == []


# --- the command -------------------------------------------------------------------------------------------

CORE = ("signals", "gradients", "shattering", "identity", "highway")


@pytest.mark.parametrize("row", PROBES, ids=lambda p: p.name)
def test_help_says_what_is_measured_and_ends_with_an_example(row: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", row.name, "--help"]) == 0
    printed = capsys.readouterr().out
    # Lines are broken anywhere, after hyphens too.
    text = "".join(printed.split())
    for said in (row.about, f"Formula: {row.formula}", f"Source: {row.source}", *(f"--{o.name.replace('_', '-')}" for o in row.options)):
        assert "".join(said.split()) in text
    assert printed.rstrip().endswith(row.examples[-1])


@pytest.mark.parametrize("example", [e for name in CORE for e in probe(name).examples])
def test_examples_run(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(example)[1:]) == 0
    out, err = capsys.readouterr()
    assert "error[" not in err
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", [name for name in CORE if probe(name).plots])
def test_plots_are_pictures(name: str, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "plot.svg"
    assert main(["probe", name, tiny, "--steps", "0,2", "-o", str(out), "--format", "json"]) == 0
    assert ET.parse(out).getroot().tag.endswith("svg")
    printed = capsys.readouterr()
    assert json.loads(printed.out)["about"].endswith("after 0 and 2 training steps")
    assert printed.err == f"step 0 of 2\nstep 2 of 2\nwrote {out}\n"
