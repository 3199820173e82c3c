"""The one residual form, for blocks and for residuals in place (docs/language.md, Blocks):

    p = before(x);  F = body(p);  s = shortcut;  y = after(merge(F, s))

A shortcut with steps reads p, the identity reads x (He et al. 2016).
"""

from __future__ import annotations

from dataclasses import dataclass

from resnet_dsl.diagnostics import Location
from resnet_dsl.graph.env import Env, Sides, locate
from resnet_dsl.graph.graph import CALL, Shape, Value
from resnet_dsl.graph.scope import GATE, INPUT, SHORTCUT, ScopeDraft, StepWalker
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.kinds import MERGES
from resnet_dsl.language.spec import Reference, Step
from resnet_dsl.ops.arguments import Signature
from resnet_dsl.ops.op import Op
from resnet_dsl.ops.shapes import ShapeProblem, kind_of
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS


@dataclass(frozen=True, slots=True)
class ResidualForm:
    """What one residual form is made of. `out` is what a block declares, and for a residual what its body gives.

    The arguments of the merge are evaluated in `merge_env`, those of the shortcut in `shortcut_env`, the steps in `env`.
    `at` is the place to blame for the whole.
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
    stride: Sides
    at: Location
    is_block: bool


def build(walker: StepWalker, scope: ScopeDraft, part: ResidualForm) -> int:
    """Add the nodes of a residual form to a scope; gives the value of y."""
    mark = len(walker.decisions)
    p = walker.run(part.before, part.env, scope, INPUT, "before")
    f = walker.run(part.body, part.env, scope, p, "body")
    middle = len(walker.decisions)
    out = part.out or scope.shape(f)[0]
    s = _shortcut(walker, scope, part, p, f, out, mark)
    y = f if s is None else _merge(walker, scope, part, f, s, out, (mark, middle))
    return walker.run(part.after, part.env, scope, y, "after")


def _shortcut(walker: StepWalker, scope: ScopeDraft, part: ResidualForm, p: int, f: int, out: int, mark: int) -> int | None:
    """The value of the shortcut; None where there is none."""
    x, entering = scope.input, scope.shape(p)
    concat = merge_row(part).joins
    wanted = entering[0] if concat else out
    if isinstance(part.shortcut, tuple):
        steps, env, kind, at = part.shortcut, part.shortcut_env, "shortcut", part.at
    else:
        policy = walker.spec.shortcuts[part.shortcut.name]
        changed = part.stride != (1, 1) or (not concat and out != x[0])
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
                f"shortcut {policy.name} refuses a change of shape: {moves}, with stride {sides_text(part.stride)}, in {part.what}",
                "use a policy with a projection or padding (A, B, C, D), or keep width and stride",
                at=part.shortcut.at,
                frame=part.shortcut_env.frame,
            )
        if branch == "none":
            if not merge_row(part).sums:
                raise locate(
                    "merge-without-shortcut",
                    f"merge {part.merge.name} needs a shortcut, but the policy {policy.name} gives none here: only add can be left out",
                    "use merge: add, or a policy that has a shortcut",
                    at=part.merge.at,
                    frame=part.shortcut_env.frame,
                )
            return None
        names: dict[str, Result] = {"in": entering[0], "out": wanted, "image": len(entering) == 3}
        env = part.shortcut_env.inside(policy, part.shortcut, {**walker.spec.params, **names}, {"stride": part.stride})
        steps, kind, at = branch, policy.name, policy.at
    inner = ScopeDraft(entering, numbered=True)
    walker.run(steps, env, inner, INPUT, "step")
    if not inner.drafts:
        return INPUT
    program = walker.interner.intern(inner.program(kind, "shortcut", at))
    return scope.add(CALL, program.shape, (p,), "shortcut", at, name=SHORTCUT, program=program)


def _merge(walker: StepWalker, scope: ScopeDraft, part: ResidualForm, f: int, s: int, out: int, marks: tuple[int, int]) -> int:
    """F and s joined. `spine` says which operand carries the main path: a gate in place weighs nothing."""
    row, op = merge_row(part), MERGES[part.merge.name].op
    operands: tuple[int, ...] = (s, f) if row.joins else (f, s)
    spine = (operands.index(f) if f != s else 0,)
    if row.scales and not part.is_block:
        spine = (1,)
    if row.gate is not None:
        operands = (f, s, _gate(walker, scope, part, scope.shape(f)[0]))
    shapes = [scope.shape(v) for v in operands]
    try:
        shape = row.shape(Site({}, tuple(shapes)))
    except ShapeProblem as e:
        want = divided(out, scope.input, part.stride)
        declared = f"; out {out} and stride {sides_text(part.stride)} ask for {kind_of(want)}" if part.is_block else ""
        message = f"{part.what}: the body gives {kind_of(scope.shape(f))}, the shortcut {kind_of(scope.shape(s))}{declared}: {e.message}"
        help = _merge_help(scope.shape(f), scope.shape(s), e.help)
        if part.is_block and (strided := stride_fault(scope.input, scope.shape(f), part.stride)) is not None:
            message, help = (
                f"{part.what}: {strided[0]}; the body gives {kind_of(scope.shape(f))}, the shortcut {kind_of(scope.shape(s))}",
                strided[1],
            )
        by = walker.blamed(shapes[:2], marks[0], concat=row.joins)
        if part.is_block and not row.joins:
            body_is_wrong = scope.shape(f) != want
            culprit = scope.shape(f) if body_is_wrong else scope.shape(s)
            by = walker.blamed([culprit, want], *(marks if body_is_wrong else (marks[1], None)), fallback=True)
        if by is not None:
            raise locate("merge-shape", message, help, at=by.at, frame=by.frame, names=by.names) from None
        raise locate("merge-shape", message, help, at=part.at, frame=part.shortcut_env.frame) from None
    return scope.add(op, shape, operands, "merge", part.at, attrs=(("spine", spine),))


def stride_fault(entering: Shape, leaving: Shape, stride: Sides) -> tuple[str, str] | None:
    """What is wrong where no step of a body takes the stage's stride, or more than one does, and the fix; None where it is something else."""
    if stride == (1, 1) or len(entering) != 3 or len(leaving) != 3 or entering[1:] == divided(0, entering, stride)[1:]:
        return None
    if leaving[1:] == entering[1:]:
        return f"no step takes the stage's stride of {sides_text(stride)}, so the map keeps its size", "give one step `stride: stride`"
    if leaving[1:] == divided(0, divided(0, entering, stride), stride)[1:]:
        return f"two steps take the stage's stride of {sides_text(stride)}, so it counts twice", "leave `stride: stride` at one step"
    return None


def _merge_help(f: Shape, s: Shape, otherwise: str) -> str:
    if len(f) != len(s):
        return "one path ends in a vector: take out the flatten, or flatten both"
    if f[0] != s[0]:
        return f"end both paths in the same channels, {s[0]} or {f[0]}, or use a shortcut policy that projects"
    return otherwise


def divided(out: int, x: Shape, stride: Sides) -> Shape:
    """The shape that leaves a block: `out` channels, each side divided by its stride, rounded up."""
    return (out, *(-(-side // s) for side, s in zip(x[1:], stride, strict=False)))


def sides_text(sides: Sides) -> str:
    """`2`, or `[1, 2]`: how messages name a stride."""
    return str(sides[0]) if sides[0] == sides[1] else f"[{sides[0]}, {sides[1]}]"


def merge_row(part: ResidualForm) -> Op:
    """The row of the op table that joins body and shortcut."""
    return OPS[MERGES[part.merge.name].op]


def _gate(walker: StepWalker, scope: ScopeDraft, part: ResidualForm, channels: int) -> int:
    """The value of the merge's third operand, which it makes from the block's input x."""
    make = merge_row(part).gate
    assert make is not None
    here, merge, frame = INPUT, part.merge, part.shortcut_env.frame
    try:
        steps = make(scope.input, channels, part.stride, arguments(MERGES[merge.name], merge, part.merge_env))
    except ShapeProblem as e:
        pair = merge.pairs.get(e.argument or "")
        raise locate(e.code, e.message, e.help, at=pair[0].at if pair else part.at, frame=frame) from None
    for made in steps:
        try:
            shape = OPS[made.op].shape(Site(made.attrs, (scope.shape(here),)))
        except ShapeProblem as e:
            message = f"{part.what}, the {merge.name}'s gate: {e.message}"
            raise locate(e.code, message, e.help, at=merge.at, frame=frame) from None
        here = scope.add(made.op, shape, (here,), "gate", part.at, name=f"{GATE}{made.suffix}", attrs=tuple(made.attrs.items()))
    return here


def arguments(signature: Signature, given: Reference, env: Env) -> dict[str, Value]:
    """The arguments of a kind as attributes: those that were given, and the defaults."""
    found: dict[str, Value] = {}
    for key, arg in signature.args.items():
        if key in given.words:
            found[key] = given.words[key]
        elif key in given.pairs:
            found[key] = env.pair(given.pairs[key])
        elif key in given.args:
            found[key] = env.attribute(given.args[key], arg)
        else:
            found[key] = arg.initial
    return found
