"""The one residual form, for blocks and for residuals in place (docs/language.md, Blocks):

    p = before(x);  F = body(p);  s = shortcut;  y = after(merge(F, s))

A shortcut with steps reads p, the identity reads x (He et al. 2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnet_dsl.diagnostics import Location
from resnet_dsl.graph.env import Env, locate
from resnet_dsl.graph.graph import CALL, Shape, Value
from resnet_dsl.graph.ops import OPS
from resnet_dsl.graph.scope import GATE, INPUT, SHORTCUT, Scope
from resnet_dsl.graph.shapes import ShapeProblem, kind_of
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.kinds import MERGES
from resnet_dsl.language.spec import Reference, Step

if TYPE_CHECKING:
    from resnet_dsl.graph.steps import Walker


@dataclass(frozen=True, slots=True)
class Part:
    """What one residual form is made of. `out` is what a block declares, and for a residual what its body gives.

    `merge_env`, `shortcut_env` and `env` are where the arguments of the merge, those of the shortcut and the steps are
    evaluated. `at` is the place to blame for the whole.
    """

    what: str
    before: tuple[Step, ...]
    body: tuple[Step, ...]
    after: tuple[Step, ...]
    shortcut: Reference | tuple[Step, ...]
    merge: Reference
    merge_env: Env
    shortcut_env: Env
    env: Env
    out: int
    stride: int
    at: Location
    is_block: bool


def build(walker: Walker, scope: Scope, part: Part) -> int:
    """Add the nodes of a residual form to a scope; gives the value of y."""
    mark = len(walker.decisions)
    p = walker.run(part.before, part.env, scope, INPUT, "before")
    f = walker.run(part.body, part.env, scope, p, "body")
    middle = len(walker.decisions)
    out = part.out or scope.shape(f)[0]
    s = _shortcut(walker, scope, part, p, f, out, mark)
    y = f if s is None else _merge(walker, scope, part, f, s, out, (mark, middle))
    return walker.run(part.after, part.env, scope, y, "after")


def _shortcut(walker: Walker, scope: Scope, part: Part, p: int, f: int, out: int, mark: int) -> int | None:
    """The value of the shortcut; None where there is none."""
    x, entering = scope.input, scope.shape(p)
    concat = part.merge.name == "concat"
    wanted = entering[0] if concat else out
    if isinstance(part.shortcut, tuple):
        steps, env, kind, at = part.shortcut, part.shortcut_env, "shortcut", part.at
    else:
        policy = walker.spec.shortcuts[part.shortcut.name]
        changed = part.stride != 1 or (not concat and out != x[0])
        branch = policy.change if changed else policy.same
        moves = f"{x[0]} channels enter and {out} leave" if len(x) == 3 else f"{x[0]} features enter and {out} leave"
        if branch == "refuse":
            by = walker.blamed([scope.shape(f), x], mark) if part.shortcut.at is part.at else None
            if by is not None:
                message = f"{part.what}: the body gives {kind_of(scope.shape(f))}, the shortcut, an identity, {kind_of(x)}"
                help = _merge_help(scope.shape(f), x, "give the residual a shortcut: B, say")
                raise locate("merge-shape", message, help, at=by.at, frame=by.frame, names=by.names)
            raise locate(
                "policy-refuses",
                f"shortcut {policy.name} refuses a change of shape: {moves}, with stride {part.stride}, in {part.what}",
                "use a policy with a projection or padding (A, B, C, D), or keep width and stride",
                at=part.shortcut.at,
                frame=part.shortcut_env.frame,
            )
        if branch == "none":
            if part.merge.name != "add":
                raise locate(
                    "merge-without-shortcut",
                    f"merge {part.merge.name} needs a shortcut, but the policy {policy.name} gives none here: only add can be left out",
                    "use merge: add, or a policy that has a shortcut",
                    at=part.merge.at,
                    frame=part.shortcut_env.frame,
                )
            return None
        names: dict[str, Result] = {"in": entering[0], "out": wanted, "stride": part.stride, "image": len(entering) == 3}
        env = part.shortcut_env.inside(policy, part.shortcut, {**walker.spec.params, **names})
        steps, kind, at = branch, policy.name, policy.at
    inner = Scope(entering, numbered=True)
    walker.run(steps, env, inner, INPUT, "step")
    if not inner.drafts:
        return INPUT
    program = walker.interner.intern(inner.program(kind, "shortcut", at))
    return scope.add(CALL, program.shape, (p,), "shortcut", at, name=SHORTCUT, program=program)


def _merge(walker: Walker, scope: Scope, part: Part, f: int, s: int, out: int, marks: tuple[int, int]) -> int:
    """F and s joined. `spine` says which operand carries the main path: a gate in place weighs nothing."""
    name = part.merge.name
    op = MERGES[name].op
    operands: tuple[int, ...] = (s, f) if name == "concat" else (f, s)
    spine = (operands.index(f) if f != s else 0,)
    if name == "mul" and not part.is_block:
        spine = (1,)
    if name == "highway":
        operands = (f, s, _gate(walker, scope, part, scope.shape(f)[0]))
    shapes = [scope.shape(v) for v in operands]
    try:
        shape = OPS[op].shape({}, shapes)
    except ShapeProblem as e:
        want = (out, *(-(-side // part.stride) for side in scope.input[1:]))
        declared = f"; out {out} and stride {part.stride} ask for {kind_of(want)}" if part.is_block else ""
        message = f"{part.what}: the body gives {kind_of(scope.shape(f))}, the shortcut {kind_of(scope.shape(s))}{declared}: {e.message}"
        help = _merge_help(scope.shape(f), scope.shape(s), e.help)
        by = walker.blamed(shapes[:2], marks[0], concat=name == "concat")
        if part.is_block and name != "concat":
            body_is_wrong = scope.shape(f) != want
            culprit = scope.shape(f) if body_is_wrong else scope.shape(s)
            by = walker.blamed([culprit, want], *(marks if body_is_wrong else (marks[1], None)), fallback=True)
        if by is not None:
            raise locate("merge-shape", message, help, at=by.at, frame=by.frame, names=by.names) from None
        raise locate("merge-shape", message, help, at=part.at, frame=part.shortcut_env.frame) from None
    return scope.add(op, shape, operands, "merge", part.at, attrs=(("spine", spine),))


def _merge_help(f: Shape, s: Shape, otherwise: str) -> str:
    if len(f) != len(s):
        return "one path ends in a vector: take out the flatten, or flatten both"
    if f[0] != s[0]:
        return f"end both paths in the same channels, {s[0]} or {f[0]}, or use a shortcut policy that projects"
    return otherwise


def _gate(walker: Walker, scope: Scope, part: Part, channels: int) -> int:
    """The highway's gate from the block's input x: a convolution, or one value a channel; a linear layer on features."""
    x = scope.input
    kind, pairs = part.merge.words.get("gate", "conv"), part.merge.pairs.get("kernel")
    bias = part.merge.args.get("bias")
    start = float(part.merge_env.value(bias)) if bias else -2.0
    kernel = (int(part.merge_env.value(pairs[0])), int(part.merge_env.value(pairs[1]))) if pairs else (1, 1)
    here = INPUT
    if len(x) == 3 and kind == "channel":
        here = _add(scope, part, here, "globalpool", f"{GATE}_pool", {"kind": "avg"})
        here = _add(scope, part, here, "flatten", f"{GATE}_flatten", {})
    if len(x) == 3 and kind == "conv":
        if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
            raise locate(
                "even-kernel",
                f"the highway's gate needs an odd kernel, not {kernel[0]}x{kernel[1]}",
                "use an odd kernel",
                at=pairs[0].at if pairs else part.at,
                frame=part.shortcut_env.frame,
            )
        attrs: dict[str, Value] = {
            "out": channels, "kernel": kernel, "stride": (part.stride, part.stride), "padding": (kernel[0] // 2, kernel[1] // 2),
            "dilation": (1, 1), "groups": 1, "bias": True, "bias_init": start,
        }  # fmt: skip
        return _add(scope, part, here, "conv", GATE, attrs)
    return _add(scope, part, here, "linear", GATE, {"out": channels, "bias": True, "bias_init": start})


def _add(scope: Scope, part: Part, here: int, op: str, name: str, attrs: Mapping[str, Value]) -> int:
    try:
        shape = OPS[op].shape(attrs, [scope.shape(here)])
    except ShapeProblem as e:
        message = f"{part.what}, the highway's gate: {e.message}"
        raise locate("shape", message, e.help, at=part.merge.at, frame=part.shortcut_env.frame) from None
    return scope.add(op, shape, (here,), "gate", part.at, name=name, attrs=tuple(attrs.items()))
