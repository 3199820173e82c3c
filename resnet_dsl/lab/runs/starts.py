"""Paired initial weights: tensors that arms have in common begin with the same values at the same seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from resnet_dsl.graph import Graph
from resnet_dsl.runtime.build import build
from resnet_dsl.training.batches.seeds import derive

State = dict[str, torch.Tensor]


def starts(graphs: Sequence[Graph], seed: int) -> Iterator[State]:
    """The initial state of each network, in order. The first is what `build` gives for the seed.

    A tensor that a former network drew under the same initial scheme, name and shape is taken from the first that did; the others are
    drawn from seeds of their own, so that no two layers of a network share random numbers. What is constant (a norm's gain, a bias
    of zeros) stays each network's own.
    """
    pool: dict[tuple[object, ...], torch.Tensor] = {}
    for number, graph in enumerate(graphs):
        state: State = build(graph, seed=derive(seed, "arm", number) if number else seed).state_dict()
        for name, values in state.items():
            if _drawn(values):
                values.copy_(pool.setdefault((*_scheme(graph), name, values.shape), values.clone()))
        yield state


def _drawn(values: torch.Tensor) -> bool:
    return values.is_floating_point() and values.numel() > 1 and bool((values != values.flatten()[0]).any())


def _scheme(graph: Graph) -> tuple[object, ...]:
    """What decides the scale of a layer beside its shape: Fixup's goes by the number of blocks."""
    blocks = sum(b.times * s.times for s in graph.stages for b in s.callee.nodes if b.role == "block")
    return (graph.init_weights, blocks if graph.init_weights == "fixup" else 0)
