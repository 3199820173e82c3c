"""The digits that ship with the package; NOTICE.md beside the file says whose they are and how they are split."""

from __future__ import annotations

from importlib import resources

import numpy as np

from resnet_dsl.datasets.catalog import DataSource
from resnet_dsl.training.data.dataset import Dataset, InMemory, dataset


def load(source: DataSource) -> Dataset:
    """1,437 training and 360 test images of 8x8, the original 0..16 scaled to 0..255."""
    with resources.files(__package__).joinpath("digits.npz").open("rb") as f, np.load(f, allow_pickle=False) as file:
        images, labels, test = file["images"], file["labels"], file["test"]
    pixels = ((images.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)[:, None]
    is_test = np.zeros(len(labels), bool)
    is_test[test] = True
    parts = [InMemory.of(pixels[m], labels[m], len(source.classes), "digits.npz") for m in (~is_test, is_test)]
    return dataset(source.name, parts[0], parts[1], source.classes, "the package")
