"""A recipe's optimizer, and its learning rate at every step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from resnet_dsl.language.recipe import Recipe


def make_optimizer(parameters: Iterable[torch.nn.Parameter], recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The optimizer; its learning rate is set at each step."""
    fused = device.type in ("cpu", "cuda")
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.SGD(
        parameters, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay, fused=fused
    )


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """The learning rate of step `step` (from 0) of `total`."""
    rise = round(recipe.warmup * total)
    if step < rise:
        return recipe.lr * (step + 1) / rise
    gone = (step - rise) / max(1, total - rise)
    match recipe.schedule:
        case "constant":
            return recipe.lr
        case "step":
            return recipe.lr * recipe.gamma ** sum(step >= math.floor(m * total) for m in recipe.milestones)
        case "cosine":
            return recipe.lr * (1 + math.cos(math.pi * gone)) / 2
        case "onecycle":
            return recipe.lr * (1 - gone)
