"""MNIST's IDX format: a big-endian header (two zeros, type 8 for bytes, number of dimensions, each size), then the bytes."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from resnet_dsl.datasets.catalog import IDX_FILES, DataSource
from resnet_dsl.datasets.search import Found
from resnet_dsl.training.data.dataset import Dataset, InMemory, dataset
from resnet_dsl.training.data.reading import blame, damaged, read


def load(source: DataSource, found: Found) -> Dataset:
    """The four files of an MNIST-like data set. Raises SpecError (exit 3)."""
    assert len(found.files) == len(IDX_FILES)
    images, labels, test_images, test_labels = found.files
    return dataset(source.name, _part(source, images, labels), _part(source, test_images, test_labels), source.classes, str(found.folder))


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
    content = read(path)
    header = 4 + 4 * dimensions
    with blame(path):
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
    if len(content) != expected:
        raise damaged(
            path, f"its header announces {'x'.join(map(str, shape))} bytes, {expected:,} with the header, but {len(content):,} were found"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
