"""Folders of pictures as people have them: where their classes and parts lie, and what is said of all that is not read."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


TURNS = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""For each orientation the transposition (Pillow's number) that makes the stored picture of the upright one."""


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "late.png"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_are_turned_as_viewers_turn_them(tag: int, ending: str, tmp_path: Path) -> None:
    from streams import opened as opened_crop

    upright = Image.fromarray(np.random.default_rng(1).integers(0, 256, (3, 2, 3), np.uint8)).resize((40, 60), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[274] = tag
    stored = upright if TURNS[tag] is None else upright.transpose(Image.Transpose(TURNS[tag]))
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            upright.save(tmp_path / part / name / "0.png")
    path = tmp_path / f"val/b/1.{ending}"
    stored.save(
        path, exif=exif, **({"quality": 100, "subsampling": 0} if ending == "jpg" else {"lossless": True} if ending == "webp" else {})
    )
    if ending == "late.png":
        whole = path.read_bytes()
        at = whole.index(b"eXIf") - 4
        chunk = whole[at : at + 12 + int.from_bytes(whole[at : at + 4], "big")]
        path.write_bytes(whole.replace(chunk, b"").replace(whole[-12:], chunk + whole[-12:]))
    inside = open_dataset("imagefolder", (3, 60, 40), tmp_path)
    expected = torch.from_numpy(np.asarray(upright).transpose(2, 0, 1).copy())
    near = (inside.test.pixels[2].float() - expected.float()).abs().mean()
    assert near < (8 if ending == "jpg" else 0.01)
    crops = opened_crop(tmp_path).test
    ((pixels, _),) = crops.chunks(9)
    assert (pixels[2].float() - pixels[1].float()).abs().mean() < 8
    said = ["note: 1 picture is turned as EXIF data says"] if tag > 1 and ending != "tif" else []
    assert list(inside.lines) == said


def test_a_turned_picture_is_other_data(tmp_path: Path) -> None:
    """A run that saw it unturned is not gone on with."""
    folder(tmp_path)
    prints = []
    for tag in (1, 3):
        exif = Image.Exif()
        exif[274] = tag
        Image.new("L", (4, 4), 7).save(tmp_path / "train/cat/9.png", exif=exif)
        prints.append(opened(tmp_path).sha256)
    assert prints[0] != prints[1]


KINDS = [
    ("palette with transparency", "png", 3, [200, 100, 50], "read without its transparency"),
    ("palette with transparency", "png", 4, [200, 100, 50, 255], None),
    ("RGBA", "png", 3, [200, 100, 50], "read without its transparency"),
    ("RGBA", "png", 4, [200, 100, 50, 128], None),
    ("RGBA", "webp", 4, [200, 100, 50, 128], None),
    ("LA", "png", 1, [120], "read without its transparency"),
    ("LA", "png", 2, [120, 128], None),
    ("LA", "png", 3, [120, 120, 120], "read without its transparency"),
    ("CMYK", "tif", 3, [200, 100, 50], "brought from CMYK to RGB"),
    ("CMYK", "tif", 4, [55, 155, 205, 0], None),
    ("16-bit grey", "png", 1, [255.0], None),
    ("16-bit grey", "pgm", 1, [255.0], None),
    ("16-bit grey", "tif", 3, [255.0] * 3, None),
    ("16-bit low", "png", 1, [300 / 257], None),
    ("animated", "gif", 3, [200, 100, 50], "read by its first frame"),
    ("animated", "webp", 3, [200, 100, 50], "read by its first frame"),
    ("animated", "png", 3, [200, 100, 50], "read by its first frame"),
    ("RGB", "jfif", 3, [200, 100, 50], None),
    ("RGB", "bmp", 3, [200, 100, 50], None),
    ("1 bit", "png", 1, [255], None),
]


def make(kind: str, path: Path) -> None:
    colour, size = (200, 100, 50), (4, 6)
    plain = Image.new("RGB", size, colour)
    form = "JPEG" if path.suffix == ".jfif" else None
    if kind == "palette with transparency":
        plain.quantize(2).save(path, transparency=bytes([255, 0]))
    elif kind == "animated":
        plain.save(path, save_all=True, append_images=[Image.new("RGB", size), Image.new("RGB", size, "white")], lossless=True)
    elif kind.startswith("16-bit"):
        deep = Image.fromarray(np.full((6, 4), 300 if kind == "16-bit low" else 65535, np.uint16))
        (deep.convert("I") if path.suffix == ".pgm" else deep).save(path)
    elif kind == "1 bit":
        Image.new("1", size, 1).save(path)
    else:
        images = {
            "RGB": plain,
            "RGBA": Image.new("RGBA", size, (*colour, 128)),
            "LA": Image.new("LA", size, (120, 128)),
            "CMYK": plain.convert("CMYK"),
        }
        images[kind].save(path, form, **({"quality": 100} if form else {"lossless": True} if path.suffix == ".webp" else {}))


@pytest.mark.parametrize(("kind", "ending", "channels", "value", "said"), KINDS)
def test_every_kind_of_picture(kind: str, ending: str, channels: int, value: list[float], said: str | None, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            make(kind, tmp_path / part / name / f"0.{ending}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = open_dataset("imagefolder", (channels, 6, 4), tmp_path)
    assert data.shape == (len(value), 6, 4)
    expected = torch.tensor(value).float().view(-1, 1, 1).expand(-1, 6, 4)
    assert torch.allclose(data.test.pixels[0].float(), expected, atol=1e-4 if ending != "jfif" else 2)
    assert list(data.lines) == ([] if said is None else [f"note: 4 pictures are {said}"])


BROKEN = [
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is PostScript, a drawing, not a picture that is read"),
    (b"\xc5\xd0\xd3\xc6" + bytes(40), "is PostScript (EPS), a drawing"),
    (b"%PDF-1.4\n", "is a PDF document"),
    (b'\xef\xbb\xbf <svg xmlns="http://www.w3.org/2000/svg"/>', "is SVG, a drawing"),
    (b"<!DOCTYPE html><html>", "is a web page"),
    (b"version https://git-lfs.github.com/spec/v1\n", "fetch it: git lfs pull"),
    (b"\0\0\0\x18ftypheic" + bytes(40), "is HEIC, as some telephones save it"),
    (b"PK\x03\x04" + bytes(40), "is a zip archive"),
    (b"GIF89a" + bytes(3), "data-damaged"),
    (b"no picture", "is not a readable picture"),
    (b"\0" * 100, "is not a readable picture"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=range(len(BROKEN)))
def test_what_only_ends_like_a_picture(content: bytes, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder(tmp_path) / "val/dog/1.png").write_bytes(content)
    refused(lambda: opened(tmp_path), message)
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_that_is_cut_short_says_so(tmp_path: Path) -> None:
    folder(tmp_path)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4), np.uint8)).resize((4, 4))
    noise.save(tmp_path / "val/dog/2.jpg")
    path = tmp_path / "val/dog/2.jpg"
    path.write_bytes(path.read_bytes()[:-12])
    refused(lambda: opened(tmp_path), "is cut short: its pixels end too early")


def test_large_pictures_are_refused_by_their_header(tmp_path: Path) -> None:
    import zlib

    folder(tmp_path)
    for side, said in (
        (13_000, "is 13,000x13,000, 169 million pixels; at most 134 million are read"),
        (50_000, "has 2,500 million pixels"),
    ):
        header = b"IHDR" + side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
        chunks = [header, b"IDAT" + zlib.compress(bytes(9)), b"IEND"]
        body = b"".join((len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big") for c in chunks)
        (tmp_path / "val/dog/9.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        refused(lambda said=said: opened(tmp_path), said)
    with open(tmp_path / "val/dog/9.png", "wb") as f:
        f.write(b"P5 4 4 255\n")
        f.truncate(2**31)
    refused(lambda: opened(tmp_path), "has 2,147,483,648 bytes; at most 268,435,456 are read")


def test_deep_and_shallow_pictures_do_not_mix_unseen(tmp_path: Path) -> None:
    folder(tmp_path)
    Image.fromarray(np.full((4, 4), 514, np.uint16)).save(tmp_path / "val/dog/0.png")
    refused(lambda: opened(tmp_path), "has 16 bits, but the first picture has 8", 2)
    shutil.copy(tmp_path / "val/dog/0.png", tmp_path / "train/cat/0.png")
    data = opened(tmp_path)
    assert data.train.pixels[:2].unique().tolist() == [2.0, 10.0]


def test_sixteen_bits_reach_the_network(tmp_path: Path) -> None:
    """A batch is padded and mirrored without a rounding: 65535 is 255, and 257 levels lie between two bytes."""
    from streams import feed

    rng = np.random.default_rng(0)
    made = []
    for part in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            made.append(rng.integers(0, 65536, (6, 4), np.uint16))
            Image.fromarray(made[-1]).save(tmp_path / part / name / "0.png")
    data = open_dataset("imagefolder", (1, 6, 4), tmp_path)
    values = np.stack(made[:2]).astype(np.float32) / np.float32(257)
    assert data.scale == "deep"
    assert np.array_equal(data.train.pixels[:, 0], values)
    batches = feed(data, {"batch": 2, "augment": {"pad_crop": 0, "flip": False}})
    how = batches.normalisation
    assert (how.scale, float(how.mean), float(how.std)) == ("bytes", pytest.approx(values.mean(), 1e-5), pytest.approx(values.std(), 1e-5))
    index = batches.feed.order(0).index  # type: ignore[attr-defined]
    assert np.allclose(batches(0).images[:, 0] * how.std + how.mean, values[index], atol=1e-4)
    padded = feed(data, {"batch": 2, "augment": {"pad_crop": 1, "flip": True}})
    seen = set((padded(0).images * how.std + how.mean).flatten().double().mul(257).round().int().tolist())
    assert seen <= {0, *np.stack(made[:2]).flatten().tolist()}
    assert len(seen) > 20
