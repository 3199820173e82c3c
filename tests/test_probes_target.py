"""Fitting known functions, and the picture of a map."""

from __future__ import annotations

import math
import re

import pytest
import torch
from networks import compiled
from probing import stack
from torch import nn
from torch.nn import functional

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.probes import target
from resnet_dsl.pictures.drawing.heat import Axis, heat
from resnet_dsl.runtime.build import build
from resnet_dsl.training.batches.seeds import derive, generator

# --- target --------------------------------------------------------------------------------------------------


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
    arm = target.Candidate(graph, "scaled")
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


# --- the picture of a map ------------------------------------------------------------------------------------


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
