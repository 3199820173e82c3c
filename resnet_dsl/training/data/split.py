"""A share of a data set, held out for the test where it has no test part: by class, and by a seed that is not the run's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from resnet_dsl.diagnostics import refuse
from resnet_dsl.records.record import HeldOutRecord
from resnet_dsl.training.batches.seeds import generator

SHARE = 0.2
"""What is held out unless a run asks for another share."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The share of each class that is the test part, and the seed that chooses it: the same for all runs, so that they compare."""

    share: float = SHARE
    seed: int = 0

    @staticmethod
    def of(record: HeldOutRecord | None) -> HeldOut:
        """What a run held out; the default for one that held out nothing."""
        return HeldOut() if record is None else HeldOut(record.share, record.seed)


def held_out(labels: npt.NDArray[np.integer] | torch.Tensor, share: float, seed: int) -> npt.NDArray[np.int64]:
    """The positions that are held out of `labels` (N,), in rising order: `share` of each class, rounded, chosen by `seed`.

    A class of two or more keeps at least one on both sides; a single one is trained on. What is chosen of a class depends on its own labels
    and the seed alone. Raises SpecError (exit 2) where nothing would be held out.
    """
    all = np.asarray(labels)
    chosen: list[npt.NDArray[np.int64]] = []
    for label in np.unique(all).tolist():
        where = np.flatnonzero(all == label)
        n = min(max(1, round(share * len(where))), len(where) - 1)
        order = torch.randperm(len(where), generator=generator(seed, "held out", int(label))).numpy()
        chosen.append(where[order[:n]])
    found = np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.zeros(0, np.int64)
    if not len(found):
        problem = "has no test part, and no class has two images, one of which could be held out"
        raise refuse("data-split", problem, "give a test part", at="data")
    return found
