"""ResNets that differ in nothing but their names: built from a way of naming, and computed by looking the names up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from foreign.common import conv, mean


@dataclass(frozen=True)
class Names:
    """Templates over `s`, the stage from 0, `b`, the block from 0, and `i`, the conv in the block from 0."""

    stem: tuple[str, str]
    conv: str
    norm: str
    shortcut: tuple[str, str]
    fc: str


TRANSFORMERS = Names(
    ("resnet.embedder.embedder.convolution", "resnet.embedder.embedder.normalization"),
    "resnet.encoder.stages.{s}.layers.{b}.layer.{i}.convolution", "resnet.encoder.stages.{s}.layers.{b}.layer.{i}.normalization",
    ("resnet.encoder.stages.{s}.layers.{b}.shortcut.convolution", "resnet.encoder.stages.{s}.layers.{b}.shortcut.normalization"),
    "classifier.1",
)  # fmt: skip
DETECTRON2 = Names(
    ("stem.conv1", "stem.conv1.norm"), "res{s2}.{b}.conv{i1}", "res{s2}.{b}.conv{i1}.norm", ("res{s2}.{b}.shortcut", "res{s2}.{b}.shortcut.norm"),
    "linear",
)  # fmt: skip
PYCLS = Names(("stem.conv", "stem.bn"), "s{s1}.b{b1}.f.{a}", "s{s1}.b{b1}.f.{a}_bn", ("s{s1}.b{b1}.proj", "s{s1}.b{b1}.bn"), "head.fc")
PYCLS_OLD = Names(("s1.conv", "s1.bn"), "s{s2}.b{b1}.f.{a}", "s{s2}.b{b1}.f.{a}_bn", ("s{s2}.b{b1}.proj", "s{s2}.b{b1}.bn"), "head.fc")
CIFAR100 = Names(
    ("conv1.0", "conv1.1"), "conv{s2}_x.{b}.residual_function.{i3}", "conv{s2}_x.{b}.residual_function.{i31}",
    ("conv{s2}_x.{b}.shortcut.0", "conv{s2}_x.{b}.shortcut.1"), "fc",
)  # fmt: skip
KUANGLIU = Names(
    ("conv1", "bn1"), "layer{s1}.{b}.conv{i1}", "layer{s1}.{b}.bn{i1}", ("layer{s1}.{b}.shortcut.0", "layer{s1}.{b}.shortcut.1"), "linear"
)
TORCHVISION = Names(
    ("conv1", "bn1"), "layer{s1}.{b}.conv{i1}", "layer{s1}.{b}.bn{i1}", ("layer{s1}.{b}.downsample.0", "layer{s1}.{b}.downsample.1"), "fc"
)
OPENMMLAB = Names(
    ("backbone.conv1", "backbone.bn1"), "backbone.layer{s1}.{b}.conv{i1}", "backbone.layer{s1}.{b}.bn{i1}",
    ("backbone.layer{s1}.{b}.downsample.0", "backbone.layer{s1}.{b}.downsample.1"), "head.fc",
)  # fmt: skip


class Named(nn.Module):
    """A ResNet under such names. `kernel` is the stem's: 7 with a pool, or 3; `deep`: bottlenecks; `group`: RegNet's, whose stem has stride 2."""

    def __init__(
        self, names: Names, depths: Sequence[int], widths: Sequence[int] = (64, 128, 256, 512), *, kernel: int = 7, deep: bool = True,
        group: int = 0, enters: int = 64, classes: int = 10,
    ) -> None:  # fmt: skip
        super().__init__()
        self.names, self.depths, self.kernel, self.group, self.deep = names, depths, kernel, group, deep
        self.put(names.stem[0], conv(3, enters, kernel, 2 if kernel == 7 or group else 1))
        self.put(names.stem[1], nn.BatchNorm2d(enters))
        for s, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            out = width if group or not deep else width * 4
            for b in range(depth):
                stride = (2 if s or group else 1) if b == 0 else 1
                sizes = (
                    [(enters, width, 1, 1), (width, width, 3, stride), (width, out, 1, 1)]
                    if deep
                    else [(enters, out, 3, stride), (out, out, 3, 1)]
                )
                for i, (a, o, k, step) in enumerate(sizes):
                    self.put(self.called(names.conv, s, b, i), conv(a, o, k, step, width // group if group and k == 3 else 1))
                    self.put(self.called(names.norm, s, b, i), nn.BatchNorm2d(o))
                if stride > 1 or enters != out:
                    self.put(self.called(names.shortcut[0], s, b), conv(enters, out, 1, stride))
                    self.put(self.called(names.shortcut[1], s, b), nn.BatchNorm2d(out))
                enters = out
        self.put(names.fc, nn.Linear(enters, classes))

    @staticmethod
    def called(name: str, s: int, b: int, i: int = 0) -> str:
        return name.format(s=s, s1=s + 1, s2=s + 2, b=b, b1=b + 1, i=i, i1=i + 1, i3=3 * i, i31=3 * i + 1, a="abc"[i])

    def put(self, path: str, module: nn.Module) -> None:
        here: nn.Module = self
        *scopes, last = path.split(".")
        for scope in scopes:
            if scope not in dict(here.named_children()):
                here.add_module(scope, nn.Module())
            here = here.get_submodule(scope)
        here.add_module(last, module)

    def apply_to(self, x: Tensor, conv_name: str, norm_name: str, s: int = 0, b: int = 0, i: int = 0) -> Tensor:
        c = self.get_submodule(self.called(conv_name, s, b, i))
        # Not by calling it: a norm that is inside the conv is a child of it.
        y = F.conv2d(x, c.weight, None, c.stride, c.padding, c.dilation, c.groups)
        return self.get_submodule(self.called(norm_name, s, b, i))(y)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.apply_to(x, *self.names.stem))
        x = F.max_pool2d(x, 3, 2, 1) if self.kernel == 7 else x
        known = dict(self.named_modules())
        for s, depth in enumerate(self.depths):
            for b in range(depth):
                y = x
                for i in range(3 if self.deep else 2):
                    y = F.relu(y) if i else y
                    y = self.apply_to(y, self.names.conv, self.names.norm, s, b, i)
                shortcut = self.apply_to(x, *self.names.shortcut, s, b) if self.called(self.names.shortcut[0], s, b) in known else x
                x = F.relu(y + shortcut)
        return self.get_submodule(self.names.fc)(mean(x))


class WideBlock(nn.Module):
    def __init__(self, i: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, out, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(out), conv(out, out, 3)
        self.convShortcut = conv(i, out, 1, stride) if i != out else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(x))
        shortcut = x if self.convShortcut is None else self.convShortcut(y)
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + shortcut


class WideStage(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class WideResNet(nn.Module):
    """xternalz/WideResNet-pytorch."""

    def __init__(self, n: int, k: int, classes: int = 10) -> None:
        super().__init__()
        self.conv1, i = conv(3, 16, 3), 16
        for s, width in enumerate((16 * k, 32 * k, 64 * k)):
            blocks = [WideBlock(i if b == 0 else width, width, 2 if s and b == 0 else 1) for b in range(n)]
            self.add_module(f"block{s + 1}", WideStage(blocks))
            i = width
        self.bn1, self.fc = nn.BatchNorm2d(i), nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(mean(F.relu(self.bn1(x))))
