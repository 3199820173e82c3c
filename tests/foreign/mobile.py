"""MobileNetV2 and EfficientNet of torchvision and timm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from foreign.common import Excitation, conv, conv_norm_act, mean, stage

Row = tuple[int, int, int, int, int]
"""Of a stage: expansion, width, blocks, stride, kernel."""


class InvertedResidual(nn.Module):
    """torchvision's."""

    def __init__(self, i: int, out: int, stride: int, t: int, k: int) -> None:
        super().__init__()
        mid, self.same = i * t, stride == 1 and i == out
        self.conv = nn.Sequential(
            *([conv_norm_act(i, mid, act=nn.ReLU6)] if t > 1 else []), conv_norm_act(mid, mid, k, stride, mid, nn.ReLU6),
            conv(mid, out), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.same else self.conv(x)


class MBConv(nn.Module):
    """torchvision's."""

    def __init__(self, i: int, out: int, stride: int, t: int, k: int) -> None:
        super().__init__()
        mid, self.same = i * t, stride == 1 and i == out
        self.block = nn.Sequential(
            *([conv_norm_act(i, mid, act=nn.SiLU)] if t > 1 else []), conv_norm_act(mid, mid, k, stride, mid, nn.SiLU),
            Excitation(mid, max(1, i // 4), act=F.silu), conv_norm_act(mid, out, act=None),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.same else self.block(x)


class Mobile(nn.Module):
    """What both of torchvision's networks are: `grouped` puts the blocks of a stage into a module of their own."""

    def __init__(
        self, rows: Sequence[Row], block: Callable[..., nn.Module], act: type[nn.Module], grouped: bool, classes: int = 10
    ) -> None:
        super().__init__()
        steps: list[nn.Module] = [conv_norm_act(3, 32, 3, 2, act=act)]
        i = 32
        for t, out, depth, stride, k in rows:
            blocks = stage(block, i, out, depth, stride, t, k)
            steps += [nn.Sequential(*blocks)] if grouped else blocks
            i = out
        self.features = nn.Sequential(*steps, conv_norm_act(i, 1280, act=act))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(mean(self.features(x)))


def MobileNetV2(rows: Sequence[Row], classes: int = 10) -> Mobile:
    """torchvision's."""
    return Mobile(rows, InvertedResidual, nn.ReLU6, False, classes)


def EfficientNet(rows: Sequence[Row], classes: int = 10) -> Mobile:
    """torchvision's, of which B0 to B4 have norms with torch's own epsilon."""
    return Mobile(rows, MBConv, nn.SiLU, True, classes)


def timm_se(width: int, hidden: int) -> Excitation:
    """timm's SqueezeExcite of its EfficientNets."""
    return Excitation(width, hidden, ("conv_reduce", "conv_expand"), F.silu)


class TimmSeparable(nn.Module):
    """timm's DepthwiseSeparableConv."""

    def __init__(self, i: int, out: int, stride: int, t: int, k: int, act: type[nn.Module], se: bool) -> None:
        super().__init__()
        self.same, self.act = stride == 1 and i == out, act()
        self.conv_dw, self.bn1 = conv(i, i, k, stride, i), nn.BatchNorm2d(i)
        self.se = timm_se(i, i // 4) if se else nn.Identity()
        self.conv_pw, self.bn2 = conv(i, out), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv_pw(self.se(self.act(self.bn1(self.conv_dw(x))))))
        return x + y if self.same else y


class TimmInverted(nn.Module):
    """timm's InvertedResidual."""

    def __init__(self, i: int, out: int, stride: int, t: int, k: int, act: type[nn.Module], se: bool) -> None:
        super().__init__()
        mid, self.same, self.act = i * t, stride == 1 and i == out, act()
        self.conv_pw, self.bn1 = conv(i, mid), nn.BatchNorm2d(mid)
        self.conv_dw, self.bn2 = conv(mid, mid, k, stride, mid), nn.BatchNorm2d(mid)
        self.se = timm_se(mid, i // 4) if se else nn.Identity()
        self.conv_pwl, self.bn3 = conv(mid, out), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.conv_pw(x)))
        y = self.bn3(self.conv_pwl(self.se(self.act(self.bn2(self.conv_dw(y))))))
        return x + y if self.same else y


class TimmEfficientNet(nn.Module):
    """timm's class for both: MobileNetV2 without `se` and with ReLU6."""

    def __init__(self, rows: Sequence[Row], act: type[nn.Module], se: bool, classes: int = 10) -> None:
        super().__init__()
        self.act = act()
        self.conv_stem, self.bn1 = conv(3, 32, 3, 2), nn.BatchNorm2d(32)
        i, stages = 32, []
        for t, out, depth, stride, k in rows:
            stages.append(nn.Sequential(*stage(TimmSeparable if t == 1 else TimmInverted, i, out, depth, stride, t, k, act, se)))
            i = out
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = conv(i, 1280), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.bn1(self.conv_stem(x))))
        return self.classifier(mean(self.act(self.bn2(self.conv_head(x)))))
