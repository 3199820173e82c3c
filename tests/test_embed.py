"""The probe `embed`: equality to the bit, training as written out by hand, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import compiled, small
from torch import Tensor
from torch.nn import functional

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph
from resnet_dsl.graph.growth import deepened
from resnet_dsl.lab.finding import Finding, Plot
from resnet_dsl.lab.probes.embed import measure
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.runtime.build import build
from resnet_dsl.training.batches.seeds import generator

STAGES = [{"depth": 2, "width": 8}, {"depth": 3, "width": 16, "stride": 2}]


def subject(graph: Graph, images: int = 40) -> ProbedNetwork:
    draws = torch.Generator().manual_seed(3)
    model = build(graph, seed=1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=draws))

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, *graph.input, generator=draws), torch.randint(graph.classes, (n,), generator=draws)

    return ProbedNetwork(graph.name, graph, model, *drawn(images), 5, "weights of a test", None, drawn)


def cell(finding: Finding, network: str, updates: int, column: str) -> Any:
    keys = [c.key for c in finding.columns]
    return next(row[keys.index(column)] for row in finding.rows if row[:2] == (network, updates))


@pytest.mark.parametrize(
    "changes", [{}, {"shortcut": "A"}, {"shortcut": "C"}, {"shortcut": "none"}, {"norm": "none"}, {"block": "preact_basic"}]
)
def test_what_is_placed_in_a_deeper_network_stays_equal(changes: dict[str, Any]) -> None:
    found = measure(subject(compiled(small(stages=STAGES, **changes))), updates=0)
    assert found.figures["max_difference"] == 0 and found.figures["same"] == 1
    assert cell(found, "A", 0, "loss") == cell(found, "B, A inside", 0, "loss") != cell(found, "B, new", 0, "loss")
    assert len(found.rows) == 3 and found.chart is None and not any(name.endswith("_after") for name in found.figures)


def test_the_deeper_twin_has_each_last_block_as_often_again() -> None:
    twin = deepened(compiled(small(stages=STAGES, shortcut="A"), "a"))
    assert [[name for n in s.callee.nodes for name in n.paths] for s in twin.stages] == [list("0123"), list("012345")]
    assert twin.name == "deeper-a" and build(twin)(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def test_training_is_sgd_with_momentum_on_the_batches_of_the_seed() -> None:
    s = subject(compiled(small(stages=STAGES, norm="none")))
    found = measure(s, updates=3, batch=16, lr=0.05)
    model = build(s.graph)
    model.load_state_dict(s.model.state_dict())
    speed = [torch.zeros_like(p) for p in model.parameters()]
    order, losses = generator(5, "embed", "order"), []
    for _ in range(3):
        chosen = torch.randperm(40, generator=order)[:16]
        loss = functional.cross_entropy(model(s.images[chosen]), s.labels[chosen])
        losses.append(float(loss.detach()))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, v, g in zip(model.parameters(), speed, gradients, strict=True):
                v.mul_(0.9).add_(g)
                p.sub_(0.05 * v)
    assert cell(found, "A", 3, "loss") == pytest.approx(float(functional.cross_entropy(model(s.images), s.labels).detach()), rel=1e-5)
    assert isinstance(found.chart, Plot)
    assert [y for _, y in found.chart.series[0].points] == pytest.approx(losses, rel=1e-5)
    # A and what it begins in see the same batch first, and it is worth as much to both.
    assert found.chart.series[0].points[0] == found.chart.series[1].points[0] != found.chart.series[2].points[0]


def test_without_a_learning_rate_nothing_moves() -> None:
    found = measure(subject(compiled(small(stages=STAGES, norm="none"))), updates=2, lr=0)
    assert all(cell(found, name, 0, "loss") == cell(found, name, 2, "loss") for name in ("A", "B, A inside", "B, new"))


@pytest.mark.parametrize(("changes", "into", "message"), [
    ({}, "resnet20", "resnet20: error[grow]: A reads 3x8x8, B 3x32x32"),
    ({"stages": [{"depth": 1, "width": 16, "stride": 2}]}, "", "small: error[usage]: has no stage with a block that keeps its shape, and so no deeper twin"),
    ({"merge": "mul"}, "", "error[grow]: layer1.2 cannot begin as the identity, for its mul (x)"),
])  # fmt: skip
def test_what_cannot_be_placed_is_refused(changes: dict[str, Any], into: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        measure(subject(compiled(small(**{"stages": STAGES, **changes})), 8), into)
    assert message in str(caught.value) and caught.value.exit_code == 2
