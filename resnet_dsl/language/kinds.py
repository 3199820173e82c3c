"""The tables of what can be named: steps, norms, activations, merges, and the arguments of each (docs/language.md, Top-level keys and Steps).

Blocks, shortcut policies and sequences are not here: they are definitions, read from YAML.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from resnet_dsl.language.expressions import WORDS, Result
from resnet_dsl.language.spec import (
    CONDITION,
    FRACTION,
    INDEX,
    NUMBER,
    PADDING,
    POSITIVE,
    RATE,
    SIZE,
    TIMES,
    WINDOW,
    Rule,
)

Form = Literal["value", "pair", "padding", "word", "steps", "paths", "shortcut", "merge"]


@dataclass(frozen=True, slots=True)
class Arg:
    """One argument: its form, the rule of its values, its default (None: computed from the input, or required)."""

    form: Form
    about: str
    rule: Rule = NUMBER
    default: Result | str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Signature:
    """What may be given to a name, and one line about it. `op` is the row of the op table that it becomes."""

    about: str
    args: Mapping[str, Arg]
    op: str = ""


def _value(rule: Rule, about: str, default: Result | None = None, *, required: bool = False) -> Arg:
    return Arg("value", about, rule, default, required)


def _pair(rule: Rule, about: str, default: Result | None = None, *, required: bool = False) -> Arg:
    return Arg("pair", about, rule, default, required)


def _word(about: str, default: str, *choices: str) -> Arg:
    return Arg("word", about, default=default, choices=choices)


_EPS = _value(POSITIVE, "added to the variance", Fraction(1, 100_000))
_KERNEL = _pair(WINDOW, "window: a number, or [height, width]", required=True)
_PER = _word("one value in all, or one a channel", "scalar", "scalar", "channel")

NORMS: Mapping[str, Signature] = {
    "batch": Signature(
        "batch normalisation (Ioffe and Szegedy 2015)",
        {"eps": _EPS, "momentum": _value(FRACTION, "of the running statistics", Fraction(1, 10))},
        "batch_norm",
    ),
    "group": Signature(
        "group normalisation (Wu and He 2018)", {"groups": _value(SIZE, "groups of channels", 32), "eps": _EPS}, "group_norm"
    ),
    "layer": Signature(
        "layer normalisation over the channels at each pixel",
        {"eps": _value(POSITIVE, "added to the variance", Fraction(1, 1_000_000))},
        "layer_norm",
    ),
    "instance": Signature("instance normalisation", {"eps": _EPS}, "instance_norm"),
    "none": Signature("no normalisation", {}, "no_norm"),
}

ACTS: Mapping[str, Signature] = {
    "relu": Signature("max(x, 0)", {}, "relu"),
    "relu6": Signature("ReLU clipped at 6", {}, "relu6"),
    "leaky_relu": Signature("x, or slope * x below 0", {"slope": _value(NUMBER, "below zero", Fraction(1, 100))}, "leaky_relu"),
    "gelu": Signature("Gaussian error linear unit", {}, "gelu"),
    "silu": Signature("x * sigmoid(x), also called swish", {}, "silu"),
    "hardswish": Signature("piecewise swish", {}, "hardswish"),
    "softmax": Signature(
        "across that many equal parts of the channels; over all channels where groups is 1", {"groups": _value(SIZE, "parts", 1)}, "softmax"
    ),
    "elu": Signature("exponential linear unit", {}, "elu"),
    "tanh": Signature("hyperbolic tangent", {}, "tanh"),
    "sigmoid": Signature("1 / (1 + exp(-x))", {}, "sigmoid"),
    "hardsigmoid": Signature("piecewise sigmoid", {}, "hardsigmoid"),
    "identity": Signature("no activation", {}, "no_act"),
}

MERGES: Mapping[str, Signature] = {
    "add": Signature("F + s: residual learning (He et al. 2015)", {}, "add"),
    "mul": Signature("F * s, or a gate of one value a channel", {}, "mul"),
    "concat": Signature("channels side by side, the shortcut first (DenseNet)", {}, "concat"),
    "highway": Signature("T * F + (1 - T) * s with a learnt gate T (Srivastava et al. 2015)", {
        "gate": _word("a convolution, or one value a channel", "conv", "conv", "channel"),
        "kernel": _pair(WINDOW, "of the gate's convolution", 1),
        "bias": _value(NUMBER, "where the gate's bias starts", -2),
    }, "highway"),
}  # fmt: skip

_STEPS = Arg("steps", "a list of steps", required=True)
_LIST = Arg("steps", "a list of steps")

STEPS: Mapping[str, Signature] = {
    "conv": Signature("2-D convolution", {
        "out": _value(SIZE, "output channels (as many as enter)"),
        "kernel": _KERNEL,
        "stride": _pair(WINDOW, "a number, or [height, width]", 1),
        "padding": Arg("padding", "a number, [height, width], or same", PADDING, "same"),
        "dilation": _pair(WINDOW, "a number, or [height, width]", 1),
        "groups": _value(SIZE, "groups of channels", 1),
        "bias": _value(CONDITION, "add a bias", False),
    }, "conv"),
    "linear": Signature("fully connected layer", {"out": _value(SIZE, "output features", required=True), "bias": _value(CONDITION, "add a bias", True)}, "linear"),
    "norm": Signature("the spec's normalisation, or another kind", {}),
    "act": Signature("the spec's activation, or another kind", {}),
    "maxpool": Signature("max pooling", {"kernel": _KERNEL, "stride": _pair(WINDOW, "(the kernel)"), "padding": _pair(PADDING, "at each side", 0), "ceil": _value(CONDITION, "round the size up", False)}, "maxpool"),
    "avgpool": Signature("average pooling", {"kernel": _KERNEL, "stride": _pair(WINDOW, "(the kernel)"), "padding": _pair(PADDING, "at each side", 0), "ceil": _value(CONDITION, "round the size up", False)}, "avgpool"),
    "globalpool": Signature("one value a channel", {"kind": _word("average or maximum", "avg", "avg", "max")}, "globalpool"),
    "flatten": Signature("a map to a vector", {}, "flatten"),
    "dropout": Signature("zero values while training", {"rate": _value(RATE, "the share that is dropped", required=True)}, "dropout"),
    "droppath": Signature("stochastic depth (Huang et al. 2016)", {"rate": _value(RATE, "the share of samples that is dropped", required=True)}, "droppath"),
    "scale": Signature("multiply by a learnt or constant value (SkipInit, LayerScale)", {"init": _value(NUMBER, "where it starts", 1), "per": _PER, "learn": _value(CONDITION, "learn it", True)}, "scale"),
    "bias": Signature("add a learnt value (Fixup)", {"init": _value(NUMBER, "where it starts", 0), "per": _PER}, "bias"),
    "subsample": Signature("every stride-th pixel, from pixel 0", {"stride": _pair(WINDOW, "a number, or [height, width]", required=True)}, "subsample"),
    "pad_channels": Signature("append zero channels", {"out": _value(SIZE, "channels afterwards", required=True)}, "pad_channels"),
    "slice": Signature("channels from..to-1", {"from": _value(INDEX, "first channel", 0), "to": _value(INDEX, "one past the last (all)")}, "slice"),
    "channel_shuffle": Signature("mix the groups' channels (ShuffleNet)", {"groups": _value(SIZE, "groups", required=True)}, "channel_shuffle"),
    "chain": Signature("a named group of steps", {"steps": _STEPS}),
    "residual": Signature("a block in place", {
        "body": _STEPS,
        "before": _LIST,
        "shortcut": Arg("shortcut", "a policy, or a list of steps", default="identity"),
        "stride": _value(WINDOW, "told to the policy", 1),
        "merge": Arg("merge", "how body and shortcut are joined", default="add"),
        "after": _LIST,
    }),
    "branches": Signature("parallel paths from one input, merged in order", {
        "paths": Arg("paths", "a list of lists of steps", required=True),
        "merge": Arg("merge", "add, mul or concat", required=True, choices=("add", "mul", "concat")),
    }),
    "repeat": Signature("copies of a list of steps, numbered by `index`", {"times": _value(TIMES, "copies", required=True), "steps": _STEPS}),
}  # fmt: skip

KINDS: Mapping[str, Mapping[str, Signature]] = {"norm": NORMS, "act": ACTS}
"""The steps whose arguments are a kind and that kind's own."""

INITS = ("he", "he_fan_in", "xavier", "torch", "fixup")

BLOCK_NAMES = ("in", "image", "width", "stride", "stage", "index", "depth", "position", "total")
POLICY_NAMES = ("in", "out", "stride", "image")
SEQUENCE_NAMES = ("in", "image", "first_width")
STAGE_LIST_NAMES = ("in", "image", "width", "stage", "depth")

LANGUAGE_NAMES = frozenset({*BLOCK_NAMES, *POLICY_NAMES, *SEQUENCE_NAMES, *STAGE_LIST_NAMES, "classes"})
"""Names that an expression may find without the spec giving them; parameters take none of them."""

RESERVED = WORDS | {"in", "when", "as"}
"""Words that no argument, `let`, parameter or definition may take."""

MODULE_ATTRIBUTES = frozenset("""
T_destination add_module append apply bfloat16 buffers call_super_init children compile cpu cuda double dump_patches eval extend
extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half insert ipu load_state_dict modules mtia
named_buffers named_children named_modules named_parameters parameters pop register_backward_hook register_buffer
register_forward_hook register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module register_parameter
register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict
to to_empty train training type xpu zero_grad
""".split())  # fmt: skip
"""Public attributes of torch.nn.Sequential: as names of modules they would break the module (a test compares)."""
