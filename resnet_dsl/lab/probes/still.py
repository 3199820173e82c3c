"""Looking without touching: a model is given back as it was, and norms see what they see in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """After `with`, weights, buffers, gradients, modes and torch's generators are what they were.

    Inside, the mode is evaluation, every parameter takes part in a backward pass, and none has a gradient yet.
    """
    state = {k: v.detach().clone() for k, v in model.state_dict().items()}
    modes = [(m, m.training) for m in model.modules()]
    gradients = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    model.eval()
    for p in model.parameters():
        p.grad, p.requires_grad = None, True
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for k, v in model.state_dict().items():
                v.copy_(state[k])
        for m, mode in modes:
            m.training = mode
        for p, gradient, requires in gradients:
            p.grad, p.requires_grad = gradient, requires


@contextlib.contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """`untouched`; inside, batch norms use the statistics of the batch, as in training, and dropout and drop path are off."""
    with untouched(model):
        norms = _norms(model)
        for m in norms:
            # Else they would count batches in place, which torch.func cannot look through.
            m.training, m.track_running_stats = True, False
        try:
            yield
        finally:
            for m in norms:
                m.track_running_stats = True


@contextlib.contextmanager
def held_statistics(model: nn.Module, images: Tensor) -> Iterator[None]:
    """`untouched`; inside, batch norms use the statistics that they have on `images` (N, ...), whatever they are shown.

    So the network is a function of one image, as in evaluation, and sees the world at the scale of training.
    """
    with untouched(model):
        norms = _norms(model)
        momenta = [m.momentum for m in norms]
        for m in norms:
            m.train()
            m.momentum = 1.0
        try:
            with torch.no_grad():
                model(images)
        finally:
            for m, momentum in zip(norms, momenta, strict=True):
                m.eval()
                m.momentum = momentum
        yield


def evaluated(model: nn.Module, images: Tensor, step: int | None) -> contextlib.AbstractContextManager[None]:
    """As a network is evaluated: with its running statistics; `held_statistics` where `step` says that they are of a short training.

    A few steps after the beginning, running averages still lag far behind the weights.
    """
    return untouched(model) if step is None else held_statistics(model, images)


def _norms(model: nn.Module) -> list[_NormBase]:
    return [m for m in model.modules() if isinstance(m, _NormBase) and m.track_running_stats]
