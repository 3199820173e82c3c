"""Arrays as a data set: from Python, from files, from a folder of files. Small ones are held in memory, large ones stay where they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from resnet_dsl.diagnostics import inline
from resnet_dsl.training.data.arrayrows import ArrayRows
from resnet_dsl.training.data.dataset import Asked, Dataset, InMemory, Labelled, digest_of
from resnet_dsl.training.data.keys import sort
from resnet_dsl.training.data.layout import AxisReading, read_as
from resnet_dsl.training.data.numbers import Array, array, labels, pixels, scale
from resnet_dsl.training.data.reading import damaged
from resnet_dsl.training.data.split import held_out

LARGE = 2 << 30
"""Bytes above which arrays are not copied: their rows are read as they are needed. By size alone, so that a resumed run decides the same."""

PROBED = 1024
"""Rows of large arrays whose numbers are in the fingerprint, beside all labels."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayPart:
    """Images and labels of a part as they were given, and what each is called in a message."""

    images: object
    labels: object
    at: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """A data set as arrays: a training part, a test part if there is one, names of the classes and the layout if they are said."""

    train: ArrayPart
    test: ArrayPart | None = None
    names: object = None
    layout: str | None = None
    unused: Sequence[str] = field(default=())


def by_name(given: Mapping[str, object], at: str) -> Arrays:
    """Arrays sorted by their names. Raises SpecError (exit 3) where images or labels are missing among them."""
    found = sort(given, at)

    def pair(names: tuple[str, str]) -> ArrayPart:
        return ArrayPart(given[names[0]], given[names[1]], (f"{at}[{names[0]}]", f"{at}[{names[1]}]"))

    layout = None if found.layout is None else str(given[found.layout])
    test = None if found.test is None else pair(found.test)
    return Arrays(pair(found.train), test, None if found.names is None else given[found.names], layout, found.unused)


def load(given: Arrays, name: str, origin: str, asked: Asked) -> Dataset:
    """The data set that arrays are to a network. Raises SpecError: exit 2 where they do not fit it, 3 where they are damaged."""
    names = _names(given.names, origin)
    images = [array(p.images, p.at[0]) for p in (given.train, given.test) if p is not None]
    readings = [_read_as(x, p, given.layout, asked) for x, p in zip(images, _pairs(given), strict=True)]
    numbers: list[npt.NDArray[np.int64]] = []
    for x, p in zip(images, _pairs(given), strict=True):
        found, texts = labels(p.labels, p.at[1], names or asked.classes)
        names = names or texts
        if len(found) != len(x):
            raise damaged(p.at[0], f"holds {len(x):,} images, and there are {len(found):,} labels", "give a label for each image")
        numbers.append(found)
    classes = class_names(numbers, [p.at[1] for p in _pairs(given)], names, asked)
    held = sum(_bytes(x) for x in images)
    parts = [
        _part(x, reading, torch.from_numpy(y), p.at[0], held > LARGE)
        for x, reading, y, p in zip(images, readings, numbers, _pairs(given), strict=True)
    ]
    data = assembled(name, parts, classes, origin, _fingerprint(parts), asked)
    unused = f"note: {name}: {', '.join(map(inline, given.unused[:8]))} {'is' if len(given.unused) == 1 else 'are'} not used"
    return replace(data, notes=(unused, *data.notes)) if given.unused else data


def assembled(
    name: str, parts: Sequence[Labelled], classes: tuple[str, ...], origin: str, sha256: str, asked: Asked, exact: bool = True
) -> Dataset:
    """A data set of a training and a test part; of one part a share is held out for the test."""
    if len(parts) == 2:
        return Dataset(name, parts[0], parts[1], classes, origin, sha256, exact, notes=_absent(name, parts[1].labels, classes))
    (whole,) = parts
    index = torch.from_numpy(held_out(whole.labels, asked.held_out.share, asked.held_out.seed))
    kept = torch.ones(len(whole), dtype=torch.bool)
    kept[index] = False
    train, test = whole.take(kept.nonzero()[:, 0]), whole.take(index)
    share, seed = asked.held_out.share, asked.held_out.seed
    of = f"{len(test):,} of {len(whole):,} images are held out for it ({share:g} of each class, by seed {seed})"
    notes = (f"note: {name} has no part for the test: {of}", *_absent(name, whole.labels[index], classes))
    return Dataset(name, train, test, classes, origin, sha256, exact, held_out=asked.held_out, whole=whole, notes=notes)


def _absent(name: str, labels: torch.Tensor, classes: Sequence[str]) -> tuple[str, ...]:
    """A line about classes that the test part lacks, if there are some."""
    there = set(labels.tolist())
    absent = [c for i, c in enumerate(classes) if i not in there]
    if not absent:
        return ()
    listed = ", ".join(inline(c[:40]) for c in absent[:5]) + (", ..." if len(absent) > 5 else "")
    return (f"warning: the test part of {name} holds no images of {listed}: the test says nothing of them",)


def class_names(
    numbers: Sequence[npt.NDArray[np.int64]], at: Sequence[str], names: tuple[str, ...], asked: Asked
) -> tuple[str, ...]:  # fmt: skip
    """The names of the classes, their numbers where they have none. Raises SpecError (exit 3) for a label that none has, and for gaps."""
    if not names and asked.classes:
        names = tuple(asked.classes)
    for found, place in zip(numbers, at, strict=True):
        if names and len(found) and (most := int(found.max())) >= len(names):
            wrong = int(np.argmax(found == most))
            problem = f"label {most:,} at position {wrong:,} is out of range: labels are 0 to {len(names) - 1:,}"
            raise damaged(place, problem, "labels count from 0: write y - 1" if int(found.min()) == 1 else "check the labels")
    if names:
        return names
    seen = np.unique(numbers[0])
    if not np.array_equal(seen, np.arange(len(seen))):
        gap = int(np.argmax(seen != np.arange(len(seen))))
        help = "write y - 1" if int(seen[0]) == 1 and len(seen) == int(seen[-1]) else "write np.unique(y, return_inverse=True)[1]"
        help += ", or say what all classes are called, under the name `classes`"
        raise damaged(at[0], f"no image has the label {gap}, and labels go to {int(seen[-1]):,}", help)
    for found, place in zip(numbers[1:], at[1:], strict=True):
        if len(found) and int(found.max()) >= len(seen):
            wrong = int(np.argmax(found >= len(seen)))
            raise damaged(place, f"label {int(found[wrong]):,} at position {wrong:,} is in no training image", "check the labels")
    return tuple(map(str, range(len(seen))))


def _pairs(given: Arrays) -> list[ArrayPart]:
    return [given.train, *([given.test] if given.test is not None else [])]


def _names(given: object, at: str) -> tuple[str, ...]:
    if given is None:
        return ()
    found = array(given, at)
    if found.ndim != 1 or found.dtype.kind not in "US" or len(set(found.tolist())) != len(found):
        raise damaged(at, "the names of its classes are no list of different texts", "np.array(['cat', 'dog'])")
    return tuple(v.decode() if isinstance(v, bytes) else str(v) for v in found.tolist())


def _read_as(x: Array, pair: ArrayPart, layout: str | None, asked: Asked) -> AxisReading:
    if x.ndim == 0 or len(x) == 0:
        raise damaged(pair.at[0], "holds no images", "give an array of N images, and N labels")
    scale(x.dtype, pair.at[0])
    return read_as(x.shape, asked.input, layout, pair.at[0])


def _bytes(x: Array) -> int:
    return x.size * (1 if x.dtype.itemsize == 1 and x.dtype.kind in "bu" else 4)


def _part(x: Array, reading: AxisReading, y: torch.Tensor, at: str, large: bool) -> InMemory | ArrayRows:
    if large:
        return ArrayRows(x, np.arange(len(x)), y, reading, at)
    return InMemory(torch.from_numpy(np.ascontiguousarray(reading(pixels(x, at).numpy()))), y)


def _fingerprint(parts: Sequence[InMemory | ArrayRows]) -> str:
    """SHA-256 over every number and label; of arrays that stay where they are, over type, shape, every label and `PROBED` rows, evenly spread."""
    held = [p for p in parts if isinstance(p, InMemory)]
    if len(held) == len(parts):
        return digest_of(held)
    digest = hashlib.sha256()
    for part in parts:
        assert isinstance(part, ArrayRows)
        digest.update(f"{part.source.dtype.str} {part.reading.shape} {len(part)}\n".encode())
        digest.update(part.labels.numpy().tobytes())
        where = np.unique(np.linspace(0, len(part) - 1, min(PROBED, len(part))).round().astype(np.int64))
        for piece in np.array_split(where, math.ceil(len(where) / 64)):
            digest.update(part.rows(piece).numpy().tobytes())
    return digest.hexdigest()


def unlabelled(value: object, name: str, asked: Asked) -> torch.Tensor:
    """Images alone, (N, *input) as they are held: an array of them, or one. Raises SpecError (exit 2 or 3)."""
    x = array(value, name)
    if x.ndim and not _fits(x.shape, asked) and _fits((1, *x.shape), asked):
        x = x[None]
    reading = _read_as(x, ArrayPart(x, None, (name, name)), None, asked)
    return torch.from_numpy(np.ascontiguousarray(reading(pixels(x, name).numpy())))


def _fits(shape: tuple[int, ...], asked: Asked) -> bool:
    from resnet_dsl.training.data.layout import readings

    return any(r.item == shape[1:] for r in readings(asked.input))
