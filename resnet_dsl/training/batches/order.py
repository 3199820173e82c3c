"""Which images a step takes, and every image's draws: functions of (seed, epoch, image), nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches.augment import Draws, alternate, draw
from resnet_dsl.training.batches.mixing import require_halves
from resnet_dsl.training.batches.sampling import Drawn, balanced
from resnet_dsl.training.batches.seeds import generator


@dataclass(frozen=True, slots=True)
class Share:
    """What one process sees of a run: rows rank::ranks of each batch; of each epoch the first `limit` batches, or all.

    `overfit`: every step takes the first batch of all, with its draws, again and again.
    """

    rank: int = 0
    ranks: int = 1
    limit: int | None = None
    overfit: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Positions of images (N,) in the training set, and their draws."""

    index: torch.Tensor
    draws: Draws


@dataclass(frozen=True, slots=True, eq=False)
class _Epoch:
    """The images of an epoch in their order (N,), each one's row in the tables of draws (N,), and these."""

    index: torch.Tensor
    row: torch.Tensor
    draws: Draws


class Order:
    """The rows of every step of a run, in any order.

    An epoch is a permutation of (seed, epoch), or what `sampling.balanced` takes for `labels`; the images that fill no whole batch are
    left out of it. A batch belongs to the whole step: over all ranks and parts its rows are the same for any number of them.
    Raises SpecError (exit 2) where a batch is larger than the data, or cannot be divided.
    """

    def __init__(self, labels: torch.Tensor, recipe: Recipe, share: Share, device: torch.device) -> None:
        require_batch(len(labels), recipe, share)
        self.labels, self.recipe, self.share, self.device = labels, recipe, share, device
        whole = len(labels) // recipe.batch
        self.per_epoch = whole if share.limit is None else min(whole, share.limit)
        self._epochs: dict[int, _Epoch] = {}

    def __call__(self, step: int, part: int = 0) -> Rows:
        """The rows of one part of this rank's share of a step."""
        whole, batch = self._batch(step)
        mine = slice(self.share.rank + part * self.share.ranks, None, self.share.ranks * self.recipe.accumulate)
        row = whole.row[batch][mine]
        return Rows(whole.index[batch][mine], {name: table[row] for name, table in whole.draws.items()})

    def labels_of(self, step: int) -> torch.Tensor:
        """Labels of the images of a whole step, of all ranks and parts."""
        whole, batch = self._batch(step)
        return self.labels[whole.index[batch].to(self.labels.device)]

    def _batch(self, step: int) -> tuple[_Epoch, slice]:
        epoch, place = divmod(0 if self.share.overfit else step, self.per_epoch)
        return self._epoch(epoch), slice(place * self.recipe.batch, (place + 1) * self.recipe.batch)

    def _epoch(self, epoch: int) -> _Epoch:
        if epoch not in self._epochs:
            n, seed, how = len(self.labels), self.recipe.seed, self.recipe.augment
            # An image's draws are its own; where it may come twice in an epoch, they belong to its place.
            everything = torch.arange(n)
            if self.recipe.sampling == "balanced":
                drawn = balanced(self.labels, seed, epoch)
                index, row = drawn.images, everything
            else:
                index = row = torch.randperm(n, generator=generator(seed, "order", epoch))
                drawn = Drawn(everything, torch.full((n,), epoch))
            draws = draw(how, n, seed, epoch)
            if how.flip == "alternate":
                draws = alternate(draws, n, seed, *drawn)
            while len(self._epochs) > 1:
                # Two are kept: what is read ahead may have come to the next one.
                del self._epochs[next(iter(self._epochs))]
            tables = {k: v.to(self.device) for k, v in draws.items()}
            self._epochs[epoch] = _Epoch(index.to(self.device), row.to(self.device), tables)
        return self._epochs[epoch]


def require_batch(images: int, recipe: Recipe, share: Share) -> None:
    """Refuse a batch that is larger than the data, or that cannot be divided among ranks and parts. Raises SpecError (exit 2)."""
    if recipe.batch > images:
        raise refuse(
            "data-batch",
            f"batch {recipe.batch:,} is larger than the training set of {images:,} images",
            f"use {Argument('batch', images)} or less",
            at="recipe",
        )
    slices = share.ranks * recipe.accumulate
    if recipe.batch % slices:
        raise refuse(
            "batch-split",
            f"batch {recipe.batch:,} cannot be divided by {share.ranks:,} processes times accumulate: {recipe.accumulate:,}",
            f"use {Argument('batch', max(1, round(recipe.batch / slices)) * slices)}",
            at="recipe",
        )
    require_halves(recipe.augment, recipe.batch, slices)
