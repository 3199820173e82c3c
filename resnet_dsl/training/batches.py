"""Batches as functions of (seed, step): which images, how each is augmented, how pixels become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from resnet_dsl.language.recipe import Recipe, Resolution
from resnet_dsl.training import augment
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.feeds import Raw, feed
from resnet_dsl.training.mixing import Targets, mix
from resnet_dsl.training.order import Share
from resnet_dsl.training.plan import Plan

_CHUNK = 1 << 24
"""Bytes of images that are measured at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """What makes numbers of pixels 0..255: (pixel - mean) / std. `mean` is (C, 1, 1) or (C, H, W); `std` is (C, 1, 1).

    `axes` (C, C) are the principal axes of the training images' colours as columns, times their eigenvalues, in units of pixels
    (see `augment.color_noise`); None where they were never measured.
    """

    mean: torch.Tensor
    std: torch.Tensor
    axes: torch.Tensor | None = None

    @staticmethod
    def measure(train: Images, kind: str) -> Normalisation:
        """From training images, exactly: all sums are whole numbers below 2**53. `kind` as the recipe's `normalize`.

        Of pictures that stay in their files a sample is measured, the middle of each. Raises RunError (exit 3) where one is damaged.
        """
        c, h, w = train.shape
        total, products = torch.zeros(c, h, w, dtype=torch.int64), torch.zeros(c, c, dtype=torch.float64)
        count = 0
        for pixels, _ in train.sample().chunks(max(1, _CHUNK // (c * h * w))):
            total += pixels.sum(0, dtype=torch.int64)
            flat = pixels.transpose(0, 1).reshape(c, -1).double()
            products += flat @ flat.T
            count += flat.shape[1]
        colour = total.sum((1, 2)).double() / count
        covariance = products / count - colour[:, None] * colour
        if kind == "channel":
            mean, variance = colour[:, None, None], covariance.diagonal()
        else:
            mean, variance = total.double() / (count // (h * w)), torch.full((c,), 255.0**2, dtype=torch.float64)
        # Images of one grey have no deviation to divide by.
        std = torch.where(variance > 0, variance.clamp_min(0).sqrt(), torch.ones_like(variance))
        return Normalisation(mean.float(), std[:, None, None].float(), _axes(covariance).float())

    def to(self, device: torch.device) -> Normalisation:
        """On a device."""
        return Normalisation(self.mean.to(device), self.std.to(device), None if self.axes is None else self.axes.to(device))

    def everywhere(self) -> Normalisation:
        """The same for images of any size: of a mean image the mean colour is left."""
        return Normalisation(self.mean.mean((1, 2), keepdim=True), self.std, self.axes)

    def apply(self, pixels: torch.Tensor, plan: Plan, shift: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) uint8 to float32, in the plan's memory format; `shift` (N, C, 1, 1) is added to the pixels before."""
        numbers = pixels.to(torch.float32)
        if shift is not None:
            numbers = numbers.add_(shift)
        # Laid out last: the mean of a channel is slow to subtract where channels lie side by side.
        return numbers.sub_(self.mean).div_(self.std).contiguous(memory_format=plan.memory_format)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for the weights' metadata."""
        return {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            **({} if self.axes is None else {"axes": self.axes.tolist()}),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Normalisation:
        """The inverse of `to_dict`."""
        axes = torch.tensor(data["axes"]) if "axes" in data else None
        return Normalisation(torch.tensor(data["mean"]), torch.tensor(data["std"]), axes)


def _axes(covariance: torch.Tensor) -> torch.Tensor:
    """Eigenvectors as columns, each times its eigenvalue. Pixels count from 0 to 1 in the eigenvalue, to 255 in the result."""
    values, vectors = torch.linalg.eigh(covariance / 255**2)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    axes: torch.Tensor = vectors * largest.sign() * values.clamp_min(0) * 255
    return axes


class Batch(NamedTuple):
    """Images (N, C, H, W) float32 in the plan's memory format, and what they should be taken for."""

    images: torch.Tensor
    targets: Targets


class Batches:
    """The training batches of a run. A step (from 0) gives the same batch whenever and wherever it is asked for.

    Images come from a feed, as bytes; here each is augmented by draws from (seed, epoch, image) and normalised, the batch is shrunk where the
    recipe begins with small images, and mixed. All of it happens on the device, and nothing waits for the device.
    Raises RunError (exit 2) where recipe, data and `share` do not fit.
    """

    def __init__(self, train: Images, recipe: Recipe, normalisation: Normalisation, plan: Plan, share: Share = Share()) -> None:  # noqa: B008
        self.train, self.recipe, self.plan, self.normalisation = train, recipe, plan, normalisation.to(plan.torch_device)
        c, h, w = train.shape
        augment.require_padding(recipe.augment, h, w)
        self.feed = feed(train, recipe, share, plan)
        self.per_epoch, self.parts = self.feed.per_epoch, recipe.accumulate
        self.total = total_steps(recipe, self.per_epoch)
        self.mean = normalisation.mean.mean((1, 2)).round().to(plan.torch_device, torch.uint8)
        self.fill = self.mean if recipe.augment.fill == "mean" else torch.zeros_like(self.mean)
        self.noise = augment.make_noise((c, h, w), recipe.seed).to(plan.torch_device) if recipe.augment.erase else None

    def __call__(self, step: int, part: int = 0) -> Batch:
        """This rank's rows of a step; with accumulation, part `part` of `parts` of them."""
        raw = self.feed(step, part)
        images = self.normalisation.apply(self._augmented(raw), self.plan, self._shift(raw))
        if (how := self.recipe.resolution) is not None:
            h, w = (side(how, step, self.total, full) for full in images.shape[2:])
            images = augment.shrink(images, (h, w))
        return Batch(*mix(images, raw.labels, self.recipe.augment, self.recipe.seed, step))

    def _augmented(self, raw: Raw) -> torch.Tensor:
        how = self.recipe.augment
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
