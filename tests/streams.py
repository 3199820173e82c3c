"""Pictures in files and in shards, made for the tests, and the batches that are fed from them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches.batches import Batches
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.batches.order import Share
from resnet_dsl.training.data.dataset import Dataset
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device.plan import Plan

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


def opened(folder: Path, workers: int = 0, crop: int | None = 24, input: tuple[int, ...] = (3, 24, 24)) -> Dataset:
    return open_dataset("imagefolder", input, folder, crop=crop, workers=workers)


def feed(data: Dataset, recipe: dict[str, Any] = CROP, share: Share | None = None) -> Batches:
    made = Recipe.model_validate(recipe)
    return Batches(data.train, made, measure(data.train, made.normalize), PLAN, share or Share())


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
