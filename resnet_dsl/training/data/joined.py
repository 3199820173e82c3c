"""A data set whose test part was held out, as one again: for a network that was not trained on it, all of it is a test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from resnet_dsl.training.data.dataset import Dataset, Images, InMemory
from resnet_dsl.training.data.pictures import Pictures


def whole(data: Dataset) -> Images | None:
    """All images of data that has no test part of its own; None where it has one."""
    if data.held_out is None:
        return None
    if data.whole is not None:
        return data.whole
    a, b = data.train, data.test
    if isinstance(a, InMemory) and isinstance(b, InMemory):
        return replace(a, pixels=torch.cat((a.pixels, b.pixels)), labels=torch.cat((a.labels, b.labels)))
    assert isinstance(a, Pictures)
    assert isinstance(b, Pictures)
    return replace(a, files=np.concatenate((a.files, b.files)), labels=torch.cat((a.labels, b.labels)))
