"""A map-style Dataset of torch, or any sequence of (image, label): items are read when a step needs them, here or by worker processes.

What an item draws at random, from the global generators of torch, numpy and Python, is decided before it is read: by the run's seed, the
epoch and the item. So a Dataset that augments gives the same batches in a run that is resumed, and with any number of workers.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset as TorchDataset

from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.batches.seeds import derive, generator
from resnet_dsl.training.data.keys import meaning
from resnet_dsl.training.data.layout import AxisReading, read_as
from resnet_dsl.training.data.numbers import Array, Scale, array, pixels, scale
from resnet_dsl.training.data.pictures import Fault, work

SAMPLE = 2048
"""Items that stand for all of them where means and deviations are measured."""

PROBED = 64
"""Items whose pixels are in the fingerprint, beside all labels."""

STILL = "still"
"""The purpose of the draws of an item that is looked at outside the training."""


@dataclass(frozen=True, slots=True, eq=False)
class ItemRequest:
    """Items to read, by their positions in the Dataset (N,), what each one's draws are seeded with, and the label that each had."""

    index: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """The items of `source` at the positions `index` (N,), their labels (N,) int64, and how an item's image is read."""

    source: Any
    index: npt.NDArray[np.int64]
    labels: torch.Tensor
    reading: AxisReading
    scale: Scale
    workers: int
    at: str

    @property
    def shape(self) -> Shape:
        """What the network sees of an item: (channels, height, width), or (features,)."""
        return self.reading.shape

    def stream(self, requests: Iterator[tuple[torch.Tensor, npt.NDArray[np.int64]]], pin: bool = False) -> Iterator[torch.Tensor]:
        """For each (places, seeds) the pixels (n, *shape), in order. To be closed. Raises SpecError (exit 3) for an item that is none."""
        asked = (ItemRequest(self.index[where.numpy()], seeds, self.labels[where].numpy()) for where, seeds in requests)
        return work(_Reader(self), asked, self.workers, pin, self.at)

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels and labels of all, in order, `size` at a time."""
        places = torch.split(torch.arange(len(self)), size)
        requests = ((where, still(self.index[where.numpy()])) for where in places)
        with contextlib.closing(self.stream(requests)) as found:  # type: ignore[type-var]
            for where, batch in zip(places, found, strict=True):
                yield batch, self.labels[where]

    def sample(self) -> Items:
        """At most `SAMPLE` of them, always the same ones."""
        if len(self) <= SAMPLE:
            return self
        return self.take(torch.randperm(len(self), generator=generator(0, "sample"))[:SAMPLE].sort().values)

    def take(self, index: torch.Tensor) -> Items:
        """The items at these places."""
        return replace(self, index=self.index[index.numpy()], labels=self.labels[index])

    def to(self, device: torch.device) -> Items:
        """Themselves: they are read batch by batch, whatever the device."""
        return self

    def __len__(self) -> int:
        return len(self.labels)


def still(index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Seeds for items that are looked at outside the training: the same ones every time."""
    return np.array([derive(0, STILL, i) for i in index.tolist()], np.int64)


def drawn(table: torch.Tensor) -> npt.NDArray[np.int64]:
    """Seeds from each item's own draws (N, 3), which are a function of the run's seed, the epoch and the item."""
    bits = (table[:, :2].double() * (1 << 24)).long()
    return ((bits[:, 0] << 24) | bits[:, 1]).numpy()


class _Reader(TorchDataset[torch.Tensor | Fault]):
    """What reads the items of a request, in this process or in a worker."""

    def __init__(self, items: Items) -> None:
        self.items = items

    def __getitem__(self, request: ItemRequest) -> torch.Tensor | Fault:
        try:
            with generators_kept():
                asked = zip(request.index.tolist(), request.seeds.tolist(), request.labels.tolist(), strict=True)
                return torch.stack([self._one(*one) for one in asked])
        except SpecError as e:
            return Fault.of(e)

    def _one(self, position: int, seed: int, known: int) -> torch.Tensor:
        items = self.items
        image, label = read(items.source, position, seed, items.at)
        at = f"{items.at}[{position}]"
        found = array(image, at)
        if found.shape != items.reading.item or scale(found.dtype, at) != items.scale:
            first = f"{items.reading.item} of {items.scale}"
            problem = f"is {found.shape} of {found.dtype}, and the first item is {first}: all items have one shape and kind of number"
            raise refuse("data-size", problem, "bring the images to one size in the Dataset", at=at)
        if label_of(label, at) != known:
            problem = f"has the label {label_of(label, at)}, and had {known} when the data was opened"
            raise refuse("data-damaged", problem, "an item's label must not change", at=at, exit_code=3)
        held = pixels(found[None], at).numpy()
        return torch.from_numpy(np.ascontiguousarray(items.reading(held)[0]))


@contextlib.contextmanager
def generators_kept() -> Iterator[None]:
    """The global generators come out as they went in: masks of the network come from torch's."""
    kept = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(kept[0])
        np.random.set_state(kept[1])
        random.setstate(kept[2])


def read(source: Any, position: int, seed: int, at: str) -> tuple[object, object]:
    """Image and label of an item, its draws seeded. Raises SpecError (exit 3) where the Dataset raises, or gives something else."""
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed % (1 << 32))
    random.seed(seed)
    try:
        item = source[position]
    except Exception as e:  # somebody else's code may raise anything
        problem = f"its item {position:,} raises {type(e).__name__}: {str(e)[:160]}"
        help = "mend the Dataset; every position below len() has an item"
        if torch.utils.data.get_worker_info() is not None:
            help = (
                f"mend the Dataset, or leave out {Argument('workers')}: a file that was opened before the workers began is shared by them"
            )
        raise refuse("data-item", problem, help, at=at, exit_code=3) from e
    shown = f"{type(item).__name__} of {len(item)}" if isinstance(item, tuple | list) else type(item).__name__
    if isinstance(item, Mapping):
        roles = {what[1]: item[key] for key in item if isinstance(key, str) and (what := meaning(key)) is not None}
        if {"images", "labels"} <= set(roles):
            return _plain(roles["images"]), roles["labels"]
        shown = f"a mapping with {', '.join(map(str, list(item)[:8]))}"
    elif isinstance(item, tuple | list) and len(item) == 2:
        return _plain(item[0]), item[1]
    raise refuse("data-item", f"its item {position:,} is {shown}", "give (image, label) for each", at=at, exit_code=3)


def _plain(image: Any) -> object:
    """A picture of Pillow with a palette in its colours: the numbers of its pixels mean nothing by themselves."""
    return image.convert("RGB") if getattr(image, "mode", "") in ("P", "PA") and hasattr(image, "convert") else image


def label_of(value: object, at: str) -> int:
    """A label as a number. Raises SpecError (exit 3)."""
    if isinstance(value, torch.Tensor | np.generic | np.ndarray) and int(np.prod(value.shape)) == 1:
        value = value.item()
    found = value
    if type(found) is bool or not isinstance(found, int) or found < 0:
        shown = type(value).__name__ if not isinstance(found, int | float | str) else repr(found)[:60]
        help = "give class numbers 0, 1, 2, ...; of names: (image, classes.index(name))"
        raise refuse("data-damaged", f"has the label {shown}, which is no class number", help, at=at, exit_code=3)
    return found


def opened(source: Any, input: Shape, layout: str | None, workers: int, at: str) -> tuple[Items, bool]:
    """The items of a Dataset, and whether they are the same each time they are read. Raises SpecError (exit 2 or 3)."""
    try:
        n = len(source)
    except TypeError:
        problem = f"is {type(source).__name__}, which has no length: items are taken by their number, in an order that the seed decides"
        raise refuse("data-kind", problem, "give a map-style Dataset, with __getitem__ and __len__", at=at) from None
    if n == 0:
        raise refuse("data-damaged", "holds no images", "check the Dataset", at=at, exit_code=3)
    everything = np.arange(n)
    first_seed = int(still(everything[:1])[0])
    with generators_kept():
        first, _ = read(source, 0, first_seed, at)
        again, _ = read(source, 0, first_seed, at)
        image, twin = array(first, f"{at}[0]"), array(again, f"{at}[0]")
        reading = read_as((1, *image.shape), input, layout, f"{at}[0]")
        labels = _labels(source, n, at)
    items = Items(source, everything, labels, reading, scale(image.dtype, f"{at}[0]"), workers, at)
    return items, image.dtype != object and np.array_equal(image, twin)


def _labels(source: Any, n: int, at: str) -> torch.Tensor:
    """All labels: those that the Dataset lists as `targets` or `labels` if they are the items' own, else every item is read for its."""
    listed = _listed(source, n)
    where = range(n) if listed is None else sorted({round(i * (n - 1) / 15) for i in range(16)})
    found = {i: label_of(read(source, i, derive(0, STILL, i), at)[1], f"{at}[{i}]") for i in where}
    if listed is not None and any(int(listed[i]) != y for i, y in found.items()):
        found = {i: label_of(read(source, i, derive(0, STILL, i), at)[1], f"{at}[{i}]") for i in range(n)}
    elif listed is not None:
        return torch.from_numpy(listed.astype(np.int64))
    return torch.tensor([found[i] for i in range(n)], dtype=torch.int64)


def _listed(source: Any, n: int) -> Array | None:
    """What a Dataset says of its labels, as those of torchvision do, and the Subset of one."""
    if isinstance(source, torch.utils.data.Subset):
        below = _listed(source.dataset, len(source.dataset))  # type: ignore[arg-type]
        return None if below is None else below[np.asarray(source.indices, np.int64)]
    for name in ("targets", "labels"):
        value = getattr(source, name, None)
        if isinstance(value, list | np.ndarray | torch.Tensor):
            found = array(value, name)
            if found.shape == (n,) and found.dtype.kind in "iu" and (not n or int(found.min()) >= 0):
                return found
    return None


def names_of(source: Any) -> tuple[str, ...]:
    """The names of the classes, where a Dataset says them as those of torchvision do."""
    below = source.dataset if isinstance(source, torch.utils.data.Subset) else source
    names = getattr(below, "classes", None)
    return tuple(names) if isinstance(names, Sequence) and not isinstance(names, str) and all(isinstance(n, str) for n in names) else ()


def fingerprint(parts: Sequence[Items]) -> str:
    """SHA-256 over lengths, all labels, and the pixels of `PROBED` items of each part, evenly spread."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.reading.shape} {part.scale} {len(part)}\n".encode())
        digest.update(part.labels.numpy().tobytes())
        where = torch.from_numpy(np.unique(np.linspace(0, len(part) - 1, min(PROBED, len(part))).round().astype(np.int64)))
        for batch, _ in replace(part, workers=0).take(where).chunks(PROBED):
            digest.update(batch.numpy().tobytes())
    return digest.hexdigest()
