"""MNIST's IDX format: a big-endian header (two zeros, type 8 for bytes, number of dimensions, each size), then the bytes."""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_dsl.datasets.catalog import IDX_FILES, DataSource
from resnet_dsl.datasets.search import Found
from resnet_dsl.diagnostics import Argument
from resnet_dsl.training.data.dataset import Dataset, InMemory, dataset
from resnet_dsl.training.data.reading import MAX_BYTES, Bounded, damaged, opened, read


def load(source: DataSource, found: Found) -> Dataset:
    """The four files of an MNIST-like data set. Raises SpecError (exit 3)."""
    assert len(found.files) == len(IDX_FILES)
    images, labels, test_images, test_labels = found.files
    _require_own(source, labels)
    return dataset(source.name, _part(source, images, labels), _part(source, test_images, test_labels), source.classes, str(found.folder))


_TRAINING_LABELS = {
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5": "mnist",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9": "fashion-mnist",
}
"""SHA-256 of the published training labels, unpacked: names and sizes of the files are those of the other data set."""


def _require_own(source: DataSource, labels: Path) -> None:
    """Refuse files that are known as another data set's. Raises SpecError (exit 3)."""
    known = _TRAINING_LABELS.get(hashlib.sha256(read(labels)).hexdigest(), source.name)
    if known != source.name:
        raise damaged(labels, f"is of {known}, not of {source.name}", f"use {Argument('data', known)}, or give the folder of {source.name}")


def _part(source: DataSource, images: Path, labels: Path) -> InMemory:
    assert source.shape is not None
    x, y = parse(images, 3), parse(labels, 1)
    if x.shape[1:] != source.shape[1:]:
        raise damaged(
            images,
            f"holds images of {x.shape[1]}x{x.shape[2]}, but {source.name} has {source.shape[1]}x{source.shape[2]}",
            "check that this is the right data set's file",
        )
    if len(x) != len(y):
        raise damaged(labels, f"holds {len(y):,} labels, but {images.name} holds {len(x):,} images", "take both files from one source")
    return InMemory.of(x[:, None], y, len(source.classes), labels)


def parse(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array of bytes that an IDX file holds. Raises SpecError (exit 3)."""
    header = 4 + 4 * dimensions
    with opened(path) as stream:
        content = stream.read(header)
        (magic,) = struct.unpack_from(">I", content)
        if magic != 0x0800 + dimensions:
            kind = {1: "labels", 3: "images"}.get(magic - 0x0800, "no IDX file of bytes")
            raise damaged(
                path,
                f"starts with 0x{magic:08X} ({kind}), expected 0x{0x0800 + dimensions:08X}",
                "check that the files were not swapped or renamed",
            )
        shape = struct.unpack_from(f">{dimensions}I", content, 4)
        expected = header + math.prod(shape)
        told = f"its header announces {'x'.join(map(str, shape))} bytes, {expected:,} with the header"
        if expected > MAX_BYTES:
            raise damaged(path, f"{told}, and at most {MAX_BYTES:,} are read")
        # One byte more than there should be, to see whether there is one.
        body = _body(stream, expected + 1 - header)
    if header + len(body) != expected:
        found = f"{header + len(body):,}" if header + len(body) < expected else f"more than {expected:,}"
        raise damaged(path, f"{told}, but {found} were found")
    return np.frombuffer(body, np.uint8).reshape(shape)


def _body(stream: Bounded, most: int) -> bytes:
    content = bytearray()
    while len(content) < most and (piece := stream.read(min(1 << 20, most - len(content)))):
        content += piece
    return bytes(content)
