"""Identity and the "+1" against networks whose weights are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from probing import features, of, subject
from torch import Tensor
from torch.nn import functional

from resnet_dsl.lab.probes import highway, identity
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.lab.probes.still import batch_statistics, untouched

# --- identity ------------------------------------------------------------------------------------------------

SHAPE, RELU, GATE = "its shape changes: it gives the shortcut, {}{}", "ReLU comes after the addition", "the merge is not an addition"


@pytest.mark.parametrize(
    ("changes", "first", "changing"),
    [
        ({"shortcut": "A"}, (1, False, RELU), SHAPE.format("A", "")),
        ({"shortcut": "B"}, (1, False, RELU), SHAPE.format("B", ", then ReLU")),
        ({"shortcut": "C"}, (None, False, "the shortcut, C, is not an identity"), SHAPE.format("C", ", then ReLU")),
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


# --- highway -------------------------------------------------------------------------------------------------


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
