"""RegNetX, DenseNet, VGG, SqueezeNet and DarkNet of torchvision and timm."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foreign.common import ConvBN, Head, conv, conv_norm_act, mean, stage


class RegNetBlock(nn.Module):
    """torchvision's ResBottleneckBlock."""

    def __init__(self, i: int, out: int, stride: int, group: int) -> None:
        super().__init__()
        self.proj = conv_norm_act(i, out, 1, stride, act=None) if stride > 1 or i != out else None
        self.f = nn.Sequential(OrderedDict(
            a=conv_norm_act(i, out), b=conv_norm_act(out, out, 3, stride, out // min(out, group)), c=conv_norm_act(out, out, act=None),
        ))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return F.relu((x if self.proj is None else self.proj(x)) + self.f(x))


class RegNet(nn.Module):
    """torchvision's."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], group: int, classes: int = 10) -> None:
        super().__init__()
        self.stem = conv_norm_act(3, 32, 3, 2)
        i, stages = 32, OrderedDict()
        for s, (depth, out) in enumerate(zip(depths, widths, strict=True), 1):
            blocks = enumerate(stage(RegNetBlock, i, out, depth, 2, group))
            stages[f"block{s}"], i = nn.Sequential(OrderedDict((f"block{s}-{b}", block) for b, block in blocks)), out
        self.trunk_output = nn.Sequential(stages)
        self.fc = nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(mean(self.trunk_output(self.stem(x))))


class TimmRegNetBlock(nn.Module):
    def __init__(self, i: int, out: int, stride: int, group: int) -> None:
        super().__init__()
        self.conv1 = ConvBN(i, out, act=nn.ReLU())
        self.conv2 = ConvBN(out, out, 3, stride, out // min(out, group), act=nn.ReLU())
        self.conv3 = ConvBN(out, out)
        self.downsample = ConvBN(i, out, 1, stride) if stride > 1 or i != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv3(self.conv2(self.conv1(x))) + self.downsample(x))


class TimmRegNet(nn.Module):
    def __init__(self, depths: Sequence[int], widths: Sequence[int], group: int, classes: int = 10) -> None:
        super().__init__()
        self.stem = ConvBN(3, 32, 3, 2, act=nn.ReLU())
        i = 32
        for s, (depth, out) in enumerate(zip(depths, widths, strict=True), 1):
            blocks = enumerate(stage(TimmRegNetBlock, i, out, depth, 2, group), 1)
            self.add_module(f"s{s}", nn.Sequential(OrderedDict((f"b{b}", block) for b, block in blocks)))
            i = out
        self.head = Head(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.s4(self.s3(self.s2(self.s1(self.stem(x))))))


class DenseLayer(nn.Module):
    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), conv(i, 4 * growth)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), conv(4 * growth, growth, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class DenseNet(nn.Module):
    """torchvision's, and timm's."""

    def __init__(self, depths: Sequence[int], growth: int = 32, stem: int = 64, classes: int = 10) -> None:
        super().__init__()
        f = nn.Sequential(OrderedDict(conv0=conv(3, stem, 7, 2), norm0=nn.BatchNorm2d(stem), relu0=nn.ReLU(), pool0=nn.MaxPool2d(3, 2, 1)))
        i = stem
        for s, depth in enumerate(depths, 1):
            block = nn.Sequential()
            for b in range(depth):
                block.add_module(f"denselayer{b + 1}", DenseLayer(i, growth))
                i += growth
            f.add_module(f"denseblock{s}", block)
            if s < len(depths):
                f.add_module(f"transition{s}", nn.Sequential(OrderedDict(
                    norm=nn.BatchNorm2d(i), relu=nn.ReLU(), conv=conv(i, i // 2), pool=nn.AvgPool2d(2, 2),
                )))  # fmt: skip
                i //= 2
        f.add_module("norm5", nn.BatchNorm2d(i))
        self.features, self.classifier = f, nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(mean(F.relu(self.features(x))))


def vgg_features(plan: Sequence[int], norm: bool) -> nn.Sequential:
    """0 is a pool."""
    steps: list[nn.Module] = []
    i = 3
    for width in plan:
        if not width:
            steps.append(nn.MaxPool2d(2, 2))
            continue
        steps += [conv(i, width, 3, bias=True), *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
        i = width
    return nn.Sequential(*steps)


class VGG(nn.Module):
    """torchvision's."""

    def __init__(self, plan: Sequence[int], norm: bool, hidden: int = 4096, classes: int = 10) -> None:
        super().__init__()
        self.features = vgg_features(plan, norm)
        self.classifier = nn.Sequential(
            nn.Linear(plan[-2] * 49, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(),
            nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 7).flatten(1))


class ConvMlp(nn.Module):
    def __init__(self, i: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(i, hidden, 7), nn.Conv2d(hidden, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc2(F.relu(self.fc1(x))))


class TimmVGG(nn.Module):
    def __init__(self, plan: Sequence[int], norm: bool, hidden: int = 4096, classes: int = 10) -> None:
        super().__init__()
        self.features = vgg_features(plan, norm)
        self.pre_logits = ConvMlp(plan[-2], hidden)
        self.head = Head(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pre_logits(self.features(x)))


class Fire(nn.Module):
    def __init__(self, i: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = conv(i, squeeze, bias=True)
        self.expand1x1, self.expand3x3 = conv(squeeze, expand, bias=True), conv(squeeze, expand, 3, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """torchvision's squeezenet1_0."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 7, 2), nn.ReLU(), pool(), Fire(96, 16, 64), Fire(128, 16, 64), Fire(128, 32, 128), pool(),
            Fire(256, 32, 128), Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), pool(), Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(), conv(512, classes, bias=True), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


class DarkBlock(nn.Module):
    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.conv1 = ConvBN(width, width // 2, act=nn.LeakyReLU(slope))
        self.conv2 = ConvBN(width // 2, width, 3, act=nn.LeakyReLU(slope))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x)) + x


class DarkStage(nn.Module):
    def __init__(self, i: int, out: int, depth: int, slope: float) -> None:
        super().__init__()
        self.conv_down = ConvBN(i, out, 3, 2, act=nn.LeakyReLU(slope))
        self.blocks = nn.Sequential(*(DarkBlock(out, slope) for _ in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.conv_down(x))


class DarkNet(nn.Module):
    """timm's, whose leaky ReLU is torch's own: a slope of 0.01."""

    def __init__(self, depths: Sequence[int], slope: float = 0.01, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv1=ConvBN(3, 32, 3, act=nn.LeakyReLU(slope))))
        self.stages = nn.Sequential(*(DarkStage(32 << s, 64 << s, depth, slope) for s, depth in enumerate(depths)))
        self.head = Head(32 << len(depths), classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))
