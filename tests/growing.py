"""Pairs of a shallow network and a deeper one, with weights and statistics as no network has them at its beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from networks import compiled, small
from torch import Tensor

from resnet_dsl.graph import Graph
from resnet_dsl.verbs.modules import build

Spec = dict[str, Any]
Tensors = dict[str, Tensor]

STAGES: tuple[Spec, ...] = ({"width": 8}, {"width": 16, "stride": 2})


def of_depths(*depths: int, given: Sequence[Spec] = STAGES, **changes: Any) -> Spec:
    return small(**changes) | {"stages": [{**stage, "depth": n} for stage, n in zip(given, depths, strict=False)]}


def pair(name: str, stages: Sequence[Spec] = STAGES, **changes: Any) -> tuple[Graph, Graph]:
    """A shallow network and a deeper one, alike in all else."""
    shallow, deep = (of_depths(*depths, given=stages, **changes) for depths in ((1, 2), (3, 4)))
    return compiled(shallow, name), compiled(deep, f"{name}-deep")


def trained(graph: Graph, seed: int = 0) -> Tensors:
    """Weights and statistics as no network has them at its beginning."""
    draws = torch.Generator().manual_seed(seed)
    state: Tensors = build(graph, seed=seed).state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            tensor.fill_(7)
        elif name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=draws) + 0.5)
        else:
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=draws))
    return state


def outputs(graph: Graph, tensors: Tensors, images: Tensor) -> Tensor:
    model = build(graph)
    model.load_state_dict(tensors)
    with torch.no_grad():
        found: Tensor = model.eval()(images)
    return found
