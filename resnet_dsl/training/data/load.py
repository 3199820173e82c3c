"""THE way to a data set: by the name of a shipped one, by a path, by the name of code, or as a value of Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from resnet_dsl.datasets.catalog import SOURCES, DataSource
from resnet_dsl.datasets.naming import Data, Given, Named, named
from resnet_dsl.datasets.search import Found, cache, find
from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.data import arrayfiles, arrays, cifar, digits, given, idx, imagefolder, shards
from resnet_dsl.training.data.dataset import Asked, Dataset
from resnet_dsl.training.data.download import fetch
from resnet_dsl.training.data.split import HeldOut
from resnet_dsl.training.data.views import CentreCrop

_FROM_FILES: Mapping[str, Callable[[DataSource, Found], Dataset]] = {
    "fashion-mnist": idx.load,
    "mnist": idx.load,
    "cifar10": cifar.load,
    "cifar100": cifar.load,
}


def open_dataset(
    data: Data,
    input: Shape,
    data_dir: Path | None = None,
    download: bool = False,
    say: Callable[[str], None] = print,
    *,
    crop: int | CentreCrop | None = None,
    workers: int | None = None,
    held_out: HeldOut = HeldOut(),  # noqa: B008
    names: tuple[str, ...] = (),
    classes: int | None = None,
) -> Dataset:
    """Read a data set that is named, or was given by Python. `names` are those of the classes of a network that is trained already.

    `input` is what the network reads, which decides how arrays and the channels of own pictures are read. `held_out` says what becomes the test part of
    data that has none. `crop` and `workers` are for own pictures: the side of the squares that are cut out of them (None: nothing is resized), and
    how many processes decode them (None: one for each core but one). `classes` is the number of the network's: a folder that has far others is refused
    before it is listed.
    What a name `PACKAGE.MODULE:NAME` stands for is run: see `naming.recorded`.
    Raises SpecError: exit 2 for an unknown name, 3 where the data is missing or damaged.
    """
    what = None if isinstance(data, Given) else named(data)
    kind = "code" if what is None else what.kind
    if kind in ("arrays", "code"):
        _refuse_for_arrays(data, crop, data_dir, download)
        return _of_arrays(data, what, Asked(input, names, held_out, workers))
    assert what is not None
    name = {"shipped": what.text, "pictures": "imagefolder"}.get(what.kind, "webdataset")
    source = SOURCES[name]
    if what.paths:
        if data_dir is not None:
            raise refuse("usage", "says already where the data is", f"leave out {Argument('data_dir')}", at=what.text)
        data_dir = what.paths[0]
    if download and not source.downloads:
        raise refuse(
            "usage", f"{name} is not to be downloaded: {source.summary}", f"leave out {Argument('download')}", at=Argument("download")
        )
    if name == "imagefolder":
        found = imagefolder.load(source, data_dir, input, crop, workers, held_out, classes)
    elif name == "webdataset":
        found = shards.load(source, data_dir, input, crop, workers)
    else:
        _require_uncropped(crop, f"the images of {name} have one size, and are held in memory")
        return digits.load(source) if name == "digits" else _searched(source, data_dir, download, say)
    return replace(found, name=what.short) if what.paths else found


def _searched(source: DataSource, data_dir: Path | None, download: bool, say: Callable[[str], None]) -> Dataset:
    """A data set of files that are searched for, and fetched where that is asked for. Raises SpecError (exit 3)."""
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


def _of_arrays(data: Data, what: Named | None, asked: Asked) -> Dataset:
    if isinstance(data, Given):
        name = str(data).strip("()")
        return given.load(data.value, name, "Python", asked)
    assert what is not None
    if what.kind == "code":
        return given.load(given.made(what.text), what.short, what.text, asked)
    paths = what.paths
    if len(paths) == 1:
        found = arrayfiles.arrays_of(paths[0]) if paths[0].is_dir() else arrayfiles.load_npz(paths[0])
        return arrays.load(arrays.by_name(found, str(paths[0])), what.short, str(paths[0]), asked)
    pairs = [
        arrays.ArrayPart(arrayfiles.load_npy(x), arrayfiles.load_npy(y), (str(x), str(y)))
        for x, y in zip(paths[::2], paths[1::2], strict=True)
    ]
    return arrays.load(arrays.Arrays(pairs[0], pairs[1] if len(pairs) > 1 else None), what.short, what.text, asked)


def _refuse_for_arrays(data: Data, crop: int | CentreCrop | None, data_dir: Path | None, download: bool) -> None:
    """Refuse what is for data that is searched or downloaded, and for picture files. Raises SpecError (exit 2)."""
    _require_uncropped(crop, "arrays have one size")
    if data_dir is not None or download:
        at = Argument("data_dir") if data_dir is not None else Argument("download")
        raise refuse("usage", f"{data} is not searched for", f"leave out {at}", at=at)


def _require_uncropped(crop: int | CentreCrop | None, why: str) -> None:
    if crop is not None:
        help = "set train.augment.crop: null and train.augment.shorter_side: null, and use pad_crop"
        raise refuse("data-fit", f"crop is for picture files: {why}", help, at="recipe")
