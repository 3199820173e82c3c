"""Augmentation of batches, each against a plain loop over images; draws that do not disturb each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.augment import Augment
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches import augment
from resnet_dsl.training.batches.batches import Batches
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.data.dataset import InMemory
from resnet_dsl.training.device.plan import Plan

PLAN = Plan("cpu", "fp32", True, 1, "")
MEAN = torch.tensor((9, 8, 7), dtype=torch.uint8)


def pixels(n: int, h: int = 6, w: int = 9, c: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (n, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def table(n: int, k: int) -> torch.Tensor:
    return torch.rand(n, k, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("fill", ["black", "mean", "reflect"])
@pytest.mark.parametrize(("pad", "flip"), [(2, True), (3, False), (0, True), (5, "alternate"), (0, False)])
def test_pad_crop_flip(pad: int, flip: Any, fill: str) -> None:
    images, draws = pixels(40), table(40, 3)
    _, _, h, w = images.shape
    colour = MEAN if fill == "mean" else torch.zeros_like(MEAN)
    expected = []
    for x, (a, b, c) in zip(images.numpy(), draws.numpy(), strict=True):
        how: dict[str, Any] = {"mode": "reflect"} if fill == "reflect" else {}
        padded = np.stack([np.pad(channel, pad, **(how or {"constant_values": v})) for channel, v in zip(x, colour.tolist(), strict=True)])
        top, left = int(a * np.float32(2 * pad + 1)), int(b * np.float32(2 * pad + 1))
        crop = padded[:, top : top + h, left : left + w]
        expected.append(crop[:, :, ::-1] if flip and c < 0.5 else crop)
    found = augment.pad_crop_flip(images, draws, Augment(pad_crop=pad, flip=flip, fill=fill), colour)
    assert np.array_equal(found, np.stack(expected))


def test_a_reflection_wider_than_the_image_is_refused() -> None:
    augment.require_padding(Augment(pad_crop=5, fill="reflect"), 6, 9)
    with pytest.raises(SpecError, match="pad_crop': '5'} or less") as e:
        augment.require_padding(Augment(pad_crop=6, fill="reflect"), 6, 9)
    assert e.value.exit_code == 2


@pytest.mark.parametrize("side", [1, 2, 3, 4, 30])
def test_cutout(side: int) -> None:
    images, draws = pixels(50), table(50, 2)
    expected = images.clone()
    for x, (a, b) in zip(expected, draws.tolist(), strict=True):
        row, column = int(a * 6), int(b * 9)
        for y in range(row - side // 2, row - side // 2 + side):
            for z in range(column - side // 2, column - side // 2 + side):
                if 0 <= y < 6 and 0 <= z < 9:
                    x[:, y, z] = MEAN
    assert torch.equal(augment.cutout(images, draws, side, MEAN), expected)


def test_erase() -> None:
    h, w = 20, 30
    images, draws, noise = pixels(400, h, w), table(400, 6), augment.make_noise((3, h, w), 5)
    found = augment.erase(images, draws, 0.6, noise)
    erased = 0
    for x, y, (whether, area, aspect, top, left, start) in zip(images, found, draws.numpy(), strict=True):
        if whether >= np.float32(0.6):
            assert torch.equal(x, y)
            continue
        erased += 1
        share, ratio = 0.02 + area * 0.38, 0.3 + aspect * (1 / 0.3 - 0.3)
        tall = min(h, max(1, round(float(np.sqrt(share * h * w * ratio)))))
        wide = min(w, max(1, round(float(np.sqrt(share * h * w / ratio)))))
        y0, x0, at = int(top * np.float32(h - tall + 1)), int(left * np.float32(w - wide + 1)), int(start * 65536)
        grain = noise[at : at + 3 * h * w].view(3, h, w)
        expected = x.clone()
        expected[:, y0 : y0 + tall, x0 : x0 + wide] = grain[:, y0 : y0 + tall, x0 : x0 + wide]
        assert torch.equal(y, expected)
    assert 200 < erased < 280


def test_noise_is_even() -> None:
    counts = torch.bincount(augment.make_noise((3, 8, 8), 0), minlength=256)
    assert len(counts) == 256
    assert 180 < int(counts.min()) <= int(counts.max()) < 340


def test_color_noise_follows_the_colours() -> None:
    """Grey varies much, red against blue a little, as in photographs: the noise does too, in units of pixels."""
    g = torch.Generator().manual_seed(3)
    grey, tint = torch.randn(200, 1, 5, 5, generator=g) * 60, torch.randn(200, 1, 5, 5, generator=g) * 15
    images = (128 + torch.cat((grey + tint, grey, grey - tint), 1)).clamp(0, 255).to(torch.uint8)
    axes = measure(InMemory(images, torch.zeros(200, dtype=torch.int64)), "channel").axes
    assert axes is not None
    values, vectors = np.linalg.eigh(np.cov(images.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1) / 255, bias=True))
    alphas = torch.randn(50, 3, generator=g)
    expected = 255 * (alphas.numpy() * 0.1 * values) @ np.abs(vectors).T
    # The sign of an eigenvector is nobody's: that of its largest part is positive here.
    signs = np.sign(vectors[np.abs(vectors).argmax(0), range(3)])
    expected = 255 * (alphas.double().numpy() * 0.1 * values * signs) @ vectors.T
    found = augment.color_noise(alphas, 0.1, axes)
    assert found.shape == (50, 3, 1, 1)
    assert np.allclose(found[:, :, 0, 0], expected, atol=1e-4)
    assert 0.5 < float(found.std()) < 5


@pytest.mark.parametrize("size", [(16, 16), (20, 24), (31, 7), (32, 28)])
def test_shrinking_is_pillows(size: tuple[int, int]) -> None:
    images = torch.rand(3, 2, 32, 28, generator=torch.Generator().manual_seed(4))
    found = augment.shrink(images, size)
    for x, y in zip(images.view(-1, 32, 28), found.view(-1, *size), strict=True):
        expected = np.asarray(Image.fromarray(x.numpy()).resize(size[::-1], Image.Resampling.BILINEAR))
        assert np.allclose(y, expected, atol=1e-5)
    assert augment.shrink(images, (32, 28)) is images


EVERYTHING: dict[str, Any] = {"crop": 8, "cutout": 3, "erase": 0.5, "color_pca": 0.1, "pad_crop": 0}


def test_one_augmentation_does_not_change_the_draws_of_another() -> None:
    whole = augment.draw(Augment(**EVERYTHING), 30, 7, 2)
    assert set(whole) == {"augment", "view", "cutout", "erase", "color"}
    for key in EVERYTHING:
        alone = augment.draw(Augment(pad_crop=0, **{k: v for k, v in {key: EVERYTHING[key]}.items() if k != "pad_crop"}), 30, 7, 2)
        assert all(torch.equal(whole[name], drawn) for name, drawn in alone.items())
    tables = list(whole.values())
    assert not any(torch.equal(a[:, :2], b[:, :2]) for i, a in enumerate(tables) for b in tables[:i])
    for other in (augment.draw(Augment(**EVERYTHING), 30, 7, 3), augment.draw(Augment(**EVERYTHING), 30, 8, 2)):
        assert not any(torch.equal(whole[k], other[k]) for k in whole)


def test_alternate_shows_both_sides_in_turn() -> None:
    train = InMemory(pixels(60, 6, 6), torch.arange(60))
    recipe = Recipe(batch=60, augment=Augment(pad_crop=0, flip="alternate"))
    feed = Batches(train, recipe, measure(train, "channel"), PLAN)
    seen = []
    for epoch in range(4):
        images, targets = feed(epoch)
        seen.append(images[targets.labels.argsort()])
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])
    assert torch.equal(seen[0], seen[1].flip(3))
    plain = Batches(train, recipe.model_copy(update={"augment": Augment(pad_crop=0, flip=False)}), feed.normalisation, PLAN)(0)
    mirrored = sum(not torch.equal(x, y) for x, y in zip(seen[0], plain.images[plain.targets.labels.argsort()], strict=True))
    assert 15 < mirrored < 45


@pytest.mark.parametrize(
    "how",
    [{}, {"cutout": 3}, {"erase": 0.7}, {"color_pca": 0.3}, {"flip": "alternate", "fill": "reflect"}],
    ids=lambda how: "+".join(how) or "default",
)
def test_an_image_is_augmented_alike_in_every_batch(how: dict[str, Any]) -> None:
    train = InMemory(pixels(50, 7, 8), torch.arange(50))
    normalisation = measure(train, "pixel_mean")
    seen = []
    for size in (5, 10):
        feed = Batches(train, Recipe(batch=size, augment=Augment(**how)), normalisation, PLAN)
        seen.append({int(n): x for s in range(feed.per_epoch) for b in [feed(s)] for x, n in zip(b.images, b.targets.labels, strict=True)})
    assert len(seen[0]) == 50
    assert all(torch.equal(seen[0][n], seen[1][n]) for n in range(50))
    plain = Batches(train, Recipe(batch=5), normalisation, PLAN)(0).images
    assert not how or not torch.equal(plain, Batches(train, Recipe(batch=5, augment=Augment(**how)), normalisation, PLAN)(0).images)
