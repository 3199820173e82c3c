"""A running average of a network's weights (Polyak & Juditsky 1992), which is what is evaluated and saved where a recipe has `ema`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch

from resnet_dsl.training.ranks.parallel import local_part


class Average:
    """The average of a model's parameters and of its buffers, batch norm's statistics included.

    After step n (from 1) it keeps min(decay, n / (9 + n)) of itself: the beginning, which is far from all that follows,
    is soon forgotten. What is no fraction, such as the count of batches, is taken as it is.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, steps: int) -> None:
        """Take in the weights after `steps` steps in all."""
        keep = min(self.decay, steps / (9 + steps))
        live = model.state_dict()
        fractions = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([local_part(self.values[n]) for n in fractions], [local_part(live[n].detach()) for n in fractions], 1 - keep)
        for name in self.values.keys() - set(fractions):
            self.values[name].copy_(live[name])

    @contextlib.contextmanager
    def swapped_in(self, model: torch.nn.Module) -> Iterator[None]:
        """Inside `with`, the model's own tensors hold the average; after it what they held, to the bit."""
        live = {name: value.detach().clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.values)
        try:
            yield
        finally:
            model.load_state_dict(live)

    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        """Go on from saved values."""
        for name, value in self.values.items():
            value.copy_(values[name])
