"""Batches, augmentation, normalisation and schedules, against plain loops and numpy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.recipe import Recipe, Resolution
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.batches.batches import Batches, side
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.batches.order import Share
from resnet_dsl.training.data.dataset import InMemory, split
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.optim import learning_rate

PLAN = Plan("cpu", "fp32", True, 1, "")


def part(n: int = 50, c: int = 3, side: int = 6) -> InMemory:
    g = torch.Generator().manual_seed(1)
    return InMemory(torch.randint(0, 256, (n, c, side, side), dtype=torch.uint8, generator=g), torch.arange(n))


@pytest.mark.parametrize("kind", ["channel", "pixel_mean"])
def test_normalisation_equals_numpys(kind: str) -> None:
    train = part(30)
    x = train.pixels.numpy().astype(np.float64)
    found = measure(train, kind)
    centred = x - (x.mean((0, 2, 3), keepdims=True) if kind == "channel" else x.mean(0))
    deviation = x.std((0, 2, 3), keepdims=True)[0] if kind == "channel" else np.full((3, 1, 1), 255.0)
    assert np.allclose(found.std, deviation, rtol=1e-6)
    assert np.allclose(found.apply(train.pixels, PLAN.memory_format), centred / deviation, atol=1e-5)
    again = Normalisation.from_dict(found.to_dict())
    assert torch.equal(again.mean, found.mean)
    assert torch.equal(again.std, found.std)


def test_images_of_one_grey_are_not_divided_by_nothing() -> None:
    flat = InMemory(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    assert torch.equal(measure(flat, "channel").apply(flat.pixels, PLAN.memory_format), torch.zeros(4, 1, 2, 2))


def batches(**recipe: Any) -> Batches:
    train = part()
    return Batches(train, Recipe(batch=8, **recipe), measure(train, "channel"), PLAN)


def test_an_epoch_is_a_permutation_without_its_rest() -> None:
    feed = batches()
    epochs = [torch.cat([feed(s).targets.labels for s in range(e * feed.per_epoch, (e + 1) * feed.per_epoch)]) for e in range(3)]
    assert feed.per_epoch == 6
    assert all(len(e.unique()) == 48 for e in epochs)
    assert not torch.equal(epochs[0], epochs[1])
    assert set(torch.cat(epochs).tolist()) == set(range(50))


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, other, another_seed = batches(), batches(), batches(seed=1)
    torch.manual_seed(5)
    later = other(13)
    for step in (0, 13, 2, 13):
        images, targets = one(step)
    assert torch.equal(images, later.images)
    assert torch.equal(targets.labels, later.targets.labels)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(targets.labels, another_seed(13).targets.labels)


def test_an_images_augmentation_does_not_depend_on_the_batch_size() -> None:
    train = part()
    normalisation = measure(train, "channel")
    seen = []
    for size in (5, 10):
        feed = Batches(train, Recipe(batch=size), normalisation, PLAN)
        seen.append({int(n): x for s in range(feed.per_epoch) for b in [feed(s)] for x, n in zip(b.images, b.targets.labels, strict=True)})
    assert len(seen[0]) == 50
    assert all(torch.equal(seen[0][n], seen[1][n]) for n in range(50))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    train = part(5)
    with pytest.raises(SpecError, match="use batch=5 or less") as refused:
        Batches(train, Recipe(batch=6), measure(train, "channel"), PLAN)
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


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"augment": {"mixup": 0.4, "cutmix": 1.0, "erase": 0.5}},
        {"augment": {"flip": "alternate", "color_pca": 0.2}, "resolution": {"start": 0.4, "until": 0.9}, "epochs": 2},
    ],
)
@pytest.mark.parametrize(("ranks", "parts"), [(2, 1), (1, 3), (2, 3), (3, 2)])
def test_ranks_and_parts_together_see_the_whole_batch(recipe: dict[str, Any], ranks: int, parts: int) -> None:
    train = part()
    normalisation = measure(train, "channel")
    whole = Batches(train, Recipe.model_validate({"batch": 12, **recipe}), normalisation, PLAN)
    cut = Recipe.model_validate({"batch": 12, "accumulate": parts, **recipe})
    shares = [Batches(train, cut, normalisation, PLAN, Share(rank, ranks)) for rank in range(ranks)]
    for step in (0, 3, whole.per_epoch, 1):
        images, targets = whole(step)
        seen = torch.zeros(12, dtype=torch.int64)
        for rank, mine in enumerate(shares):
            for p in range(parts):
                batch, rows = mine(step, p), torch.arange(12)[rank::ranks][p::parts]
                seen[rows] += 1
                assert torch.equal(batch.images, images[rows])
                assert torch.equal(batch.targets.labels, targets.labels[rows])
                assert batch.targets.share == targets.share
        assert seen.tolist() == [1] * 12


@pytest.mark.parametrize(
    ("recipe", "ranks", "fix"),
    [
        ({"batch": 8, "accumulate": 2}, 3, "batch=6"),
        ({"batch": 12, "accumulate": 2, "augment": {"mixup": 1.0}}, 2, "batch=16"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused(recipe: dict[str, Any], ranks: int, fix: str) -> None:
    train = part()
    with pytest.raises(SpecError, match=fix) as refused:
        Batches(train, Recipe.model_validate(recipe), measure(train, "channel"), PLAN, Share(0, ranks))
    assert refused.value.exit_code == 2
    assert [d.code for d in refused.value.diagnostics] == ["batch-split"]


def test_limited_and_overfitted() -> None:
    train = part()
    normalisation = measure(train, "channel")
    whole, few, one = (Batches(train, Recipe(batch=8), normalisation, PLAN, s) for s in (Share(), Share(limit=2), Share(overfit=True)))
    assert (whole.per_epoch, few.per_epoch, one.per_epoch) == (6, 2, 6)
    assert (few.total, whole.total) == (8, 24)
    for step, same in ((0, 0), (1, 1), (2, 6), (5, 13)):
        assert torch.equal(few(step).images, whole(same).images)
        assert torch.equal(one(step).images, whole(0).images)
    assert Batches(train, Recipe(batch=8), normalisation, PLAN, Share(limit=99)).per_epoch == 6


def test_images_grow() -> None:
    how = Resolution(start=0.5, until=0.6)
    assert [side(how, step, 100, 32) for step in (0, 8, 20, 30, 45, 55, 60, 99)] == [16, 20, 20, 24, 28, 32, 32, 32]
    assert {side(how, step, 100, 28) % 4 for step in range(100)} == {0}
    assert side(Resolution(start=0.1, until=1.0), 0, 100, 6) == 2
    train = InMemory(torch.randint(0, 256, (40, 3, 16, 24), dtype=torch.uint8), torch.arange(40))
    feed = Batches(train, Recipe(batch=8, epochs=2, resolution=how), measure(train, "pixel_mean"), PLAN)
    shapes = [tuple(feed(step).images.shape[2:]) for step in range(10)]
    assert shapes[0] == (8, 12)
    assert shapes == sorted(shapes)
    assert shapes[6:] == [(16, 24)] * 4
    assert feed(0).images.is_contiguous(memory_format=torch.channels_last)


def test_the_host_holds_what_the_device_need_not() -> None:
    train = part()
    normalisation = measure(train, "channel")
    ours, hosts = (Batches(train, Recipe(batch=8), normalisation, replace(PLAN, data=where)) for where in ("device", "host"))
    assert all(torch.equal(ours(s).images, hosts(s).images) for s in (0, 7))


@pytest.mark.needs("cuda")
@pytest.mark.parametrize(
    "recipe",
    [
        {"augment": {"cutout": 3, "erase": 0.5, "color_pca": 0.1, "mixup": 0.4, "cutmix": 1.0, "fill": "reflect"}},
        {"resolution": {"start": 0.5, "until": 1.0}, "augment": {"flip": "alternate"}},
    ],
)
def test_on_a_gpu_nothing_waits_and_the_images_are_the_same(recipe: dict[str, Any]) -> None:
    train = part(c=3, side=16)
    normalisation, made = measure(train, "pixel_mean"), Recipe.model_validate({"batch": 8, **recipe})
    ours, gpus = (Batches(train, made, normalisation, replace(PLAN, device=device)) for device in ("cpu", "cuda"))
    gpus(0)  # the epoch's draws are moved here
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = [gpus(step) for step in (1, 2, 3)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for step, batch in enumerate(found, 1):
        expected = ours(step)
        assert torch.equal(batch.targets.labels.cpu(), expected.targets.labels)
        assert torch.allclose(batch.images.cpu(), expected.images, atol=1e-5)
