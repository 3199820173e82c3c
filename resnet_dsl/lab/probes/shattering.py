"""Shattered gradients: how alike the input gradients of neighbouring points on a line between two images are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.lab.finding import Finding, Plot, number_text
from resnet_dsl.lab.probes.probed import ProbedNetwork
from resnet_dsl.lab.probes.still import held_statistics
from resnet_dsl.pictures.drawing.lines import Series
from resnet_dsl.table import Column
from resnet_dsl.training.batches.seeds import generator


def measure(probed: ProbedNetwork, intervals: int = 64, pairs: int = 4) -> Finding:
    """The cosine between gradients by the input at points of a line between two images, by how many of `intervals` they are apart.

    The function is one random combination of the outputs, the same at all points; the lines are between the first images, the next two,
    and so on. Batch norms hold the statistics that they have on all images. Raises SpecError (exit 2) where there are too few images.
    """
    if 2 * pairs > len(probed.images):
        raise refuse(
            "out-of-range",
            f"{pairs} pairs need {2 * pairs} images, and there are {len(probed.images)}",
            f"use {Argument('images', 2 * pairs)}",
            at=Argument("pairs"),
        )
    model = probed.model
    with held_statistics(model, probed.images):
        weights = torch.randn(probed.graph.classes, generator=generator(probed.seed, "shattering")).to(probed.images)
        shares = torch.linspace(0, 1, intervals + 1).to(probed.images)
        lines = [torch.lerp(a, b, shares.view(-1, *[1] * a.ndim)) for a, b in torch.split(probed.images[: 2 * pairs], 2)]
        found = torch.stack([by_distance(input_gradients(model, line, weights)) for line in lines])
    mean = found.mean(0).tolist()
    deviation = found.std(0).tolist() if pairs > 1 else [math.nan] * intervals
    shown = sorted({2**i for i in range(intervals.bit_length()) if 2**i <= intervals} | {intervals})
    return Finding(
        "shattering",
        probed.name,
        f"{probed.said}, {pairs} line{'s' * (pairs > 1)} of {intervals} intervals",
        (
            Column("apart", "intervals apart", right=True),
            Column("cosine", "cosine", number_text, True),
            Column("deviation", "sd over lines", number_text, True),
        ),
        tuple((lag, mean[lag - 1], deviation[lag - 1] if pairs > 1 else None) for lag in shown),
        {"neighbours": mean[0], "neighbours_sd": deviation[0], "ends": mean[-1]}
        if pairs > 1
        else {"neighbours": mean[0], "ends": mean[-1]},
        notes=("1: the same gradient; 0: as unlike as noise.",),
        chart=Plot((Series("cosine", [(lag, c) for lag, c in enumerate(mean, 1)], 0),), "intervals apart", "cosine of input gradients"),
    )


def input_gradients(model: nn.Module, points: Tensor, weights: Tensor) -> Tensor:
    """The gradient of `model(x) @ weights` by x at each of the points (N, ...), as (N, numbers of one point)."""
    points = points.detach().clone().requires_grad_()
    (model(points) @ weights).sum().backward()
    assert points.grad is not None
    return points.grad.flatten(1)


def by_distance(gradients: Tensor) -> Tensor:
    """(N, n) to (N - 1,): the mean cosine of rows that are 1, 2, ..., N - 1 apart."""
    cosines = functional.normalize(gradients.cpu().double(), dim=1)
    table = cosines @ cosines.T
    return torch.stack([table.diagonal(lag).mean() for lag in range(1, len(table))])
