"""Folders of pictures as people have them: where their classes and parts lie, and what is said of all that is not read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.training.data import classes as parts
from resnet_dsl.training.data.dataset import Dataset
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.split import HeldOut


def put(path: Path, level: int = 0, *more: Path) -> None:
    """A grey level of 4x4 as a picture."""
    for p in (path, *more):
        p.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), level).save(p)


def folder(root: Path, train: str = "train", test: str | None = "val", each: int = 5) -> Path:
    """Two classes, each picture of its own grey."""
    for i in range(each):
        for k, name in enumerate(("cat", "dog")):
            put(root / train / name / f"{i}.png", 10 * i + 100 * k)
            if test is not None and i < 2:
                put(root / test / name / f"{i}.png", 10 * i + 100 * k + 5)
    return root


def opened(root: Path, **more: object) -> Dataset:
    return open_dataset("imagefolder", (1, 4, 4), root, workers=0, **more)  # type: ignore[arg-type]


def refused(call: Callable[[], object], message: str, exit_code: int = 3) -> None:
    with pytest.raises(SpecError) as e:
        call()
    assert message in render(e.value.diagnostics, COMMAND_LINE)
    assert e.value.exit_code == exit_code


def test_pictures_at_any_depth(tmp_path: Path) -> None:
    """Those of a class are all below its folder; the data is the same as if they lay in it."""
    folder(tmp_path)
    flat = opened(tmp_path)
    (tmp_path / "train/dog/deep/er").mkdir(parents=True)
    for i in (3, 4):
        os.rename(tmp_path / f"train/dog/{i}.png", tmp_path / f"train/dog/deep/er/{i}.png")
    os.rename(tmp_path / "train/cat", tmp_path / "images")
    os.rename(tmp_path / "images", tmp_path / "cat")
    (tmp_path / "train/cat").mkdir()
    os.rename(tmp_path / "cat", tmp_path / "train/cat/images")
    nested = opened(tmp_path)
    assert torch.equal(nested.train.pixels, flat.train.pixels)
    assert nested.train.labels.tolist() == [0] * 5 + [1] * 5
    assert nested.lines == ()


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path: Path) -> None:
    folder(tmp_path / "d")
    shutil.move(tmp_path / "d/train/dog", tmp_path / "elsewhere")
    (tmp_path / "d/train/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/again").symlink_to(tmp_path / "elsewhere")
    data = opened(tmp_path / "d")
    assert data.train.labels.tolist() == [0] * 5 + [1] * 5
    assert "1 in links in a circle" in data.lines[0]


def test_all_that_is_not_read_is_counted(tmp_path: Path) -> None:
    folder(tmp_path)
    put(tmp_path / "train/cat/.hidden.png", 0, tmp_path / "train/cat/.thumbs/x.png", tmp_path / "train/stray.png", tmp_path / "up.png")
    put(tmp_path / "train/__MACOSX/cat/0.png", 0, tmp_path / "train/@eaDir/a.png", tmp_path / "train/.ipynb_checkpoints/0-checkpoint.png")
    put(tmp_path / "unlabelled/9.png")
    (tmp_path / "train/cat/notes.TXT").write_text("x")
    (tmp_path / "train/cat/README").write_text("x")
    (tmp_path / "val/dog/empty.png").touch()
    (tmp_path / "val/dog/gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "val/dog/pipe.png")
    data = opened(tmp_path)
    assert (len(data.train), len(data.test), data.classes) == (10, 4, ("cat", "dog"))
    assert {x.reason: (x.files, x.examples) for x in data.left_out} == {
        "hidden": (1, ("train/cat/.hidden.png",)),
        "in hidden folders": (2, ("train/cat/.thumbs", "train/.ipynb_checkpoints")),
        "in folders __MACOSX": (1, ("train/__MACOSX",)),
        "in folders @eaDir": (1, ("train/@eaDir",)),
        "below no class folder": (1, ("train/stray.png",)),
        "beside the folder train": (1, ("up.png",)),
        "in unlabelled, which is no part that is used": (1, ("unlabelled",)),
        "ending in .txt": (1, ("train/cat/notes.TXT",)),
        "without an ending": (1, ("train/cat/README",)),
        "empty": (1, ("val/dog/empty.png",)),
        "linked to nothing": (1, ("val/dog/gone.png",)),
        "not regular": (1, ("val/dog/pipe.png",)),
    }
    assert data.lines[0].startswith(f"note: 13 files in {tmp_path} are not read: 2 in hidden folders (train/cat/.thumbs, ...), 1 ")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "test", "Test", "testing"])
def test_names_of_the_test_part(name: str, tmp_path: Path) -> None:
    assert len(opened(folder(tmp_path, "Train" if name == "Test" else "train", name)).test) == 4


def test_of_two_test_parts_one_is_used_and_the_other_told(tmp_path: Path) -> None:
    folder(tmp_path)
    shutil.copytree(tmp_path / "val", tmp_path / "test")
    put(tmp_path / "val/dog/9.png", 7)
    data = opened(tmp_path)
    assert len(data.test) == 5
    assert "4 in test, which is no part that is used" in data.lines[0]


@pytest.mark.parametrize("train", ["train", "."])
def test_without_a_test_part_a_share_of_each_class_is_held_out(train: str, tmp_path: Path) -> None:
    folder(tmp_path, train, None, 10)
    put(tmp_path / train / "rare/0.png", 3)
    data = opened(tmp_path)
    assert data.held_out == HeldOut(0.2, 0)
    assert (data.train.labels.bincount().tolist(), data.test.labels.bincount().tolist()) == ([8, 8, 1], [2, 2])
    both = {p.numpy().tobytes() for p in (*data.train.pixels, *data.test.pixels)}
    assert len(both) == 21
    assert data.lines[0].endswith("4 of 21 pictures are held out for it (0.2 of each class, by seed 0)")
    assert data.lines[1] == "warning: what is held out holds no pictures of rare: the test says nothing of them"
    again, other = opened(tmp_path), opened(tmp_path, held_out=HeldOut(0.4, 0))
    assert (again.sha256 == data.sha256, other.sha256 == data.sha256, len(other.test)) == (True, False, 8)


def test_empty_classes_are_refused_by_name(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "train/zebra").mkdir()
    (tmp_path / "train/emu/x").mkdir(parents=True)
    (tmp_path / "train/emu/x/a.heic").write_text("x")
    refused(lambda: opened(tmp_path), "2 of 4 class folders hold no pictures: emu, zebra (files there: 1 ending in .heic)")


def test_a_test_part_without_a_class_is_told_and_one_with_more_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    shutil.rmtree(tmp_path / "val/dog")
    assert opened(tmp_path).lines == (f"warning: {tmp_path}/val holds no pictures of dog: the test says nothing of them",)
    put(tmp_path / "val/cow/1.png")
    refused(lambda: opened(tmp_path), f"has a class cow that {tmp_path}/train lacks")


def test_a_flat_val_says_just_that(tmp_path: Path) -> None:
    folder(tmp_path, test=None)
    put(tmp_path / "val/1.png", 0, tmp_path / "val/2.png")
    refused(lambda: opened(tmp_path), "val: error[data-missing]: holds 2 pictures, but no class folders")


def test_the_annotations_of_tiny_imagenet(tmp_path: Path) -> None:
    for i, name in enumerate(("n01", "n02")):
        put(tmp_path / f"train/{name}/images/{name}_0.JPEG", 9 * i, tmp_path / f"val/images/val_{1 - i}.JPEG")
    lines = "val_1.JPEG\tn01\t0\t0\t9\t9\nval_0.JPEG\tn02\t0\t0\t9\t9\n"
    (tmp_path / "val/val_annotations.txt").write_text(lines)
    put(tmp_path / "val/images/val_7.JPEG")
    data = opened(tmp_path)
    assert (data.classes, data.test.labels.tolist()) == (("n01", "n02"), [1, 0])
    assert [int(p.float().mean()) for p in data.test.pixels] == [9, 0]
    assert "1 not in val_annotations.txt (val/images/val_7.JPEG)" in data.lines[0]
    (tmp_path / "val/val_annotations.txt").write_text(lines.replace("n02", "n03"))
    refused(lambda: opened(tmp_path), "names no class of train: 'val_0.JPEG n03'")


def test_folders_that_are_none(tmp_path: Path) -> None:
    refused(lambda: opened(tmp_path / "gone"), "no such folder")
    (tmp_path / "photos.zip").write_text("x")
    refused(lambda: opened(tmp_path / "photos.zip"), "is no folder")
    refused(lambda: opened(tmp_path), "holds no class folder")
    folder(tmp_path / "photos")
    refused(lambda: opened(tmp_path), f"give the folder in it, if its folders train, val are what you mean: {tmp_path}/photos")
    shutil.rmtree(tmp_path / "photos/train")
    refused(lambda: opened(tmp_path / "photos"), "no folder train/ in it")


def test_many_classes_are_counted_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path)
    monkeypatch.setattr(parts, "_MANY", 1)
    monkeypatch.setattr(parts, "pictures_below", lambda *_: pytest.fail("listed"))
    refused(lambda: opened(tmp_path, classes=3), "holds 2 class folders, the network has 3 classes", 2)
