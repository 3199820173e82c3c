"""THE op table: one row an operation, and nothing about an operation anywhere else.

A complete row is a complete op: its shape rule, what it costs, how it is written in PyTorch and what a picture says.
Costs follow LANGUAGE section 10: `macs` are the multiply-accumulates of convolutions and linear layers for one input
(bias, norm, activation, pooling and merging count 0); `params` are elements of trainable parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from resnet_dsl.graph.graph import Shape, Value, shape_text

Attrs = Mapping[str, Value]
Group = Literal["conv", "linear", "norm", "act", "pool", "noise", "affine", "shape", "merge"]

MAX_SIDE = 65_536
MAX_FLAT = 1_000_000_000


class ShapeProblem(Exception):
    """An op that cannot read what it is given. `argument` names the step's arguments to blame, the first that was given."""

    def __init__(self, message: str, help: str, argument: str | None = None) -> None:
        super().__init__(message)
        self.message, self.help, self.argument = message, help, argument


def _zero(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Op:
    """A row. Functions take the attributes, the operands' shapes and (but for `shape`) the output's shape.

    `module` is the text of the torch module's constructor; ops that have none (`merge`) are an expression instead.
    `helper` names the class in `HELPERS` that the constructor needs where torch has no such module.
    `inplace` is true where the module's constructor takes `inplace=True`.
    `name` is the module name of an unnamed step (LANGUAGE section 9), with a count where `counted`.
    """

    group: Group
    shape: Callable[[Attrs, Sequence[Shape]], Shape]
    label: Callable[[Attrs, Sequence[Shape], Shape], str]
    name: str = ""
    counted: bool = False
    params: Callable[[Attrs, Sequence[Shape], Shape], int] = _zero
    macs: Callable[[Attrs, Sequence[Shape], Shape], int] = _zero
    module: Callable[[Attrs, Sequence[Shape], Shape], str] | None = None
    expression: Callable[[Attrs, Sequence[Shape], Sequence[str]], str] | None = None
    helper: str | None = None
    inplace: bool = False
    weighted: bool = False
    """Has a weight matrix: counted in `depth` and `activations`."""
    arity: int | None = 1
    """Operands; None: two or more."""
    fresh: bool = False
    """What comes out is memory of its own, no view, that its own backward does not read: what follows may overwrite it."""
    gain: bool = False
    """The module has a `weight` and gives nothing where that is zero: what `zero_last` zeroes."""


# --- shape rules -------------------------------------------------------------------------------------------


def kind_of(shape: Shape) -> str:
    """`a map of 64x56x56` or `a vector of 512 features`: how messages name a shape."""
    return f"a map of {shape_text(shape)}" if len(shape) == 3 else f"a vector of {shape[0]} features"


def _need_map(x: Shape, what: str) -> None:
    if len(x) != 3:
        raise ShapeProblem(f"{what} reads a map (channels, height, width), but here comes {kind_of(x)}",
                           "put it before `flatten`, or use `linear`, which reads features")  # fmt: skip


def _whole(a: Attrs, name: str) -> int:
    v = a[name]
    assert isinstance(v, int)
    return v


def _pair(a: Attrs, name: str) -> tuple[int, int]:
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
    kernel, stride, padding = _pair(a, "kernel"), _pair(a, "stride"), _pair(a, "padding")
    dilation = _pair(a, "dilation") if "dilation" in a else (1, 1)
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
            raise ShapeProblem(f"{what}: the {name} grows to {n:,}, over the limit of {MAX_SIDE:,}", "use less padding or a smaller input", "padding")
        sides.append(n)
    return sides[0], sides[1]


def _conv_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "conv")
    channels, out, groups = x[0][0], _whole(a, "out"), _whole(a, "groups")
    for value, what in ((channels, "channels that enter"), (out, "channels that leave")):
        if value % groups:
            raise ShapeProblem(f"conv: groups {groups} does not divide the {value} {what}", f"choose groups that divide both {channels} and {out}", "groups")
    return (out, *_window(x[0], a, "conv"))


def _linear_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    if len(x[0]) != 1:
        raise ShapeProblem(f"linear reads a vector of features, but here comes {kind_of(x[0])}", "put `flatten` (after `globalpool`, usually) before it")
    return (_whole(a, "out"),)


def _same(a: Attrs, x: Sequence[Shape]) -> Shape:
    return x[0]


def _group_norm_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    groups = _whole(a, "groups")
    if x[0][0] % groups:
        raise ShapeProblem(f"group norm: {groups} groups do not divide {x[0][0]} channels", f"choose groups that divide {x[0][0]}", "groups")
    return x[0]


def _instance_norm_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "instance norm")
    return x[0]


def _softmax_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    groups = _whole(a, "groups")
    if x[0][0] % groups:
        raise ShapeProblem(f"softmax: {groups} groups do not divide {x[0][0]} channels", f"choose groups that divide {x[0][0]}", "groups")
    return x[0]


def _pool_shape(what: str) -> Callable[[Attrs, Sequence[Shape]], Shape]:
    def rule(a: Attrs, x: Sequence[Shape]) -> Shape:
        _need_map(x[0], what)
        for k, p in zip(_pair(a, "kernel"), _pair(a, "padding"), strict=True):
            if 2 * p > k:
                raise ShapeProblem(f"{what}: padding {p} is more than half the kernel {k}", f"use a padding of at most {k // 2}", "padding")
        return (x[0][0], *_window(x[0], a, what, ceil=bool(a["ceil"])))

    return rule


def _globalpool_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "globalpool")
    return (x[0][0], 1, 1)


def _flatten_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "flatten")
    n = prod(x[0])
    if n > MAX_FLAT:
        raise ShapeProblem(f"flatten gives {n:,} features, over the limit of {MAX_FLAT:,}", "pool before you flatten")
    return (n,)


def _subsample_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "subsample")
    stride = _pair(a, "stride")
    _check_stride(x[0], stride, "subsample")
    return (x[0][0], *(-(-side // s) for side, s in zip(x[0][1:], stride, strict=True)))


def _pad_channels_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    out = _whole(a, "out")
    if out < x[0][0]:
        raise ShapeProblem(f"pad_channels: {x[0][0]} channels cannot be padded to {out}, which is fewer: zero channels are only added",
                           "use a projection (shortcut B, or a 1x1 conv) where the channels go down", "out")  # fmt: skip
    return (out, *x[0][1:])


def _slice_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    start, stop, channels = _whole(a, "from"), _whole(a, "to"), x[0][0]
    if stop > channels:
        raise ShapeProblem(f"slice: channels {start} to {stop} of {kind_of(x[0])}, which has {channels}", f"`to` is at most {channels}", "to from")
    if stop <= start:
        raise ShapeProblem(f"slice: from {start} to {stop} leaves no channels: `to` must be above `from`", "channels from..to-1 are kept", "to from")
    return (stop - start, *x[0][1:])


def _shuffle_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    _need_map(x[0], "channel_shuffle")
    if x[0][0] % _whole(a, "groups"):
        raise ShapeProblem(f"channel_shuffle: {a['groups']} groups do not divide {x[0][0]} channels", f"choose groups that divide {x[0][0]}", "groups")
    return x[0]


def _equal_shape(what: str) -> Callable[[Attrs, Sequence[Shape]], Shape]:
    def rule(a: Attrs, x: Sequence[Shape]) -> Shape:
        for other in x[1:]:
            if other != x[0]:
                raise ShapeProblem(f"{what} needs equal shapes, not {kind_of(x[0])} and {kind_of(other)}", "make both paths end in the same channels and size")
        return x[0]

    return rule


def _mul_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    widest = max(x, key=lambda s: prod(s[1:]))
    for s in x:
        if s != widest and not (len(s) == len(widest) == 3 and s[0] == widest[0] and s[1:] == (1, 1)):
            raise ShapeProblem(f"mul needs equal shapes or a gate of {widest[0]}x1x1, not {kind_of(widest)} and {kind_of(s)}",
                               "end the gate in one value a channel: `globalpool`, then a 1x1 conv to as many channels")  # fmt: skip
    return widest


def _concat_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    for other in x[1:]:
        if len(other) != len(x[0]) or other[1:] != x[0][1:]:
            raise ShapeProblem(f"concat joins channels of maps of one size, not {kind_of(x[0])} and {kind_of(other)}", "give all paths the same stride and padding")
    channels = sum(s[0] for s in x)
    if channels > MAX_SIDE:
        raise ShapeProblem(f"concat gives {channels:,} channels, over the limit of {MAX_SIDE:,}", "use fewer or narrower paths")
    return (channels, *x[0][1:])


def _highway_shape(a: Attrs, x: Sequence[Shape]) -> Shape:
    return _equal_shape("highway")(a, x[:2])


# --- what things cost --------------------------------------------------------------------------------------


def _conv_weights(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return out[0] * (x[0][0] // _whole(a, "groups")) * prod(_pair(a, "kernel"))


def _conv_params(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return _conv_weights(a, x, out) + (out[0] if a["bias"] else 0)


def _conv_macs(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return _conv_weights(a, x, out) * prod(out[1:])


def _linear_params(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return out[0] * (x[0][0] + bool(a["bias"]))


def _linear_macs(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return out[0] * x[0][0]


def _norm_params(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return 2 * out[0]


def _affine_params(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return (out[0] if a["per"] == "channel" else 1) if a.get("learn", True) else 0


# --- torch text --------------------------------------------------------------------------------------------


def _side(pair: tuple[int, int]) -> str:
    return repr(pair[0]) if pair[0] == pair[1] else repr(pair)


def _given(a: Attrs, defaults: Mapping[str, Value]) -> str:
    """The keyword arguments that are not the default, `name=value, ...` with a leading comma."""
    return "".join(f", {k}={_side(v) if isinstance(v, tuple) else repr(v)}" for k, d in defaults.items() if (v := a[k]) != d)  # type: ignore[arg-type]


def _conv_text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    rest = _given(a, {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True})
    return f"nn.Conv2d({x[0][0]}, {out[0]}, {_side(_pair(a, 'kernel'))}{rest})"


def _linear_text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"nn.Linear({x[0][0]}, {out[0]}{_given(a, {'bias': True})})"


def _batch_norm_text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"nn.BatchNorm{2 if len(out) == 3 else 1}d({out[0]}{_given(a, {'eps': 1e-5, 'momentum': 0.1})})"


def _layer_norm_text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"{'LayerNorm2d' if len(out) == 3 else 'nn.LayerNorm'}({out[0]}, eps={a['eps']!r})"


def _pool_text(cls: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    def text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
        stride = f", stride={_side(_pair(a, 'stride'))}" if a["stride"] != a["kernel"] else ""
        padding = _given(a, {"padding": (0, 0)})
        return f"nn.{cls}({_side(_pair(a, 'kernel'))}{stride}{padding}{', ceil_mode=True' if a['ceil'] else ''})"

    return text


def _affine_text(cls: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    def text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
        size = f"({out[0]}, 1, 1)" if len(out) == 3 else f"({out[0]},)"
        return f"{cls}({size if a['per'] == 'channel' else '()'}, init={a['init']!r}{'' if a.get('learn', True) else ', learn=False'})"

    return text


def _pad_channels_text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    return f"PadChannels({out[0] - x[0][0]})"


def _plain(text: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    return lambda a, x, out: text


def _with(cls: str, *names: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    def text(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
        return f"{cls}({', '.join(_side(v) if isinstance(v, tuple) else repr(v) for v in (a[n] for n in names))})"  # type: ignore[arg-type]

    return text


def _infix(sign: str) -> Callable[[Attrs, Sequence[Shape], Sequence[str]], str]:
    return lambda a, shapes, names: f" {sign} ".join(names)


def _concat_expression(a: Attrs, shapes: Sequence[Shape], names: Sequence[str]) -> str:
    return f"torch.cat([{', '.join(names)}], 1)"


def _highway_expression(a: Attrs, shapes: Sequence[Shape], names: Sequence[str]) -> str:
    return f"highway({names[0]}, {names[1]}, torch.sigmoid({names[2]}){'[:, :, None, None]' if len(shapes[2]) < len(shapes[0]) else ''})"


HELPERS: Mapping[str, str] = {
    "LayerNorm2d": '''
class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels at each pixel (ConvNeXt)."""

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
''',
    "GroupSoftmax": '''
class GroupSoftmax(nn.Module):
    """Softmax across `groups` equal parts of the channels."""

    def __init__(self, groups):
        super().__init__()
        self.groups = groups

    def forward(self, x):
        return x.unflatten(1, (self.groups, -1)).softmax(1).flatten(1, 2)

    def extra_repr(self):
        return f"groups={self.groups}"
''',
    "DropPath": '''
class DropPath(nn.Module):
    """Stochastic depth (Huang et al. 2016): zero the whole path of a sample with probability `rate`."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty(x.shape[:1] + (1,) * (x.ndim - 1)).bernoulli_(keep).div_(keep)

    def extra_repr(self):
        return f"rate={self.rate}"
''',
    "Scale": '''
class Scale(nn.Module):
    """Multiply by a scalar or by one value a channel, learnt or constant (SkipInit, LayerScale)."""

    def __init__(self, shape, init, learn=True):
        super().__init__()
        self.init = init
        self.weight = nn.Parameter(torch.full(shape, float(init))) if learn else float(init)

    def reset_parameters(self):
        if isinstance(self.weight, nn.Parameter):
            nn.init.constant_(self.weight, self.init)

    def forward(self, x):
        return x * self.weight
''',
    "Bias": '''
class Bias(nn.Module):
    """Add a learnt scalar or one value a channel (Fixup)."""

    def __init__(self, shape, init):
        super().__init__()
        self.init = init
        self.bias = nn.Parameter(torch.full(shape, float(init)))

    def reset_parameters(self):
        nn.init.constant_(self.bias, self.init)

    def forward(self, x):
        return x + self.bias
''',
    "Subsample": '''
class Subsample(nn.Module):
    """Every stride-th pixel, from pixel 0 (He et al. 2015, shortcut A)."""

    def __init__(self, stride):
        super().__init__()
        self.stride = (stride, stride) if isinstance(stride, int) else stride

    def forward(self, x):
        return x[:, :, :: self.stride[0], :: self.stride[1]]

    def extra_repr(self):
        return f"stride={self.stride}"
''',
    "PadChannels": '''
class PadChannels(nn.Module):
    """Append zero channels (He et al. 2015, shortcut A)."""

    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def forward(self, x):
        return F.pad(x, (0, 0) * (x.ndim - 2) + (0, self.extra)) if self.extra else x

    def extra_repr(self):
        return f"extra={self.extra}"
''',
    "Slice": '''
class Slice(nn.Module):
    """Channels start..stop-1."""

    def __init__(self, start, stop):
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, x):
        return x[:, self.start : self.stop]

    def extra_repr(self):
        return f"{self.start}:{self.stop}"
''',
    "highway": '''
def highway(f, s, t):
    """Srivastava et al. 2015: T * F + (1 - T) * s."""
    return t * f + (1 - t) * s
''',
}


# --- labels ------------------------------------------------------------------------------------------------


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _slash(a: Attrs) -> str:
    stride = _pair(a, "stride")
    return "" if stride == (1, 1) else f", /{stride[0]}" if stride[0] == stride[1] else f", /{_by(stride)}"


def _conv_label(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    groups = f", g{a['groups']}" if a["groups"] != 1 else ""
    return f"{_by(_pair(a, 'kernel'))} conv, {out[0]}{groups}{_slash(a)}"


def _pool_label(what: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    return lambda a, x, out: f"{_by(_pair(a, 'kernel'))} {what}{_slash(a)}"


def _fixed(text: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    return lambda a, x, out: text


def _fields(template: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    """A label made of attributes: the template's words in braces are attribute names."""
    return lambda a, x, out: template.format_map({k: _side(v) if isinstance(v, tuple) else v for k, v in a.items()})  # type: ignore[arg-type]


def _norm(
    shape: Callable[[Attrs, Sequence[Shape]], Shape],
    label: str,
    module: Callable[[Attrs, Sequence[Shape], Shape], str],
    *,
    helper: str | None = None,
    fresh: bool = False,
) -> Op:
    return Op("norm", shape, _fixed(label), "bn", True, params=_norm_params, module=module, helper=helper, fresh=fresh, gain=True)


def _act(label: str, text: str, *, inplace: bool = False) -> Op:
    return Op("act", _same, _fixed(label), "act", True, module=_plain(text), inplace=inplace)


OPS: Mapping[str, Op] = {
    "conv": Op("conv", _conv_shape, _conv_label, "conv", True, _conv_params, _conv_macs, _conv_text, weighted=True,
               fresh=True, gain=True),
    "linear": Op("linear", _linear_shape, lambda a, x, out: f"fc {out[0]}", "fc", False, _linear_params, _linear_macs, _linear_text, weighted=True,
                 fresh=True, gain=True),
    "batch_norm": _norm(_same, "BN", _batch_norm_text, fresh=True),
    "group_norm": _norm(_group_norm_shape, "GN", lambda a, x, out: f"nn.GroupNorm({a['groups']!r}, {out[0]}, eps={a['eps']!r})", fresh=True),
    "layer_norm": _norm(_same, "LN", _layer_norm_text, helper="LayerNorm2d"),
    "instance_norm": _norm(_instance_norm_shape, "IN", lambda a, x, out: f"nn.InstanceNorm2d({out[0]}, eps={a['eps']!r}, affine=True)"),
    "no_norm": Op("norm", _same, _fixed("no norm"), "bn", True, module=_plain("nn.Identity()")),
    "relu": _act("ReLU", "nn.ReLU()", inplace=True),
    "relu6": _act("ReLU6", "nn.ReLU6()", inplace=True),
    "leaky_relu": Op("act", _same, _fixed("leaky ReLU"), "act", True, module=lambda a, x, out: f"nn.LeakyReLU({a['slope']!r})"),
    "gelu": _act("GELU", "nn.GELU()"),
    "silu": _act("SiLU", "nn.SiLU()"),
    "hardswish": _act("hardswish", "nn.Hardswish()"),
    "softmax": Op("act", _softmax_shape, _fixed("softmax"), "act", True, helper="GroupSoftmax",
                  module=lambda a, x, out: f"GroupSoftmax({a['groups']})" if a["groups"] != 1 else "nn.Softmax(1)"),
    "elu": _act("ELU", "nn.ELU()"),
    "tanh": _act("tanh", "nn.Tanh()"),
    "sigmoid": _act("sigmoid", "nn.Sigmoid()"),
    "hardsigmoid": _act("hardsigmoid", "nn.Hardsigmoid()"),
    "no_act": _act("identity", "nn.Identity()"),
    "maxpool": Op("pool", _pool_shape("maxpool"), _pool_label("max pool"), "maxpool", module=_pool_text("MaxPool2d"), fresh=True),
    "avgpool": Op("pool", _pool_shape("avgpool"), _pool_label("avg pool"), "avgpool", module=_pool_text("AvgPool2d"), fresh=True),
    "globalpool": Op("pool", _globalpool_shape, _fields("global {kind} pool"), "avgpool",
                     module=lambda a, x, out: f"nn.Adaptive{'Avg' if a['kind'] == 'avg' else 'Max'}Pool2d((1, 1))", fresh=True),
    "flatten": Op("shape", _flatten_shape, _fixed("flatten"), "flatten", module=_plain("nn.Flatten(1)")),
    "dropout": Op("noise", _same, _fields("dropout {rate}"), "dropout", module=_with("nn.Dropout", "rate")),
    "droppath": Op("noise", _same, _fields("drop path {rate}"), "droppath", module=_with("DropPath", "rate"), helper="DropPath"),
    "scale": Op("affine", _same, _fields("scale per {per}"), "scale", params=_affine_params, module=_affine_text("Scale"), helper="Scale",
                fresh=True, gain=True),
    "bias": Op("affine", _same, _fields("bias per {per}"), "bias", params=_affine_params, module=_affine_text("Bias"), helper="Bias", fresh=True),
    "subsample": Op("shape", _subsample_shape, _fields("subsample /{stride}"), "subsample", module=_with("Subsample", "stride"), helper="Subsample"),
    "pad_channels": Op("shape", _pad_channels_shape, _fields("zero-pad to {out}"), "pad_channels", module=_pad_channels_text, helper="PadChannels"),
    "slice": Op("shape", _slice_shape, _fields("channels {from}..{to}"), "slice", module=_with("Slice", "from", "to"), helper="Slice"),
    "channel_shuffle": Op("shape", _shuffle_shape, _fields("shuffle, {groups} groups"), "channel_shuffle", module=_with("nn.ChannelShuffle", "groups")),
    "add": Op("merge", _equal_shape("add"), _fixed("+"), "add", expression=_infix("+"), arity=None, fresh=True),
    "mul": Op("merge", _mul_shape, _fixed("x"), "mul", expression=_infix("*"), arity=None, fresh=True),
    "concat": Op("merge", _concat_shape, _fixed("concat"), "concat", expression=_concat_expression, arity=None, fresh=True),
    "highway": Op("merge", _highway_shape, _fixed("T F + (1-T) s"), "highway", expression=_highway_expression, helper="highway", arity=3, fresh=True),
}  # fmt: skip
