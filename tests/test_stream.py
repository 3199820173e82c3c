"""Pictures that stay in files and in shards: what is seen of them, the same bits from any number of workers, and what can go wrong."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.recipes import recipe_named
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.batches.batches import Batches
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.batches.order import Share
from resnet_dsl.training.data import imagefolder, pictures
from resnet_dsl.training.data.dataset import Dataset, split
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.pictures import Pictures
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.loop import Loop

PLAN = Plan("cpu", "fp32", True, 1, "")
CROP = {"augment": {"crop": 24, "shorter_side": [26, 40], "color_pca": 0.1, "erase": 0.2}, "batch": 6, "normalize": "pixel_mean"}


def picture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Smooth enough that JPEG and scaling leave it recognisable."""
    return Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def write_folder(folder: Path, each: int = 5) -> Path:
    """Two classes of JPEGs of every size, one grey, one PNG with alpha."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for i in range(each if part == "train" else 3):
                width, height = rng.integers(30, 120, 2).tolist()
                made = picture(rng, width, height)
                (made.convert("L") if i == 1 else made).save(folder / part / name / f"{i}.jpg", quality=90)
    picture(rng, 50, 40).convert("RGBA").save(folder / "train/dog/z.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("pictures"))


def opened(folder: Path, workers: int = 0, crop: int | None = 24, input: tuple[int, ...] = (3, 24, 24)) -> Dataset:
    return open_dataset("imagefolder", input, folder, crop=crop, workers=workers)


def feed(data: Dataset, recipe: dict[str, Any] = CROP, share: Share | None = None) -> Batches:
    made = Recipe.model_validate(recipe)
    return Batches(data.train, made, measure(data.train, made.normalize), PLAN, share or Share())


@pytest.fixture
def no_child_left() -> Iterator[None]:
    yield
    import multiprocessing

    assert multiprocessing.active_children() == []


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


def write_shard(path: Path, labels: list[int], damage: str = "") -> None:
    rng = np.random.default_rng(len(path.name))
    with tarfile.open(path, "w") as tar:
        for i, label in enumerate(labels):
            content = io.BytesIO()
            picture(rng, 40 + i, 36).save(content, "JPEG")
            members = {"jpg": content.getvalue(), "cls": str(label).encode()}
            if damage == "picture" and i == 1:
                members["jpg"] = members["jpg"][:300]
            if damage == "label" and i == 1:
                members["cls"] = b"cat"
            if damage == "no label" and i == 1:
                del members["cls"]
            for ending, data in members.items():
                info = tarfile.TarInfo(f"{i:04}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_shards(folder: Path, damage: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for k in range(3):
        write_shard(folder / f"part-{k}.tar", [0, 1, 1, 0, 1], damage if k == 1 else "")
    index = {
        "classes": ["cat", "dog"],
        "train": [{"url": "part-0.tar", "nsamples": 5}, {"url": "part-1.tar", "nsamples": 5}],
        "val": [{"url": "part-2.tar", "nsamples": 5}],
    }
    (folder / "index.json").write_text(json.dumps(index))
    return folder


def opened_shards(where: Path, workers: int = 0) -> Dataset:
    return open_dataset("webdataset", (3, 24, 24), where, crop=24, workers=workers)


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.usefixtures("no_child_left")
def test_shards(workers: int, tmp_path: Path) -> None:
    data = opened_shards(write_shards(tmp_path), workers)
    assert (len(data.train), len(data.test), data.classes, data.shape, data.exact) == (10, 5, ("cat", "dog"), (3, 24, 24), False)
    ((pixels, labels),) = data.test.chunks(10)
    assert labels.tolist() == [0, 1, 1, 0, 1]
    assert pixels.shape == (5, 3, 24, 24)
    assert sum(len(labels) for _, labels in data.train.chunks(3)) == 10
    batches = feed(data, {"batch": 4, "augment": {"crop": 24, "shorter_side": [26, 30], "mixup": 0.2}, "accumulate": 2})
    assert batches.per_epoch == 2
    with closing(batches):
        seen = [batches(step, part) for step in range(4) for part in (0, 1)]
    assert all(b.images.shape == (2, 3, 24, 24) for b in seen)
    assert len({float(b.images.sum()) for b in seen}) == 8


@pytest.mark.needs("webdataset")
def test_a_pattern_of_shards(tmp_path: Path) -> None:
    write_shards(tmp_path)
    data = opened_shards(tmp_path / "part-{0..2}.tar")
    assert (len(data.train), len(data.test), data.classes) == (10, 5, ("0", "1"))


def index_of(**over: Any) -> str:
    entry = [{"url": "part-0.tar", "nsamples": 5}]
    return json.dumps({"classes": ["cat", "dog"], "train": entry, "val": entry, **over})


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "is no JSON"),
        ("[" * 10_000 + "]" * 10_000, "is no JSON"),
        ("null", "is damaged: it must be an object, not null"),
        ("[]", "is damaged: it must be an object, not a list"),
        (index_of(classes=["cat"]), "is damaged: `classes` has 1 entries, and needs 2"),
        (index_of(classes=["cat", "cat"]), "is damaged: it names a class twice"),
        (index_of(classes=["cat", 3]), "is damaged: `classes.1` must be a text, not 3"),
        (index_of(train=[]), "is damaged: `train` has 0 entries, and needs 1"),
        (index_of(train={}), "is damaged: `train` must be a list, not an object"),
        (index_of(val=None), "is damaged: it has neither `val` nor `test`"),
        (index_of(train=[{"url": "part-0.tar"}]), "is damaged: `train.0.nsamples` is missing"),
        (index_of(train=[{"url": "part-0.tar", "nsamples": 0}]), "is damaged: `train.0.nsamples` must be at least 1, not 0"),
        (index_of(train=[{"url": 1, "nsamples": 1}]), "is damaged: `train.0.url` must be a text, not 1"),
        (index_of(train=[{"url": "pipe:touch x", "nsamples": 5}]), "no such shard"),
        (index_of(train=[{"url": "gone.tar", "nsamples": 5}]), "no such shard"),
    ],
)
def test_a_wrong_index(index: str, message: str, tmp_path: Path) -> None:
    (write_shards(tmp_path) / "index.json").write_text(index)
    with pytest.raises(SpecError, match=message) as e:
        opened_shards(tmp_path)
    assert e.value.exit_code == 3


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("picture", r"part-1\.tar/0001\.jpg"),
        ("label", r"part-1\.tar/0001\.jpg: .*is not a label: b'cat'"),
        ("no label", r"part-1\.tar/0001\.jpg: .*has no \.cls"),
        ("tar", r"part-1\.tar: .*is not a complete tar archive"),
        ("range", "label 7 is out of range: labels are 0 to 1"),
        ("count", "holds 2 pictures, the index says 5"),
    ],
)
def test_damaged_shards(damage: str, message: str, tmp_path: Path) -> None:
    write_shards(tmp_path, damage)
    path = tmp_path / "part-1.tar"
    if damage == "tar":
        path.write_bytes(b"x" * 2000)
    elif damage in ("range", "count"):
        write_shard(path, [0, 7, 0, 0, 0] if damage == "range" else [0, 1])
    with pytest.raises(SpecError, match=message) as e:
        list(opened_shards(tmp_path, 1).train.chunks(3))
    assert e.value.exit_code == 3


@pytest.mark.needs("webdataset")
@pytest.mark.parametrize("images", [0, 2])
def test_an_index_that_promises_too_much_ends_training_too(images: int, tmp_path: Path) -> None:
    """Training goes over the shards without end: an empty one would never give a batch."""
    write_shards(tmp_path)
    for k in (0, 1):
        write_shard(tmp_path / f"part-{k}.tar", [0, 1][:images])

    def steps() -> None:
        with closing(feed(opened_shards(tmp_path), {"batch": 4, "augment": {"crop": 24}})) as batches:
            for step in range(9):
                batches(step, 0)

    with pytest.raises(SpecError, match=f"holds {images} pictures, the index says 5") as e:
        steps()
    assert e.value.exit_code == 3


@pytest.mark.needs("webdataset")
def test_what_shards_cannot_do(tmp_path: Path) -> None:
    data = opened_shards(write_shards(tmp_path))
    with pytest.raises(SpecError, match="no single pictures can be held out"):
        split(data.train, 2, None)
    with pytest.raises(SpecError, match=r"augment.flip': 'true'"):
        feed(data, {"batch": 2, "augment": {"crop": 24, "flip": "alternate"}})
    with pytest.raises(SpecError, match="write one") as e:
        opened_shards(tmp_path / "..")
    assert e.value.exit_code == 3
    with pytest.raises(SpecError, match="of a pattern's shards the last"):
        opened_shards(tmp_path / "part-0.tar")


SPEC = """
input: {channels: 3, height: 24, width: 24}
classes: 2
stem: cifar
block: basic
shortcut: A
stages: [{depth: 1, width: 4}, {depth: 1, width: 8, stride: 2}]
"""


def train(home: Path, folder: Path, name: str, *more: str) -> int:
    (home / "tiny.yaml").write_text(SPEC)
    small = [
        "train.augment.crop=24",
        "train.augment.shorter_side=[28, 40]",
        "train.batch=4",
        "train.log_every=1",
        "train.schedule=plateau",
        "train.patience=1",
    ]
    settings = [word for s in small for word in ("--set", s)]
    data = ["--data", "imagefolder", "--data-dir", str(folder), "--recipe", "he2015-imagenet"]
    return main(["train", str(home / "tiny.yaml"), *data, *settings, "--quiet", "--steps", "12", "--out", str(home / name), *more])


@pytest.mark.usefixtures("one_thread", "no_child_left")
def test_imagenets_recipe_on_a_folder_stopped_and_resumed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's keys, and the same weights after a stop in the middle of an epoch, whatever the number of workers."""
    paper = recipe_named("he2015-imagenet")
    assert (paper.optimizer, paper.lr, paper.momentum, paper.weight_decay, paper.batch, paper.steps) == (
        "sgd",
        0.1,
        0.9,
        1e-4,
        256,
        600_000,
    )
    assert (paper.schedule, paper.gamma, paper.warmup, paper.normalize) == ("plateau", 0.1, 0.0, "pixel_mean")
    how = paper.augment
    assert (how.shorter_side, how.crop, how.pad_crop, how.flip, how.color_pca) == ((256, 480), 224, 0, True, 0.1)
    assert (how.cutout, how.erase, how.mixup, how.cutmix, paper.label_smoothing, paper.drop_path) == (0, 0, 0, 0, 0, 0)

    assert train(tmp_path, folder, "whole", "--workers", "0") == 0
    rows = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    # Eleven pictures are two batches of four; the error on six pictures stops falling long before twelve steps are over.
    assert [r["step"] for r in rows if r["event"] == "test"] == [2, 4, 6, 8, 10, 12]
    rates = [r["lr"] for r in rows if r["event"] == "train"]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.1
    assert rates[-1] < 0.011

    with monkeypatch.context() as patch:
        step = Loop._train_one

        def stopped(self: Loop) -> None:
            step(self)
            if self.step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(Loop, "_train_one", stopped)
        assert train(tmp_path, folder, "parted", "--workers", "2") == 75
    assert main(["train", "--resume", str(tmp_path / "parted"), "--quiet", "--workers", "1"]) == 0
    assert (tmp_path / "parted/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.mark.usefixtures("one_thread")
def test_killed_it_can_be_taken_up_at_once(folder: Path, tmp_path: Path) -> None:
    """Workers outlive a parent that is killed for some seconds: they must not hold its lock on the run's folder."""
    (tmp_path / "tiny.yaml").write_text(SPEC)
    words = [
        "--data",
        "imagefolder",
        "--data-dir",
        str(folder),
        "--set",
        "train.augment.crop=24",
        "--batch",
        "4",
        "--steps",
        "8",
        "--quiet",
    ]
    command = ["train", str(tmp_path / "tiny.yaml"), *words, "--out", str(tmp_path / "run"), "--workers", "2"]
    fault = {**os.environ, "OMP_NUM_THREADS": "1", "RESNET_DSL_FAULT": "kill@step=5"}
    # Not through pipes: to read those to their end is to wait for the workers.
    with (tmp_path / "said").open("w") as said:
        code = subprocess.run([sys.executable, "-m", "resnet_dsl", *command], env=fault, stdout=said, stderr=said).returncode
    assert code == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--workers", "0"]) == 0
    assert json.loads((tmp_path / "run/results.json").read_text())["steps"] == 8


@pytest.mark.needs("webdataset")
@pytest.mark.usefixtures("one_thread", "no_child_left")
def test_a_run_from_shards_says_that_it_is_not_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tmp_path / "shards")
    (tmp_path / "tiny.yaml").write_text(SPEC)
    words = [
        "--data",
        "webdataset",
        "--data-dir",
        str(tmp_path / "shards"),
        "--set",
        "train.augment.crop=24",
        "--batch",
        "4",
        "--steps",
        "4",
    ]
    assert main(["train", str(tmp_path / "tiny.yaml"), *words, "--out", str(tmp_path / "run"), "--workers", "1"]) == 0
    assert "a resumed or repeated run sees other batches" in capsys.readouterr().err
    assert json.loads((tmp_path / "run/results.json").read_text())["steps"] == 4
