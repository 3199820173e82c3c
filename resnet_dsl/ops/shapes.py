"""What an operation makes of the shapes that it reads, or why it cannot read them."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from resnet_dsl.ops.site import Shape, Site
from resnet_dsl.table import shape_text

MAX_SIDE = 65_536
MAX_FLAT = 1_000_000_000


class ShapeProblem(Exception):
    """An op that cannot read what it is given. `argument` names the step's arguments to blame, the first that was given."""

    def __init__(self, message: str, help: str, argument: str | None = None, code: str = "shape") -> None:
        super().__init__(message)
        self.message, self.help, self.argument, self.code = message, help, argument, code


def kind_of(shape: Shape) -> str:
    """`a map of 64x56x56` or `a vector of 512 features`: how messages name a shape."""
    return f"a map of {shape_text(shape)}" if len(shape) == 3 else f"a vector of {shape[0]} features"


def _need_map(x: Shape, what: str) -> None:
    if len(x) != 3:
        raise ShapeProblem(f"{what} reads a map (channels, height, width), but here comes {kind_of(x)}",
                           "put it before `flatten`, or use `linear`, which reads features")  # fmt: skip


def _check_stride(x: Shape, stride: tuple[int, int], what: str) -> None:
    for side, name, s in zip(x[1:], ("height", "width"), stride, strict=True):
        if s > 1 and side == 1:
            # A signal: along the other side there is something left to divide.
            other = "write stride: [1, {s}]" if name == "height" else "write stride: [{s}, 1]"
            help = f"{other.format(s=s)} to divide the other side alone" if max(x[1:]) > 1 else "use fewer strides or a larger input"
            raise ShapeProblem(f"{what} has stride {s}, but the {name} of {kind_of(x)} is 1 already: the map is too small", help, "stride")


def _window(x: Shape, site: Site, what: str, *, ceil: bool = False) -> tuple[int, int]:
    """Output height and width of a sliding window, as torch computes them."""
    kernel, stride, padding = site.pair("kernel"), site.pair("stride"), site.pair("padding")
    dilation = site.pair("dilation") if "dilation" in site else (1, 1)
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


def conv(site: Site) -> Shape:
    _need_map(site.first, "conv")
    channels, out, groups = site.first[0], site.whole("out"), site.whole("groups")
    for value, what in ((channels, "channels that enter"), (out, "channels that leave")):
        if value % groups:
            raise ShapeProblem(
                f"conv: groups {groups} does not divide the {value} {what}",
                f"choose groups that divide both {channels} and {out}",
                "groups",
            )
    return (out, *_window(site.first, site, "conv"))


def linear(site: Site) -> Shape:
    if len(site.first) != 1:
        raise ShapeProblem(
            f"linear reads a vector of features, but here comes {kind_of(site.first)}",
            "put `flatten` (after `globalpool`, usually) before it",
        )
    return (site.whole("out"),)


def same(site: Site) -> Shape:
    return site.first


def group_norm(site: Site) -> Shape:
    groups = site.whole("groups")
    if site.first[0] % groups:
        raise ShapeProblem(
            f"group norm: {groups} groups do not divide {site.first[0]} channels", f"choose groups that divide {site.first[0]}", "groups"
        )
    return site.first


def instance_norm(site: Site) -> Shape:
    _need_map(site.first, "instance norm")
    return site.first


def softmax(site: Site) -> Shape:
    groups = site.whole("groups")
    if site.first[0] % groups:
        raise ShapeProblem(
            f"softmax: {groups} groups do not divide {site.first[0]} channels", f"choose groups that divide {site.first[0]}", "groups"
        )
    return site.first


def pool(what: str) -> Callable[[Site], Shape]:
    def rule(site: Site) -> Shape:
        _need_map(site.first, what)
        for k, p in zip(site.pair("kernel"), site.pair("padding"), strict=True):
            if 2 * p > k:
                raise ShapeProblem(f"{what}: padding {p} is more than half the kernel {k}", f"use a padding of at most {k // 2}", "padding")
        return (site.first[0], *_window(site.first, site, what, ceil=bool(site["ceil"])))

    return rule


def globalpool(site: Site) -> Shape:
    _need_map(site.first, "globalpool")
    return (site.first[0], 1, 1)


def flatten(site: Site) -> Shape:
    _need_map(site.first, "flatten")
    n = prod(site.first)
    if n > MAX_FLAT:
        raise ShapeProblem(f"flatten gives {n:,} features, over the limit of {MAX_FLAT:,}", "pool before you flatten")
    return (n,)


def subsample(site: Site) -> Shape:
    _need_map(site.first, "subsample")
    stride = site.pair("stride")
    _check_stride(site.first, stride, "subsample")
    return (site.first[0], *(-(-side // s) for side, s in zip(site.first[1:], stride, strict=True)))


def pad_channels(site: Site) -> Shape:
    out = site.whole("out")
    if out < site.first[0]:
        raise ShapeProblem(f"pad_channels: {site.first[0]} channels cannot be padded to {out}, which is fewer: zero channels are only added",
                           "use a projection (shortcut B, or a 1x1 conv) where the channels go down", "out")  # fmt: skip
    return (out, *site.first[1:])


def slice_shape(site: Site) -> Shape:
    start, stop, channels = site.whole("from"), site.whole("to"), site.first[0]
    if stop > channels:
        raise ShapeProblem(
            f"slice: channels {start} to {stop} of {kind_of(site.first)}, which has {channels}", f"`to` is at most {channels}", "to from"
        )
    if stop <= start:
        raise ShapeProblem(
            f"slice: from {start} to {stop} leaves no channels: `to` must be above `from`", "channels from..to-1 are kept", "to from"
        )
    return (stop - start, *site.first[1:])


def shuffle(site: Site) -> Shape:
    _need_map(site.first, "channel_shuffle")
    if site.first[0] % site.whole("groups"):
        raise ShapeProblem(
            f"channel_shuffle: {site['groups']} groups do not divide {site.first[0]} channels",
            f"choose groups that divide {site.first[0]}",
            "groups",
        )
    return site.first


def equal(what: str) -> Callable[[Site], Shape]:
    def rule(site: Site) -> Shape:
        for other in site.inputs[1:]:
            if other != site.first:
                raise ShapeProblem(
                    f"{what} needs equal shapes, not {kind_of(site.first)} and {kind_of(other)}",
                    "make both paths end in the same channels and size",
                )
        return site.first

    return rule


def mul(site: Site) -> Shape:
    widest = max(site.inputs, key=lambda s: prod(s[1:]))
    for s in site.inputs:
        if s != widest and not (len(s) == len(widest) == 3 and s[0] == widest[0] and s[1:] == (1, 1)):
            raise ShapeProblem(f"mul needs equal shapes or a gate of {widest[0]}x1x1, not {kind_of(widest)} and {kind_of(s)}",
                               "end the gate in one value a channel: `globalpool`, then a 1x1 conv to as many channels")  # fmt: skip
    return widest


def concat(site: Site) -> Shape:
    for other in site.inputs[1:]:
        if len(other) != len(site.first) or other[1:] != site.first[1:]:
            raise ShapeProblem(
                f"concat joins channels of maps of one size, not {kind_of(site.first)} and {kind_of(other)}",
                "give all paths the same stride and padding",
            )
    channels = sum(s[0] for s in site.inputs)
    if channels > MAX_SIDE:
        raise ShapeProblem(f"concat gives {channels:,} channels, over the limit of {MAX_SIDE:,}", "use fewer or narrower paths")
    return (channels, *site.first[1:])


def highway(site: Site) -> Shape:
    return equal("highway")(Site(site.attrs, site.inputs[:2]))
