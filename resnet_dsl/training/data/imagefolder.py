"""The user's own pictures: a folder a class, under train/ and under val/ or test/. Nothing is resized."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.data.catalog import Source
from resnet_dsl.training.data.dataset import Dataset, Part, dataset
from resnet_dsl.training.data.reading import blame, damaged
from resnet_dsl.training.errors import RunError

if TYPE_CHECKING:
    from PIL import Image

_ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"))
_GREY = frozenset(("1", "L", "LA"))
_COLOUR = frozenset(("RGB", "RGBA", "P", "CMYK", "YCbCr"))

Listing = list[tuple[Path, int]]


def load(source: Source, folder: Path | None, input: Shape) -> Dataset:
    """Every picture of a folder, decoded into memory. Raises RunError (exit 3 for the files, 2 for sizes that differ)."""
    if importlib.util.find_spec("PIL") is None:
        raise RunError(
            "extra-missing", "reading pictures needs Pillow, which is not installed", "pip install 'resnet-dsl[images]'", at=source.name
        )
    if folder is None:
        raise RunError("usage", "which folder?", "add --data-dir FOLDER", at=source.name, exit_code=2)
    train = folder / "train"
    test = next((folder / n for n in ("val", "test") if (folder / n).is_dir()), folder / "val")
    for part in (train, test):
        if not part.is_dir():
            raise RunError(
                "data-missing",
                f"no folder {part.name}/ in it",
                "imagefolder reads FOLDER/train/<class>/ and FOLDER/val/<class>/ (or test/)",
                at=folder,
            )
    names = _subfolders(train)
    if len(names) < 2:
        raise RunError(
            "data-missing",
            f"holds {len(names)} class folders; at least 2 are needed",
            "put the pictures of each class into a folder of its own",
            at=train,
        )
    if strange := sorted(set(_subfolders(test)) - set(names)):
        raise RunError("data-damaged", f"has a class {strange[0]} that {train} lacks", "use the same class folders in both", at=test)
    listings = [_listing(part, names) for part in (train, test)]
    form = _form(listings[0][0][0], input)
    _require_memory(folder, sum(map(len, listings)) * int(np.prod(form)))
    parts = [_read(part, listing, form, len(names)) for part, listing in zip((train, test), listings, strict=True)]
    return dataset(source.name, parts[0], parts[1], names, str(folder))


def _subfolders(folder: Path) -> list[str]:
    with blame(folder):
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listing(part: Path, names: list[str]) -> Listing:
    with blame(part):
        found = [
            (p, label)
            for label, name in enumerate(names)
            if (part / name).is_dir()
            for p in sorted((part / name).iterdir())
            if p.suffix.lower() in _ENDINGS and not p.name.startswith(".")
        ]
    if not found:
        raise RunError("data-missing", "holds no pictures", f"pictures end in {', '.join(sorted(_ENDINGS))}", at=part)
    return found


def _open(path: Path) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    with blame(path):
        try:
            picture = Image.open(path)
        except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as e:
            raise damaged(path, f"is no picture that can be read: {str(e)[:100]}", "remove or replace the file") from None
    if picture.mode not in _GREY | _COLOUR:
        picture.close()
        raise damaged(path, f"has pixels of the kind {picture.mode}; 8-bit grey and colour are read", "save it as 8-bit PNG")
    return picture


def _form(first: Path, input: Shape) -> tuple[int, int, int]:
    """The shape that every picture must have: the first one's size, grey only if it and the network are."""
    with _open(first) as picture:
        grey = picture.mode in _GREY and not (len(input) == 3 and input[0] == 3)
        return (1 if grey else 3), picture.height, picture.width


def _require_memory(folder: Path, needed: int) -> None:
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # macOS has no such figure
        return
    if needed > available:
        raise RunError(
            "memory",
            f"its pictures take {needed / 2**30:,.1f} GiB, {available / 2**30:,.1f} GiB are free",
            "use fewer or smaller pictures",
            at=folder,
        )


def _read(part: Path, listing: Listing, form: tuple[int, int, int], classes: int) -> Part:
    pixels: npt.NDArray[np.uint8] = np.empty((len(listing), *form), np.uint8)
    for i, (path, _) in enumerate(listing):
        pixels[i] = _decode(path, listing[0][0], form)
    return Part.of(pixels, np.array([label for _, label in listing], np.int64), classes, part)


def _decode(path: Path, first: Path, form: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    channels, height, width = form
    with _open(path) as picture:
        if picture.size != (width, height):
            raise RunError(
                "data-size", f"is {picture.height}x{picture.width}, but {first.name} is {height}x{width}; nothing is resized silently",
                "bring all pictures to one size first", at=path, exit_code=2,
            )  # fmt: skip
        if channels == 1 and picture.mode not in _GREY:
            raise RunError(
                "data-size",
                f"is in colour, but {first.name} is grey",
                "make all pictures grey, or let the network read 3 channels",
                at=path,
                exit_code=2,
            )
        with blame(path):
            try:
                array = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
            except (SyntaxError, ValueError) as e:
                raise damaged(path, f"is damaged: {str(e)[:100]}", "remove or replace the file") from None
    return array.reshape(height, width, channels).transpose(2, 0, 1)
