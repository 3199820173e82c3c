"""Batches as functions of (seed, step): which images, how each is augmented, how pixels become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from resnet_dsl.language.recipe import Augment, Recipe
from resnet_dsl.training.data.dataset import Part
from resnet_dsl.training.device import Plan
from resnet_dsl.training.errors import RunError
from resnet_dsl.training.seeds import generator

_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """What makes numbers of pixels 0..255: (pixel - mean) / std. `mean` is (C, 1, 1) or (C, H, W); `std` is (C, 1, 1)."""

    mean: torch.Tensor
    std: torch.Tensor

    @staticmethod
    def measure(train: Part, kind: str) -> Normalisation:
        """From training images, exactly (sums are whole numbers). `kind` as the recipe's `normalize`."""
        n, c, h, w = train.pixels.shape
        total, squares = torch.zeros(c, h, w, dtype=torch.int64), torch.zeros(c, h, w, dtype=torch.int64)
        for chunk in torch.split(train.pixels, _CHUNK):
            wide = chunk.to(torch.int32)
            total += wide.sum(0)
            squares += (wide * wide).sum(0)
        if kind == "channel":
            count = n * h * w
            mean = total.sum((1, 2), dtype=torch.float64) / count
            variance = squares.sum((1, 2), dtype=torch.float64) / count - mean * mean
        else:
            mean = total.double() / n
            variance = (squares.double() / n - mean * mean).mean().expand(c)
        # Images of one grey have no deviation to divide by.
        std = torch.where(variance > 0, variance.clamp_min(0).sqrt(), torch.ones_like(variance))
        return Normalisation((mean[:, None, None] if mean.ndim == 1 else mean).float(), std[:, None, None].float())

    def to(self, device: torch.device) -> Normalisation:
        """On a device."""
        return Normalisation(self.mean.to(device), self.std.to(device))

    def apply(self, pixels: torch.Tensor, plan: Plan) -> torch.Tensor:
        """(N, C, H, W) uint8 to float32, in the plan's memory format."""
        return pixels.to(torch.float32, memory_format=plan.memory_format).sub_(self.mean).div_(self.std)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for the weights' metadata."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Normalisation:
        """The inverse of `to_dict`."""
        return Normalisation(torch.tensor(data["mean"]), torch.tensor(data["std"]))


def augment(pixels: torch.Tensor, draws: torch.Tensor, how: Augment, fill: torch.Tensor) -> torch.Tensor:
    """Pad, crop and mirror a batch (N, C, H, W), each image by its own row of `draws` (N, 3), uniform in [0, 1).

    `fill` (C,) is the colour of the padding. Every output pixel is one gather, so nothing is copied twice.
    """
    pad, (n, c, h, w) = how.pad_crop, pixels.shape
    if not pad and not how.flip:
        return pixels
    top, left = (draws[:, :2] * (2 * pad + 1)).long().unbind(1)
    rows = torch.arange(h, device=pixels.device) + top[:, None]
    columns = torch.arange(w, device=pixels.device).expand(n, w)
    if how.flip:
        columns = torch.where(draws[:, 2:] < 0.5, w - 1 - columns, columns)
    columns = columns + left[:, None]
    padded = fill.view(1, c, 1, 1).repeat(n, 1, h + 2 * pad, w + 2 * pad)
    padded[:, :, pad : pad + h, pad : pad + w] = pixels
    source = (rows[:, :, None] * (w + 2 * pad) + columns[:, None, :]).view(n, 1, h * w).expand(n, c, h * w)
    return padded.view(n, c, -1).gather(2, source).view(n, c, h, w)


class Batches:
    """The training batches of a run. Step s (from 0) gives the same batch whenever and wherever it is asked for.

    An epoch is a permutation of (seed, epoch); an image's augmentation is drawn from (seed, epoch, image). The images that
    fill no whole batch are left out of that epoch. Raises RunError (exit 2) where the batch is larger than the data.
    """

    def __init__(self, train: Part, recipe: Recipe, normalisation: Normalisation, plan: Plan) -> None:
        if recipe.batch > len(train):
            raise RunError(
                "data-batch",
                f"batch {recipe.batch:,} is larger than the training set of {len(train):,} images",
                f"use --set train.batch={len(train)} or less",
                at="recipe",
                exit_code=2,
            )
        self.train, self.recipe, self.plan = train.to(plan.torch_device), recipe, plan
        self.normalisation = normalisation.to(plan.torch_device)
        self.per_epoch = len(train) // recipe.batch
        mean = normalisation.mean.mean((1, 2)).round() if recipe.augment.fill == "mean" else torch.zeros(train.pixels.shape[1])
        self.fill = mean.to(plan.torch_device, torch.uint8)
        self._begin(0)

    def _begin(self, epoch: int) -> None:
        n, seed, device = len(self.train), self.recipe.seed, self.plan.torch_device
        self.epoch = epoch
        self.order = torch.randperm(n, generator=generator(seed, "order", epoch)).to(device)
        self.draws = torch.rand(n, 3, generator=generator(seed, "augment", epoch)).to(device)

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, C, H, W) float32 and labels (N,)."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self._begin(epoch)
        chosen = self.order[place * self.recipe.batch : (place + 1) * self.recipe.batch]
        pixels = augment(self.train.pixels[chosen], self.draws[chosen], self.recipe.augment, self.fill)
        return self.normalisation.apply(pixels, self.plan), self.train.labels[chosen]


def total_steps(recipe: Recipe, per_epoch: int) -> int:
    """The length of the run in steps."""
    return recipe.steps if recipe.steps is not None else recipe.epochs_or_default * per_epoch


def every(epochs: float, per_epoch: int) -> int:
    """An interval in epochs as steps, at least one."""
    return max(1, round(epochs * per_epoch))
