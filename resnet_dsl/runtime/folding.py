"""The weights of a network whose batch norms are folded (`graph.folding`)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from resnet_dsl.graph import Graph
from resnet_dsl.graph.folding import folds

_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def fold_weights(graph: Graph, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state_dict of `fold(graph)` out of one of `graph`: the same function in eval mode.

    Computed in float64 and rounded once, to the type that the layer's weight has.
    """
    folded = dict(tensors)
    for fold in folds(graph):
        gamma, beta, mean, var = (folded.pop(f"{fold.norm}.{name}").double() for name in _NORM[:4])
        folded.pop(f"{fold.norm}.{_NORM[4]}", None)
        weight, bias = folded[f"{fold.layer}.weight"], folded.get(f"{fold.layer}.bias")
        scale = gamma / (var + fold.eps).sqrt()
        moved = beta - mean * scale if bias is None else beta + (bias.double() - mean) * scale
        folded[f"{fold.layer}.weight"] = (weight.double() * scale.reshape(-1, *[1] * (weight.ndim - 1))).to(weight.dtype)
        folded[f"{fold.layer}.bias"] = moved.to(weight.dtype)
    return folded
