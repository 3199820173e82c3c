"""The networks of other libraries, written by hand under those libraries' names, to be loaded from and compared with.

Each class has the attributes of the library's own (torchvision 0.20, timm 1.0, and the repositories named), so its state_dict has the
library's keys. Nothing of resnet_dsl is used. The arguments are depths and widths, so that a test may take few and small blocks.
"""

from foreign.common import randomize
from foreign.mobile import EfficientNet, MobileNetV2, Row, TimmEfficientNet
from foreign.named import (
    CIFAR100,
    DETECTRON2,
    KUANGLIU,
    OPENMMLAB,
    PYCLS,
    PYCLS_OLD,
    TORCHVISION,
    TRANSFORMERS,
    Named,
    Names,
    WideResNet,
)
from foreign.plain import VGG, DarkNet, DenseNet, RegNet, SqueezeNet, TimmRegNet, TimmVGG
from foreign.resnets import Basic, Bottleneck, CifarResNet, Res2Net, ResNet, ResNetV2

__all__ = [
    "CIFAR100", "DETECTRON2", "KUANGLIU", "OPENMMLAB", "PYCLS", "PYCLS_OLD", "TORCHVISION", "TRANSFORMERS", "VGG", "Basic", "Bottleneck", "CifarResNet", "DarkNet", "DenseNet", "EfficientNet", "MobileNetV2", "Named", "Names", "RegNet", "Res2Net",
    "ResNet", "ResNetV2", "Row",    "SqueezeNet", "TimmEfficientNet", "TimmRegNet", "TimmVGG", "WideResNet", "randomize",
]  # fmt: skip
