"""What is held out of data without a test part: a share of each class, the same for a seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.data.split import held_out


def test_a_share_of_each_class() -> None:
    labels = np.array([0] * 100 + [1] * 10 + [2] * 3 + [5] * 2 + [7])
    found = held_out(labels, 0.2, 0)
    # A fifth, rounded; of two and of three one; a single one stays.
    assert np.bincount(labels[found], minlength=8).tolist() == [20, 2, 1, 0, 0, 1, 0, 0]
    assert found.tolist() == sorted(set(found.tolist()))
    assert held_out(torch.from_numpy(labels), 0.2, 0).tolist() == found.tolist()
    assert held_out(labels, 0.2, 1).tolist() != found.tolist()
    most = held_out(labels, 0.999, 0)
    assert np.bincount(labels[most], minlength=8).tolist() == [99, 9, 2, 0, 0, 1, 0, 0]


def test_a_class_is_split_by_itself() -> None:
    first = held_out(np.array([0, 1] * 20), 0.25, 3)
    alone = held_out(np.array([0] * 20), 0.25, 3)
    assert (first[first % 2 == 0] // 2).tolist() == alone.tolist()
    # The positions do not change from version to version, nor from machine to machine.
    assert alone.tolist() == PINNED


PINNED = [0, 7, 12, 13, 14]


@pytest.mark.parametrize("labels", [[], [0], [0, 1, 2]])
def test_nothing_to_hold_out(labels: list[int]) -> None:
    with pytest.raises(SpecError, match="no class has two images"):
        held_out(np.array(labels, np.int64), 0.2, 0)
