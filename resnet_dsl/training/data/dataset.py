"""A data set: images in memory or elsewhere, labels, names; how it is split, fingerprinted and fitted to a network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, either, refuse, setting, speak
from resnet_dsl.graph.graph import Shape
from resnet_dsl.records.leftout import LeftOut, left_out_line
from resnet_dsl.table import shape_text
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.data.numbers import Scale
from resnet_dsl.training.data.reading import damaged
from resnet_dsl.training.data.split import HeldOut

_HELD_OUT = 0
"""The seed of the split into training and validation: fixed, so that runs with different seeds compare on the same images."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a data set is opened for: a network that reads `input`, whose `classes` have these names where it is trained already.

    `held_out` is the share that becomes the test part of data without one, `workers` the processes that read items.
    """

    input: Shape
    classes: tuple[str, ...] = ()
    held_out: HeldOut = HeldOut()  # noqa: RUF009
    workers: int | None = None


class Images(Protocol):
    """A part of a data set, wherever it lies: `InMemory` in memory, `ArrayRows` in an array elsewhere, `Pictures` in files, `Shards` in
    archives, `Items` in a Dataset of torch.
    """

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of an image, or (features,)."""

    @property
    def scale(self) -> Scale:
        """Whether pixels are bytes, 0 black and 255 white, or numbers on a scale of their own."""

    @property
    def labels(self) -> torch.Tensor | None:
        """The labels of all images (N,) int64; None where only reading them tells."""

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels (N, *shape), uint8 or float32, and labels (N,) int64 of all images in order, `size` at a time; without augmentation."""

    def sample(self) -> Images:
        """Few enough images to measure means on, always the same ones."""

    def take(self, index: torch.Tensor) -> Images:
        """The images at these positions. Raises SpecError (exit 2) where there is no choice."""

    def to(self, device: torch.device) -> Images:
        """On a device, as far as it is held in memory."""

    def __len__(self) -> int:
        """The number of images."""


class Labelled(Images, Protocol):
    """Images whose labels are known before one is read."""

    @property
    def labels(self) -> torch.Tensor:
        """(N,) int64."""


@dataclass(frozen=True, slots=True, eq=False)
class InMemory:
    """Images (N, C, H, W) as uint8, 0 black and 255 white, and their labels (N,) as int64.

    Arrays that people bring may be float32 in place of that, on a scale of their own, and vectors of features (N, F). `deep`: they are
    float32 from 0 to 255.
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    deep: bool = False

    @staticmethod
    def of(
        pixels: npt.NDArray[np.uint8] | npt.NDArray[np.float32],
        labels: npt.NDArray[np.uint8] | npt.NDArray[np.int64],
        classes: int,
        path: Path | str,
    ) -> InMemory:
        """From arrays; `path` is the file to blame for a label out of range. Raises SpecError (exit 3)."""
        if len(labels) == 0:
            raise damaged(path, "holds no images", "check that the file is complete")
        if int(labels.max()) >= classes or int(labels.min()) < 0:
            wrong = int(np.flatnonzero((labels >= classes) | (labels < 0))[0])
            raise damaged(path, f"label {int(labels[wrong])} at position {wrong:,} is out of range: labels are 0 to {classes - 1}")
        return InMemory(torch.from_numpy(np.ascontiguousarray(pixels).copy()), torch.from_numpy(labels.astype(np.int64)))

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of an image, or (features,)."""
        return tuple(self.pixels.shape[1:])

    @property
    def scale(self) -> Scale:
        """Whether the pixels are bytes, finer than bytes, or other numbers."""
        return "bytes" if self.pixels.dtype == torch.uint8 else "deep" if self.deep else "numbers"

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels and labels of all, in order, `size` at a time."""
        return zip(torch.split(self.pixels, size), torch.split(self.labels, size), strict=True)

    def sample(self) -> InMemory:
        """All: what is in memory is measured whole."""
        return self

    def take(self, index: torch.Tensor) -> InMemory:
        """The images at these positions."""
        return InMemory(self.pixels[index], self.labels[index], self.deep)

    def to(self, device: torch.device) -> InMemory:
        """On a device."""
        return InMemory(self.pixels.to(device), self.labels.to(device), self.deep)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Training and test images. `origin` is where they were read; `sha256` covers every byte and label.

    Of own pictures it covers names, sizes in bytes and labels. `exact`: the same seed gives the same batches, so that a run
    can be repeated and resumed to the bit. `held_out`: what of it became the test part, where it has none of its own; `whole` is then both
    together. `left_out`: files beside it that are not read; `notes` are lines for whoever uses it.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    origin: str
    sha256: str
    exact: bool = True
    held_out: HeldOut | None = None
    whole: Images | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of an image, or (features,)."""
        return self.train.shape

    @property
    def scale(self) -> Scale:
        """Whether pixels are bytes, or numbers on a scale of their own."""
        return self.train.scale

    @property
    def lines(self) -> tuple[str, ...]:
        """What should be said of it before it is used."""
        left_out = left_out_line(self.left_out, self.origin)
        return (*self.notes, *([left_out] if left_out is not None else []))

    @property
    def bytes(self) -> int | None:
        """What the training images take in memory; None where they stay in their files."""
        return self.train.pixels.nbytes if isinstance(self.train, InMemory) else None


def dataset(name: str, train: InMemory, test: InMemory, classes: Sequence[str], origin: str) -> Dataset:
    """A data set with its fingerprint."""
    return Dataset(name, train, test, tuple(classes), origin, digest_of((train, test)))


def digest_of(parts: Sequence[InMemory]) -> str:
    """SHA-256 over every pixel and label of the parts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.pixels.numpy().data)
        digest.update(part.labels.numpy().data)
    return digest.hexdigest()


def require_fit(data: Dataset, input: Shape, classes: int, at: str) -> None:
    """Refuse a network that does not fit the data. Raises SpecError (exit 2) with the settings that fix it."""
    wrong: list[str] = []
    fixes: dict[str, str] = {}
    if input != data.shape:
        c, h, w = data.shape
        wrong.append(f"the network reads {shape_text(input)}, the images are {shape_text(data.shape)}")
        fixes["input"] = f"{{channels: {c}, height: {h}, width: {w}}}"
    if classes != len(data.classes):
        wrong.append(f"the network has {classes:,} classes, the data {len(data.classes):,}")
        fixes["classes"] = str(len(data.classes))
    if wrong:
        quoted = (f"{key}='{value}'" if key == "input" else f"{key}={value}" for key, value in fixes.items())
        help = either(f"overrides={fixes}", " ".join(speak(str(Argument("overrides", text, "set")), COMMAND_LINE) for text in quoted))
        raise refuse("data-fit", f"does not fit {data.name}: {' and '.join(wrong)}", f"add {help}", at=at)


def split(train: Images, validation: int, limit: int | None) -> tuple[Images, Images | None]:
    """Training images and, if any are held out, validation images.

    The choice is the same for every seed. `limit` keeps that many training images at most. Raises SpecError (exit 2).
    """
    n = len(train)
    if validation >= n:
        raise refuse(
            "data-split",
            f"{validation:,} images for validation leave none of the {n:,} to train on",
            f"use {setting('train.validation', str(n // 10))}",
            at="recipe",
        )
    if validation == 0 and limit is None:
        return train, None
    order = torch.randperm(n, generator=generator(_HELD_OUT, "validation"))
    kept = order[validation:][:limit].sort().values
    return train.take(kept), train.take(order[:validation].sort().values) if validation else None
