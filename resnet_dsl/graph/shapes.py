"""What an operation makes of the shapes that it reads, or why it cannot read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from resnet_dsl.graph.graph import Shape, Value
from resnet_dsl.table import shape_text

Attrs = Mapping[str, Value]

MAX_SIDE = 65_536
MAX_FLAT = 1_000_000_000


class ShapeProblem(Exception):
    """An op that cannot read what it is given. `argument` names the step's arguments to blame, the first that was given."""

    def __init__(self, message: str, help: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.message, self.help, self.argument = message, help, argument


def kind_of(shape: Shape) -> str:
    """`a map of 64x56x56` or `a vector of 512 features`: how messages name a shape."""
    return f"a map of {shape_text(shape)}" if len(shape) == 3 else f"a vector of {shape[0]} features"


def _need_map(x: Shape, what: str) -> None:
    if len(x) != 3:
        raise ShapeProblem(f"{what} reads a map (channels, height, width), but here comes {kind_of(x)}",
                           "put it before `flatten`, or use `linear`, which reads features")  # fmt: skip


def whole(a: Attrs, name: str) -> int:
    v = a[name]
    assert isinstance(v, int)
    return v


def pair(a: Attrs, name: str) -> tuple[int, int]:
    v = a[name]
    assert isinstance(v, tuple)
    return v[0], v[1]


def _check_stride(x: Shape, stride: tuple[int, int], what: str) -> None:
    for side, name, s in zip(x[1:], ("height", "width"), stride, strict=True):
        if s > 1 and side == 1:
            raise ShapeProblem(f"{what} has stride {s}, but the {name} of {kind_of(x)} is 1 already: the map is too small",
                               "use fewer strides or a larger input", "stride")  # fmt: skip


def _window(x: Shape, a: Attrs, what: str, *, ceil: bool = False) -> tuple[int, int]:
    """Output height and width of a sliding window, as torch computes them."""
    kernel, stride, padding = pair(a, "kernel"), pair(a, "stride"), pair(a, "padding")
    dilation = pair(a, "dilation") if "dilation" in a else (1, 1)
    _check_stride(x, stride, what)
    sides = []
    for side, name, k, s, p, d in zip(x[1:], ("height", "width"), kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        room = side + 2 * p - reach
        n = (-(-room // s) if ceil else room // s) + 1
        if n < 1:
            dilated = f" with dilation {d} (a window of {reach})" if d > 1 else ""
            raise ShapeProblem(
                f"{what}: a kernel of {k}{dilated} is larger than the padded {name} {side + 2 * p} of {kind_of(x)}",
                "use a smaller kernel, more padding, fewer strides or a larger input",
                "dilation kernel" if d > 1 else "kernel",
            )
        if ceil and (n - 1) * s >= side + p:
            n -= 1
        if n > MAX_SIDE:
            raise ShapeProblem(
                f"{what}: the {name} grows to {n:,}, over the limit of {MAX_SIDE:,}", "use less padding or a smaller input", "padding"
            )
        sides.append(n)
    return sides[0], sides[1]


def conv(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "conv")
    channels, out, groups = x[0][0], whole(a, "out"), whole(a, "groups")
    for value, what in ((channels, "channels that enter"), (out, "channels that leave")):
        if value % groups:
            raise ShapeProblem(
                f"conv: groups {groups} does not divide the {value} {what}",
                f"choose groups that divide both {channels} and {out}",
                "groups",
            )
    return (out, *_window(x[0], a, "conv"))


def linear(a: Attrs, x: Sequence[Shape]) -> Shape:
    if len(x[0]) != 1:
        raise ShapeProblem(
            f"linear reads a vector of features, but here comes {kind_of(x[0])}", "put `flatten` (after `globalpool`, usually) before it"
        )
    return (whole(a, "out"),)


def same(a: Attrs, x: Sequence[Shape]) -> Shape:
    return x[0]


def group_norm(a: Attrs, x: Sequence[Shape]) -> Shape:
    groups = whole(a, "groups")
    if x[0][0] % groups:
        raise ShapeProblem(
            f"group norm: {groups} groups do not divide {x[0][0]} channels", f"choose groups that divide {x[0][0]}", "groups"
        )
    return x[0]


def instance_norm(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "instance norm")
    return x[0]


def softmax(a: Attrs, x: Sequence[Shape]) -> Shape:
    groups = whole(a, "groups")
    if x[0][0] % groups:
        raise ShapeProblem(f"softmax: {groups} groups do not divide {x[0][0]} channels", f"choose groups that divide {x[0][0]}", "groups")
    return x[0]


def pool(what: str) -> Callable[[Attrs, Sequence[Shape]], Shape]:
    def rule(a: Attrs, x: Sequence[Shape]) -> Shape:
        _need_map(x[0], what)
        for k, p in zip(pair(a, "kernel"), pair(a, "padding"), strict=True):
            if 2 * p > k:
                raise ShapeProblem(f"{what}: padding {p} is more than half the kernel {k}", f"use a padding of at most {k // 2}", "padding")
        return (x[0][0], *_window(x[0], a, what, ceil=bool(a["ceil"])))

    return rule


def globalpool(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "globalpool")
    return (x[0][0], 1, 1)


def flatten(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "flatten")
    n = prod(x[0])
    if n > MAX_FLAT:
        raise ShapeProblem(f"flatten gives {n:,} features, over the limit of {MAX_FLAT:,}", "pool before you flatten")
    return (n,)


def subsample(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "subsample")
    stride = pair(a, "stride")
    _check_stride(x[0], stride, "subsample")
    return (x[0][0], *(-(-side // s) for side, s in zip(x[0][1:], stride, strict=True)))


def pad_channels(a: Attrs, x: Sequence[Shape]) -> Shape:
    out = whole(a, "out")
    if out < x[0][0]:
        raise ShapeProblem(f"pad_channels: {x[0][0]} channels cannot be padded to {out}, which is fewer: zero channels are only added",
                           "use a projection (shortcut B, or a 1x1 conv) where the channels go down", "out")  # fmt: skip
    return (out, *x[0][1:])


def slice_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    start, stop, channels = whole(a, "from"), whole(a, "to"), x[0][0]
    if stop > channels:
        raise ShapeProblem(
            f"slice: channels {start} to {stop} of {kind_of(x[0])}, which has {channels}", f"`to` is at most {channels}", "to from"
        )
    if stop <= start:
        raise ShapeProblem(
            f"slice: from {start} to {stop} leaves no channels: `to` must be above `from`", "channels from..to-1 are kept", "to from"
        )
    return (stop - start, *x[0][1:])


def shuffle(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "channel_shuffle")
    if x[0][0] % whole(a, "groups"):
        raise ShapeProblem(
            f"channel_shuffle: {a['groups']} groups do not divide {x[0][0]} channels", f"choose groups that divide {x[0][0]}", "groups"
        )
    return x[0]


def equal(what: str) -> Callable[[Attrs, Sequence[Shape]], Shape]:
    def rule(a: Attrs, x: Sequence[Shape]) -> Shape:
        for other in x[1:]:
            if other != x[0]:
                raise ShapeProblem(
                    f"{what} needs equal shapes, not {kind_of(x[0])} and {kind_of(other)}",
                    "make both paths end in the same channels and size",
                )
        return x[0]

    return rule


def mul(a: Attrs, x: Sequence[Shape]) -> Shape:
    widest = max(x, key=lambda s: prod(s[1:]))
    for s in x:
        if s != widest and not (len(s) == len(widest) == 3 and s[0] == widest[0] and s[1:] == (1, 1)):
            raise ShapeProblem(f"mul needs equal shapes or a gate of {widest[0]}x1x1, not {kind_of(widest)} and {kind_of(s)}",
                               "end the gate in one value a channel: `globalpool`, then a 1x1 conv to as many channels")  # fmt: skip
    return widest


def concat(a: Attrs, x: Sequence[Shape]) -> Shape:
    for other in x[1:]:
        if len(other) != len(x[0]) or other[1:] != x[0][1:]:
            raise ShapeProblem(
                f"concat joins channels of maps of one size, not {kind_of(x[0])} and {kind_of(other)}",
                "give all paths the same stride and padding",
            )
    channels = sum(s[0] for s in x)
    if channels > MAX_SIDE:
        raise ShapeProblem(f"concat gives {channels:,} channels, over the limit of {MAX_SIDE:,}", "use fewer or narrower paths")
    return (channels, *x[0][1:])


def highway(a: Attrs, x: Sequence[Shape]) -> Shape:
    return equal("highway")(a, x[:2])
