"""Batches as functions of (seed, step): which images, how each is augmented, how pixels become numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch

from resnet_dsl.language.recipe import Recipe, Resolution
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.batches import augment
from resnet_dsl.training.batches.feeds import Raw, feed
from resnet_dsl.training.batches.mixing import Targets, mix
from resnet_dsl.training.batches.order import Share
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.device.plan import Plan


class Batch(NamedTuple):
    """Images (N, C, H, W) float32 in the plan's memory format, and what they should be taken for."""

    images: torch.Tensor
    targets: Targets


class Batches:
    """The training batches of a run. A step (from 0) gives the same batch whenever and wherever it is asked for.

    Images come from a feed, as bytes; here each is augmented by draws from (seed, epoch, image) and normalised, the batch is shrunk where the
    recipe begins with small images, and mixed. All of it happens on the device, and nothing waits for the device.
    `weights` (classes,) are what each class counts in the loss. Raises SpecError (exit 2) where recipe, data and `share` do not fit.
    """

    def __init__(
        self, train: Images, recipe: Recipe, normalisation: Normalisation, plan: Plan, share: Share = Share(),  # noqa: B008
        weights: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self.weights, self.slices = None if weights is None else weights.to(plan.torch_device), share.ranks * recipe.accumulate
        self.train, self.recipe, self.plan, self.normalisation = train, recipe, plan, normalisation.to(plan.torch_device)
        augment.require_fit(recipe, train.shape, train.scale)
        self.feed = feed(train, recipe, share, plan)
        self.per_epoch, self.parts = self.feed.per_epoch, recipe.accumulate
        self.total = total_steps(recipe, self.per_epoch)
        mean = normalisation.mean.mean((1, 2)).to(plan.torch_device)
        self.mean = mean.round().to(torch.uint8) if train.scale == "bytes" else mean
        self.fill = self.mean if recipe.augment.fill == "mean" else torch.zeros_like(self.mean)
        self.noise = augment.make_noise(train.shape, recipe.seed).to(plan.torch_device) if recipe.augment.erase else None

    def __call__(self, step: int, part: int = 0) -> Batch:
        """This rank's rows of a step; with accumulation, part `part` of `parts` of them."""
        raw = self.feed(step, part)
        images = self.normalisation.apply(self._augmented(raw), self.plan.memory_format, self._shift(raw))
        if (how := self.recipe.resolution) is not None:
            h, w = (side(how, step, self.total, full) for full in images.shape[2:])
            images = augment.shrink(images, (h, w))
        images, targets = mix(images, raw.labels, self.recipe.augment, self.recipe.seed, step)
        if self.weights is not None:
            every = self.feed.labels(step)
            whole = None if every is None else self.weights[every].sum() / self.slices
            targets = replace(targets, weights=self.weights, whole=whole)
        return Batch(images, targets)

    def _augmented(self, raw: Raw) -> torch.Tensor:
        how = self.recipe.augment
        if raw.pixels.ndim == 2:
            # Features have no places to shift or mirror.
            return raw.pixels
        pixels = augment.pad_crop_flip(raw.pixels, raw.draws["augment"], how, self.fill)
        if how.cutout:
            pixels = augment.cutout(pixels, raw.draws["cutout"], how.cutout, self.mean)
        if self.noise is not None:
            pixels = augment.erase(pixels, raw.draws["erase"], how.erase, self.noise)
        return pixels

    def _shift(self, raw: Raw) -> torch.Tensor | None:
        if self.normalisation.axes is None or not self.recipe.augment.color_pca:
            return None
        return augment.color_noise(raw.draws["color"], self.recipe.augment.color_pca, self.normalisation.axes)

    def close(self) -> None:
        """End processes that read ahead."""
        self.feed.close()


def side(how: Resolution, step: int, total: int, full: int) -> int:
    """The side of the images at a step: from `how.start` of the `full` one it rises in a straight line, in steps of 4 pixels."""
    share = how.start + (1 - how.start) * min(1.0, step / (how.until * total))
    return full - 4 * round((1 - share) * full / 4)


def total_steps(recipe: Recipe, per_epoch: int) -> int:
    """The length of the run in steps."""
    return recipe.steps if recipe.steps is not None else recipe.epochs_or_default * per_epoch


def every(epochs: float, per_epoch: int) -> int:
    """An interval in epochs as steps, at least one."""
    return max(1, round(epochs * per_epoch))
