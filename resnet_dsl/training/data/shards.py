"""WebDataset shards: tar archives of pictures, each beside a `.cls` file with its label, read from end to end.

Training takes them as they come, shuffled shard by shard and in a buffer: what a step sees depends on the number of workers
and on where the run was taken up, so a run from shards is not repeated to the bit. Evaluation sees each picture once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from torch.utils.data import IterableDataset, get_worker_info

from resnet_dsl.datasets.catalog import DataSource
from resnet_dsl.diagnostics import Argument, SpecError, either, refuse
from resnet_dsl.extras import require
from resnet_dsl.files import open_regular
from resnet_dsl.graph.graph import Shape
from resnet_dsl.records.document import SAID, StoredDocument, Text, wrong
from resnet_dsl.training.batches.seeds import derive
from resnet_dsl.training.data import tar
from resnet_dsl.training.data.dataset import Dataset
from resnet_dsl.training.data.expansion import expanded
from resnet_dsl.training.data.numbers import Scale
from resnet_dsl.training.data.opening import (
    ENDINGS,
    MAX_FILE,
    PixelForm,
    changes,
    decoding,
    form_of,
    open_picture,
    orientation,
    require_pillow,
    upright_size,
)
from resnet_dsl.training.data.pictures import SAMPLE, Fault, default_workers, work
from resnet_dsl.training.data.reading import blame, damaged
from resnet_dsl.training.data.views import AsItIs, CentreCrop, Pixels, View, look

INDEX = "index.json"
_LARGEST_INDEX = 1 << 24
_LONGEST_LABEL = 64
"""Bytes that are read of an index, and of a `.cls` file."""

_MEMBERS = ENDINGS | {".cls"}
"""Endings of the members that are read."""

BUFFER = 1000
"""Pictures that are shuffled among each other, in each worker."""

_FORM = (
    '{"classes": ["cat", "dog"], "train": [{"url": "train-0000.tar", "nsamples": 1000}], "val": [{"url": "val-0000.tar", "nsamples": 100}]}'
)

_WHICH = either(
    f"add data_dir='FOLDER' (with {INDEX}) or data_dir='shards-{{0000..0007}}.tar'",
    f"add --data-dir FOLDER (with {INDEX}) or --data-dir 'shards-{{0000..0007}}.tar'",
)

Entries = Annotated[tuple["ShardEntry", ...], Field(strict=False, min_length=1)]

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
    form: PixelForm
    view: AsItIs | CentreCrop
    workers: int
    most: int | None = None

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of what is seen of a picture."""
        return self.form.channels, *self.view.shape

    def take(self, index: torch.Tensor) -> Shards:
        """Refused: single pictures cannot be picked out of shards. Raises SpecError (exit 2)."""
        raise refuse(
            "data-split",
            "shards are read as they come: no single pictures can be held out or left out of them",
            f"set train.validation: 0, leave out {Argument('limit_train')} and {Argument('overfit_batch')}; "
            f"{Argument('limit_batches')} shortens an epoch",
            at=self.shards[0].path.parent,
        )

    def to(self, device: torch.device) -> Shards:
        """Returns self: pictures are read batch by batch on any device."""
        return self

    def sample(self) -> Shards:
        """The first ones."""
        return replace(self, most=SAMPLE)

    @property
    def scale(self) -> Scale:
        """Bytes, 0 black and 255 white, or finer."""
        return "deep" if self.form.deep else "bytes"

    @property
    def labels(self) -> None:
        """They are read with the pictures."""

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


def load(source: DataSource, where: Path | None, input: Shape, crop: int | CentreCrop | None, workers: int | None) -> Dataset:
    """A data set from shards: a folder with an index.json, or a pattern such as shards-{0000..0007}.tar, whose last is for evaluation.

    `crop` and `workers` as for `imagefolder.load`. Raises SpecError (exit 3 for the files, 2 for the request).
    """
    require_pillow(source.name)
    require("wds", "reading shards needs", at=source.name)
    if where is None:
        raise refuse("usage", "which shards?", _WHICH, at=source.name)
    classes, train, test = _from_index(where / INDEX) if where.is_dir() else _from_pattern(where)
    form, view, lost = _form(train[0], input)
    many = default_workers() if workers is None else workers
    parts = [
        Shards(part, len(classes), form, view if crop is None else CentreCrop(crop) if isinstance(crop, int) else crop, many)
        for part in (train, test)
    ]
    return Dataset(source.name, parts[0], parts[1], classes, str(where), _fingerprint(classes, (train, test)), exact=False,
                   notes=tuple(f"note: the first picture is {word}, and so are all like it" for word in lost))  # fmt: skip


class ShardEntry(StoredDocument):
    """One shard of an index, `url` relative to it, and the number of its pictures."""

    url: Text
    nsamples: Annotated[int, Field(ge=1, le=10**12)]


class ShardIndex(StoredDocument):
    """index.json: class names, and the shards for training and for evaluation (`val`, or else `test`)."""

    classes: Annotated[tuple[Text, ...], Field(strict=False, min_length=2)]
    train: Entries
    val: Entries | None = None
    test: Entries | None = None

    @model_validator(mode="after")
    def _of_two_parts(self) -> Self:
        if self.val is None and self.test is None:
            raise PydanticCustomError(SAID, "has neither `val` nor `test`, the shards for evaluation")
        if len(set(self.classes)) < len(self.classes):
            raise PydanticCustomError(SAID, "names a class twice")
        return self


def _from_index(path: Path) -> tuple[tuple[str, ...], tuple[Shard, ...], tuple[Shard, ...]]:
    """Class names, training and evaluation shards as an index.json says."""
    if not path.is_file():
        raise refuse("data-missing", f"no {INDEX} in it", f"write one: {_FORM}", at=path.parent, exit_code=3)
    with blame(path), os.fdopen(open_regular(path), "rb") as f:
        content = f.read(_LARGEST_INDEX + 1)
    if len(content) > _LARGEST_INDEX:
        raise damaged(path, f"has over {_LARGEST_INDEX:,} bytes, more than any index", f"it should look like {_FORM}")
    try:
        index = ShardIndex.model_validate(json.loads(content))
    except ValidationError as e:
        raise damaged(path, f"is damaged: {wrong(e.errors(include_url=False)[0])}", f"it should look like {_FORM}") from None
    except RecursionError:
        raise damaged(path, "is no JSON of an index: it is nested too deep", f"it should look like {_FORM}") from None
    except ValueError as e:
        place = f" from line {e.lineno} on" if isinstance(e, json.JSONDecodeError) else ""
        raise damaged(path, f"is no JSON{place}", f"it should look like {_FORM}") from None
    train, test = (
        tuple(Shard(_present(path.parent / e.url), e.nsamples) for e in part) for part in (index.train, index.val or index.test or ())
    )
    return index.classes, train, test


def _present(path: Path) -> Path:
    # webdataset would run a command after `pipe:` and download from an address.
    if not path.is_file():
        raise refuse(
            "data-missing", "no such shard; shards are files on this machine", "check the path and the pattern", at=path, exit_code=3
        )
    return path


def _from_pattern(pattern: Path) -> tuple[tuple[str, ...], tuple[Shard, ...], tuple[Shard, ...]]:
    """As `_from_index`; the pictures are counted and their labels read."""
    paths = [Path(p) for p in expanded(str(pattern))]
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
    with blame(path), os.fdopen(open_regular(path), "rb") as f:
        for name, content in tar.files(f, path, _LONGEST_LABEL, lambda name: name.endswith(".cls")):
            if content is not None:
                labels.add(_label(content, f"{path}/{name}"))
                images += 1
    if not images:
        raise damaged(path, "holds no .cls files, which say the pictures' labels", "make it with webdataset's writer: jpg and cls")
    return images, labels


def _label(content: bytes, at: str) -> int:
    text = content.strip()
    if not text.isdigit() or len(text) > 9:
        raise damaged(at, f"is not a label: {content[:20]!r}", "a label is a whole number from 0 on")
    return int(text)


def _form(shard: Shard, input: Shape) -> tuple[PixelForm, AsItIs, list[str]]:
    """PixelForm and size of the first picture, as for a folder of pictures, and what is lost of it."""
    with contextlib.closing(_samples([shard])) as samples:
        sample = next(samples)
    content, at = _picture(sample)
    with open_picture(io.BytesIO(content), at) as picture:
        width, height = upright_size(picture, orientation(picture))
        form = form_of(picture, input[0] if len(input) == 3 else 0)
        with decoding(at):
            return form, AsItIs(height, width, at), changes(picture, form)


def _fingerprint(classes: tuple[str, ...], parts: Iterable[tuple[Shard, ...]]) -> str:
    """SHA-256 over class names, shards' names, sizes in bytes and numbers of pictures."""
    lines = [json.dumps(classes), *(f"{s.path.name} {s.path.stat().st_size} {s.images}" for part in parts for s in part)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _samples(shards: Iterable[Shard], shuffled: random.Random | None = None) -> Generator[dict[str, Any]]:
    """The samples of shards, one after the other, as webdataset groups them; `shuffled` by a buffer.

    Raises SpecError (exit 3) where an archive is damaged, or holds another number of pictures than the index says.
    """
    import webdataset  # type: ignore[import-untyped]

    samples = (sample for shard in shards for sample in _of_shard(shard))
    yield from samples if shuffled is None else webdataset.shuffle(BUFFER, rng=shuffled)(samples)


def _of_shard(shard: Shard) -> Generator[dict[str, Any]]:
    from webdataset.tariterators import group_by_keys  # type: ignore[import-untyped]

    found = 0
    # Opened and read here, not by webdataset, which closes nothing and reads what a header says.
    with blame(shard.path), os.fdopen(open_regular(shard.path), "rb") as f:
        members = (
            {"fname": name, "data": content, "__url__": str(shard.path)}
            for name, content in tar.files(f, shard.path, MAX_FILE, lambda name: os.path.splitext(name)[1].lower() in _MEMBERS)
            if content is not None
        )
        try:
            for sample in group_by_keys(members):
                found += 1
                yield sample
        except ValueError as e:
            raise damaged(shard.path, f"is not a complete tar archive of samples: {str(e)[:120]}") from None
    if found != shard.images:
        raise damaged(shard.path, f"holds {found:,} pictures, the index says {shard.images:,}", "correct nsamples in the index")


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

    def seen(self, sample: Mapping[str, Any], view: View, draws: list[float]) -> tuple[Pixels, int]:
        """A sample's pixels and label."""
        content, at = _picture(sample)
        if "cls" not in sample:
            raise damaged(at, "has no .cls file beside it, which says the label")
        label = _label(sample["cls"], at)
        if label >= self.shards.classes:
            raise damaged(at, f"label {label} is out of range: labels are 0 to {self.shards.classes - 1}")
        return look(io.BytesIO(content), self.shards.form, view, draws, at), label


class _Once(_Reading):
    """Every picture once, in order."""

    def chunks(self, worker: int, workers: int) -> Iterator[Chunk]:
        pixels, labels = [], []
        for sample in islice(_samples(self.shards.shards[worker::workers]), self.shards.most):
            x, y = self.seen(sample, self.shards.view, [])
            pixels.append(x)
            labels.append(y)
            if len(labels) == self.size:
                yield _stacked(pixels, labels)
                pixels, labels = [], []
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

    def _order(self, chance: random.Random) -> Iterator[Shard]:
        while True:
            yield from chance.sample(self.shards.shards, len(self.shards.shards))


def _stacked(pixels: list[Any], labels: list[int]) -> Chunk:
    return torch.from_numpy(np.stack(pixels)), torch.tensor(labels)
