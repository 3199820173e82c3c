"""Files whose head is not a layer called `fc` beside the stages: backbones, which have none, and heads in a sequence after a dropout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from resnet_dsl.graph.tensors import Tensors
from resnet_dsl.recovery.foreign import Renamed
from resnet_dsl.recovery.layers import natural

_HEAD = "fc"


def with_heads(renamed: Renamed, classes: int | None) -> Iterator[Renamed]:
    """The tensors as they are; with a linear layer that stands alone in a scope as the head; and, of a backbone, with a head of `classes`."""
    tensors, linears = renamed.tensors, linear_layers(renamed.tensors)
    if classes is None:
        yield renamed
    if len(linears) == 1 and classes is None:
        path = linears[0]
        scope, _, place = path.partition(".")
        if place and all(name.startswith(f"{path}.") for name in tensors if name.startswith(f"{scope}.")):
            yield replace(
                renamed, tensors={n.replace(f"{path}.", f"{_HEAD}.", 1) if n.startswith(path) else n: s for n, s in tensors.items()}
            )
    if not linears and classes is not None:
        for width in _widths(tensors):
            yield replace(renamed, tensors={**tensors, f"{_HEAD}.weight": (classes, width), f"{_HEAD}.bias": (classes,)})


def linear_layers(tensors: Tensors) -> list[str]:
    """The paths of the layers with a matrix."""
    return [name.removesuffix(".weight") for name, shape in tensors.items() if name.endswith(".weight") and len(shape) == 2]


def _widths(tensors: Tensors) -> list[int]:
    """The channels that may leave the last block: those that leave its convolutions, the most first."""
    convs = {name: shape[0] for name, shape in tensors.items() if len(shape) == 4 and name.split(".")[1].isdecimal()}
    last = max((name.partition(".")[0] for name in convs), key=natural, default="")
    return sorted({width for name, width in convs.items() if name.startswith(f"{last}.")}, reverse=True)
