"""Lesions and paths, each against a case whose answer is known: a network changed by hand, an enumeration."""

from __future__ import annotations

import copy
import math
from itertools import combinations

import pytest
import torch
from networks import NETWORKS, compiled, small
from probing import HALF, noise_shown, stack
from torch import nn
from torch.nn import functional

from resnet_dsl.graph import Graph
from resnet_dsl.lab.probes import lesion, paths
from resnet_dsl.lab.probes.blocks import blocks_of
from resnet_dsl.lab.probes.probed import ProbedNetwork

# --- lesion --------------------------------------------------------------------------------------------------


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
    s = noise_shown(NETWORKS[name])
    model = s.model.eval()
    with torch.no_grad():
        for block in blocks_of(s.graph):
            if LESIONS[name][block.path] is not None:
                expected = without_by_hand(s.graph, model, block.path)(s.images)
                torch.testing.assert_close(lesion.without(s.graph, model, block)(s.images), expected, rtol=0, atol=0)
                assert not torch.equal(expected, model(s.images))


def test_swapped_blocks_are_blocks_with_each_others_weights() -> None:
    s = noise_shown(small())
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
    """Four blocks x + F(x) whose F is 0, except in the third, which turns every answer round."""
    s = noise_shown(stack(2, 4, ["act", {"linear": {"out": 2}}], act="identity"))
    with torch.no_grad():
        for p in s.model.parameters():
            p.zero_()
        s.model.layer1[2].fc.weight.copy_(torch.diag(torch.tensor([-2.0, -2.0])))  # type: ignore[index, union-attr]
    images = torch.randn(40, 2)
    labels = (-images).argmax(1)
    found = lesion.measure(ProbedNetwork("four", s.graph, s.model, images, labels, 0, "known", None, lambda n: (images[:n], labels[:n])))
    assert [row[2:] for row in found.rows] == [(0.0, 0.0), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0)]
    assert found.figures == {"base_error": 0.0, "median_rise": 0.0, "max_rise": 1.0, "changed": 4}


# --- paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "zero-pad", "projections", "preact", "bottleneck"])
def test_the_gradients_of_all_paths_add_up_to_the_gradient(name: str) -> None:
    s = noise_shown(NETWORKS[name])
    s.model.double().eval()
    s = ProbedNetwork("double", s.graph, s.model, s.images.double(), s.labels, 3, "noise", 0, s.test)
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
    found = paths.measure(noise_shown(stack(3, n, HALF)), samples)
    shares = [math.comb(n, k) * 0.5**k / 1.5**n for k in range(n + 1)]
    assert [row[1] for row in found.rows] == [math.comb(n, k) for k in range(n + 1)]
    assert [row[4] for row in found.rows] == pytest.approx(shares)
    assert found.figures == pytest.approx(
        {"blocks": n, "effective_length": n / 3, "peak": 2, "low": 0, "high": 4, "norm_ratio": 0.5**n}, rel=1e-5
    )
