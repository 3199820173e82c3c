"""ResNets as people write them by hand in PyTorch: what the compiled networks are compared with. Knows nothing of ours.

Names of modules are torchvision's, so state_dicts can be exchanged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class ZeroPad(nn.Module):
    """Shortcut A: every stride-th pixel, missing channels are zero."""

    def __init__(self, extra, stride):
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x):
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra)) if self.extra else x


def make_shortcut(kind, channels, out, stride):
    changes = stride != 1 or channels != out
    if kind == "A" and changes:
        return ZeroPad(out - channels, stride)
    if kind == "C" or (kind == "B" and changes):
        return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    return None


class Basic(nn.Module):
    expansion = 1

    def __init__(self, channels, width, stride, shortcut, groups, base_width, stride_at):
        super().__init__()
        self.plain = shortcut == "none"
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut(shortcut, channels, width, stride)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.plain:
            return self.relu(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        return self.relu(out + identity)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, channels, width, stride, shortcut, groups, base_width, stride_at):
        super().__init__()
        mid, out = width * base_width // 64 * groups, width * 4
        self.plain = shortcut == "none"
        self.conv1 = nn.Conv2d(channels, mid, 1, stride if stride_at == 1 else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride if stride_at == 2 else 1, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = make_shortcut(shortcut, channels, out, stride)

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.plain:
            return self.relu(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        return self.relu(out + identity)


class ResNet(nn.Module):
    """`stem` is imagenet (7x7/2 conv and max pool) or cifar (3x3 conv); `depths` and `widths` an entry a stage."""

    def __init__(
        self, block, depths, widths, *, classes=1000, shortcut="B", stem="imagenet", groups=1, base_width=64, stride_at=2
    ):  # fmt: skip
        super().__init__()
        channels = widths[0]
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False) if stem == "imagenet" else nn.Conv2d(3, channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else None
        self.stages = len(depths)
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(block(channels, width, stride, shortcut, groups, base_width, stride_at))
                channels = width * block.expansion
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for i in range(self.stages):
            x = getattr(self, f"layer{i + 1}")(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))
