"""Weights of other libraries: networks written by hand under their names (tests/foreign) against ours with their weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import foreign
import pytest
import torch
from foreign_cases import CASES, SLOPE, compared, held
from safetensors.torch import save_file
from torch import nn

from resnet_dsl.emission.naming import tables
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.runtime.fitting import match

pytestmark = pytest.mark.usefixtures("one_thread_in_a_plain_terminal")

KEYS = json.loads((Path(__file__).parent / "data" / "torchvision_keys.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_those_of_the_other_network(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    other, graph = foreign.randomize(case.make()), case.graph()
    save_file(held(other), tmp_path / "w.safetensors")
    found = match(graph, other.state_dict(), "w")
    assert (None if found.table is None else str(found.table)) == case.names
    assert found.counts.get(case.state, 0) > 0
    assert sum(found.counts.values()) == len(other.state_dict())
    assert compared(graph, tmp_path / "w.safetensors", other) <= 1e-5


# --- whole networks, by names and shapes ---------------------------------------------------------------------

Make = Callable[[], nn.Module]
R50, R101, R152, B18, B34 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3), (2, 2, 2, 2), (3, 4, 6, 3)
MOBILE_WHOLE: tuple[foreign.Row, ...] = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3), (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3),
)  # fmt: skip
B0: tuple[foreign.Row, ...] = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip


def resnet(numbers: Sequence[int], block: type[nn.Module] = foreign.Bottleneck, **options: Any) -> Make:
    return lambda: foreign.ResNet(numbers, block, classes=1000, **options)


def both(numbers: Sequence[int], widths: Sequence[int], group: int) -> tuple[Make, ...]:
    return tuple(lambda net=net: net(numbers, widths, group, 1000) for net in (foreign.RegNet, foreign.TimmRegNet))


def vggs(norm: bool, *numbers: int) -> tuple[Make, ...]:
    plan = [w for n, width in zip(numbers, (64, 128, 256, 512, 512), strict=True) for w in (*([width] * n), 0)]
    return tuple(lambda net=net: net(plan, norm, classes=1000) for net in (foreign.VGG, foreign.TimmVGG))


WHOLE: dict[str, tuple[Make, ...]] = {
    "resnet101": (resnet(R101),),
    "resnext101-32x8d": (resnet(R101, groups=32, base=8),),
    "resnext101-64x4d": (resnet(R101, groups=64, base=4),),
    "wide-resnet101-2": (resnet(R101, base=128),),
    "resnet18d": (resnet(B18, foreign.Basic, stem=(32, 32), avg_down=True),),
    "resnet26d": (resnet(B18, stem=(32, 32), avg_down=True),),
    "resnet34d": (resnet(B34, foreign.Basic, stem=(32, 32), avg_down=True),),
    "resnet50d": (resnet(R50, stem=(32, 32), avg_down=True),),
    "resnet101d": (resnet(R101, stem=(32, 32), avg_down=True),),
    "resnet152d": (resnet(R152, stem=(32, 32), avg_down=True),),
    "resnet14t": (resnet((1, 1, 1, 1), stem=(24, 32), avg_down=True),),
    "resnet50-gn": (resnet(R50, norm=lambda n: nn.GroupNorm(32, n)),),
    "se-resnet50": (resnet(R50, se=16),),
    "se-resnet101": (resnet(R101, se=16),),
    "se-resnet152": (resnet(R152, se=16),),
    "se-resnext50-32x4d": (resnet(R50, se=16, groups=32, base=4),),
    "res2net50-26w4s": (lambda: foreign.Res2Net(R50, 1000),),
    "preresnet18": (lambda: foreign.ResNetV2(B18, True, 1000),),
    "preresnet34": (lambda: foreign.ResNetV2(B34, True, 1000),),
    "preresnet50": (lambda: foreign.ResNetV2(R50, classes=1000),),
    "preresnet101": (lambda: foreign.ResNetV2(R101, classes=1000),),
    "preresnet152": (lambda: foreign.ResNetV2(R152, classes=1000),),
    "regnetx-200mf": both((1, 1, 4, 7), (24, 56, 152, 368), 8),
    "regnetx-400mf": both((1, 2, 7, 12), (32, 64, 160, 400), 16),
    "regnetx-600mf": both((1, 3, 5, 7), (48, 96, 240, 528), 24),
    "regnetx-800mf": both((1, 3, 7, 5), (64, 128, 288, 672), 16),
    "regnetx-1.6gf": both((2, 4, 10, 2), (72, 168, 408, 912), 24),
    "regnetx-3.2gf": both((2, 6, 15, 2), (96, 192, 432, 1008), 48),
    "regnetx-4.0gf": both((2, 5, 14, 2), (80, 240, 560, 1360), 40),
    "regnetx-6.4gf": both((2, 4, 10, 1), (168, 392, 784, 1624), 56),
    "regnetx-8.0gf": both((2, 5, 15, 1), (80, 240, 720, 1920), 120),
    "densenet121": (lambda: foreign.DenseNet((6, 12, 24, 16), classes=1000),),
    "densenet161": (lambda: foreign.DenseNet((6, 12, 36, 24), 48, 96, 1000),),
    "densenet169": (lambda: foreign.DenseNet((6, 12, 32, 32), classes=1000),),
    "densenet201": (lambda: foreign.DenseNet((6, 12, 48, 32), classes=1000),),
    "vgg11": vggs(False, 1, 1, 2, 2, 2),
    "vgg13": vggs(False, 2, 2, 2, 2, 2),
    "vgg16": vggs(False, 2, 2, 3, 3, 3),
    "vgg19": vggs(False, 2, 2, 4, 4, 4),
    "vgg11-bn": vggs(True, 1, 1, 2, 2, 2),
    "vgg13-bn": vggs(True, 2, 2, 2, 2, 2),
    "vgg16-bn": vggs(True, 2, 2, 3, 3, 3),
    "vgg19-bn": vggs(True, 2, 2, 4, 4, 4),
    "squeezenet": (lambda: foreign.SqueezeNet(1000),),
    "mobilenetv2": (
        lambda: foreign.MobileNetV2(MOBILE_WHOLE, 1000), lambda: foreign.TimmEfficientNet(MOBILE_WHOLE, nn.ReLU6, False, 1000)
    ),
    "efficientnet-b0": (lambda: foreign.EfficientNet(B0, 1000), lambda: foreign.TimmEfficientNet(B0, nn.SiLU, True, 1000)),
    "resnet32": (lambda: foreign.CifarResNet(5),),
    "resnet110": (lambda: foreign.CifarResNet(18),),
}  # fmt: skip


@pytest.mark.parametrize("spec", WHOLE)
def test_every_tensor_of_a_whole_network_has_its_place(spec: str) -> None:
    graph = compile(load(spec))
    for make in WHOLE[spec]:
        with torch.device("meta"):
            state = make().state_dict()
        found = match(graph, state, "w")
        assert found.fits, found._first([r for r in found.rows if r.state in ("misfit", "missing", "unexpected")])
        assert len(found.rows) == len(state)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("prefix", ["", "module.", "model._orig_mod."])
def test_the_keys_of_torchvision(name: str, prefix: str) -> None:
    spec = name.replace("wide_resnet50_2", "wide-resnet50-2").replace("_", "-")
    state = {prefix + k: torch.empty(shape, device="meta") for k, shape in KEYS[name].items()}
    found = match(compile(load(spec)), state, "w")
    assert (found.fits, found.prefix, found.counts) == (True, prefix, {"mapped": len(state)})


def test_darknet_whole_by_shape() -> None:
    """Not under `WHOLE`, since what the paper says of the slope is not what timm does."""
    with torch.device("meta"):
        state = foreign.DarkNet((1, 2, 8, 8, 4), classes=1000).state_dict()
    assert match(compile(load("darknet53", (SLOPE,))), state, "w").fits
    assert not match(compile(load("darknet53")), state, "w").fits


def test_every_table_knows_its_sign() -> None:
    """A sign is a name that the table gives to some tensor of its family."""
    families = {
        "ResNet": "resnet50", "ResNet for CIFAR": "resnet20", "Res2Net": "res2net50-26w4s", "pre-activation ResNet": "preresnet18",
        "RegNet": "regnetx-200mf", "DenseNet": "densenet121", "VGG": "vgg11", "SqueezeNet": "squeezenet", "MobileNetV2": "mobilenetv2",
        "EfficientNet": "efficientnet-b0", "DarkNet": "darknet53", "Wide ResNet": "wrn-16-4",
    }  # fmt: skip
    assert {t.family for t in tables()} == families.keys()
    for table in tables():
        assert table.sign in table.names(compile(load(families[table.family]))).values()
