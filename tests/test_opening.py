"""One picture: which way up it is, what its pixels become, and everything that only ends like a picture."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streams import feed
from streams import opened as opened_crop
from test_folders import folder, opened, put, refused

from resnet_dsl.cli.output import note
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.opening import PixelForm, changes, open_picture, orientation
from resnet_dsl.training.loop.progress import watcher

TURNS = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""For each orientation the transposition (Pillow's number) that makes the stored picture of the upright one."""


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif", "late.png"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_are_turned_as_viewers_turn_them(tag: int, ending: str, tmp_path: Path) -> None:
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
    ("palette with transparency", "png", 3, [200, 100, 50], "read without transparency"),
    ("palette with transparency", "png", 4, [200, 100, 50, 255], None),
    ("RGBA", "png", 3, [200, 100, 50], "read without transparency"),
    ("RGBA", "png", 4, [200, 100, 50, 128], None),
    ("RGBA", "webp", 4, [200, 100, 50, 128], None),
    ("LA", "png", 1, [120], "read without transparency"),
    ("LA", "png", 2, [120, 128], None),
    ("LA", "png", 3, [120, 120, 120], "read without transparency"),
    ("CMYK", "tif", 3, [200, 100, 50], "brought from CMYK to RGB"),
    ("CMYK", "tif", 4, [55, 155, 205, 0], None),
    ("16-bit grey", "png", 1, [255.0], None),
    ("16-bit grey", "pgm", 1, [255.0], None),
    ("16-bit grey", "tif", 3, [255.0] * 3, None),
    ("16-bit low", "png", 1, [300 / 257], None),
    ("animated", "gif", 3, [200, 100, 50], "read by the first frame alone"),
    ("animated", "webp", 3, [200, 100, 50], "read by the first frame alone"),
    ("animated", "png", 3, [200, 100, 50], "read by the first frame alone"),
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
    (b"BROKEN TIFF", "is damaged: its pixels cannot be decoded"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=range(len(BROKEN)))
def test_what_only_ends_like_a_picture(content: bytes, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = folder(tmp_path) / "val/dog/1.png"
    path.write_bytes(content)
    if content == b"BROKEN TIFF":  # libtiff writes to the process's standard error by itself
        Image.new("L", (4, 4)).save(path, "TIFF", compression="tiff_lzw")
        whole = bytearray(path.read_bytes())
        whole[8:10] = b"\xff\xff"
        path.write_bytes(whole)
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


def test_pages_and_parts_without_end_are_not_counted(tmp_path: Path) -> None:
    """A TIFF of many pages is read by its first; a PNG of a million parts is opened in no time."""
    pages = [Image.new("L", (4, 4), i) for i in range(5)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with open_picture(tmp_path / "pages.tif") as picture:
        assert changes(picture, PixelForm("L")) == ["read by the first frame alone"]
        assert np.asarray(picture).max() == 0
    put(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    part = b"prIv" + b""
    chunk = bytes(4) + part + zlib.crc32(part).to_bytes(4, "big")
    (tmp_path / "x.png").write_bytes(whole[:-12] + chunk * 200_000 + whole[-12:])
    with open_picture(tmp_path / "x.png") as picture:
        assert orientation(picture) == 1


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")

    def opened_alone() -> None:
        with open_picture(path):
            pass

    refused(opened_alone, "error[data-unreadable]: is a device, pipe or socket, not a regular file")


def test_names_that_a_terminal_would_obey_are_spelled_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "a\x1b[31mb\nc"
    folder(root, test=None)
    for line in opened(root).lines:
        note(line)
        watcher(sys.stderr, quiet=False).say(line)
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert said.count("a<U+001B>[31mb") == 2
