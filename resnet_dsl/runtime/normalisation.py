"""How pixels become the numbers that a network reads; it travels with the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

LUMA = (0.299, 0.587, 0.114)
"""What red, green and blue are to a grey picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """What makes numbers of pixels 0..255: (pixel - mean) / std. `mean` is (C, 1, 1) or (C, H, W); `std` is (C, 1, 1).

    Arrays that people bring may be vectors of features, which are channels here, and on another scale: `numbers`.

    `axes` (C, C) are the principal axes of the training images' colours as columns, times their eigenvalues, in units of pixels
    (see `augment.color_noise`); None where they were never measured.
    """

    mean: torch.Tensor
    std: torch.Tensor
    axes: torch.Tensor | None = None
    scale: Literal["bytes", "numbers"] = "bytes"

    def to(self, device: torch.device) -> Normalisation:
        """On a device."""
        return Normalisation(self.mean.to(device), self.std.to(device), None if self.axes is None else self.axes.to(device), self.scale)

    def for_channels(self, channels: int) -> Normalisation | None:
        """For another number of channels; None where nothing tells it.

        A grey picture is 0.299 R + 0.587 G + 0.114 B of the colours (ITU-R BT.601, as Pillow makes it), so its mean is that of their means;
        their deviations are weighted alike, which holds where the colours vary together. Colours of a grey picture have its own values.
        """
        held = len(self.mean)
        if held == channels:
            return self
        if (held, channels) == (3, 1):
            weights = torch.tensor(LUMA)[:, None, None]
            return Normalisation((self.mean * weights).sum(0, keepdim=True), (self.std * weights).sum(0, keepdim=True))
        if (held, channels) == (1, 3):
            return Normalisation(self.mean.expand(3, -1, -1).clone(), self.std.expand(3, -1, -1).clone())
        return None

    def everywhere(self) -> Normalisation:
        """The same for images of any size: of a mean image the mean colour is left."""
        return replace(self, mean=self.mean.mean((1, 2), keepdim=True))

    def apply(self, pixels: torch.Tensor, layout: torch.memory_format, shift: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) or (N, F), uint8 or float32, to float32, images in a memory format; `shift` (N, C, 1, 1) is added to the pixels before."""
        # A copy: pixels that are float32 already are the data set's own.
        numbers = pixels.to(torch.float32, copy=True)
        if numbers.ndim == 2:
            return numbers.sub_(self.mean[:, 0, 0]).div_(self.std[:, 0, 0])
        if shift is not None:
            numbers = numbers.add_(shift)
        # Laid out last: the mean of a channel is slow to subtract where channels lie side by side.
        return numbers.sub_(self.mean).div_(self.std).contiguous(memory_format=layout)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for the weights' metadata."""
        return {
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            **({} if self.axes is None else {"axes": self.axes.tolist()}),
            **({} if self.scale == "bytes" else {"scale": self.scale}),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Normalisation:
        """The inverse of `to_dict`."""
        axes = torch.tensor(data["axes"]) if "axes" in data else None
        return Normalisation(torch.tensor(data["mean"]), torch.tensor(data["std"]), axes, data.get("scale", "bytes"))
