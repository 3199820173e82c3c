"""Augmentation of whole batches on their device, in plain torch: each a pure function of pixels and of the draws it is given.

Pixels are (N, C, H, W) uint8 and stay so; row i of a table of draws is image i's own. Equal draws give equal bits on the CPU.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from resnet_dsl.diagnostics import refuse, setting
from resnet_dsl.graph.graph import Shape
from resnet_dsl.language.augment import Augment
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.data.numbers import Scale

NOISE_STARTS = 1 << 16
"""Places in the noise at which an erased image's part may begin."""

Draws = dict[str, torch.Tensor]
"""A table (N, k) for each augmentation that is on; uniform in [0, 1), but `color`, which is normal."""


def draw(how: Augment, n: int, seed: int, *when: str | int) -> Draws:
    """The draws of `n` images at a time, an epoch say. Each table has a stream of its own: none changes where another is switched on."""
    tables: Draws = {"augment": torch.rand(n, 3, generator=generator(seed, "augment", *when))}
    if how.crop is not None:
        tables["view"] = torch.rand(n, 3, generator=generator(seed, "view", *when))
    if how.cutout:
        tables["cutout"] = torch.rand(n, 2, generator=generator(seed, "cutout", *when))
    if how.erase:
        tables["erase"] = torch.rand(n, 6, generator=generator(seed, "erase", *when))
    if how.color_pca:
        tables["color"] = torch.randn(n, 3, generator=generator(seed, "color", *when))
    return tables


def alternate(draws: Draws, n: int, seed: int, index: torch.Tensor, turn: torch.Tensor) -> Draws:
    """Mirroring that alternates: an image's first side is chance, then never the same twice in a row.

    Row i of the draws is of image `index[i]` of `n`, which was taken `turn[i]` times before.

    So each pair of epochs sees both (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", section 3.6).
    """
    first = torch.rand(n, generator=generator(seed, "alternate"))
    table = draws["augment"].clone()
    table[:, 2] = (first[index] + 0.5 * (turn % 2)) % 1
    return {**draws, "augment": table}


def pad_crop_flip(pixels: torch.Tensor, draws: torch.Tensor, how: Augment, fill: torch.Tensor) -> torch.Tensor:
    """Pad by `how.pad_crop`, cut the image's own size out, and mirror half of the images; `draws` are (N, 3): top, left, mirror.

    `fill` (C,) is the colour of the padding, unless `how.fill` is `reflect`. Every output pixel is one gather.
    """
    n, c, h, w = pixels.shape
    # An axis of one pixel is none: of a signal, padding it would leave nothing but padding.
    tall, wide = (how.pad_crop if side > 1 else 0 for side in (h, w))
    if not tall and not wide and not how.flip:
        return pixels
    top, left = ((draws[:, i] * (2 * pad + 1)).long() for i, pad in enumerate((tall, wide)))
    rows = torch.arange(h, device=pixels.device) + top[:, None]
    columns = torch.arange(w, device=pixels.device).expand(n, w)
    if how.flip:
        columns = torch.where(draws[:, 2:] < 0.5, w - 1 - columns, columns)
    columns = columns + left[:, None]
    if how.fill == "reflect":
        rows, columns, width = _reflected(rows - tall, h), _reflected(columns - wide, w), w
    else:
        width = w + 2 * wide
        padded = fill.view(1, c, 1, 1).repeat(n, 1, h + 2 * tall, width)
        padded[:, :, tall : tall + h, wide : wide + w] = pixels
        pixels = padded
    source = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, h * w).expand(n, c, h * w)
    return pixels.reshape(n, c, -1).gather(2, source).view(n, c, h, w)


def _reflected(at: torch.Tensor, size: int) -> torch.Tensor:
    return size - 1 - (size - 1 - at.abs()).abs()


def require_fit(recipe: Recipe, shape: Shape, scale: Scale) -> None:
    """Refuse what cannot be done to images of this shape and scale. Raises SpecError (exit 2)."""
    how = recipe.augment
    of_bytes = {"erase": how.erase, "color_pca": how.color_pca} if scale != "bytes" else {}
    of_places = {"cutout": how.cutout, "erase": how.erase, "cutmix": how.cutmix} if len(shape) == 1 else {}
    if how.color_pca and scale == "bytes" and len(shape) == 3 and shape[0] > 3:
        raise refuse(
            "data-fit", f"color_pca: {how.color_pca} is for grey and colours, and the images have {shape[0]} channels",
            f"use {setting('train.augment.color_pca', '0')}", at="recipe",
        )  # fmt: skip
    for key, value in {**of_bytes, **of_places}.items():
        if value:
            what = (
                "features have no places" if key in of_places else "it is for bytes, 0 black and 255 white, and the data is other numbers"
            )
            raise refuse("data-fit", f"{key}: {value} cannot be done: {what}", f"use {setting(f'train.augment.{key}', '0')}", at="recipe")
    if len(shape) == 1:
        for name, on in (("resolution", recipe.resolution is not None), ("test_flip", recipe.test_flip)):
            if on:
                off = setting(f"train.{name}", "null" if name == "resolution" else "false")
                raise refuse("data-fit", f"{name} cannot be done: features have no places", f"use {off}", at="recipe")
    else:
        require_padding(how, *shape[1:])


def require_padding(how: Augment, h: int, w: int) -> None:
    """Refuse a reflection that is wider than the image (at most its side less 1). Raises SpecError (exit 2)."""
    least = min((side for side in (h, w) if side > 1), default=math.inf)
    if how.fill == "reflect" and how.pad_crop >= least:
        raise refuse(
            "data-fit",
            f"pad_crop: {how.pad_crop} reflects more than an image of {h}x{w} has",
            f"use {setting('train.augment.pad_crop', str(int(least) - 1))} or less, or another fill",
            at="recipe",
        )


def cutout(pixels: torch.Tensor, draws: torch.Tensor, side: int, fill: torch.Tensor) -> torch.Tensor:
    """Blank a square of `side` around a pixel drawn from the whole image, so that part of it may lie outside.

    `draws` (N, 2): row, column. `fill` (C,) is the mean colour, which normalisation makes about 0 (DeVries & Taylor 2017, section 3).
    """
    _, c, h, w = pixels.shape
    top, left = (draws[:, 0] * h).long() - side // 2, (draws[:, 1] * w).long() - side // 2
    inside = _box(top, left, top + side, left + side, h, w)
    return torch.where(inside, fill.view(1, c, 1, 1), pixels)


def _box(top: torch.Tensor, left: torch.Tensor, bottom: torch.Tensor, right: torch.Tensor, h: int, w: int) -> torch.Tensor:
    """(N, 1, H, W), true in each image's box; `bottom` and `right` are the first outside."""
    rows, columns = torch.arange(h, device=top.device), torch.arange(w, device=top.device)
    tall = (rows >= top[:, None]) & (rows < bottom[:, None])
    wide = (columns >= left[:, None]) & (columns < right[:, None])
    return (tall[:, :, None] & wide[:, None, :])[:, None]


AREA = (0.02, 0.4)
ASPECT = 0.3


def erase(pixels: torch.Tensor, draws: torch.Tensor, probability: float, noise: torch.Tensor) -> torch.Tensor:
    """Overwrite a rectangle with noise in that share of the images (Zhong et al. 2017, algorithm 1, RE-R).

    Its area is a uniform share of the image in `AREA`, its height over its width uniform in [`ASPECT`, 1/`ASPECT`], as in the paper.
    A rectangle that does not fit is cut to the image's side, where the paper draws again. `draws` (N, 6): whether, area, aspect, top, left,
    place in the noise; `noise` as made by `make_noise`.
    """
    _, c, h, w = pixels.shape
    share = AREA[0] + draws[:, 1] * (AREA[1] - AREA[0])
    aspect = ASPECT + draws[:, 2] * (1 / ASPECT - ASPECT)
    tall = (share * (h * w) * aspect).sqrt().round().clamp(1, h)
    wide = (share * (h * w) / aspect).sqrt().round().clamp(1, w)
    top, left = (draws[:, 3] * (h - tall + 1)).long(), (draws[:, 4] * (w - wide + 1)).long()
    inside = _box(top, left, top + tall.long(), left + wide.long(), h, w) & (draws[:, 0] < probability)[:, None, None, None]
    start = (draws[:, 5] * NOISE_STARTS).long()
    # Windows on the noise at every place are a view: choosing rows of it copies them and no more.
    grain = noise.unfold(0, c * h * w, 1)[start].view(-1, c, h, w)
    return torch.where(inside, grain, pixels)


def make_noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Random bytes, enough for one image (C, H, W) to begin at any of `NOISE_STARTS` places."""
    return torch.randint(0, 256, (math.prod(shape) + NOISE_STARTS,), dtype=torch.uint8, generator=generator(seed, "noise"))


def color_noise(draws: torch.Tensor, std: float, axes: torch.Tensor) -> torch.Tensor:
    """What PCA colour noise adds to every pixel of an image, (N, C, 1, 1) in units of pixels 0..255.

    The sum over the principal axes of the colours of axis times eigenvalue times alpha, alpha normal with `std` (Krizhevsky et al. 2012,
    section 4.1). `axes` (C, C) holds them as columns, times their eigenvalues: `Normalisation.axes`. `draws` (N, 3) are standard normal.
    """
    c = len(axes)
    # Written as sums: a matrix product may choose its order of additions by the size of the batch.
    return (draws[:, None, :c] * std * axes).sum(2)[:, :, None, None]


def shrink(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Float images (N, C, H, W) at a smaller (height, width), by bilinear interpolation that averages over what it skips."""
    if size == tuple(images.shape[2:]):
        return images
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True)
