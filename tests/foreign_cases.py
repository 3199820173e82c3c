"""Our specs beside the same networks of other libraries, small enough to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import foreign
import torch
from torch import nn

from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.verbs.modules import build


def depths(*numbers: int) -> tuple[str, ...]:
    return tuple(f"stages.layer{s}.depth={n}" for s, n in enumerate(numbers, 1))


def widths(*numbers: int) -> tuple[str, ...]:
    return tuple(f"stages.layer{s}.width={n}" for s, n in enumerate(numbers, 1))


@dataclass(frozen=True)
class Case:
    """A spec with settings that make it small, the network by hand, and the table whose names are found (None: our own)."""

    spec: str
    settings: tuple[str, ...]
    make: Callable[[], nn.Module]
    names: str | None = None
    side: int = 32
    state: str = "renamed"

    def graph(self, *more: str) -> Graph:
        return compile(load(self.spec, ("classes=10", f"input.height={self.side}", f"input.width={self.side}", *self.settings, *more)))


def vgg(net: type[nn.Module], plan: Sequence[int], norm: bool) -> Callable[[], nn.Module]:
    return lambda: net(plan, norm, hidden=32)


def made(names: foreign.Names, deep: bool, kernel: int) -> Callable[[], nn.Module]:
    return lambda: foreign.Named(names, D4, kernel=kernel, deep=deep)


D4 = (1, 2, 1, 1)
MOBILE: tuple[foreign.Row, ...] = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 1, 2, 3), (6, 64, 1, 2, 3), (6, 96, 1, 1, 3), (6, 160, 2, 2, 3), (6, 320, 1, 1, 3),
)  # fmt: skip
EFFICIENT: tuple[foreign.Row, ...] = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 1, 2, 5), (6, 80, 1, 2, 3), (6, 112, 2, 1, 5), (6, 192, 1, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip
D7 = depths(*(row[2] for row in MOBILE))
VGG = ("head=[flatten, linear: {out: 32}, act, linear: {out: 32}, act, linear: {out: classes}]", *widths(8, 8, 16, 16, 16))
PLAN, PLAN_BN = (8, 0, 8, 0, 16, 16, 0, 16, 16, 0, 16, 16, 0), (8, 8, 0, 8, 8, 0, 16, 16, 0, 16, 16, 0, 16, 16, 0)
X = (24, 56, 152, 368)
SLOPE = "act={leaky_relu: {slope: 0.01}}"

CASES = {
    "resnet": Case("resnet50", depths(*D4), lambda: foreign.ResNet(D4), state="mapped"),
    "resnet, basic": Case("resnet18", depths(*D4), lambda: foreign.ResNet(D4, foreign.Basic), state="mapped"),
    "resnext": Case("resnext50-32x4d", depths(*D4), lambda: foreign.ResNet(D4, groups=32, base=4), state="mapped"),
    "wide": Case("wide-resnet50-2", depths(1, 1, 1, 1), lambda: foreign.ResNet((1, 1, 1, 1), base=128), state="mapped"),
    "resnet-d": Case("resnet50d", depths(*D4), lambda: foreign.ResNet(D4, stem=(32, 32), avg_down=True), state="mapped"),
    "resnet-d, basic": Case("resnet18d", depths(*D4), lambda: foreign.ResNet(D4, foreign.Basic, stem=(32, 32), avg_down=True), state="mapped"),
    "resnet-t": Case("resnet14t", (), lambda: foreign.ResNet((1, 1, 1, 1), stem=(24, 32), avg_down=True), state="mapped"),
    "se-resnet": Case("se-resnet50", depths(*D4), lambda: foreign.ResNet(D4, se=16), state="mapped"),
    "se-resnext": Case("se-resnext50-32x4d", depths(*D4), lambda: foreign.ResNet(D4, se=16, groups=32, base=4), state="mapped"),
    "group norm": Case("resnet50-gn", depths(*D4), lambda: foreign.ResNet(D4, norm=lambda n: nn.GroupNorm(32, n)), state="mapped"),
    "stages by other names": Case(
        "resnet18", ("stages=[{name: a, depth: 1, width: 64}, {name: b, depth: 2, width: 128, stride: 2}]",),
        lambda: foreign.ResNet((1, 2), foreign.Basic), "ResNet in torchvision and timm",
    ),
    "res2net": Case("res2net50-26w4s", depths(*D4), lambda: foreign.Res2Net(D4), "Res2Net in timm"),
    "preact": Case("preresnet50", depths(*D4), lambda: foreign.ResNetV2(D4), "pre-activation ResNet in timm"),
    "preact, basic": Case("preresnet18", depths(*D4), lambda: foreign.ResNetV2(D4, basic=True), "pre-activation ResNet in timm"),
    "regnet": Case("regnetx-200mf", depths(*D4), lambda: foreign.RegNet(D4, X, 8), "RegNet in torchvision"),
    "regnet, timm": Case("regnetx-200mf", depths(*D4), lambda: foreign.TimmRegNet(D4, X, 8), "RegNet in timm"),
    "densenet": Case("densenet121", depths(*D4), lambda: foreign.DenseNet(D4), "DenseNet in torchvision and timm"),
    "densenet161": Case("densenet161", depths(*D4), lambda: foreign.DenseNet(D4, 48, 96), "DenseNet in torchvision and timm"),
    "vgg": Case("vgg11", VGG, vgg(foreign.VGG, PLAN, False), "VGG in torchvision", 224),
    "vgg-bn": Case("vgg13-bn", VGG, vgg(foreign.VGG, PLAN_BN, True), "VGG in torchvision", 224),
    "vgg, timm": Case("vgg11", VGG, vgg(foreign.TimmVGG, PLAN, False), "VGG in timm", 224),
    "vgg-bn, timm": Case("vgg13-bn", VGG, vgg(foreign.TimmVGG, PLAN_BN, True), "VGG in timm", 224),
    "squeezenet": Case("squeezenet", (), foreign.SqueezeNet, "SqueezeNet in torchvision", 64),
    "mobilenet": Case("mobilenetv2", D7, lambda: foreign.MobileNetV2(MOBILE), "MobileNetV2 in torchvision"),
    "mobilenet, timm": Case("mobilenetv2", D7, lambda: foreign.TimmEfficientNet(MOBILE, nn.ReLU6, False), "MobileNetV2 in timm"),
    "efficientnet": Case(
        "efficientnet-b0", depths(*(r[2] for r in EFFICIENT)), lambda: foreign.EfficientNet(EFFICIENT), "EfficientNet in torchvision"
    ),
    "efficientnet, timm": Case(
        "efficientnet-b0", depths(*(r[2] for r in EFFICIENT)), lambda: foreign.TimmEfficientNet(EFFICIENT, nn.SiLU, True),
        "EfficientNet in timm",
    ),
    "darknet": Case("darknet53", (SLOPE, *depths(1, 2, 1, 1, 2)), lambda: foreign.DarkNet((1, 2, 1, 1, 2)), "DarkNet in timm"),
    **{
        f"{name}, {kind}": Case(spec, (*depths(*D4), *more), made(names, deep, kernel), table, state="mapped" if table is None else "renamed")
        for name, names, table, kernel in (
            ("transformers", foreign.TRANSFORMERS, "ResNet in transformers", 7),
            ("detectron2", foreign.DETECTRON2, "ResNet in detectron2", 7),
            ("pycls", foreign.PYCLS, "ResNet in pycls", 7),
            ("pycls's first", foreign.PYCLS_OLD, "ResNet in pycls's first files", 7),
            ("openmmlab", foreign.OPENMMLAB, None, 7),
            ("weiaicunzai", foreign.CIFAR100, "ResNet for CIFAR in pytorch-cifar100", 3),
            ("kuangliu", foreign.KUANGLIU, "ResNet for CIFAR in pytorch_resnet_cifar10 and pytorch-cifar", 3),
        )
        for kind, spec, deep in (("basic", "resnet18", False), ("bottleneck", "resnet50", True))
        for more in [("stem=cifar",) if kernel == 3 else ()]
    },
    "chenyaofo and bearpaw": Case(
        "resnet20", ("shortcut=B",),
        lambda: foreign.Named(foreign.TORCHVISION, (3, 3, 3), (16, 32, 64), kernel=3, deep=False, enters=16), state="mapped",
    ),
    "regnet, pycls": Case(
        "regnetx-200mf", depths(*D4), lambda: foreign.Named(foreign.PYCLS, D4, X, kernel=3, group=8, enters=32), "ResNet in pycls"
    ),
    "wide, for cifar": Case("wrn-16-4", ("params.k=1", "params.n=2"), lambda: foreign.WideResNet(2, 1), "Wide ResNet in WideResNet-pytorch"),
    "cifar": Case("resnet20", (), lambda: foreign.CifarResNet(3), "ResNet for CIFAR in pytorch_resnet_cifar10 and pytorch-cifar", 32, "reordered"),
    "cifar, projections": Case(
        "resnet20", ("shortcut=B",), lambda: foreign.CifarResNet(3, "B"), "ResNet for CIFAR in pytorch_resnet_cifar10 and pytorch-cifar", 32
    ),
}  # fmt: skip


def compared(graph: Graph, file: Path, other: nn.Module) -> float:
    """The largest difference of outputs on random images, in units of their spread."""
    ours = build(graph, weights=file).eval()
    images = torch.randn(2, *graph.input, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        a, b = ours(images), other(images)
    assert b.std() > 1e-3, "the outputs must depend on something"
    return float((a - b).abs().max() / b.std())


def held(model: nn.Module) -> dict[str, torch.Tensor]:
    """Tensors for safetensors, which takes none that share memory."""
    return {k: v.clone() for k, v in model.state_dict().items()}


TINY = CASES["densenet"]
SMALL = Case("resnet18", depths(1, 1, 1, 1), lambda: foreign.ResNet((1, 1, 1, 1), foreign.Basic))
"""Of the torchvision names that are ours, and small."""
