"""Arrays that are not copied: larger than memory, mapped from their file. Rows are read and converted when a step needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from resnet_dsl.graph.graph import Shape
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.data.layout import AxisReading
from resnet_dsl.training.data.numbers import Array, Scale, pixels, scale
from resnet_dsl.training.data.reading import blame

SAMPLE = 2048
"""Rows that stand for all of them where means and deviations are measured."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayRows:
    """The rows of `source` (M, ...) at the positions `index` (N,), their labels (N,) int64, and how a row is read."""

    source: Array
    index: npt.NDArray[np.int64]
    labels: torch.Tensor
    reading: AxisReading
    at: str

    @property
    def shape(self) -> Shape:
        """What the network sees of a row: (channels, height, width), or (features,)."""
        return self.reading.shape

    @property
    def scale(self) -> Scale:
        """Whether the rows are bytes or other numbers."""
        return scale(self.source.dtype, self.at)

    def rows(self, where: npt.NDArray[np.int64]) -> torch.Tensor:
        """Pixels (n, *shape) at these places among the rows. Raises SpecError (exit 3) for numbers that are not finite."""
        positions = self.index[where]
        with blame(self.at):
            # In the order of the file, and then in the order that was asked for.
            order = np.argsort(positions, kind="stable")
            found = self.source[positions[order]]
            back = np.empty_like(order)
            back[order] = np.arange(len(order))
        held = pixels(found, self.at, positions[order].tolist()).numpy()
        return torch.from_numpy(np.ascontiguousarray(self.reading(held)[back]))

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels and labels of all, in order, `size` at a time."""
        for where in torch.split(torch.arange(len(self)), size):
            yield self.rows(where.numpy()), self.labels[where]

    def sample(self) -> ArrayRows:
        """At most `SAMPLE` of them, always the same ones."""
        if len(self) <= SAMPLE:
            return self
        return self.take(torch.randperm(len(self), generator=generator(0, "sample"))[:SAMPLE].sort().values)

    def take(self, index: torch.Tensor) -> ArrayRows:
        """The rows at these places."""
        return replace(self, index=self.index[index.numpy()], labels=self.labels[index])

    def to(self, device: torch.device) -> ArrayRows:
        """Themselves: they are read batch by batch, whatever the device."""
        return self

    def __len__(self) -> int:
        return len(self.labels)
