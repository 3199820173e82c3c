"""Walking a list of steps: each is evaluated where it stands and becomes nodes of the scope around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from resnet_dsl.diagnostics import quote
from resnet_dsl.graph.env import Env, Frame, locate
from resnet_dsl.graph.graph import CALL, Role, Shape, Value
from resnet_dsl.graph.residual import ResidualForm, build
from resnet_dsl.graph.scope import GATE, INPUT, SHORTCUT, ScopeDraft, ShapeDecision
from resnet_dsl.graph.template import Attributes, Expansions
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.kinds import KINDS, MERGES, STEPS
from resnet_dsl.language.spec import Reference, Slot, Spec, Step
from resnet_dsl.ops.shapes import ShapeProblem, kind_of
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS

MAX_STEPS = 1_000_000


class Walker:
    """Expands steps and counts them; `decisions` records which steps decided the shapes."""

    def __init__(self, spec: Spec, shared: Expansions, first_width: int) -> None:
        self.spec = spec
        self.shared = shared
        self.interner = shared.interner
        self.first_width = first_width
        self.count = 0
        self.decisions: list[ShapeDecision] = []
        self.at_least: dict[int, int] = {}
        self.top = Env(spec.params, Frame())

    def run(self, steps: Sequence[Step], env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        """Add the steps to a scope, from the value `here` on; gives the value of the last."""
        for step in steps:
            self._account(1, step, env)
            if step.when is None or env.value(step.when):
                here = self._step(step, env, scope, here, role)
        return here

    def _step(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        if step.is_sequence:
            return self._sequence(step, env, scope, here, role)
        if step.name in _COMBINATORS:
            return _COMBINATORS[step.name](self, step, env, scope, here, role)
        op, attrs, slots = self._attributes(step, env, scope.shape(here))
        return self._op(step, env, scope, here, role, op, attrs, slots)

    def _account(self, n: int, step: Step, env: Env) -> None:
        """Checks the limit on steps in all before anything is built."""
        self.count += n
        self.shared.spend(n)
        if self.count > MAX_STEPS:
            raise locate(
                "limit",
                f"over the limit of {MAX_STEPS:,} steps in all, sequences and repeats written out",
                "use fewer repeats",
                at=step.at,
                frame=env.frame,
            )

    # --- single operations ---

    def _op(
        self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role, op: str, attrs: dict[str, Value], slots: Mapping[str, Slot]
    ) -> int:
        row = OPS[op]
        try:
            shape = row.shape(Site(attrs, (scope.shape(here),)))
        except ShapeProblem as e:
            blamed = next((slots[name] for name in (e.argument or "").split() if name in slots and slots[name].at is not step.at), None)
            at, names = (blamed.at, blamed.expression.names) if blamed else (step.at, frozenset())
            raise locate("shape", e.message, e.help, at=at, frame=env.frame, names=names) from None
        self._decide(step, env, scope.shape(here), shape, slots, attrs)
        return scope.add(
            op,
            shape,
            (here,),
            role,
            step.at,
            stem=row.name,
            counted=row.counted,
            name=step.alias,
            name_at=step.alias_at,
            attrs=tuple(attrs.items()),
            frame=env.frame,
        )

    def _decide(self, step: Step, env: Env, before: Shape, after: Shape, slots: Mapping[str, Slot], attrs: Mapping[str, Value]) -> None:
        if before == after and "out" not in slots and "to" not in slots:
            return
        given = {k: s for k, s in slots.items() if s.at is not step.at}
        if len(before) != len(after):
            self._remember("rank", step, env, None)
        out = given.get("out") or given.get("to")
        if out is not None or before[0] != after[0]:
            self._remember("channels", step, env, out)
        if before[1:] != after[1:] and len(before) == len(after):
            strided = given.get("stride") if attrs.get("stride") != (1, 1) else None
            self._remember("size", step, env, strided or given.get("padding") or given.get("kernel"))

    def _remember(self, what: Literal["channels", "size", "rank"], step: Step, env: Env, slot: Slot | None) -> None:
        at, names = (slot.at, slot.expression.names) if slot else (step.at, frozenset())
        self.decisions.append(ShapeDecision(what, at, names, env.frame))

    def blamed(
        self, shapes: Sequence[Shape], since: int, until: int | None = None, *, concat: bool = False, fallback: bool = False
    ) -> ShapeDecision | None:
        """The last step between two marks that decided what these shapes differ in; with `concat` channels may differ.

        `fallback`: where no step did, the last one that decided anything.
        """
        ranks = {len(s) for s in shapes}
        channels = {s[0] for s in shapes}
        what = "rank" if len(ranks) > 1 else "channels" if len(channels) > 1 and not concat else "size"
        between = self.decisions[since:until]
        found = [d for d in between if d.what == what] or (between if fallback else [])
        return found[-1] if found else None

    def _attributes(self, step: Step, env: Env, shape: Shape) -> Attributes:
        """The op and its typed attributes, with the slots that they came from."""
        known = self.shared.attributes.get(step)
        if known is not None:
            return known
        found = self._kind(step, env) if step.name in KINDS else self._named(step, env, shape)
        if step not in self.shared.attributes:
            self.shared.attributes[step] = found if self._is_fixed(step, found) else None
        return found

    def _is_fixed(self, step: Step, found: Attributes) -> bool:
        """Are a step's attributes the same wherever it stands? Then they are computed once."""
        _, attrs, slots = found
        given = all(key in step.args or key in step.pairs or key in step.words for key in attrs) or step.name in KINDS
        pairs = (slot for pair in step.pairs.values() for slot in pair)
        return given and not any(slot.expression.names for slot in (*slots.values(), *pairs))

    def _named(self, step: Step, env: Env, shape: Shape) -> Attributes:
        signature = STEPS[step.name]
        attrs: dict[str, Value] = {}
        slots: dict[str, Slot] = dict(step.args)
        for key, arg in signature.args.items():
            if arg.form == "padding" and key in step.words:
                attrs[key] = (0, 0)
            elif key in step.words:
                attrs[key] = step.words[key]
            elif key in step.pairs:
                attrs[key] = env.pair(step.pairs[key])
                slots[key] = step.pairs[key][0]
            elif key in step.args:
                attrs[key] = env.attribute(step.args[key], arg)
            else:
                attrs[key] = attrs["kernel"] if arg.form == "pair" else shape[0]
                if arg.form == "pair":
                    slots[key] = slots["kernel"]
        if step.words.get("padding") == "same":
            attrs["padding"] = _same(step, attrs, env)
        return signature.op, attrs, slots

    def _kind(self, step: Step, env: Env) -> Attributes:
        """norm and act: the spec's own kind, that kind with other arguments, or another kind."""
        own = self.spec.norm if step.name == "norm" else self.spec.act
        given = step.kind
        kind = given if given is not None and given.name else own
        signature = KINDS[step.name][kind.name]
        changed: Mapping[str, Slot] = given.args if given is not None else {}
        for key, slot in changed.items():
            if key not in signature.args:
                raise locate(
                    "unknown-argument",
                    f"unknown argument {quote(key)}: {step.name} {kind.name} takes no such argument",
                    f"it takes {', '.join(signature.args) or 'none'}",
                    at=slot.at,
                    frame=env.frame,
                )
        attrs: dict[str, Value] = {}
        for key, arg in signature.args.items():
            if key in changed:
                attrs[key] = env.attribute(changed[key], arg)
            elif key in own.args and kind is own:
                attrs[key] = arg.typed(self.top.value(own.args[key]))
            else:
                attrs[key] = arg.initial
        return signature.op, attrs, {**(own.args if kind is own else {}), **changed}

    # --- sequences and combinators ---

    def _sequence(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        """A sequence makes no scope, unless it has a name of its own."""
        definition = self.spec.sequences[step.name]
        shape = scope.shape(here)
        self._at_least(definition.steps, step, env)
        names: dict[str, Result] = {"in": shape[0], "image": len(shape) == 3, "first_width": self.first_width}
        inner = env.inside(definition, step, {**self.spec.params, **names})
        if step.alias is None:
            return self.run(definition.steps, inner, scope, here, role)
        group = ScopeDraft(shape, numbered=True)
        self.run(definition.steps, inner, group, INPUT, "step")
        return self._group(step, env, scope, here, role, group, definition.name)

    def _group(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role, group: ScopeDraft, kind: str) -> int:
        """A finished scope, called from the one around it."""
        program = self.interner.intern(group.program(kind, "step", step.at))
        return scope.add(
            CALL,
            program.shape,
            (here,),
            role,
            step.at,
            stem=step.name,
            name=step.alias,
            name_at=step.alias_at,
            program=program,
            frame=env.frame,
        )

    def _chain(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        group = ScopeDraft(scope.shape(here), numbered=True)
        self.run(step.steps["steps"], env, group, INPUT, "step")
        return self._group(step, env, scope, here, role, group, "chain")

    def _repeat(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        group = ScopeDraft(scope.shape(here), numbered=True)
        times = int(env.value(step.args["times"]))
        self._at_least(step.steps["steps"], step, env, times)
        last = INPUT
        for i in range(times):
            last = self.run(step.steps["steps"], env.counting(i), group, last, "step")
        return self._group(step, env, scope, here, role, group, "repeat")

    def _branches(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        group = ScopeDraft(scope.shape(here), numbered=True)
        ends: list[int] = []
        mark = len(self.decisions)
        for number, (path, at) in enumerate(zip(step.paths, step.paths_at, strict=True)):
            inner = ScopeDraft(group.input, numbered=True)
            self.run(path, env, inner, INPUT, "step")
            if not inner.drafts:
                ends.append(INPUT)
                continue
            program = self.interner.intern(inner.program("path", "step", at))
            ends.append(group.add(CALL, program.shape, (INPUT,), "step", at, name=str(number), program=program))
        assert step.merge is not None
        if len(ends) > 1:
            op = MERGES[step.merge.name].op
            shapes = [group.shape(v) for v in ends]
            try:
                shape = OPS[op].shape(Site({}, tuple(shapes)))
            except ShapeProblem as e:
                listed = ", ".join(kind_of(s) for s in shapes)
                by = self.blamed(shapes, mark, concat=OPS[op].joins) or ShapeDecision("rank", step.at, frozenset(), env.frame)
                message = f"branches: the paths give {listed}: {e.message}"
                raise locate("merge-shape", message, e.help, at=by.at, frame=by.frame, names=by.names) from None
            group.add(op, shape, ends, "merge", step.at)
        return self._group(step, env, scope, here, role, group, "branches")

    def _residual(self, step: Step, env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        group = ScopeDraft(scope.shape(here), numbered=False, reserved=frozenset({SHORTCUT, GATE}))
        stride = env.pair(step.pairs["stride"])
        shortcut = step.shortcut if step.shortcut is not None else Reference("identity", {}, step.at)
        merge = step.merge or Reference("add", {}, step.at)
        part = ResidualForm(
            "residual", step.steps.get("before", ()), step.steps["body"], step.steps.get("after", ()), shortcut, merge,
            env, env, env, 0, stride, step.at, False,
        )  # fmt: skip
        build(self, group, part)
        return self._group(step, env, scope, here, role, group, "residual")

    def _at_least(self, steps: Sequence[Step], step: Step, env: Env, times: int = 1) -> None:
        """Refuses nested repeats and doubling sequences that must exceed the limit on steps, before they are walked."""
        if self.count + times * self._surely(steps) > MAX_STEPS:
            self._account(MAX_STEPS, step, env)

    def _surely(self, steps: Sequence[Step]) -> int:
        """A lower bound of the number of steps that a list expands to."""
        total = 0
        for s in steps:
            if s.when is not None:
                continue
            inner = sum(self._surely(part) for part in (*s.steps.values(), *s.paths))
            if s.is_sequence:
                target = self.spec.sequences[s.name]
                if id(target) not in self.at_least:
                    self.at_least[id(target)] = self._surely(target.steps)
                inner = self.at_least[id(target)]
            times = s.args["times"].expression.literal if "times" in s.args else 1
            total += 1 + inner * (times if isinstance(times, int) else 0)
        return total


_COMBINATORS = {"chain": Walker._chain, "repeat": Walker._repeat, "branches": Walker._branches, "residual": Walker._residual}


def _same(step: Step, attrs: Mapping[str, Value], env: Env) -> tuple[int, int]:
    """`same` padding: dilation * (kernel - 1) / 2 on each side; there is none for an even kernel."""
    kernel, dilation = attrs["kernel"], attrs["dilation"]
    assert isinstance(kernel, tuple) and isinstance(dilation, tuple)
    for k, slot in zip(kernel, step.pairs["kernel"], strict=True):
        if k % 2 == 0:
            raise locate(
                "even-kernel",
                f"kernel {k} is even: padding `same` needs an odd kernel",
                "use an odd kernel, or give `padding` as a number",
                at=slot.at,
                frame=env.frame,
                names=slot.expression.names,
            )
    return dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2
