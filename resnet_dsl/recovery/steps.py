"""Layers in a row as a list of steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnet_dsl.diagnostics import quote
from resnet_dsl.recovery.layers import Layer, Modules, StageLayers, Unread

Steps = str | dict[str, Any] | list[Any]


def chain_steps(convs: Sequence[Layer | Modules], norms: Sequence[Layer | Modules], enters: int) -> list[Any] | None:
    """Convs in a row, each with an activation, and with a norm if there are as many norms; None where the widths do not follow."""
    if len(norms) not in (0, len(convs)):
        return None
    steps: list[Any] = []
    for i, conv in enumerate(convs):
        if not isinstance(conv, Layer) or conv.kind != "conv" or enters % conv.weight[1]:
            return None
        if norms and not is_norm(norms[i], conv.out):
            return None
        if norms and not conv.bias and conv.kernel[0] == conv.kernel[1] and conv.kernel[0] % 2:
            args = conv_args(conv, enters)
            steps.append({"conv_norm_act": {k: v for k, v in args.items() if (k, v) != ("kernel", 1)}})
        else:
            steps += [{"conv": conv_args(conv, enters)}, *(["norm"] if norms else []), "act"]
        enters = conv.out
    return steps


def conv_args(conv: Layer, enters: int) -> dict[str, Any]:
    """The arguments of a conv step that gives this layer on so many channels."""
    height, width = conv.kernel
    args: dict[str, Any] = {"out": conv.out, "kernel": height if height == width else [height, width]}
    if height % 2 == 0 or width % 2 == 0:
        args["padding"] = 0
    if enters != conv.weight[1]:
        args["groups"] = enters // conv.weight[1]
    if conv.bias:
        args["bias"] = True
    return args


def is_norm(node: Layer | Modules, channels: int) -> bool:
    """True for a norm of this many channels."""
    return isinstance(node, Layer) and node.kind in ("batch", "norm") and node.out == channels


def around_steps(stage: StageLayers, came: int | None, enters: int, leaves: int, goes: int | None) -> dict[str, list[Any]]:
    """The layers beside a stage's blocks as its `before` or `after`, or nothing.

    `came` and `goes` are the channels that leave the stage before and enter the stage after, None where there is none; `enters`
    and `leaves` are those of the blocks. A transition is norm, activation, conv and a pool (Huang et al. 2017, section 3), or
    convs with what follows them, the first of which halves the map unless it is 1x1. Raises Unread.
    """
    if not stage.around:
        return {}
    convs, norms = stage.around.layers("conv"), stage.around.layers("batch", "norm")
    names = {*(f"conv{i + 1}" for i in range(len(convs))), *(f"bn{i + 1}" for i in range(len(norms)))}
    if set(stage.around) == names and convs:
        first, last = convs[0], convs[-1]
        if len(convs) == len(norms) == 1 and is_norm(norms[0], leaves) and first.weight[1] == leaves and first.out == goes:
            halves = leaves == 2 * first.out
            conv = {**conv_args(first, leaves), **({"out": "in // 2"} if halves else {})}
            return {"after": ["norm", "act", {"conv": conv}, {"avgpool": {"kernel": 2}}]}
        if first.weight[1] == leaves and last.out == goes:
            place, given = "after", leaves
        elif last.out == enters:
            place, given = "before", came if came is not None else first.weight[1]
        else:
            place, given = "", 0
        steps = chain_steps(convs, norms, given) if place else None
        if steps is not None:
            if max(first.kernel) > 1:
                (args,) = steps[0].values()
                args["stride"] = 2
            return {place: steps}
    shown = ", ".join(quote(name) for name in stage.around)
    raise Unread(f"beside the blocks of {quote(stage.name)} stand {shown}, which are not a known transition")
