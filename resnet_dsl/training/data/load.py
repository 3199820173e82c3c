"""A data set by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

from resnet_dsl.datasets.catalog import SOURCES, DataSource
from resnet_dsl.datasets.search import Found, cache, find
from resnet_dsl.diagnostics import Argument, SpecError, did_you_mean, quote, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.data import cifar, digits, idx, imagefolder, shards
from resnet_dsl.training.data.dataset import Dataset
from resnet_dsl.training.data.download import fetch
from resnet_dsl.training.data.split import HeldOut

_FROM_FILES: Mapping[str, Callable[[DataSource, Found], Dataset]] = {
    "fashion-mnist": idx.load,
    "cifar10": cifar.load,
    "cifar100": cifar.load,
}


def open_dataset(
    name: str,
    input: Shape,
    data_dir: Path | None = None,
    download: bool = False,
    say: Callable[[str], None] = print,
    *,
    crop: int | None = None,
    workers: int | None = None,
    held_out: HeldOut = HeldOut(),  # noqa: B008
    classes: int | None = None,
) -> Dataset:
    """Read a data set; `input` is what the network reads, which decides only whether own pictures are grey or in colour.

    `held_out` says what becomes the test part of data that has none. `crop` and `workers` are for own pictures: the side of the squares that are cut out of them (None: nothing is resized), and how many
    processes decode them (None: one for each core but one). `classes` is the number of the network's: a folder that has far others is refused
    before it is listed.
    Raises SpecError: exit 2 for an unknown name, 3 where the data is missing or damaged.
    """
    source = SOURCES.get(name)
    if source is None:
        raise refuse(
            "unknown-name", f"{quote(name)} is not a data set", did_you_mean(name, SOURCES, what="a data set"), at=Argument("data")
        )
    if download and not source.downloads:
        raise refuse(
            "usage", f"{name} is not to be downloaded: {source.summary}", f"leave out {Argument('download')}", at=Argument("download")
        )
    if name == "imagefolder":
        return imagefolder.load(source, data_dir, input, crop, workers, held_out, classes)
    if name == "webdataset":
        return shards.load(source, data_dir, input, crop, workers)
    if crop is not None:
        raise refuse(
            "data-fit",
            f"crop is for picture files: the images of {name} have one size, and are held in memory",
            "set train.augment.crop: null and train.augment.shorter_side: null, and use pad_crop",
            at="recipe",
        )
    if name == "digits":
        return digits.load(source)
    try:
        found = find(source, data_dir)
    except SpecError:
        into = data_dir or (home / source.name if (home := cache()) is not None else None)
        if not download or into is None:
            raise
        fetch(source, into, say)
        found = find(source, data_dir)
    return _from_files(source, found, tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in (f.stat() for f in found.files)))


@lru_cache(maxsize=1)
def _from_files(source: DataSource, found: Found, stamps: tuple[tuple[int, int, int], ...]) -> Dataset:
    """The data set in these files, read once by a process that trains run after run; other `stamps` are other files."""
    return _FROM_FILES[source.name](source, found)
