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

from resnet_dsl.graph import effects, exactness, shapes, torch_text
from resnet_dsl.graph.graph import Shape, Value
from resnet_dsl.graph.shapes import Attrs

State = tuple[tuple[str, Shape], ...]
Group = Literal["conv", "linear", "norm", "act", "pool", "noise", "affine", "shape", "merge"]


def _zero(a: Attrs, x: Sequence[Shape], out: Shape) -> int:
    return 0


def _no_state(a: Attrs, x: Sequence[Shape], out: Shape) -> State:
    return ()


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
    state: Callable[[Attrs, Sequence[Shape], Shape], State] = _no_state
    """The tensors of the module's state_dict by name, with their shapes, in its order."""
    gain: bool = False
    """The module has a `weight` and gives nothing where that is zero: what `zero_last` zeroes."""
    work: effects.Work = effects.nothing
    """What counters may count of it beside its multiply-accumulates, by what it is."""
    window: effects.Window = effects.pointwise
    """What an output position sees of the map."""
    saved: effects.Keeps = effects.keeps_nothing
    """What autograd keeps of it for the backward pass."""
    view: bool = False
    """What comes out lies in the memory of what went in."""
    centers: bool = False
    """Takes each channel's mean away, and with it a bias that was added before."""
    tracked: bool = False
    """Normalises by the batch in training and by running statistics in evaluation: there it is affine, and folds into the layer before."""
    exact: exactness.Exact = exactness.OPAQUE
    """When it gives back exactly what it reads, or exactly zero."""
    wide: bool = False
    """Computes in fp32 where the rest computes in half precision (torch's autocast on a GPU)."""


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


# --- what a state_dict holds -------------------------------------------------------------------------------


def _conv_state(a: Attrs, x: Sequence[Shape], out: Shape) -> State:
    weight = ("weight", (out[0], x[0][0] // shapes.whole(a, "groups"), *shapes.pair(a, "kernel")))
    return (weight, ("bias", out[:1])) if a["bias"] else (weight,)


def _linear_state(a: Attrs, x: Sequence[Shape], out: Shape) -> State:
    weight = ("weight", (out[0], x[0][0]))
    return (weight, ("bias", out[:1])) if a["bias"] else (weight,)


def _norm_state(a: Attrs, x: Sequence[Shape], out: Shape) -> State:
    return ("weight", out[:1]), ("bias", out[:1])


def _batch_norm_state(a: Attrs, x: Sequence[Shape], out: Shape) -> State:
    return *_norm_state(a, x, out), ("running_mean", out[:1]), ("running_var", out[:1]), ("num_batches_tracked", ())


def _affine_state(name: str) -> Callable[[Attrs, Sequence[Shape], Shape], State]:
    def state(a: Attrs, x: Sequence[Shape], out: Shape) -> State:
        return ((name, (out[0], *(1 for _ in out[1:])) if a["per"] == "channel" else ()),) if a.get("learn", True) else ()

    return state


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

    def text(value: Value) -> object:
        # A rate that comes out of a schedule has more digits than a picture has room for.
        return f"{value:.3g}" if isinstance(value, float) else torch_text.side(value) if isinstance(value, tuple) else value  # type: ignore[arg-type]

    return lambda a, x, out: template.format_map({k: text(v) for k, v in a.items()})


def _norm(
    shape: Callable[[Attrs, Sequence[Shape]], Shape],
    label: str,
    module: Callable[[Attrs, Sequence[Shape], Shape], str],
    *,
    helper: str | None = None,
    fresh: bool = False,
    state: Callable[[Attrs, Sequence[Shape], Shape], State] = _norm_state,
    counted: effects.Work,
    saved: effects.Keeps,
    wide: bool = False,
    centers: bool = False,
    tracked: bool = False,
    exact: exactness.Exact = exactness.OTHER_NORM,
) -> Op:
    return Op("norm", shape, _fixed(label), "bn", True, params=_norm_params, module=module, helper=helper, fresh=fresh, state=state, gain=True,
              work=counted, saved=saved, wide=wide, centers=centers, tracked=tracked, exact=exact)  # fmt: skip


def _act(label: str, text: str, exact: exactness.Exact, *, inplace: bool = False, saved: effects.Keeps = effects.keeps_input) -> Op:
    return Op(
        "act",
        shapes.same,
        _fixed(label),
        "act",
        True,
        module=torch_text.plain(text),
        inplace=inplace,
        work=effects.activation(label),
        saved=saved,
        exact=exact,
    )


OPS: Mapping[str, Op] = {
    "conv": Op("conv", shapes.conv, _conv_label, "conv", True, _conv_params, _conv_macs, torch_text.conv, weighted=True,
               fresh=True, gain=True, state=_conv_state,
                 work=effects.biased("conv"), window=effects.sliding, saved=effects.keeps_input, exact=exactness.CONV),
    "linear": Op("linear", shapes.linear, lambda a, x, out: f"fc {out[0]}", "fc", False, _linear_params, _linear_macs, torch_text.linear, weighted=True,
                 fresh=True, gain=True, state=_linear_state,
                 work=effects.biased("linear"), saved=effects.keeps_input, exact=exactness.LINEAR),
    "batch_norm": _norm(shapes.same, "BN", torch_text.batch_norm, fresh=True, state=_batch_norm_state,
                 counted=effects.norm("batch norm"), saved=effects.batch_norm_keeps, centers=True, tracked=True, exact=exactness.BATCH_NORM),
    "group_norm": _norm(shapes.group_norm, "GN", lambda a, x, out: f"nn.GroupNorm({a['groups']!r}, {out[0]}, eps={a['eps']!r})", fresh=True,
                 counted=effects.norm("group norm"), saved=effects.group_norm_keeps, wide=True),
    "layer_norm": _norm(shapes.same, "LN", torch_text.layer_norm, helper="LayerNorm2d",
                 counted=effects.layer_norm, saved=effects.layer_norm_keeps, wide=True),
    "instance_norm": _norm(shapes.instance_norm, "IN", lambda a, x, out: f"nn.InstanceNorm2d({out[0]}, eps={a['eps']!r}, affine=True)",
                 counted=effects.norm("instance norm"), saved=effects.instance_norm_keeps, centers=True),
    "no_norm": Op("norm", shapes.same, _fixed("no norm"), "bn", True, module=torch_text.plain("nn.Identity()"), view=True, exact=exactness.PASSES),
    "relu": _act("ReLU", "nn.ReLU()", exactness.RELU, inplace=True, saved=effects.keeps_output),
    "relu6": _act("ReLU6", "nn.ReLU6()", exactness.RELU6, inplace=True),
    "leaky_relu": Op("act", shapes.same, _fixed("leaky ReLU"), "act", True, module=lambda a, x, out: f"nn.LeakyReLU({a['slope']!r})",
                 work=effects.activation("leaky ReLU"), saved=effects.keeps_input, exact=exactness.LEAKY),
    "gelu": _act("GELU", "nn.GELU()", exactness.CURVED),
    "silu": _act("SiLU", "nn.SiLU()", exactness.CURVED),
    "hardswish": _act("hardswish", "nn.Hardswish()", exactness.CURVED),
    "softmax": Op("act", shapes.softmax, _fixed("softmax"), "act", True, helper="GroupSoftmax",
                  module=lambda a, x, out: f"GroupSoftmax({a['groups']})" if a["groups"] != 1 else "nn.Softmax(1)",
                 work=effects.softmax, saved=effects.keeps_output, wide=True, exact=exactness.GATE),
    "elu": _act("ELU", "nn.ELU()", exactness.ELU),
    "tanh": _act("tanh", "nn.Tanh()", exactness.SQUASHED, saved=effects.keeps_output),
    "sigmoid": _act("sigmoid", "nn.Sigmoid()", exactness.GATE, saved=effects.keeps_output),
    "hardsigmoid": _act("hardsigmoid", "nn.Hardsigmoid()", exactness.GATE),
    "no_act": Op("act", shapes.same, _fixed("identity"), "act", True, module=torch_text.plain("nn.Identity()"), view=True, exact=exactness.PASSES),
    "maxpool": Op("pool", shapes.pool("maxpool"), _pool_label("max pool"), "maxpool", module=torch_text.pool("MaxPool2d"), fresh=True,
                 work=effects.pool("max pool"), window=effects.sliding, saved=effects.max_pool_keeps, exact=exactness.MAX_POOL),
    "avgpool": Op("pool", shapes.pool("avgpool"), _pool_label("avg pool"), "avgpool", module=torch_text.pool("AvgPool2d"), fresh=True,
                 work=effects.pool("average pool"), window=effects.sliding, saved=effects.keeps_input, exact=exactness.POOL),
    "globalpool": Op("pool", shapes.globalpool, _fields("global {kind} pool"), "avgpool",
                     module=lambda a, x, out: f"nn.Adaptive{'Avg' if a['kind'] == 'avg' else 'Max'}Pool2d((1, 1))", fresh=True,
                 work=effects.globalpool, window=effects.whole_map, saved=effects.globalpool_keeps, exact=exactness.POOL),
    "flatten": Op("shape", shapes.flatten, _fixed("flatten"), "flatten", module=torch_text.plain("nn.Flatten(1)"),
                 window=effects.whole_map, view=True, exact=exactness.FLATTEN),
    "dropout": Op("noise", shapes.same, _fields("dropout {rate}"), "dropout", module=torch_text.with_arguments("nn.Dropout", "rate"),
                 saved=effects.dropout_keeps, exact=exactness.NOISE),
    "droppath": Op("noise", shapes.same, _fields("drop path {rate}"), "droppath", module=torch_text.with_arguments("DropPath", "rate"), helper="DropPath",
                 saved=effects.droppath_keeps, exact=exactness.NOISE),
    "scale": Op("affine", shapes.same, _fields("scale per {per}"), "scale", params=_affine_params, module=torch_text.affine("Scale"), helper="Scale",
                fresh=True, gain=True, state=_affine_state("weight"),
                 work=effects.scale, saved=effects.scale_keeps, exact=exactness.SCALE),
    "bias": Op("affine", shapes.same, _fields("bias per {per}"), "bias", params=_affine_params, module=torch_text.affine("Bias"), helper="Bias", fresh=True,
               state=_affine_state("bias"),
                 work=effects.bias, saved=effects.bias_keeps, exact=exactness.BIAS),
    "subsample": Op("shape", shapes.subsample, _fields("subsample /{stride}"), "subsample", module=torch_text.with_arguments("Subsample", "stride"), helper="Subsample",
                 window=effects.every_nth, view=True, exact=exactness.PART),
    "pad_channels": Op("shape", shapes.pad_channels, _fields("zero-pad to {out}"), "pad_channels", module=torch_text.pad_channels, helper="PadChannels", exact=exactness.PADDED),
    "slice": Op("shape", shapes.slice_shape, _fields("channels {from}..{to}"), "slice", module=torch_text.with_arguments("Slice", "from", "to"), helper="Slice",
                 view=True, exact=exactness.PART),
    "channel_shuffle": Op("shape", shapes.shuffle, _fields("shuffle, {groups} groups"), "channel_shuffle", module=torch_text.with_arguments("nn.ChannelShuffle", "groups"), exact=exactness.MOVES),
    "add": Op("merge", shapes.equal("add"), _fixed("+"), "add", expression=torch_text.infix("+"), arity=None, fresh=True, work=effects.merge("add"), exact=exactness.ADD),
    "mul": Op("merge", shapes.mul, _fixed("x"), "mul", expression=torch_text.infix("*"), arity=None, fresh=True,
                 work=effects.merge("mul"), saved=effects.keeps_operands, exact=exactness.MUL),
    "concat": Op("merge", shapes.concat, _fixed("concat"), "concat", expression=torch_text.concat_expression, arity=None, fresh=True, exact=exactness.CONCAT),
    "highway": Op("merge", shapes.highway, _fixed("T F + (1-T) s"), "highway", expression=torch_text.highway_expression, helper="highway", arity=3, fresh=True,
                 work=effects.merge("highway"), saved=effects.highway_keeps, exact=exactness.HIGHWAY),
}  # fmt: skip
