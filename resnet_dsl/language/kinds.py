"""The tables of what can be named: steps, norms, activations, merges, and the arguments of each (docs/language.md, Top-level keys and Steps).

The name and the arguments of an operation come from its row of the op table; here are the combinators. Blocks, shortcut policies and
sequences are not here: they are definitions, read from YAML.
"""

from __future__ import annotations

from collections.abc import Mapping

from resnet_dsl.language.expressions import WORDS
from resnet_dsl.ops.arguments import TIMES, WINDOW, Arg, Signature, pair, value
from resnet_dsl.ops.table import OPS


def _named(*groups: str) -> dict[str, Signature]:
    """The operations of these groups by what the language calls them."""
    return {row.called or op: Signature(row.about, row.args, op) for op, row in OPS.items() if row.group in groups}


NORMS: Mapping[str, Signature] = _named("norm")
ACTS: Mapping[str, Signature] = _named("act")
MERGES: Mapping[str, Signature] = _named("merge")

_STEPS = Arg("steps", "a list of steps", required=True)
_LIST = Arg("steps", "a list of steps")

STEPS: Mapping[str, Signature] = {
    **_named("conv", "linear"),
    "norm": Signature("the spec's normalisation, or another kind", {}),
    "act": Signature("the spec's activation, or another kind", {}),
    **_named("pool", "noise", "affine", "shape"),
    "chain": Signature("a named group of steps", {"steps": _STEPS}),
    "residual": Signature(
        "a block in place",
        {
            "body": _STEPS,
            "before": _LIST,
            "shortcut": Arg("shortcut", "a policy, or a list of steps", default="identity"),
            "stride": pair(WINDOW, "told to the policy: a number, or [height, width]", 1),
            "merge": Arg("merge", "how body and shortcut are joined", default="add"),
            "after": _LIST,
        },
    ),
    "branches": Signature(
        "parallel paths from one input, merged in order",
        {
            "paths": Arg("paths", "a list of lists of steps", required=True),
            "merge": Arg(
                "merge", "add, mul or concat", required=True, choices=tuple(name for name, s in MERGES.items() if OPS[s.op].arity is None)
            ),
        },
    ),
    "repeat": Signature(
        "copies of a list of steps, numbered by `index`",
        {"times": value(TIMES, "copies", required=True), "steps": Arg("steps", "a list of steps", required=True, counts=True)},
    ),
}

KINDS: Mapping[str, Mapping[str, Signature]] = {"norm": NORMS, "act": ACTS}
"""The steps whose arguments are a kind and that kind's own."""

INITS = ("he", "he_fan_in", "xavier", "torch", "fixup")

BLOCK_NAMES = ("in", "image", "width", "stride", "dilation", "first_dilation", "stage", "index", "depth", "position", "total")
POLICY_NAMES = ("in", "out", "stride", "image")
SEQUENCE_NAMES = ("in", "image", "first_width")
STAGE_LIST_NAMES = ("in", "image", "width", "stage", "depth")

LANGUAGE_NAMES = frozenset({*BLOCK_NAMES, *POLICY_NAMES, *SEQUENCE_NAMES, *STAGE_LIST_NAMES, "classes"})
"""Names that an expression may find without the spec giving them; parameters take none of them."""

HIDDEN = frozenset(("dilation", "first_dilation"))
"""Names of the language that an argument or a `let` of a definition may have for itself: own blocks had them before the language did."""

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
