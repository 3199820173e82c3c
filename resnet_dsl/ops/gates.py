"""What a merge makes for itself from the input of its scope: the cells of the op table's column `gate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.ops.shapes import ShapeProblem
from resnet_dsl.ops.site import Shape, Value


@dataclass(frozen=True, slots=True)
class GateStep:
    """An operation of a gate: its row, what its name ends in, its attributes."""

    op: str
    suffix: str
    attrs: Mapping[str, Value]


def highway(x: Shape, channels: int, stride: tuple[int, int], given: Mapping[str, Value]) -> tuple[GateStep, ...]:
    """A convolution, or one value a channel; a linear layer on features. `given` are the merge's arguments. Raises ShapeProblem."""
    kernel, bias = given["kernel"], {"bias": True, "bias_init": given["bias"]}
    assert isinstance(kernel, tuple)
    linear = GateStep("linear", "", {"out": channels, **bias})
    if len(x) == 1:
        return (linear,)
    if given["gate"] == "channel":
        return GateStep("globalpool", "_pool", {"kind": "avg"}), GateStep("flatten", "_flatten", {}), linear
    if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
        message = f"the highway's gate needs an odd kernel, not {kernel[0]}x{kernel[1]}"
        raise ShapeProblem(message, "use an odd kernel", "kernel", "even-kernel")
    window: Mapping[str, Value] = {
        "kernel": kernel,
        "stride": stride,
        "padding": (kernel[0] // 2, kernel[1] // 2),
        "dilation": (1, 1),
        "groups": 1,
    }
    return (GateStep("conv", "", {"out": channels, **window, **bias}),)
