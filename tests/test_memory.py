"""What autograd saves, against what torch's saved-tensor hooks see, each storage counted once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from torch import nn
from torch.utils.checkpoint import checkpoint

import resnet_dsl as rd
from resnet_dsl.analysis.memory import Amount, Memory, Saving, memory
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.verbs.modules import build

BATCH = 3


@contextmanager
def counted(model: nn.Module) -> Iterator[dict[int, int]]:
    """The bytes of every storage that is saved meanwhile, except the model's own; it is kept alive, so that no two share an address."""
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    kept = []

    def pack(t: torch.Tensor) -> torch.Tensor:
        if (place := t.untyped_storage().data_ptr()) not in own:
            found[place] = t.untyped_storage().nbytes()
            kept.append(t)
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        yield found


def measured(graph: Graph, *, bf16: bool = False) -> int:
    model = build(graph, seed=0).train()
    with counted(model) as found, torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model(torch.randn(BATCH, *graph.input))
    return sum(found.values())


def at_32(name: str) -> Graph:
    return compile(load(name, ["input={channels: 3, height: 32, width: 32}"]))


ACTS = ("relu6", "leaky_relu", "gelu", "silu", "hardswish", "softmax", "elu", "tanh", "sigmoid", "hardsigmoid")
SPECS: dict[str, dict[str, Any]] = {
    **NETWORKS,
    **{act: small(act=act) for act in ACTS},
    "group": small(norm={"group": {"groups": 4}}),
    "layer": small(norm="layer"),
    "instance": small(norm="instance"),
    "pools": small(stem=["cifar", {"maxpool": {"kernel": 3, "stride": 1, "padding": 1}}, {"avgpool": {"kernel": 3, "stride": 1, "padding": 1}}],
                   head=[{"globalpool": {"kind": "max"}}, "flatten", {"linear": {"out": 5}}]),
    "scales": small(stem=["cifar", {"scale": {"per": "channel"}}, {"bias": {"per": "channel"}}, {"scale": {"learn": False}}, {"subsample": {"stride": 2}}]),
}  # fmt: skip

# A dropout's mask is a byte an element on a GPU, which is what we count, and four on the CPU.
MASKED = {"mixed", "in-place"}


@pytest.mark.parametrize("name", SPECS)
def test_saved_as_torch_saves(name: str) -> None:
    graph = compiled(SPECS[name])
    ours, theirs = Saving(graph).total.of(BATCH), measured(graph)
    assert ours == pytest.approx(theirs, rel=0.05)
    assert name in MASKED or ours == theirs


@pytest.mark.parametrize("name", ["resnet18", "resnet34-A", "resnet34-C", "plain34", "resnet50", "resnet50-v1"])
def test_shipped_networks(name: str) -> None:
    graph = at_32(name)
    assert Saving(graph).total.of(BATCH) == measured(graph)


# On the CPU autocast leaves other norms and softmax in half precision; on a GPU, which is what we count, they are in fp32.
@pytest.mark.parametrize("name", sorted({*NETWORKS, "gelu", "tanh", "scales"} - MASKED - {"mlp"}))
def test_saved_in_half_precision(name: str) -> None:
    graph = compiled(SPECS[name])
    assert Saving(graph, "bf16").total.of(BATCH) == measured(graph, bf16=True)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "plain34"])
def test_checkpointed_blocks(name: str) -> None:
    """Each block saves its input; then the costliest runs again."""
    graph = at_32(name)
    ours = Saving(graph, checkpoint=True)
    model = build(graph, seed=0).train()
    blocks = [model.get_submodule(f"{stage.path}.{i}") for stage in graph.stages for n in stage.callee.nodes for i in n.paths]
    x = torch.randn(BATCH, *graph.input)
    entered: dict[nn.Module, torch.Tensor] = {}
    handles = [b.register_forward_pre_hook(lambda block, args: entered.update({block: args[0].detach().clone()})) for b in blocks]
    model(x)
    for handle in handles:
        handle.remove()
    again = []
    for block in blocks:
        inside = entered[block].requires_grad_()
        with counted(block) as found:
            block(inside)
        again.append(sum(size for place, size in found.items() if place != inside.untyped_storage().data_ptr()))
        block.forward = partial(checkpoint, block.forward, use_reentrant=True)  # type: ignore[method-assign]
    with counted(model) as found:
        model(x)
    assert ours.total.of(BATCH) == sum(found.values())
    assert max(a.of(BATCH) for a in ours.recomputed) == max(again)
    assert ours.total.of(BATCH) < Saving(graph).total.of(BATCH)


def test_parts_add_up() -> None:
    r = rd.inspect(compile(load("resnet50")), batch=7, precision="bf16")
    total = r.memory.saved
    for parts in ((r.stem, *r.stages, r.head), r.blocks, r.ops):
        assert sum((p.saved for p in parts), Amount()) == total
    checkpointed = rd.inspect(compile(load("resnet50")), checkpoint=True)
    assert sum((p.saved for p in checkpointed.ops), Amount()) == checkpointed.memory.saved


def test_blocks_that_repeat_are_walked_once() -> None:
    graph = compile(load("resnet20", {"params.n": "30000"}))
    few = [Saving(compile(load("resnet20", {"params.n": str(n)}))).total for n in (3, 4)]
    step = Amount(few[1].fixed - few[0].fixed, few[1].each - few[0].each)
    assert Saving(graph).total == few[0] + step * (30_000 - 3)


def test_the_largest_batch() -> None:
    graph = compile(load("resnet18"))
    for optimizer, numbers in (("sgd", 3), ("adamw", 4)):
        for again in (False, True):
            m = memory(11_689_512, Saving(graph, checkpoint=again), optimizer)  # type: ignore[arg-type]
            assert m.weights + m.gradients + m.optimizer == numbers * 4 * 11_689_512
            n = m.largest_batch(2**31)
            assert m.total(n) <= 2**31 < m.total(n + 1)
    assert Memory(1, 1, 1, Amount(0, 10)).largest_batch(12) == 0
