"""ResNets of torchvision, timm, and for CIFAR."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foreign.common import Excitation, Head, conv, mean, stage


def downsample(i: int, out: int, stride: int, avg_down: bool, norm) -> nn.Module:
    """Of a block's shortcut: nothing, a conv, or average pooling and a conv."""
    if stride == 1 and i == out:
        return nn.Identity()
    if not avg_down:
        return nn.Sequential(conv(i, out, 1, stride), norm(out))
    pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
    return nn.Sequential(pool, conv(i, out), norm(out))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(
        self, i: int, out: int, stride: int, *, groups: int = 1, base: int = 64, se: int = 0, avg_down: bool = False, norm=nn.BatchNorm2d
    ) -> None:
        super().__init__()
        mid = out // 4 * base // 64 * groups
        self.conv1, self.bn1 = conv(i, mid), norm(mid)
        self.conv2, self.bn2 = conv(mid, mid, 3, stride, groups), norm(mid)
        self.conv3, self.bn3 = conv(mid, out), norm(out)
        self.se = Excitation(out, out // se) if se else nn.Identity()
        self.downsample = downsample(i, out, stride, avg_down, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.se(self.bn3(self.conv3(y))) + self.downsample(x))


class Basic(nn.Module):
    expansion = 1

    def __init__(self, i: int, out: int, stride: int, *, se: int = 0, norm=nn.BatchNorm2d, avg_down: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(i, out, 3, stride), norm(out)
        self.conv2, self.bn2 = conv(out, out, 3), norm(out)
        self.se = Excitation(out, out // se) if se else nn.Identity()
        self.downsample = downsample(i, out, stride, avg_down, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.se(self.bn2(self.conv2(y))) + self.downsample(x))


class Bottle2neck(nn.Module):
    """timm's, scale 4."""

    expansion = 4

    def __init__(self, i: int, out: int, stride: int, *, norm=nn.BatchNorm2d) -> None:
        super().__init__()
        self.first, self.w = stride > 1 or i != out, 26 * out // 256
        w = self.w
        self.conv1, self.bn1 = conv(i, 4 * w), norm(4 * w)
        self.convs = nn.ModuleList(conv(w, w, 3, stride) for _ in range(3))
        self.bns = nn.ModuleList(norm(w) for _ in range(3))
        self.pool = nn.AvgPool2d(3, stride, 1)
        self.conv3, self.bn3 = conv(4 * w, out), norm(out)
        self.downsample = downsample(i, out, stride, False, norm)

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(F.relu(self.bn1(self.conv1(x))), self.w, 1)
        found, y = [], parts[0]
        for i, (c, n) in enumerate(zip(self.convs, self.bns, strict=True)):
            y = parts[i] if i == 0 or self.first else y + parts[i]
            y = F.relu(n(c(y)))
            found.append(y)
        found.append(self.pool(parts[3]) if self.first else parts[3])
        return F.relu(self.bn3(self.conv3(torch.cat(found, 1))) + self.downsample(x))


class ResNet(nn.Module):
    """torchvision's and timm's; `stem` are the widths of timm's deep stem."""

    def __init__(
        self,
        depths: Sequence[int],
        block=Bottleneck,
        stem: tuple[int, int] | None = None,
        norm=nn.BatchNorm2d,
        classes: int = 10,
        **options,
    ) -> None:
        super().__init__()
        if stem is None:
            self.conv1: nn.Module = conv(3, 64, 7, 2)
        else:
            a, b = stem
            self.conv1 = nn.Sequential(conv(3, a, 3, 2), norm(a), nn.ReLU(), conv(a, b, 3), norm(b), nn.ReLU(), conv(b, 64, 3))
        self.bn1 = norm(64)
        i, self.stages = 64, len(depths)
        for s, depth in enumerate(depths):
            out = (64 << s) * block.expansion
            self.add_module(f"layer{s + 1}", nn.Sequential(*stage(block, i, out, depth, 2 if s else 1, norm=norm, **options)))
            i = out
        self.fc = nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for s in range(self.stages):
            x = self.get_submodule(f"layer{s + 1}")(x)
        return self.fc(mean(x))


def Res2Net(depths: Sequence[int], classes: int = 10) -> ResNet:
    """timm's."""
    return ResNet(depths, Bottle2neck, classes=classes)


# --- pre-activation: timm's resnetv2 --------------------------------------------------------------------------


class NormAct(nn.BatchNorm2d):
    """timm's BatchNormAct2d."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class DownsampleConv(nn.Module):
    def __init__(self, i: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv, self.norm = conv(i, out, 1, stride), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class PreactBottleneck(nn.Module):
    def __init__(self, i: int, out: int, stride: int) -> None:
        super().__init__()
        mid = out // 4
        self.downsample = DownsampleConv(i, out, stride) if i != out else None
        self.norm1, self.conv1 = NormAct(i), conv(i, mid)
        self.norm2, self.conv2 = NormAct(mid), conv(mid, mid, 3, stride)
        self.norm3, self.conv3 = NormAct(mid), conv(mid, out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        shortcut = x if self.downsample is None else self.downsample(y)
        return self.conv3(self.norm3(self.conv2(self.norm2(self.conv1(y))))) + shortcut


class PreactBasic(nn.Module):
    def __init__(self, i: int, out: int, stride: int) -> None:
        super().__init__()
        self.downsample = DownsampleConv(i, out, stride) if stride > 1 or i != out else None
        self.norm1, self.conv1 = NormAct(i), conv(i, out, 3, stride)
        self.norm2, self.conv2 = NormAct(out), conv(out, out, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        shortcut = x if self.downsample is None else self.downsample(y)
        return self.conv2(self.norm2(self.conv1(y))) + shortcut


class Stage(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class ResNetV2(nn.Module):
    def __init__(self, depths: Sequence[int], basic: bool = False, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv=conv(3, 64, 7, 2), pool=nn.MaxPool2d(3, 2, 1)))
        i, stages = 64, []
        for s, depth in enumerate(depths):
            out = (64 if basic else 256) << s
            stages.append(Stage(stage(PreactBasic if basic else PreactBottleneck, i, out, depth, 2 if s else 1)))
            i = out
        self.stages = nn.Sequential(*stages)
        self.norm = NormAct(i)
        self.head = Head(i, classes, use_conv=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(self.stem(x))))


# --- for CIFAR ----------------------------------------------------------------------------------------------


class CifarBlock(nn.Module):
    def __init__(self, i: int, out: int, stride: int, option: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(i, out, 3, stride), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = conv(out, out, 3), nn.BatchNorm2d(out)
        self.pad, self.stride = (out - i) // 2 if option == "A" else 0, stride
        self.shortcut = nn.Sequential(conv(i, out, 1, stride), nn.BatchNorm2d(out)) if option == "B" and i != out else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else self.shortcut(x)
        return F.relu(y + shortcut)


class CifarResNet(nn.Module):
    """akamaster/pytorch_resnet_cifar10: option A puts the old channels between the new ones."""

    def __init__(self, depth: int, option: str = "A", classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        i = 16
        for s, out in enumerate((16, 32, 64), 1):
            self.add_module(f"layer{s}", nn.Sequential(*stage(CifarBlock, i, out, depth, 2 if s > 1 else 1, option)))
            i = out
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(mean(self.layer3(self.layer2(self.layer1(x)))))
