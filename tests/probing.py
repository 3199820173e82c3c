"""What tests of probes share: networks of known weights to look at, and cells of findings."""

from __future__ import annotations

from typing import Any

import torch
from networks import compiled
from torch import Tensor, nn

from resnet_dsl.graph import Graph
from resnet_dsl.lab.finding import Finding
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.runtime.build import build


def subject(graph: Graph, *, images: int = 8, seed: int = 0, double: bool = False) -> ProbedNetwork:
    """A network of a graph, with normal images and random labels."""
    dtype = torch.float64 if double else torch.float32
    draws = torch.Generator().manual_seed(seed)

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, *graph.input, generator=draws).to(dtype), torch.randint(graph.classes, (n,), generator=draws)

    return ProbedNetwork(graph.name, graph, build(graph, seed=seed).to(dtype), *drawn(images), seed, "weights of a test", 0, drawn)


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


def noise_shown(spec: dict[str, Any], images: int = 6, *, step: int | None = 0) -> ProbedNetwork:
    """A network of a spec with its initial weights, and noise to look at."""
    graph = compiled(spec)
    draws = torch.Generator().manual_seed(7)

    def drawn(n: int) -> tuple[Tensor, Tensor]:
        return torch.randn(n, *graph.input, generator=draws), torch.randint(graph.classes, (n,), generator=draws)

    return ProbedNetwork("small", graph, build(graph, seed=1), *drawn(images), 3, "noise", step, drawn)


def stack(width: int, depth: int, body: list[Any], **more: Any) -> dict[str, Any]:
    """A spec that maps features to as many numbers through equal blocks."""
    return {
        "input": {"features": width}, "classes": width, "norm": "none", "stem": [], "head": [], "block": "unit", "shortcut": "identity",
        "blocks": {"unit": {"body": body}}, "stages": [{"depth": depth, "width": width}],
    } | more  # fmt: skip


HALF = [{"scale": {"init": 0.5}}]
"""F = x / 2."""
