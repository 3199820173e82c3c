"""Networks made ready to answer: the same function as the module in eval mode, and nothing shared with it."""

from __future__ import annotations

import pytest
import torch
from networks import NETWORKS, compiled, small
from test_folding import NORMS, trained

from resnet_dsl.runtime.inference import ready


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_answers_as_the_module(name: str, dtype: torch.dtype, most: float) -> None:
    graph = compiled(NETWORKS[name])
    model = trained(graph)
    answering = ready(graph, model.state_dict(), dtype=dtype)
    x = torch.randn(3, *graph.input, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(x)
    found = answering(x)
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert (found - wanted).abs().max() <= most * wanted.abs().max()
    torch.testing.assert_close(answering(x.to(torch.float64)), found)


def test_how_it_is_laid_out() -> None:
    graph = compiled(small())
    answering = ready(graph, trained(graph).state_dict(), dtype=torch.bfloat16)
    weights = list(answering.parameters())
    assert {p.dtype for p in weights} == {torch.bfloat16}
    assert not any(p.requires_grad for p in weights)
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights if p.ndim == 4)
    assert not any(isinstance(m, NORMS) for m in answering.modules())
    assert not answering.body.training


def test_what_becomes_of_the_module_is_nothing_to_it() -> None:
    graph = compiled(small())
    model = trained(graph)
    answering = ready(graph, model.state_dict())
    x = torch.randn(2, *graph.input)
    before = answering(x)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    assert torch.equal(answering(x), before)


@pytest.mark.needs("compiler")
def test_compiled() -> None:
    graph = compiled(small(stages=[{"depth": 1, "width": 8}]))
    model = trained(graph)
    answering = ready(graph, model.state_dict(), compiled=True)
    x = torch.randn(2, *graph.input)
    with torch.no_grad():
        wanted = model(x)
    assert (answering(x) - wanted).abs().max() <= 1e-5 * wanted.abs().max()
