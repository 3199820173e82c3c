"""Batches, augmentation, normalisation and schedules, against plain loops and numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.recipe import Augment, Recipe
from resnet_dsl.training.batches import Batches, Normalisation, augment
from resnet_dsl.training.data.dataset import Part, split
from resnet_dsl.training.device import Plan
from resnet_dsl.training.optim import learning_rate

PLAN = Plan("cpu", "fp32", True, 1, "")


def part(n: int = 50, c: int = 3, side: int = 6) -> Part:
    g = torch.Generator().manual_seed(1)
    return Part(torch.randint(0, 256, (n, c, side, side), dtype=torch.uint8, generator=g), torch.arange(n))


@pytest.mark.parametrize("how", [Augment(pad_crop=2, flip=True), Augment(pad_crop=3, flip=False), Augment(pad_crop=0, flip=True)])
@pytest.mark.parametrize("fill", [(0, 0, 0), (9, 8, 7)])
def test_augment_equals_a_loop_over_images(how: Augment, fill: tuple[int, ...]) -> None:
    images = part(40).pixels
    draws = torch.rand(40, 3, generator=torch.Generator().manual_seed(2))
    p, h = how.pad_crop, 6
    expected = []
    for x, (a, b, c) in zip(images.numpy(), draws.tolist(), strict=True):
        padded = np.stack([np.pad(channel, p, constant_values=v) for channel, v in zip(x, fill, strict=True)])
        top, left = int(np.float32(a) * np.float32(2 * p + 1)), int(np.float32(b) * np.float32(2 * p + 1))
        crop = padded[:, top : top + h, left : left + h]
        expected.append(crop[:, :, ::-1] if how.flip and c < 0.5 else crop)
    assert np.array_equal(augment(images, draws, how, torch.tensor(fill, dtype=torch.uint8)), np.stack(expected))


@pytest.mark.parametrize("kind", ["channel", "pixel_mean"])
def test_normalisation_equals_numpys(kind: str) -> None:
    train = part(30)
    x = train.pixels.numpy().astype(np.float64)
    found = Normalisation.measure(train, kind)
    centred = x - (x.mean((0, 2, 3), keepdims=True) if kind == "channel" else x.mean(0))
    deviation = x.std((0, 2, 3), keepdims=True)[0] if kind == "channel" else centred.std() * np.ones((3, 1, 1))
    assert np.allclose(found.std, deviation, rtol=1e-6)
    assert np.allclose(found.apply(train.pixels, PLAN), centred / deviation, atol=1e-5)
    again = Normalisation.from_dict(found.to_dict())
    assert torch.equal(again.mean, found.mean)
    assert torch.equal(again.std, found.std)


def test_images_of_one_grey_are_not_divided_by_nothing() -> None:
    flat = Part(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(Normalisation.measure(flat, "channel").apply(flat.pixels, PLAN), torch.zeros(4, 1, 2, 2))


def batches(**recipe: Any) -> Batches:
    train = part()
    return Batches(train, Recipe(batch=8, **recipe), Normalisation.measure(train, "channel"), PLAN)


def test_an_epoch_is_a_permutation_without_its_rest() -> None:
    feed = batches()
    epochs = [torch.cat([feed(s)[1] for s in range(e * feed.per_epoch, (e + 1) * feed.per_epoch)]) for e in range(3)]
    assert feed.per_epoch == 6
    assert all(len(e.unique()) == 48 for e in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert set(torch.cat(epochs).tolist()) == set(range(50))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, other, another_seed = batches(), batches(), batches(seed=1)
    torch.manual_seed(5)
    later = other(13)
    for step in (0, 13, 2, 13):
        images, labels = one(step)
    assert torch.equal(images, later[0])
    assert torch.equal(labels, later[1])
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(labels, another_seed(13)[1])


def test_an_images_augmentation_does_not_depend_on_the_batch_size() -> None:
    train = part()
    normalisation = Normalisation.measure(train, "channel")
    seen = []
    for size in (5, 10):
        feed = Batches(train, Recipe(batch=size), normalisation, PLAN)
        seen.append({int(n): x for s in range(feed.per_epoch) for x, n in zip(*feed(s), strict=True)})
    assert len(seen[0]) == 50
    assert all(torch.equal(seen[0][n], seen[1][n]) for n in range(50))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    train = part(5)
    with pytest.raises(SpecError, match="use --set train") as refused:
        Batches(train, Recipe(batch=6), Normalisation.measure(train, "channel"), PLAN)
    assert refused.value.exit_code == 2


def test_split() -> None:
    train, held = split(part(), 10, None)
    assert held is not None
    assert sorted([*train.labels.tolist(), *held.labels.tolist()]) == list(range(50))
    assert len(held) == 10
    assert set(split(part(), 10, 7)[0].labels.tolist()) < set(train.labels.tolist())
    assert len(split(part(), 0, 7)[0]) == 7
    assert split(part(), 0, None)[1] is None
    with pytest.raises(SpecError, match="leave none") as refused:
        split(part(), 50, None)
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ({"schedule": "constant", "warmup": 0.0}, {0: 1, 50: 1, 99: 1}),
        ({"schedule": "constant", "warmup": 0.1}, {0: 0.1, 4: 0.5, 9: 1, 99: 1}),
        ({"schedule": "step", "milestones": [0.5, 0.75], "warmup": 0.0}, {0: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 99: 0.01}),
        ({"schedule": "step", "milestones": [0.5], "gamma": 0.2, "warmup": 0.2}, {0: 0.05, 19: 1, 49: 1, 50: 0.2}),
        ({"schedule": "cosine", "warmup": 0.0}, {0: 1, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5}),
        ({"schedule": "onecycle", "warmup": 0.5}, {0: 0.02, 49: 1, 50: 1, 75: 0.5, 99: 0.02}),
    ],
)
def test_learning_rate(recipe: dict[str, Any], expected: dict[int, float]) -> None:
    made = Recipe.model_validate({"lr": 3.0, **recipe})
    assert {step: learning_rate(made, step, 100) / 3 for step in expected} == pytest.approx(expected)
