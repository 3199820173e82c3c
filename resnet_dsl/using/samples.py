"""What a run's network makes of single test images: its most confident mistakes, and some that it gets right."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.records.assessment import Sample, Sampled
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.using.assess import assess_images, run_images

MISTAKES, RIGHT = 24, 12
"""Images that are shown, at most."""

SIDE = 128
"""The longer side of an image that is shown, at most."""

_TOGETHER = 100


def predictions(path: Path, data_dir: Path | None = None) -> Sampled:
    """What is found of a run on its test images, with mistakes, the most confident first, then right guesses
    that lie evenly over the test images. Raises SpecError (exit 2 or 3).
    """
    trained, data, images = run_images(path, data=None, data_dir=data_dir)
    guesses = Guesses()
    found = assess_images(trained, data, images, "test", "auto", None, watch=guesses)
    chosen = guesses.chosen()
    pixels = _at(images, chosen)
    guess, share, true = (column[chosen].tolist() for column in guesses.columns)
    samples = [
        _sample(i, data.classes[t], data.classes[g], s, pixels[i]) for i, g, s, t in zip(chosen.tolist(), guess, share, true, strict=True)
    ]
    return Sampled(found, tuple(samples))


class Guesses:
    """Gathers the first guess for each image, in order, its probability, and the true class."""

    def __init__(self) -> None:
        self._rows: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Logits (N, classes) and labels (N,)."""
        # topk's first, as in the scores, where two are equal.
        first = outputs.topk(min(5, outputs.shape[1]), dim=1).indices[:, 0]
        shares = outputs.softmax(1).gather(1, first[:, None])[:, 0].nan_to_num(0.0)
        self._rows.append((first.cpu(), shares.cpu(), labels.cpu()))

    @property
    def columns(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """First guesses, their probabilities and the true classes, (N,) each."""
        guess, share, true = (torch.cat(column) for column in zip(*self._rows, strict=True))
        return guess, share, true

    def chosen(self) -> torch.Tensor:
        """The positions of the samples, in the order in which they are shown."""
        guess, share, true = self.columns
        wrong, right = (guess != true).nonzero()[:, 0], (guess == true).nonzero()[:, 0]
        wrong = wrong[share[wrong].argsort(descending=True, stable=True)][:MISTAKES]
        spread = torch.linspace(0, len(right) - 1, min(RIGHT, len(right))).round().long()
        return torch.cat((wrong, right[spread]))


def _at(images: Images, index: torch.Tensor) -> dict[int, torch.Tensor]:
    """Pixels (C, H, W) of the images at these positions."""
    try:
        taken = images.take(index).chunks(_TOGETHER)
    except SpecError:
        # Shards are read as they come: what is wanted is picked out on the way.
        wanted, at = set(index.tolist()), 0
        found: dict[int, torch.Tensor] = {}
        for pixels, _ in images.chunks(_TOGETHER):
            found |= {i: pixels[i - at] for i in range(at, at + len(pixels)) if i in wanted}
            at += len(pixels)
            if len(found) == len(wanted):
                break
        return found
    return dict(zip(index.tolist(), (p for pixels, _ in taken for p in pixels), strict=True))


def _sample(index: int, true: str, guess: str, probability: float, pixels: torch.Tensor) -> Sample:
    shown = _small(pixels)
    channels, height, width = shown.shape
    return Sample(index, true, guess, probability, shown.permute(1, 2, 0).contiguous().cpu().numpy().tobytes(), height, width, channels)


def _small(pixels: torch.Tensor) -> torch.Tensor:
    """(C, H, W) uint8, shrunk to `SIDE` where it is larger. Other numbers are shown from their least, black, to their largest; features as a row."""
    if pixels.dtype != torch.uint8:
        low, high = pixels.min(), pixels.max()
        pixels = ((pixels - low) / (high - low).clamp_min(1e-30) * 255).round().to(torch.uint8)
    pixels = pixels if pixels.ndim == 3 else pixels[None, None]
    _, h, w = pixels.shape
    if max(h, w) <= SIDE:
        return pixels
    size = (max(1, round(h * SIDE / max(h, w))), max(1, round(w * SIDE / max(h, w))))
    return functional.interpolate(pixels[None].float(), size=size, mode="area")[0].round().to(torch.uint8)
