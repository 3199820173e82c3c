"""A plain training script for Fashion-MNIST, as one writes it by hand: Dataset, DataLoader, SGD, two drops.

python benchmarks/plain.py [--epochs 20] [--stop-at 94] [--limit-steps N]; a line per epoch: seconds since the start, test accuracy.
"""

from __future__ import annotations

import argparse
import gzip
import random
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

FOLDER = "/usr/share/datasets/fashion-mnist"


def read(name: str, header: int) -> Any:
    with gzip.open(f"{FOLDER}/{name}") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


class FashionMNIST(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, part: str, augment: int) -> None:
        self.images = read(f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        self.labels = read(f"{part}-labels-idx1-ubyte.gz", 8)
        self.augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        image = torch.from_numpy(self.images[i].astype(np.float32)).unsqueeze(0) / 255
        image = (image - 0.2860) / 0.3530
        if self.augment:
            pad = self.augment
            top, left = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
            image = F.pad(image, (pad, pad, pad, pad), value=-0.2860 / 0.3530)[:, top : top + 28, left : left + 28]
            if random.random() < 0.5:
                image = image.flip(2)
        return image, int(self.labels[i])


class Block(nn.Module):
    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != width:
            self.downsample = nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(nn.Module):
    """3x3 stem at full size, then stages of `depth` basic blocks, each beginning with stride 2 (28 -> 14 -> 7 -> 4)."""

    def __init__(self, stem: int = 16, widths: tuple[int, ...] = (32, 64, 128), depth: int = 2) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        blocks: list[nn.Module] = []
        inside = stem
        for width in widths:
            for index in range(depth):
                blocks.append(Block(inside, width, 2 if index == 0 else 1))
                inside = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inside, 10)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.blocks(self.stem(x)).mean((2, 3)))
        return logits


def accuracy(model: nn.Module, loader: DataLoader[tuple[torch.Tensor, int]]) -> float:
    model.eval()
    right, images_seen = 0, 0
    with torch.no_grad():
        for images, labels in loader:
            right += int((model(images).argmax(1) == labels).sum())
            images_seen += len(labels)
    model.train()
    return 100 * right / images_seen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--pad", type=int, default=2)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--limit-steps", type=int, default=0)
    parser.add_argument("--stop-at", type=float, default=101.0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    start = time.time()
    train = DataLoader(FashionMNIST("train", args.pad), batch_size=128, shuffle=True, num_workers=args.workers, drop_last=True)
    test = DataLoader(FashionMNIST("t10k", 0), batch_size=500, num_workers=args.workers)
    model = Net(depth=args.depth)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [args.epochs // 2, args.epochs * 3 // 4], gamma=0.1)
    steps = 0
    for epoch in range(args.epochs):
        for images, labels in train:
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps += 1
            if steps % 50 == 0 and args.limit_steps:
                print(f"step {steps} loss {loss.item():.3f} {steps * 128 / (time.time() - start):.0f} img/s", flush=True)
            if steps == args.limit_steps:
                print(f"test accuracy {accuracy(model, test):.2f} %, {time.time() - start:.1f} s", flush=True)
                return
        scheduler.step()
        now = accuracy(model, test)
        print(f"epoch {epoch + 1} {time.time() - start:.1f} s test accuracy {now:.2f} %", flush=True)
        if now >= args.stop_at:
            break


if __name__ == "__main__":
    main()
