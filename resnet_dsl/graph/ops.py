"""THE op table: one row an operation, and nothing about an operation anywhere else.

A complete row is a complete op: its shape rule, what it costs, how it is written in PyTorch and what a picture says.
Costs follow docs/language.md, What is counted: `macs` are the multiply-accumulates of convolutions and linear layers for one input
(bias, norm, activation, pooling and merging count 0); `params` are elements of trainable parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from resnet_dsl.graph import shapes, torch_text
from resnet_dsl.graph.graph import Shape
from resnet_dsl.graph.shapes import Attrs

Group = Literal["conv", "linear", "norm", "act", "pool", "noise", "affine", "shape", "merge"]


def _zero(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Op:
    """A row. Functions take the attributes, the operands' shapes and (but for `shape`) the output's shape.

    `module` is the text of the torch module's constructor; ops that have none (`merge`) are an expression instead.
    `helper` names the class in `torch_text.HELPERS` that the constructor needs where torch has no such module.
    `inplace` is true where the module's constructor takes `inplace=True`.
    `name` is the module name of an unnamed step (docs/language.md, Module names), with a count where `counted`.
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


# --- what things cost --------------------------------------------------------------------------------------


def _conv_weights(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return out[0] * (x[0][0] // shapes.whole(a, "groups")) * prod(shapes.pair(a, "kernel"))


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


# --- labels ------------------------------------------------------------------------------------------------


def _by(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"


def _slash(a: Attrs) -> str:
    stride = shapes.pair(a, "stride")
    return "" if stride == (1, 1) else f", /{stride[0]}" if stride[0] == stride[1] else f", /{_by(stride)}"


def _conv_label(a: Attrs, x: Sequence[Shape], out: Shape) -> str:
    groups = f", g{a['groups']}" if a["groups"] != 1 else ""
    return f"{_by(shapes.pair(a, 'kernel'))} conv, {out[0]}{groups}{_slash(a)}"


def _pool_label(what: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    return lambda a, x, out: f"{_by(shapes.pair(a, 'kernel'))} {what}{_slash(a)}"


def _fixed(text: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    return lambda a, x, out: text


def _fields(template: str) -> Callable[[Attrs, Sequence[Shape], Shape], str]:
    """A label made of attributes: the template's words in braces are attribute names."""
    return lambda a, x, out: template.format_map({k: torch_text.side(v) if isinstance(v, tuple) else v for k, v in a.items()})  # type: ignore[arg-type]


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
    return Op("act", shapes.same, _fixed(label), "act", True, module=torch_text.plain(text), inplace=inplace)


OPS: Mapping[str, Op] = {
    "conv": Op("conv", shapes.conv, _conv_label, "conv", True, _conv_params, _conv_macs, torch_text.conv, weighted=True,
               fresh=True, gain=True),
    "linear": Op("linear", shapes.linear, lambda a, x, out: f"fc {out[0]}", "fc", False, _linear_params, _linear_macs, torch_text.linear, weighted=True,
                 fresh=True, gain=True),
    "batch_norm": _norm(shapes.same, "BN", torch_text.batch_norm, fresh=True),
    "group_norm": _norm(shapes.group_norm, "GN", lambda a, x, out: f"nn.GroupNorm({a['groups']!r}, {out[0]}, eps={a['eps']!r})", fresh=True),
    "layer_norm": _norm(shapes.same, "LN", torch_text.layer_norm, helper="LayerNorm2d"),
    "instance_norm": _norm(shapes.instance_norm, "IN", lambda a, x, out: f"nn.InstanceNorm2d({out[0]}, eps={a['eps']!r}, affine=True)"),
    "no_norm": Op("norm", shapes.same, _fixed("no norm"), "bn", True, module=torch_text.plain("nn.Identity()")),
    "relu": _act("ReLU", "nn.ReLU()", inplace=True),
    "relu6": _act("ReLU6", "nn.ReLU6()", inplace=True),
    "leaky_relu": Op("act", shapes.same, _fixed("leaky ReLU"), "act", True, module=lambda a, x, out: f"nn.LeakyReLU({a['slope']!r})"),
    "gelu": _act("GELU", "nn.GELU()"),
    "silu": _act("SiLU", "nn.SiLU()"),
    "hardswish": _act("hardswish", "nn.Hardswish()"),
    "softmax": Op("act", shapes.softmax, _fixed("softmax"), "act", True, helper="GroupSoftmax",
                  module=lambda a, x, out: f"GroupSoftmax({a['groups']})" if a["groups"] != 1 else "nn.Softmax(1)"),
    "elu": _act("ELU", "nn.ELU()"),
    "tanh": _act("tanh", "nn.Tanh()"),
    "sigmoid": _act("sigmoid", "nn.Sigmoid()"),
    "hardsigmoid": _act("hardsigmoid", "nn.Hardsigmoid()"),
    "no_act": _act("identity", "nn.Identity()"),
    "maxpool": Op("pool", shapes.pool("maxpool"), _pool_label("max pool"), "maxpool", module=torch_text.pool("MaxPool2d"), fresh=True),
    "avgpool": Op("pool", shapes.pool("avgpool"), _pool_label("avg pool"), "avgpool", module=torch_text.pool("AvgPool2d"), fresh=True),
    "globalpool": Op("pool", shapes.globalpool, _fields("global {kind} pool"), "avgpool",
                     module=lambda a, x, out: f"nn.Adaptive{'Avg' if a['kind'] == 'avg' else 'Max'}Pool2d((1, 1))", fresh=True),
    "flatten": Op("shape", shapes.flatten, _fixed("flatten"), "flatten", module=torch_text.plain("nn.Flatten(1)")),
    "dropout": Op("noise", shapes.same, _fields("dropout {rate}"), "dropout", module=torch_text.with_arguments("nn.Dropout", "rate")),
    "droppath": Op("noise", shapes.same, _fields("drop path {rate}"), "droppath", module=torch_text.with_arguments("DropPath", "rate"), helper="DropPath"),
    "scale": Op("affine", shapes.same, _fields("scale per {per}"), "scale", params=_affine_params, module=torch_text.affine("Scale"), helper="Scale",
                fresh=True, gain=True),
    "bias": Op("affine", shapes.same, _fields("bias per {per}"), "bias", params=_affine_params, module=torch_text.affine("Bias"), helper="Bias", fresh=True),
    "subsample": Op("shape", shapes.subsample, _fields("subsample /{stride}"), "subsample", module=torch_text.with_arguments("Subsample", "stride"), helper="Subsample"),
    "pad_channels": Op("shape", shapes.pad_channels, _fields("zero-pad to {out}"), "pad_channels", module=torch_text.pad_channels, helper="PadChannels"),
    "slice": Op("shape", shapes.slice_shape, _fields("channels {from}..{to}"), "slice", module=torch_text.with_arguments("Slice", "from", "to"), helper="Slice"),
    "channel_shuffle": Op("shape", shapes.shuffle, _fields("shuffle, {groups} groups"), "channel_shuffle", module=torch_text.with_arguments("nn.ChannelShuffle", "groups")),
    "add": Op("merge", shapes.equal("add"), _fixed("+"), "add", expression=torch_text.infix("+"), arity=None, fresh=True),
    "mul": Op("merge", shapes.mul, _fixed("x"), "mul", expression=torch_text.infix("*"), arity=None, fresh=True),
    "concat": Op("merge", shapes.concat, _fixed("concat"), "concat", expression=torch_text.concat_expression, arity=None, fresh=True),
    "highway": Op("merge", shapes.highway, _fixed("T F + (1-T) s"), "highway", expression=torch_text.highway_expression, helper="highway", arity=3, fresh=True),
}  # fmt: skip
