"""Two images in one: mixup and cutmix, and the targets that follow from them."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import torch
from torch.nn import functional

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.language.augment import Augment
from resnet_dsl.training.batches.seeds import derive


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """What a batch should be taken for: `labels` (N,) int64; where images were mixed, also the `others`, of weight 1 - `share`.

    `weights` (classes,) are what each class counts in the loss, `whole` () what the labels of a whole step weigh, divided by the number of
    parts that it is computed in.
    """

    labels: torch.Tensor
    others: torch.Tensor | None = None
    share: float = 1.0
    weights: torch.Tensor | None = None
    whole: torch.Tensor | None = None

    def loss(self, logits: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """Mean cross-entropy (natural logarithm) of `logits` (N, classes), in their own precision; each target smoothed by `smoothing`.

        With `weights` it is torch's weighted mean: the sum of the weighted terms over the sum of the labels' weights, here of the whole
        step, so that the mean over its parts is the same for any number of them. Mixed images have it once for each of the two labels.
        """
        loss = self._to(self.labels, logits, smoothing)
        if self.others is None:
            return loss
        return self.share * loss + (1 - self.share) * self._to(self.others, logits, smoothing)

    def _to(self, labels: torch.Tensor, logits: torch.Tensor, smoothing: float) -> torch.Tensor:
        if self.weights is None:
            return functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        if self.whole is None:
            return functional.cross_entropy(logits, labels, self.weights, label_smoothing=smoothing)
        return functional.cross_entropy(logits, labels, self.weights, label_smoothing=smoothing, reduction="sum") / self.whole

    def __len__(self) -> int:
        return len(self.labels)


def mix(images: torch.Tensor, labels: torch.Tensor, how: Augment, seed: int, step: int) -> tuple[torch.Tensor, Targets]:
    """A batch as `how.mixup` and `how.cutmix` say, by draws from (seed, step); with both on, one of them by an even chance.

    Each image's partner lies half a batch further. A batch is a random choice already, so this is as good as a random partner; and where a
    batch is split into slices r::R of even length, partners stay together: the slices give the rows of the whole (`require_halves`).

    mixup: share x + (1 - share) partner (Zhang et al. 2018, section 2). cutmix: a box of 1 - share of the area from the partner, its centre
    uniform in the image, what lies outside cut off (Yun et al. 2019, section 3.1). The share is Beta(alpha, alpha), one for the batch,
    as in the authors' code.
    """
    if not how.mixup and not how.cutmix:
        return images, Targets(labels)
    chance = random.Random(derive(seed, "mix", step))
    alphas = [(alpha, kind) for alpha, kind in ((how.mixup, "mixup"), (how.cutmix, "cutmix")) if alpha]
    alpha, kind = alphas[chance.randrange(len(alphas))]
    share, half = chance.betavariate(alpha, alpha), len(labels) // 2
    partners, others = images.roll(-half, 0), labels.roll(-half, 0)
    if kind == "mixup":
        return images * share + partners * (1 - share), Targets(labels, others, share)
    h, w = images.shape[2:]
    tall, wide = (int(side * math.sqrt(1 - share)) for side in (h, w))
    row, column = chance.randrange(h), chance.randrange(w)
    top, left = max(0, row - tall // 2), max(0, column - wide // 2)
    bottom, right = min(h, row - tall // 2 + tall), min(w, column - wide // 2 + wide)
    images = images.clone()
    images[:, :, top:bottom, left:right] = partners[:, :, top:bottom, left:right]
    return images, Targets(labels, others, 1 - (bottom - top) * (right - left) / (h * w))


def require_halves(how: Augment, batch: int, slices: int) -> None:
    """Refuse slices of a batch that would part an image from its partner. Raises SpecError (exit 2)."""
    if slices > 1 and (how.mixup or how.cutmix) and (batch // slices) % 2:
        raise refuse(
            "batch-split",
            f"mixup and cutmix pair the images of a batch, and {batch:,} images in {slices:,} parts are {batch // slices:,} each, an odd number",
            f"use {Argument('batch', 2 * slices * max(1, round(batch / (2 * slices))))}",
            at="recipe",
        )
