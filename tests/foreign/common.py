"""What the networks of several libraries are made of."""

from __future__ import annotations

from collections.abc import Callable

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


class ConvBN(nn.Module):
    """timm's ConvNormAct: `conv` and `bn`."""

    def __init__(self, i: int, o: int, k: int = 1, stride: int = 1, groups: int = 1, act: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.bn = conv(i, o, k, stride, groups), nn.BatchNorm2d(o)
        self.act = act if act is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class Head(nn.Module):
    """timm's ClassifierHead; with a conv where it is said."""

    def __init__(self, i: int, classes: int, use_conv: bool = False) -> None:
        super().__init__()
        self.fc = conv(i, classes, bias=True) if use_conv else nn.Linear(i, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3), keepdim=True)
        return self.fc(x).flatten(1) if isinstance(self.fc, nn.Conv2d) else self.fc(x.flatten(1))


class Excitation(nn.Module):
    """Squeeze and excitation with two 1x1 convs, whose names and activation are the library's."""

    def __init__(self, width: int, hidden: int, names: tuple[str, str] = ("fc1", "fc2"), act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.names, self.act = names, act
        for name, (i, o) in zip(names, ((width, hidden), (hidden, width)), strict=True):
            self.add_module(name, conv(i, o, bias=True))

    def forward(self, x: Tensor) -> Tensor:
        first, second = (self.get_submodule(name) for name in self.names)
        return x * second(self.act(first(x.mean((2, 3), keepdim=True)))).sigmoid()


def stage(block: Callable[..., nn.Module], i: int, out: int, depth: int, stride: int, *args: object, **options: object) -> list[nn.Module]:
    """The blocks of a stage: the first reads `i` channels and has the stride."""
    return [block(i if b == 0 else out, out, stride if b == 0 else 1, *args, **options) for b in range(depth)]
