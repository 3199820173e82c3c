"""Mean and deviation of training images."""

from __future__ import annotations

import numpy as np
import torch

from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.data.numbers import unit

_CHUNK = 1 << 24
"""Bytes of images that are measured at a time."""

_CONSTANT = 1e-7
"""A deviation below this part of the mean is rounding: float32 tells no finer differences."""


def measure(train: Images, kind: str) -> Normalisation:
    """From training images: of bytes exactly, as all sums are whole numbers below 2**53. `kind` as the recipe's `normalize`.

    Of images that are not in memory a sample is measured, of picture files the middle of each. Raises SpecError (exit 3) where one is
    damaged.
    """
    return _of_bytes(train, kind) if train.scale == "bytes" and len(train.shape) == 3 else _of_numbers(train, kind)


def _of_bytes(train: Images, kind: str) -> Normalisation:
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


def _of_numbers(train: Images, kind: str) -> Normalisation:
    """Of numbers on a scale of their own, and of features: each channel's, or the mean image, which is then divided by nothing.

    Summed by numpy, whose order of additions does not go by the number of threads: a run that is resumed measures the same.
    """
    channels, *sides = train.shape
    h, w = sides or (1, 1)
    count, mean, squares = 0, np.zeros(channels), np.zeros(channels)
    total = np.zeros((channels, h, w))
    for pixels, _ in train.sample().chunks(max(1, _CHUNK // (8 * channels * h * w))):
        found = pixels.numpy().astype(np.float64).reshape(-1, channels, h, w)
        total += found.sum(0)
        flat = np.ascontiguousarray(found.transpose(1, 0, 2, 3)).reshape(channels, -1)
        # Chan, Golub & LeVeque 1979: means and sums of squares of two sets are merged without the loss of a difference of large sums.
        n, here = flat.shape[1], flat.mean(1)
        apart = here - mean
        squares += ((flat - here[:, None]) ** 2).sum(1) + apart**2 * (count * n / (count + n))
        mean += apart * (n / (count + n))
        count += n
    std = np.sqrt(squares / count)
    std = np.where(std > _CONSTANT * np.abs(mean), std, 1.0)
    if kind != "channel":
        middle, std = total / (count // (h * w)), np.full(channels, 255.0 if train.scale == "deep" else 1.0)
    else:
        middle = mean[:, None, None]
    return Normalisation(torch.from_numpy(middle).float(), torch.from_numpy(std).float()[:, None, None], scale=unit(train.scale))


def _axes(covariance: torch.Tensor) -> torch.Tensor:
    """Eigenvectors as columns, each times its eigenvalue. Pixels count from 0 to 1 in the eigenvalue, to 255 in the result."""
    values, vectors = torch.linalg.eigh(covariance / 255**2)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    axes: torch.Tensor = vectors * largest.sign() * values.clamp_min(0) * 255
    return axes
