"""The networks of other libraries, written by hand under those libraries' names, to be loaded from and compared with.

Each class has the attributes of the library's own (torchvision 0.20, timm 1.0, and the repositories named), so its state_dict has the
library's keys. Nothing of resnet_dsl is used. The arguments are depths and widths, so that a test may take few and small blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights of about unit gain, and random statistics in the norms, in evaluation mode."""
    g = torch.Generator().manual_seed(seed)
    for m in model.modules():
        if isinstance(m, nn.Conv2d | nn.Linear):
            m.weight.data = torch.randn(m.weight.shape, generator=g) * (1.5 / m.weight[0].numel()) ** 0.5
            if m.bias is not None:
                m.bias.data = torch.randn(m.bias.shape, generator=g) * 0.1
        elif isinstance(m, nn.BatchNorm2d | nn.GroupNorm):
            m.weight.data = 0.5 + torch.rand(m.weight.shape, generator=g)
            m.bias.data = torch.randn(m.bias.shape, generator=g) * 0.1
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean = torch.randn(m.weight.shape, generator=g) * 0.1
            m.running_var = 0.5 + torch.rand(m.weight.shape, generator=g)
            m.num_batches_tracked = torch.tensor(7)
    return model.eval()


def conv(i: int, o: int, k: int = 1, stride: int = 1, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, stride, (k - 1) // 2, groups=groups, bias=bias)


def conv_norm_act(i: int, o: int, k: int = 1, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:
    """torchvision's Conv2dNormActivation."""
    steps: list[nn.Module] = [conv(i, o, k, stride, groups), nn.BatchNorm2d(o)]
    return nn.Sequential(*steps, *([act()] if act is not None else []))


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


# --- ResNet: torchvision, timm -------------------------------------------------------------------------------


class SE(nn.Module):
    """timm's SEModule: named `se`, with convs `fc1` and `fc2`."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = conv(width, hidden, bias=True), conv(hidden, width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class Bottleneck(nn.Module):
    def __init__(
        self, i: int, width: int, stride: int, *, groups: int = 1, base: int = 64, se: int = 0, avg_down: bool = False, norm=nn.BatchNorm2d
    ) -> None:
        super().__init__()
        mid, out = width * base // 64 * groups, width * 4
        self.conv1, self.bn1 = conv(i, mid), norm(mid)
        self.conv2, self.bn2 = conv(mid, mid, 3, stride, groups), norm(mid)
        self.conv3, self.bn3 = conv(mid, out), norm(out)
        self.se = SE(out, out // se) if se else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or i != out:
            pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
            self.downsample = (
                nn.Sequential(pool, conv(i, out), norm(out)) if avg_down else nn.Sequential(conv(i, out, 1, stride), norm(out))
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.se(self.bn3(self.conv3(y))) + self.downsample(x))


class Basic(nn.Module):
    def __init__(self, i: int, out: int, stride: int, *, se: int = 0, norm=nn.BatchNorm2d, avg_down: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv(i, out, 3, stride), norm(out)
        self.conv2, self.bn2 = conv(out, out, 3), norm(out)
        self.se = SE(out, out // se) if se else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride > 1 or i != out:
            pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False) if stride > 1 else nn.Identity()
            self.downsample = (
                nn.Sequential(pool, conv(i, out), norm(out)) if avg_down else nn.Sequential(conv(i, out, 1, stride), norm(out))
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.se(self.bn2(self.conv2(y))) + self.downsample(x))


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
        i = 64
        for s, depth in enumerate(depths):
            width = 64 << s
            out = width * 4 if block is Bottleneck else width
            blocks = [block(i if b == 0 else out, width, 2 if b == 0 and s else 1, norm=norm, **options) for b in range(depth)]
            setattr(self, f"layer{s + 1}", nn.Sequential(*blocks))
            i = out
        self.stages = len(depths)
        self.fc = nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for s in range(self.stages):
            x = getattr(self, f"layer{s + 1}")(x)
        return self.fc(mean(x))


class Res2NetBlock(nn.Module):
    """timm's Bottle2neck, scale 4."""

    def __init__(self, i: int, width: int, stride: int, *, w: int, norm=nn.BatchNorm2d) -> None:
        super().__init__()
        self.first, self.w, out = stride > 1 or i != width * 4, w, width * 4
        self.conv1, self.bn1 = conv(i, 4 * w), norm(4 * w)
        self.convs = nn.ModuleList(conv(w, w, 3, stride) for _ in range(3))
        self.bns = nn.ModuleList(norm(w) for _ in range(3))
        self.pool = nn.AvgPool2d(3, stride, 1)
        self.conv3, self.bn3 = conv(4 * w, out), norm(out)
        self.downsample: nn.Module = nn.Sequential(conv(i, out, 1, stride), norm(out)) if self.first else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        parts = torch.split(F.relu(self.bn1(self.conv1(x))), self.w, 1)
        found, y = [], parts[0]
        for i, (c, n) in enumerate(zip(self.convs, self.bns, strict=True)):
            y = parts[i] if i == 0 or self.first else y + parts[i]
            y = F.relu(n(c(y)))
            found.append(y)
        found.append(self.pool(parts[3]) if self.first else parts[3])
        return F.relu(self.bn3(self.conv3(torch.cat(found, 1))) + self.downsample(x))


class Res2Net(ResNet):
    def __init__(self, depths: Sequence[int], classes: int = 10) -> None:
        super().__init__([0] * len(depths), classes=classes)
        i = 64
        for s, depth in enumerate(depths):
            width = 64 << s
            blocks = [Res2NetBlock(i if b == 0 else width * 4, width, 2 if b == 0 and s else 1, w=26 << s) for b in range(depth)]
            setattr(self, f"layer{s + 1}", nn.Sequential(*blocks))
            i = width * 4
        self.fc = nn.Linear(i, classes)


# --- pre-activation ResNets: timm's resnetv2 ----------------------------------------------------------------


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
    def __init__(self, i: int, out: int, stride: int, first: bool) -> None:
        super().__init__()
        mid = out // 4
        self.downsample = DownsampleConv(i, out, stride) if first else None
        self.norm1, self.conv1 = NormAct(i), conv(i, mid)
        self.norm2, self.conv2 = NormAct(mid), conv(mid, mid, 3, stride)
        self.norm3, self.conv3 = NormAct(mid), conv(mid, out)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        shortcut = x if self.downsample is None else self.downsample(y)
        return self.conv3(self.norm3(self.conv2(self.norm2(self.conv1(y))))) + shortcut


class PreactBasic(nn.Module):
    def __init__(self, i: int, out: int, stride: int, first: bool) -> None:
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


class Head(nn.Module):
    """timm's ClassifierHead; with a conv where it is said."""

    def __init__(self, i: int, classes: int, use_conv: bool = False) -> None:
        super().__init__()
        self.fc = conv(i, classes, bias=True) if use_conv else nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3), keepdim=True)
        return self.fc(x).flatten(1) if isinstance(self.fc, nn.Conv2d) else self.fc(x.flatten(1))


class ResNetV2(nn.Module):
    def __init__(self, depths: Sequence[int], basic: bool = False, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(OrderedDict(conv=conv(3, 64, 7, 2), pool=nn.MaxPool2d(3, 2, 1)))
        i, stages = 64, []
        for s, depth in enumerate(depths):
            out = (64 if basic else 256) << s
            block = PreactBasic if basic else PreactBottleneck
            stages.append(Stage([block(i if b == 0 else out, out, 2 if b == 0 and s else 1, b == 0) for b in range(depth)]))
            i = out
        self.stages = nn.Sequential(*stages)
        self.norm = NormAct(i)
        self.head = Head(i, classes, use_conv=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.stages(self.stem(x))))


# --- RegNetX ------------------------------------------------------------------------------------------------


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
            stage = nn.Sequential()
            for b in range(depth):
                stage.add_module(f"block{s}-{b}", RegNetBlock(i if b == 0 else out, out, 2 if b == 0 else 1, group))
            stages[f"block{s}"], i = stage, out
        self.trunk_output = nn.Sequential(stages)
        self.fc = nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(mean(self.trunk_output(self.stem(x))))


class ConvBN(nn.Module):
    """timm's ConvNormAct: `conv` and `bn`."""

    def __init__(self, i: int, o: int, k: int = 1, stride: int = 1, groups: int = 1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.bn = conv(i, o, k, stride, groups), nn.BatchNorm2d(o)
        self.act = act if act is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


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
            stage = nn.Sequential()
            for b in range(depth):
                stage.add_module(f"b{b + 1}", TimmRegNetBlock(i if b == 0 else out, out, 2 if b == 0 else 1, group))
            setattr(self, f"s{s}", stage)
            i = out
        self.head = Head(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.s4(self.s3(self.s2(self.s1(self.stem(x))))))


# --- DenseNet, VGG, SqueezeNet ------------------------------------------------------------------------------


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


# --- MobileNetV2, EfficientNet ------------------------------------------------------------------------------

Row = tuple[int, int, int, int, int]
"""Of a stage: expansion, width, blocks, stride, kernel."""


class InvertedResidual(nn.Module):
    """torchvision's."""

    def __init__(self, i: int, out: int, stride: int, t: int) -> None:
        super().__init__()
        mid, self.same = i * t, stride == 1 and i == out
        self.conv = nn.Sequential(
            *([conv_norm_act(i, mid, act=nn.ReLU6)] if t > 1 else []), conv_norm_act(mid, mid, 3, stride, mid, nn.ReLU6),
            conv(mid, out), nn.BatchNorm2d(out),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.same else self.conv(x)


class MobileNetV2(nn.Module):
    """torchvision's."""

    def __init__(self, rows: Sequence[Row], classes: int = 10) -> None:
        super().__init__()
        steps: list[nn.Module] = [conv_norm_act(3, 32, 3, 2, act=nn.ReLU6)]
        i = 32
        for t, out, depth, stride, _ in rows:
            steps += [InvertedResidual(i if b == 0 else out, out, stride if b == 0 else 1, t) for b in range(depth)]
            i = out
        self.features = nn.Sequential(*steps, conv_norm_act(i, 1280, act=nn.ReLU6))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(mean(self.features(x)))


class SqueezeExcitation(nn.Module):
    """torchvision's, with SiLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = conv(width, hidden, bias=True), conv(hidden, width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class MBConv(nn.Module):
    """torchvision's."""

    def __init__(self, i: int, out: int, stride: int, t: int, k: int) -> None:
        super().__init__()
        mid, self.same = i * t, stride == 1 and i == out
        self.block = nn.Sequential(
            *([conv_norm_act(i, mid, act=nn.SiLU)] if t > 1 else []), conv_norm_act(mid, mid, k, stride, mid, nn.SiLU),
            SqueezeExcitation(mid, max(1, i // 4)), conv_norm_act(mid, out, act=None),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.same else self.block(x)


class EfficientNet(nn.Module):
    """torchvision's, of which B0 to B4 have norms with torch's own epsilon."""

    def __init__(self, rows: Sequence[Row], classes: int = 10) -> None:
        super().__init__()
        steps: list[nn.Module] = [conv_norm_act(3, 32, 3, 2, act=nn.SiLU)]
        i = 32
        for t, out, depth, stride, k in rows:
            steps.append(nn.Sequential(*(MBConv(i if b == 0 else out, out, stride if b == 0 else 1, t, k) for b in range(depth))))
            i = out
        self.features = nn.Sequential(*steps, conv_norm_act(i, 1280, act=nn.SiLU))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(mean(self.features(x)))


class TimmSE(nn.Module):
    """timm's SqueezeExcite of its EfficientNets."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv_reduce, self.conv_expand = conv(width, hidden, bias=True), conv(hidden, width, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_expand(F.silu(self.conv_reduce(x.mean((2, 3), keepdim=True)))).sigmoid()


class TimmSeparable(nn.Module):
    """timm's DepthwiseSeparableConv."""

    def __init__(self, i: int, out: int, stride: int, k: int, act: type[nn.Module], se: bool) -> None:
        super().__init__()
        self.same, self.act = stride == 1 and i == out, act()
        self.conv_dw, self.bn1 = conv(i, i, k, stride, i), nn.BatchNorm2d(i)
        self.se = TimmSE(i, i // 4) if se else nn.Identity()
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
        self.se = TimmSE(mid, i // 4) if se else nn.Identity()
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
            blocks: list[nn.Module] = []
            for b in range(depth):
                s = stride if b == 0 else 1
                blocks.append(TimmSeparable(i, out, s, k, act, se) if t == 1 else TimmInverted(i, out, s, t, k, act, se))
                i = out
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = conv(i, 1280), nn.BatchNorm2d(1280)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.bn1(self.conv_stem(x))))
        return self.classifier(mean(self.act(self.bn2(self.conv_head(x)))))


# --- DarkNet ------------------------------------------------------------------------------------------------


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


# --- ResNets for CIFAR --------------------------------------------------------------------------------------


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
            blocks = [CifarBlock(i if b == 0 else out, out, 2 if b == 0 and s > 1 else 1, option) for b in range(depth)]
            setattr(self, f"layer{s}", nn.Sequential(*blocks))
            i = out
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(mean(self.layer3(self.layer2(self.layer1(x)))))
