"""Mean and deviation of training images."""

from __future__ import annotations

import torch

from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.dataset import Images

_CHUNK = 1 << 24
"""Bytes of images that are measured at a time."""


def measure(train: Images, kind: str) -> Normalisation:
    """From training images, exactly: all sums are whole numbers below 2**53. `kind` as the recipe's `normalize`.

    Of pictures that stay in their files a sample is measured, the middle of each. Raises SpecError (exit 3) where one is damaged.
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


def _axes(covariance: torch.Tensor) -> torch.Tensor:
    """Eigenvectors as columns, each times its eigenvalue. Pixels count from 0 to 1 in the eigenvalue, to 255 in the result."""
    values, vectors = torch.linalg.eigh(covariance / 255**2)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    axes: torch.Tensor = vectors * largest.sign() * values.clamp_min(0) * 255
    return axes
