"""The user's own pictures: a folder a class, under train/ and under val/ or test/.

Held in memory where all have one size and fit there; else, or where a recipe crops them, they stay in their files.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from resnet_dsl.datasets.catalog import DataSource
from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.data.dataset import Dataset, InMemory
from resnet_dsl.training.data.pictures import Pictures, default_workers
from resnet_dsl.training.data.reading import blame
from resnet_dsl.training.data.views import ENDINGS, GREY, AsItIs, CentreCrop, look, open_picture, require_pillow


def load(source: DataSource, folder: Path | None, input: Shape, crop: int | None = None, workers: int | None = None) -> Dataset:
    """The pictures of a folder. `crop` is the side of the squares that a network sees of them; None: nothing is resized.

    Pictures that stay in their files are decoded by `workers` processes (default: one for each core but one), and the header of each is
    checked now. Raises SpecError (exit 3 for the files, 2 for sizes that differ).
    """
    require_pillow(source.name)
    if folder is None:
        raise refuse("usage", "which folder?", f"add {Argument('data_dir', 'FOLDER')}", at=source.name)
    train = folder / "train"
    test = next((folder / n for n in ("val", "test") if (folder / n).is_dir()), folder / "val")
    for part in (train, test):
        if not part.is_dir():
            raise refuse(
                "data-missing",
                f"no folder {part.name}/ in it",
                "imagefolder reads FOLDER/train/<class>/ and FOLDER/val/<class>/ (or test/)",
                at=folder,
                exit_code=3,
            )
    names = _subfolders(train)
    if len(names) < 2:
        raise refuse(
            "data-missing",
            f"holds {len(names)} class folders; at least 2 are needed",
            "put the pictures of each class into a folder of its own",
            at=train,
            exit_code=3,
        )
    if strange := sorted(set(_subfolders(test)) - set(names)):
        raise refuse(
            "data-damaged", f"has a class {strange[0]} that {train} lacks", "use the same class folders in both", at=test, exit_code=3
        )
    listings = [_listing(part, names) for part in (train, test)]
    channels, view = _form(train / os.fsdecode(listings[0][0][0]), input)
    count = default_workers() if workers is None else workers
    parts = [
        Pictures(part, np.array([f for f, _ in listing]), torch.tensor([y for _, y in listing]), channels,
                 view if crop is None else CentreCrop(crop), count)
        for part, listing in zip((train, test), listings, strict=True)
    ]  # fmt: skip
    if crop is None and sum(map(len, parts)) * channels * view.height * view.width <= _free_memory():
        train_part, test_part = (_decoded(pictures, len(names)) for pictures in parts)
        return Dataset(source.name, train_part, test_part, tuple(names), str(folder), _fingerprint(parts))
    for pictures in parts:
        pictures.check_headers()
    return Dataset(source.name, parts[0], parts[1], tuple(names), str(folder), _fingerprint(parts))


def _subfolders(folder: Path) -> list[str]:
    with blame(folder):
        return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _listing(part: Path, names: list[str]) -> list[tuple[bytes, int]]:
    """Paths below `part`, in order, and labels."""
    with blame(part):
        found = [
            (os.fsencode(f"{name}/{file}"), label)
            for label, name in enumerate(names)
            if (part / name).is_dir()
            for file in sorted(os.listdir(part / name))
            if os.path.splitext(file)[1].lower() in ENDINGS and not file.startswith(".")
        ]
    if not found:
        raise refuse("data-missing", "holds no pictures", f"pictures end in {', '.join(sorted(ENDINGS))}", at=part, exit_code=3)
    return found


def _form(first: Path, input: Shape) -> tuple[int, AsItIs]:
    """Channels and size of the first picture, which all must have where nothing is resized; grey only if it and the network are."""
    with open_picture(first) as picture:
        grey = picture.mode in GREY and not (len(input) == 3 and input[0] == 3)
        return (1 if grey else 3), AsItIs(picture.height, picture.width, first.name)


def _free_memory() -> float:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):  # macOS has no such figure
        return float("inf")


def _decoded(pictures: Pictures, classes: int) -> InMemory:
    """Pictures of one size as a part in memory."""
    pixels = np.empty((len(pictures), *pictures.shape), np.uint8)
    for i in range(len(pictures)):
        path = pictures.path(i)
        pixels[i] = look(path, pictures.channels, pictures.view, (), path)
    return InMemory.of(pixels, pictures.labels.numpy(), classes, pictures.root)


def _fingerprint(parts: Sequence[Pictures]) -> str:
    """SHA-256 over names, sizes in bytes and labels: to read every byte would take hours where files are many.

    The same whether the pictures are held in memory or not: that may change from one start of a run to the next.
    """
    digest = hashlib.sha256()
    for part in parts:
        with blame(part.root):
            for i, label in enumerate(part.labels.tolist()):
                digest.update(bytes(part.files[i]) + f" {os.stat(part.path(i)).st_size} {label}\n".encode())
    return digest.hexdigest()
