"""Pictures that stay in files: what is seen of them, the same bits from any number of workers, and what can go wrong."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from streams import CROP, PLAN, feed, opened, picture, write_folder

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.batches.batches import Batches
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.batches.order import Share
from resnet_dsl.training.data import imagefolder, pictures
from resnet_dsl.training.data.dataset import Dataset, split
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.pictures import Pictures


def test_a_view_is_the_scaled_picture_cut(folder: Path) -> None:
    """Pillow scales the whole picture first, then cuts: the same to a level or two. Large JPEGs are decoded at a part of their size."""
    data = opened(folder)
    assert isinstance(data.train, Pictures)
    assert data.shape == (3, 24, 24)
    recipe = Recipe.model_validate({**CROP, "augment": {"crop": 24, "shorter_side": [26, 40], "flip": False}})
    batches = Batches(data.train, recipe, Normalisation(torch.zeros(3, 1, 1), torch.ones(3, 1, 1)), PLAN)
    (request,) = [r for r, _ in zip(batches.feed._requests(0), range(1), strict=False)]  # type: ignore[attr-defined]
    sides = set()
    for pixels, position, (a, b, c) in zip(batches(0).images, request.index.tolist(), request.draws, strict=True):
        with Image.open(data.train.path(position)) as opened_picture:
            whole = opened_picture.convert("RGB")
        side = 26 + int(a * np.float32(15))
        width, height = (max(side, round(n * side / min(whole.size))) for n in whole.size)
        left, top = int(c * np.float32(width - 23)), int(b * np.float32(height - 23))
        scaled = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        difference = np.abs(pixels.numpy() - scaled[:, top : top + 24, left : left + 24].astype(float))
        # Where a JPEG was decoded at half its size or less, two ways of averaging differ.
        assert difference.max() <= (12 if min(whole.size) >= 2 * side else 1)
        sides.add(side)
    assert len(sides) > 2


def test_evaluation_sees_the_middle(folder: Path) -> None:
    data = opened(folder)
    ((pixels, labels),) = data.test.chunks(500)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    for found, path in zip(pixels, sorted((folder / "val").glob("*/*")), strict=True):
        with Image.open(path) as opened_picture:
            whole = opened_picture.convert("RGB")
        width, height = (max(27, round(n * 27 / min(whole.size))) for n in whole.size)
        left, top = (width - 24) // 2, (height - 24) // 2
        scaled = np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
        difference = np.abs(found.numpy() - scaled[:, top : top + 24, left : left + 24].astype(float))
        assert difference.max() <= (12 if min(whole.size) >= 54 else 1)


@pytest.mark.usefixtures("no_child_left")
def test_any_number_of_workers_any_beginning_the_same_bits(folder: Path) -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    seen = []
    for workers in (0, 1, 3):
        batches = feed(opened(folder, workers), {**CROP, "accumulate": 2, "epochs": 3})
        seen.append([batches(step, part) for step in range(4) for part in (0, 1)])
        for step in (2, 0):
            assert torch.equal(batches(step, 1).images, seen[0][2 * step + 1].images)
        batches.close()
    for other in seen[1:]:
        for a, b in zip(seen[0], other, strict=True):
            assert torch.equal(a.images, b.images)
            assert torch.equal(a.targets.labels, b.targets.labels)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("no_child_left")
def test_ranks_and_an_overfitted_batch(folder: Path) -> None:
    data = opened(folder)
    whole = feed(data)
    for rank in range(3):
        assert torch.equal(feed(data, share=Share(rank, 3))(1).images, whole(1).images[rank::3])
    one_batch = Share(overfit=True)
    one = feed(data, share=one_batch)
    assert torch.equal(one(7).targets.labels, whole(0).targets.labels)
    flat = Batches(
        data.train, Recipe.model_validate({"batch": 6, "augment": {"crop": 24, "flip": False}}), one.normalisation, PLAN, one_batch
    )
    index = flat.feed.order(0).index  # type: ignore[attr-defined]
    ((middle, _),) = data.train.take(index).chunks(6)
    assert torch.equal(flat(3).images, one.normalisation.apply(middle, PLAN.memory_format))


def test_a_part_can_be_held_out(folder: Path) -> None:
    train, held = split(opened(folder).train, 4, None)
    assert isinstance(train, Pictures)
    assert isinstance(held, Pictures)
    assert {*train.files} | {*held.files} == {*opened(folder).train.files}  # type: ignore[attr-defined]
    assert (len(train), len(held)) == (7, 4)


def test_what_does_not_fit_into_memory_stays_in_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(4):
                picture(np.random.default_rng(i), 9, 7).save(tmp_path / part / name / f"{i}.png")
    recipe = {"batch": 4, "augment": {"pad_crop": 1}}
    inside = opened(tmp_path, crop=None, input=(3, 7, 9))
    monkeypatch.setattr(imagefolder, "_free_memory", lambda: 100)
    outside = opened(tmp_path, crop=None, input=(3, 7, 9))
    assert not isinstance(inside.train, Pictures)
    assert isinstance(outside.train, Pictures)
    assert (inside.shape, inside.sha256) == (outside.shape, outside.sha256)
    assert torch.equal(feed(inside, recipe)(3).images, feed(outside, recipe)(3).images)
    picture(np.random.default_rng(0), 9, 8).save(tmp_path / "val/dog/9.png")
    with pytest.raises(SpecError, match=r"is 8x9, but 0\.png is 7x9") as e:
        opened(tmp_path, crop=None)
    assert e.value.exit_code == 2


def test_means_come_from_a_sample(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = opened(folder).train
    monkeypatch.setattr(pictures, "SAMPLE", 5)
    few = train.sample()
    assert len(few) == 5
    found, again = (measure(train, "pixel_mean") for _ in range(2))
    ((pixels, _),) = few.chunks(5)
    assert torch.allclose(found.mean, pixels.float().mean(0))
    assert torch.equal(found.mean, again.mean)
    assert found.std.flatten().tolist() == [255.0] * 3


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.usefixtures("no_child_left")
def test_a_damaged_picture_is_named(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path)
    path = tmp_path / "train/dog/2.jpg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    batches = feed_all(opened(tmp_path, workers))
    with pytest.raises(SpecError, match=r"train/dog/2\.jpg") as e:
        epoch(batches)
    assert e.value.exit_code == 3
    # What follows is as it would have been.
    path.write_bytes((tmp_path / "train/dog/0.jpg").read_bytes())
    batches(0)
    batches.close()
    path.write_bytes(b"no picture")
    for files_at_a_time in (1000, 1):
        monkeypatch.setattr(pictures, "_HEADERS", files_at_a_time)
        with pytest.raises(SpecError, match="is not a readable picture") as e:
            opened(tmp_path, workers)
        assert e.value.exit_code == 3


def epoch(batches: Batches) -> None:
    for step in range(batches.per_epoch):
        batches(step)


def feed_all(data: Dataset) -> Batches:
    flat = Normalisation(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    return Batches(data.train, Recipe.model_validate({"batch": 5, "augment": {"crop": 24}}), flat, PLAN)


@pytest.mark.usefixtures("no_child_left")
def test_a_worker_that_dies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pictures._Reader._one

    def killed(self: pictures._Reader, position: int, draws: list[float]) -> Any:
        if position == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, position, draws)

    monkeypatch.setattr(pictures._Reader, "_one", killed)
    batches = feed_all(opened(folder, 2))
    with pytest.raises(SpecError, match="workers=1") as e:
        epoch(batches)
    assert e.value.exit_code == 3
    assert [d.code for d in e.value.diagnostics] == ["workers-died"]


def test_a_crop_is_for_picture_files() -> None:
    with pytest.raises(SpecError, match=r"augment\.crop: null") as e:
        open_dataset("digits", (1, 8, 8), crop=8)
    assert e.value.exit_code == 2
