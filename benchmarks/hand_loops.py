"""The loops that `gpu.py` is timed beside, written by hand: a tuned one in the style of torchvision's references, and the usual script."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from resnet_dsl.training.data.dataset import Dataset, InMemory
from resnet_dsl.training.device.device import wait

Steps = Callable[[int], object]
"""Takes so many steps, and returns when the card has done them."""


def tuned_steps(model: nn.Module, batch: int, side: int, classes: int, device: torch.device, mode: str | None) -> Steps:
    """torchvision's reference loop, tuned by hand for one card: one batch of noise, on the card from the beginning.

    `mode`: of torch.compile; None leaves it out.
    """
    layout = torch.channels_last
    model = model.to(device, memory_format=layout).train()  # type: ignore[call-overload]
    forward = model if mode is None else torch.compile(model, mode=mode, dynamic=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, fused=True)
    images = torch.randn(batch, 3, side, side, device=device).to(memory_format=layout)
    labels = torch.randint(classes, (batch,), device=device)

    def steps(count: int) -> None:
        for _ in range(count):
            if mode == "reduce-overhead":
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            with torch.autocast(device.type, torch.bfloat16):
                loss = functional.cross_entropy(forward(images), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        wait(device)

    return steps


class CropFlip(TorchDataset[tuple[torch.Tensor, int]]):
    """What the usual script does to an image at a time, on the CPU."""

    def __init__(self, part: InMemory) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = functional.pad(self.part.pixels[index], (4, 4, 4, 4))
        h, w = self.part.pixels.shape[2:]
        top, left = torch.randint(9, (2,)).tolist()
        image = image[:, top : top + h, left : left + w]
        if torch.rand(()) < 0.5:
            image = image.flip(2)
        return (image.float() / 255 - 0.5) / 0.25, int(self.part.labels[index])


@contextlib.contextmanager
def usual_steps(model: nn.Module, data: Dataset, batch: int, device: torch.device, workers: int) -> Iterator[Steps]:
    """The script that everyone has: a DataLoader, fp32, eager, channels first, the loss read at each step."""
    assert isinstance(data.train, InMemory)
    loader = DataLoader(
        CropFlip(data.train), batch, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda", drop_last=True,
        persistent_workers=workers > 0,
    )  # fmt: skip
    model = model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    running = 0.0

    def endless() -> Generator[tuple[torch.Tensor, torch.Tensor], None, None]:
        while True:
            yield from loader

    batches = endless()

    def steps(count: int) -> None:
        nonlocal running
        for _ in range(count):
            images, labels = next(batches)
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            running += loss.item()
        wait(device)

    try:
        yield steps
    finally:
        batches.close()
