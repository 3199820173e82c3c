"""WebDataset shards: tar archives of pictures, each beside a `.cls` file with its label, read from end to end.

Training takes them as they come, shuffled shard by shard and in a buffer: what a step sees depends on the number of workers
and on where the run was taken up, so a run from shards is not repeated to the bit. Evaluation sees each picture once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from resnet_dsl.datasets.catalog import Source
from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.extras import require
from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.batches.seeds import derive
from resnet_dsl.training.data.dataset import Dataset
from resnet_dsl.training.data.pictures import SAMPLE, Fault, default_workers, work
from resnet_dsl.training.data.reading import blame, damaged
from resnet_dsl.training.data.views import ENDINGS, GREY, AsItIs, CentreCrop, View, look, open_picture, require_pillow

INDEX = "index.json"
BUFFER = 1000
"""Pictures that are shuffled among each other, in each worker."""

_FORM = (
    '{"classes": ["cat", "dog"], "train": [{"url": "train-0000.tar", "nsamples": 1000}], "val": [{"url": "val-0000.tar", "nsamples": 100}]}'
)

Chunk = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Shard:
    """One archive and the number of its pictures."""

    path: Path
    images: int


@dataclass(frozen=True, slots=True)
class Shards:
    """Archives of pictures; `view` is how they are looked at in evaluation."""

    shards: tuple[Shard, ...]
    classes: int
    channels: int
    view: AsItIs | CentreCrop
    workers: int
    most: int | None = None

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of what is seen of a picture."""
        return self.channels, *self.view.shape

    def take(self, index: torch.Tensor) -> Shards:
        """Not to be had. Raises SpecError (exit 2)."""
        raise refuse(
            "data-split",
            "shards are read as they come: no single pictures can be held out or left out of them",
            "set train.validation: 0, leave out --limit-train and --overfit-batch; --limit-batches shortens an epoch",
            at=self.shards[0].path.parent,
        )

    def to(self, device: torch.device) -> Shards:
        """Themselves: they are read batch by batch, whatever the device."""
        return self

    def sample(self) -> Shards:
        """The first ones."""
        return replace(self, most=SAMPLE)

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Pixels (N, C, H, W) uint8 and labels of all, each once, `size` at a time at most. Raises SpecError (exit 3)."""
        # A worker takes whole shards; a sample must be the same pictures for any number of workers.
        workers = 0 if self.most is not None else min(self.workers, len(self.shards))
        with contextlib.closing(work(_Once(self, size), None, workers, False, self.shards[0].path)) as found:
            yield from found

    def endless(self, size: int, view: View, pin: bool, *purpose: str | int) -> Generator[Chunk]:
        """Batches of `size` for training, without end; draws from `purpose` and the worker. Raises SpecError (exit 3)."""
        return work(_Endless(self, size, view, purpose), None, self.workers, pin, self.shards[0].path)

    def __len__(self) -> int:
        found = sum(s.images for s in self.shards)
        return found if self.most is None else min(self.most, found)


def load(source: Source, where: Path | None, input: Shape, crop: int | None, workers: int | None) -> Dataset:
    """A data set from shards: a folder with an index.json, or a pattern such as shards-{0000..0007}.tar, whose last is for evaluation.

    `crop` and `workers` as for `imagefolder.load`. Raises SpecError (exit 3 for the files, 2 for the request).
    """
    require_pillow(source.name)
    require("wds", "reading shards needs", at=source.name)
    if where is None:
        raise refuse(
            "usage", "which shards?", f"add --data-dir FOLDER (with {INDEX}) or --data-dir 'shards-{{0000..0007}}.tar'", at=source.name
        )
    classes, train, test = _from_index(where / INDEX) if where.is_dir() else _from_pattern(where)
    channels, view = _form(train[0], input)
    many = default_workers() if workers is None else workers
    parts = [Shards(part, len(classes), channels, view if crop is None else CentreCrop(crop), many) for part in (train, test)]
    return Dataset(source.name, parts[0], parts[1], classes, str(where), _fingerprint(classes, (train, test)), exact=False)


def _from_index(path: Path) -> tuple[tuple[str, ...], tuple[Shard, ...], tuple[Shard, ...]]:
    """Class names, training and evaluation shards as an index.json says."""
    if not path.is_file():
        raise refuse("data-missing", f"no {INDEX} in it", f"write one: {_FORM}", at=path.parent, exit_code=3)
    with blame(path):
        try:
            index = json.loads(path.read_bytes())
        except ValueError as e:
            raise damaged(path, f"is no JSON: {str(e)[:100]}", f"it should look like {_FORM}") from None
    classes = index.get("classes") if isinstance(index, dict) else None
    if not isinstance(classes, list) or len(classes) < 2 or not all(isinstance(c, str) for c in classes) or len({*classes}) < len(classes):
        raise damaged(path, "lacks classes, a list of two or more different names", f"it should look like {_FORM}")
    return tuple(classes), _listed(path, index, "train"), _listed(path, index, "val" if "val" in index else "test")


def _listed(path: Path, index: Mapping[str, Any], key: str) -> tuple[Shard, ...]:
    found = index.get(key)
    if not isinstance(found, list) or not found:
        raise damaged(path, f"lacks {key}, a list of shards", f"it should look like {_FORM}")
    shards = []
    for entry in found:
        url, images = (entry.get("url"), entry.get("nsamples")) if isinstance(entry, dict) else (None, None)
        if not isinstance(url, str) or type(images) is not int or images < 1:
            raise damaged(path, f"{key} has an entry without url, or without nsamples of 1 or more", f"it should look like {_FORM}")
        shards.append(Shard(_present(path.parent / url), images))
    return tuple(shards)


def _present(path: Path) -> Path:
    # webdataset would run what stands behind pipe: and fetch what lies elsewhere.
    if not path.is_file():
        raise refuse(
            "data-missing", "no such shard; shards are files on this machine", "check the path and the pattern", at=path, exit_code=3
        )
    return path


def _from_pattern(pattern: Path) -> tuple[tuple[str, ...], tuple[Shard, ...], tuple[Shard, ...]]:
    """As `_from_index`; the pictures are counted and their labels read."""
    import braceexpand

    try:
        paths = [Path(p) for p in braceexpand.braceexpand(str(pattern))]
    except ValueError:
        raise refuse("usage", "has braces that do not pair", "write shards-{0000..0007}.tar, say", at=str(pattern)) from None
    if len(paths) < 2:
        raise refuse(
            "data-missing",
            "is one shard or none; of a pattern's shards the last is for evaluation",
            "write a pattern such as shards-{0000..0007}.tar, or a folder with an index.json",
            at=str(pattern),
            exit_code=3,
        )
    counted = [_counted(_present(path)) for path in paths]
    highest = max(label for _, labels in counted for label in labels)
    shards = [Shard(path, n) for path, (n, _) in zip(paths, counted, strict=True)]
    return tuple(map(str, range(highest + 1))), tuple(shards[:-1]), tuple(shards[-1:])


def _counted(path: Path) -> tuple[int, set[int]]:
    """The number of pictures of a shard and the labels among them."""
    images, labels = 0, set()
    with blame(path), tarfile.open(path) as tar:
        for entry in tar:
            if entry.isreg() and entry.name.endswith(".cls") and (file := tar.extractfile(entry)) is not None:
                labels.add(_label(file.read(64), f"{path}/{entry.name}"))
                images += 1
    if not images:
        raise damaged(path, "holds no .cls files, which say the pictures' labels", "make it with webdataset's writer: jpg and cls")
    return images, labels


def _label(content: bytes, at: str) -> int:
    text = content.strip()
    if not text.isdigit() or len(text) > 9:
        raise damaged(at, f"is no label: {content[:20]!r}", "a label is a whole number from 0 on")
    return int(text)


def _form(shard: Shard, input: Shape) -> tuple[int, AsItIs]:
    """Channels and size of the first picture, as for a folder of pictures."""
    with contextlib.closing(_samples([shard.path])) as samples:
        sample = next(samples)
    content, at = _picture(sample)
    with open_picture(io.BytesIO(content), at) as picture:
        grey = picture.mode in GREY and not (len(input) == 3 and input[0] == 3)
        return (1 if grey else 3), AsItIs(picture.height, picture.width, at)


def _fingerprint(classes: tuple[str, ...], parts: Iterable[tuple[Shard, ...]]) -> str:
    """SHA-256 over class names, shards' names, sizes in bytes and numbers of pictures."""
    lines = [json.dumps(classes), *(f"{s.path.name} {s.path.stat().st_size} {s.images}" for part in parts for s in part)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _samples(paths: Iterable[Path], shuffled: random.Random | None = None) -> Generator[dict[str, Any]]:
    """The samples of shards, one after the other, as webdataset groups them; `shuffled` by a buffer. Raises SpecError (exit 3)."""
    import webdataset  # type: ignore[import-untyped]
    from webdataset.tariterators import group_by_keys, tar_file_expander  # type: ignore[import-untyped]

    at: list[Path] = []

    def opened() -> Iterator[dict[str, Any]]:
        # Opened here, not by webdataset, which closes nothing.
        for path in paths:
            at[:] = [path]
            with blame(path), path.open("rb") as f:
                yield {"url": str(path), "stream": f}

    samples = group_by_keys(tar_file_expander(opened()))
    try:
        yield from samples if shuffled is None else webdataset.shuffle(BUFFER, rng=shuffled)(samples)
    except (tarfile.TarError, OSError, ValueError, EOFError) as e:
        raise damaged(at[0], f"is no whole tar archive of samples: {str(e)[:120]}") from None


def _picture(sample: Mapping[str, Any]) -> tuple[bytes, str]:
    """A sample's picture and its name."""
    at = f"{sample['__url__']}/{sample['__key__']}"
    ending = next((key for key in sample if f".{key}".lower() in ENDINGS), None)
    if ending is None:
        raise damaged(at, "has no picture", f"pictures end in {', '.join(sorted(ENDINGS))}")
    return sample[ending], f"{at}.{ending}"


class _Reading(IterableDataset[Chunk | Fault]):
    """What workers run: chunks, or the fault that ends them."""

    def __init__(self, shards: Shards, size: int) -> None:
        self.shards, self.size = shards, size

    def chunks(self, worker: int, workers: int) -> Iterator[Chunk]:
        """One worker's chunks."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Chunk | Fault]:
        info = get_worker_info()
        try:
            yield from self.chunks(*((info.id, info.num_workers) if info is not None else (0, 1)))
        except SpecError as e:
            yield Fault.of(e)

    def seen(self, sample: Mapping[str, Any], view: View, draws: list[float]) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], int]:
        """A sample's pixels and label."""
        content, at = _picture(sample)
        if "cls" not in sample:
            raise damaged(at, "has no .cls file beside it, which says the label")
        label = _label(sample["cls"], at)
        if label >= self.shards.classes:
            raise damaged(at, f"label {label} is out of range: labels are 0 to {self.shards.classes - 1}")
        return look(io.BytesIO(content), self.shards.channels, view, draws, at), label


class _Once(_Reading):
    """Every picture once, in order."""

    def chunks(self, worker: int, workers: int) -> Iterator[Chunk]:
        left = self.shards.most
        pixels, labels = [], []
        for shard in self.shards.shards[worker::workers]:
            found = 0
            for sample in _samples([shard.path]):
                if left == 0:
                    break
                found += 1
                left = None if left is None else left - 1
                x, y = self.seen(sample, self.shards.view, [])
                pixels.append(x)
                labels.append(y)
                if len(labels) == self.size:
                    yield _stacked(pixels, labels)
                    pixels, labels = [], []
            if left is None and found != shard.images:
                raise damaged(shard.path, f"holds {found:,} pictures, the index says {shard.images:,}", "mend nsamples in the index")
        if labels:
            yield _stacked(pixels, labels)


class _Endless(_Reading):
    """Pass after pass over all shards, in an order of this worker's own."""

    def __init__(self, shards: Shards, size: int, view: View, purpose: tuple[str | int, ...]) -> None:
        super().__init__(shards, size)
        self.view, self.purpose = view, purpose

    def chunks(self, worker: int, workers: int) -> Iterator[Chunk]:
        chance = random.Random(derive(0, *self.purpose, worker))
        samples = _samples(self._order(chance), chance)
        while True:
            seen = [self.seen(next(samples), self.view, [chance.random() for _ in range(3)]) for _ in range(self.size)]
            yield _stacked(*map(list, zip(*seen, strict=True)))

    def _order(self, chance: random.Random) -> Iterator[Path]:
        paths = [s.path for s in self.shards.shards]
        while True:
            yield from chance.sample(paths, len(paths))


def _stacked(pixels: list[Any], labels: list[int]) -> Chunk:
    return torch.from_numpy(np.stack(pixels)), torch.tensor(labels)
