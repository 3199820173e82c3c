"""A network run node by node is the network, and a probe leaves it as it was."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from probing import equal, everything, subject
from torch import Tensor

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import batch_statistics, held_statistics, untouched
from resnet_dsl.lab.probes.values import Seen, evaluate
from resnet_dsl.lab.table import PROBES, Probe, find

OF_NETWORKS = [p for p in PROBES if p.of == "network"]


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


# --- nothing is touched --------------------------------------------------------------------------------------

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
                look(
                    ProbedNetwork(s.name, s.graph, s.model, s.images, s.labels, 0, s.said, 0, fresh.test), **SMALL_OPTIONS.get(row.name, {})
                )
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
    assert find(row.name) is row


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
