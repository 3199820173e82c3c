"""Compiled networks against the same networks written by hand: names, numbers, gradients, and the operations that run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from networks import compiled, small
from torch.utils._python_dispatch import TorchDispatchMode
from torch_twin import Basic, Bottleneck, ResNet

from resnet_dsl.verbs.modules import build

# Our spec's keys, the twin's arguments.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{f"basic-{policy}": ({"shortcut": policy}, {"shortcut": policy}) for policy in ("A", "B", "C", "none")},
    **{f"bottleneck-{policy}": ({"shortcut": policy, "block": "bottleneck"}, {"shortcut": policy, "block": Bottleneck})
       for policy in ("A", "B", "C", "none")},
    "imagenet-stem": ({"stem": "imagenet"}, {"stem": "imagenet"}),
    "stride-at-1": ({"block": {"bottleneck": {"stride_at": 1}}}, {"block": Bottleneck, "stride_at": 1}),
    "resnext": ({"block": {"bottleneck": {"groups": 4, "base_width": 16}}}, {"block": Bottleneck, "groups": 4, "base_width": 16}),
    "wide": ({"block": {"bottleneck": {"base_width": 128}}}, {"block": Bottleneck, "base_width": 128}),
}  # fmt: skip


def both(name: str) -> tuple[torch.nn.Module, torch.nn.Module, torch.Tensor]:
    """Ours, the twin with the same weights, a batch (23 is odd at each stride)."""
    spec, arguments = CASES[name]
    stages = [{"depth": 2, "width": 8}, {"depth": 3, "width": 16, "stride": 2}, {"depth": 1, "width": 20, "stride": 2}]
    ours = build(compiled(small(input={"channels": 3, "height": 23, "width": 30}, stages=stages) | spec), seed=0)
    theirs = ResNet(**{"block": Basic, "stem": "cifar"} | arguments, depths=(2, 3, 1), widths=(8, 16, 20), classes=5)
    theirs.load_state_dict(ours.state_dict(), strict=True)
    return ours, theirs, torch.randn(4, 3, 23, 30, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CASES)
def test_names_outputs_and_gradients_are_equal(name: str) -> None:
    ours, theirs, x = both(name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for model in (ours, theirs):
        out = model(x)
        torch.nn.functional.cross_entropy(out, torch.tensor([0, 1, 2, 3])).backward()
        model.out = out.detach()
    torch.testing.assert_close(ours.out, theirs.out, rtol=0, atol=0)
    gradients = dict(theirs.named_parameters())
    assert len(gradients) > 20
    for path, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, gradients[path].grad, rtol=0, atol=0, msg=lambda m, path=path: f"{path}: {m}")
    # The running statistics moved alike, so evaluation agrees too.
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=0, atol=0)


class Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.ops: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ops.append(str(func))
        return func(*args, **(kwargs or {}))


def operations(model: torch.nn.Module, x: torch.Tensor) -> list[str]:
    with Recorder() as recorder:
        model(x)
    return recorder.ops


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_same_operations_run_in_the_same_order(name: str, training: bool) -> None:
    ours, theirs, x = both(name)
    found = operations(ours.train(training), x)
    assert found == operations(theirs.train(training), x)
    assert found.count("aten.relu_.default") == sum("relu" in op for op in found) > 10
