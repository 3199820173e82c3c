"""Which images an epoch takes where each class is to be seen as often as any other."""

from __future__ import annotations

from typing import NamedTuple

import torch

from resnet_dsl.training.batches.seeds import generator

_BLOCK = 1024
"""About so many images of a class are shuffled at a time: a class of one image needs no generator for each time that it is taken."""


class Drawn(NamedTuple):
    """An epoch: positions of images (N,), and how often each had been taken before (N,)."""

    images: torch.Tensor
    before: torch.Tensor


def balanced(labels: torch.Tensor, seed: int, epoch: int) -> Drawn:
    """As many images as there are `labels` (N,), each class that has images N / K times or one more: a function of seed and epoch.

    A class is a row of permutations of its images, of which each epoch takes the next part. So an image of a small class comes several
    times an epoch, one of a large class once in several epochs, and all images of a class equally often in the end.
    """
    labels = labels.cpu()
    classes, n = torch.bincount(labels).nonzero()[:, 0].tolist(), len(labels)
    images, before = [], []
    for k, c in enumerate(classes):
        members = (labels == c).nonzero()[:, 0]
        # Class k has the places k, k + K, k + 2 K, ... of all epochs, one behind the other.
        first, last = (-((k - e * n) // len(classes)) for e in (epoch, epoch + 1))
        images.append(members[_taken(len(members), first, last, seed, c)])
        before.append(torch.arange(first, last) // len(members))
    order = torch.randperm(n, generator=generator(seed, "order", epoch))
    return Drawn(torch.cat(images)[order], torch.cat(before)[order])


def _taken(members: int, first: int, last: int, seed: int, c: int) -> torch.Tensor:
    """Places `first` to `last` - 1 of an endless row of permutations of a class's `members`."""
    turns = -(-_BLOCK // members)
    size = turns * members
    blocks = range(first // size, -(-last // size))
    found = [torch.rand(turns, members, generator=generator(seed, "class", c, b), dtype=torch.float64).argsort(1).flatten() for b in blocks]
    start = blocks.start * size
    return torch.cat(found)[first - start : last - start] if found else torch.zeros(0, dtype=torch.int64)
