"""A recipe's optimizer, and its learning rate at every step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from resnet_dsl.language.recipe import Recipe


def make_optimizer(
    parameters: Iterable[torch.nn.Parameter], recipe: Recipe, device: torch.device, fused: bool | None = None
) -> torch.optim.Optimizer:
    """The optimizer; its learning rate is set at each step. `fused` left out: where torch has such an optimizer for the device."""
    fused = device.type in ("cpu", "cuda") if fused is None else fused
    groups = _groups(list(parameters), recipe)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay, fused=fused
    )


def _groups(parameters: list[torch.nn.Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    """Without `decay_norm` the vectors (biases, gains of norms, scales) are a group of their own, without weight decay."""
    if recipe.decay_norm:
        return [{"params": parameters}]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1]},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


@dataclass(frozen=True, slots=True)
class Pace:
    """What the learning rate depends on beside the step: what was measured on the way.

    `slow`: slow_start has not ended. `drops`: how often plateau has multiplied the rate. `waited`: evaluations in a row
    whose error was not below `lowest`, the lowest so far.
    """

    slow: bool = False
    drops: int = 0
    lowest: float | None = None
    waited: int = 0

    @staticmethod
    def beginning(recipe: Recipe, depth: int) -> Pace:
        """Of a network of `depth` layers."""
        return Pace(slow=recipe.slow_start is not None and depth >= recipe.slow_start.depth)

    def trained(self, recipe: Recipe, error: float) -> Pace:
        """After a line of the log, with the training error since the line before."""
        return replace(self, slow=False) if self.slow and recipe.slow_start is not None and error < recipe.slow_start.error else self

    def evaluated(self, recipe: Recipe, error: float) -> Pace:
        """After an evaluation. While slow_start lasts, nothing is counted."""
        if recipe.schedule != "plateau" or self.slow:
            return self
        if self.lowest is None or error < self.lowest:
            return replace(self, lowest=error, waited=0)
        if self.waited + 1 < recipe.patience:
            return replace(self, waited=self.waited + 1)
        return replace(self, drops=self.drops + 1, waited=0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint: `Pace(**values)` is the inverse."""
        return asdict(self)


STEADY = Pace()


def learning_rate(recipe: Recipe, step: int, total: int, pace: Pace = STEADY) -> float:
    """The learning rate of step `step` (from 0) of `total`."""
    if pace.slow and recipe.slow_start is not None:
        return recipe.slow_start.lr
    rise = round(recipe.warmup * total)
    if step < rise:
        return recipe.lr * (step + 1) / rise
    gone = (step - rise) / max(1, total - rise)
    match recipe.schedule:
        case "constant":
            return recipe.lr
        case "step":
            return recipe.lr * recipe.gamma ** sum(step >= round(m * total) for m in recipe.milestones)
        case "plateau":
            return recipe.lr * recipe.gamma**pace.drops
        case "cosine":
            return recipe.lr * (1 + math.cos(math.pi * gone)) / 2
        case "onecycle":
            return recipe.lr * (1 - gone)
