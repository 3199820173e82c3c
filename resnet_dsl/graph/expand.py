"""A spec to its graph: stages to blocks, blocks to steps, steps to nodes with shapes.

A block is expanded once for each distinct set of the values that its definition reads. So a stage of ten thousand equal
blocks costs as much as one of two. Every limit is checked before anything that would exceed it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from resnet_dsl.diagnostics import Collector, Location, quote, refuse
from resnet_dsl.graph.dilation import OutputStride, StageSides
from resnet_dsl.graph.env import Env, Frame, Moving, Sides, locate
from resnet_dsl.graph.graph import CALL, Graph, Program, Role, Shape
from resnet_dsl.graph.residual import ResidualForm, build, divided, merge_row, sides_text, stride_fault
from resnet_dsl.graph.scope import GATE, INPUT, SHORTCUT, ScopeDraft
from resnet_dsl.graph.steps import MAX_STEPS, Walker
from resnet_dsl.graph.template import Expansions, Template, Templates
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.spec import Reference, SlotError, Spec, Stage, Step
from resnet_dsl.ops.shapes import kind_of
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS

MAX_BLOCKS = 100_000
MAX_PARAMS = 10**11
MAX_ACTIVATIONS = 10**12


def expand(spec: Spec, shared: Expansions | None = None) -> Graph:
    """The graph of a spec. Raises SpecError with the step's place and the stage that called for it.

    `shared` is what it has in common with the other variants of one spec.
    """
    try:
        return _Expander(spec, shared or Expansions(spec)).graph()
    except SlotError as e:
        raise locate(e.code, e.message, e.help, at=e.slot.at, frame=e.frame, names=e.slot.expression.names) from None


class _Expander:
    def __init__(self, spec: Spec, shared: Expansions) -> None:
        self.spec = spec
        self.shared = shared
        self.interner = shared.interner
        self.base = Env(spec.params, None)
        self.activations: dict[int, int] = {}

    def graph(self) -> Graph:
        spec = self.spec
        self.shared.take(spec)
        numbers = self._numbers()
        self.walker = Walker(spec, self.shared, numbers[0][1])
        blocks = sum(n[0] for n in numbers)
        first_width = numbers[0][1]
        root = ScopeDraft(spec.input, numbered=False, reserved=frozenset())
        here = self._list(root, INPUT, spec.stem, "stem", {"first_width": first_width})
        position = 0
        keeping = OutputStride.of(spec, self.base)
        for i, (stage, (depth, width, stride, dilation)) in enumerate(zip(spec.stages, numbers, strict=True)):
            sides = keeping.stage(root, here, stride, dilation)
            program = self._stage(i, stage, depth, width, sides, root.shape(here), position, blocks)
            here = root.add(CALL, program.shape, (here,), "stage", stage.at, name=stage.name, name_at=stage.name_at, program=program)
            position += depth
            self._keep_limits(root)
        keeping.require(root, here)
        here = self._list(root, here, spec.head, "head", {"first_width": first_width})
        self._check_head(root, here)
        self._keep_limits(root)
        network = root.program("network", "network", spec.at)
        return Graph(spec.name, spec.classes, network, spec.init_weights, spec.zero_last, spec.description)

    def _numbers(self) -> list[tuple[int, int, Sides, Sides | None]]:
        """Depth, width, stride and dilation of each stage. Raises SpecError with everything that is wrong with them."""
        found: list[tuple[int, int, Sides, Sides | None]] = []
        problems = Collector()
        total = 0
        for stage in self.spec.stages:
            values, wrong = [], False
            pairs = [stage.stride] if stage.dilation is None else [stage.stride, stage.dilation]
            for slot in (stage.depth, stage.width, *(s for pair in pairs for s in dict.fromkeys(pair))):
                try:
                    values.append(int(self.base.value(slot)))
                except SlotError as e:
                    problems.report(e.code, e.message, e.help, at=e.slot.at)
                    wrong = True
            if not wrong:
                stride, dilation = self.base.pair(stage.stride), None if stage.dilation is None else self.base.pair(stage.dilation)
                found.append((values[0], values[1], stride, dilation))
                total += values[0]
                if total > MAX_BLOCKS:
                    problems.report(
                        "limit",
                        f"the stages' depth adds up to {total:,} blocks, over the limit of {MAX_BLOCKS:,} in all",
                        "use fewer blocks",
                        at=stage.depth.at,
                    )
                    break
                for what, pair, slots in (
                    ("stride", stride, stage.stride),
                    ("dilation", dilation or (1, 1), stage.dilation or stage.stride),
                ):
                    if len(self.spec.input) == 1 and pair != (1, 1):
                        problems.report(
                            "out-of-range",
                            f"{what} must be 1 where features (a vector) enter, but is {sides_text(pair)}: there is no size to "
                            f"{'divide' if what == 'stride' else 'spread over'}",
                            f"delete the {what}",
                            at=slots[0].at,
                        )
        problems.stop_if_any()
        return found

    def _list(
        self, scope: ScopeDraft, here: int, steps: Sequence[Step], role: Role, names: Mapping[str, Result], stage: Stage | None = None
    ) -> int:
        """A stem, a head, or a stage's before or after."""
        shape = scope.shape(here)
        env = Env({**self.base, "in": shape[0], "image": len(shape) == 3, **names}, Frame(stage=stage))
        return self.walker.run(steps, env, scope, here, role)

    # --- stages and blocks ---

    def _stage(self, i: int, stage: Stage, depth: int, width: int, sides: StageSides, shape: Shape, position: int, total: int) -> Program:
        scope = ScopeDraft(shape, numbered=False)
        names: dict[str, Result] = {"width": width, "stage": i, "depth": depth}
        here = self._list(scope, INPUT, stage.before, "before", names, stage)
        sides.require_used(stage, self.spec.blocks[stage.block.name])
        moving = Moving()
        common = (stage.block, stage.shortcut, stage.merge, width, self.walker.first_width, *self.spec.params.items())
        counted: set[Templates] = set()
        index = 0
        while index < depth:
            own = sides.block(index)
            moving.move({"index": index, "position": position + index, "total": total, "stage": i, "depth": depth})
            entering = scope.shape(here)
            templates = self.shared.templates((entering, *own.values(), *common))
            again = templates in counted and not templates.vary
            program = self._block(stage, entering, width, own, moving, templates, again)
            counted.add(templates)
            steady = program.shape == entering and not templates.vary and own == sides.block(1)
            times = depth - index if steady else 1
            here = self._call(scope, here, program, index, times, stage)
            index += times
        here = self._list(scope, here, stage.after, "after", names, stage)
        return self.interner.intern_stage(scope.program("stage", "stage", stage.at))

    def _call(self, scope: ScopeDraft, here: int, program: Program, index: int, times: int, stage: Stage) -> int:
        """A run of equal blocks is one call."""
        last = scope.drafts[-1] if scope.drafts else None
        if last is not None and last.program is program and last.role == "block" and program.shape == program.input:
            last.times += times
            return here
        return scope.add(CALL, program.shape, (here,), "block", stage.at, name=str(index), name_at=stage.at, program=program, times=times)

    def _block(
        self, stage: Stage, shape: Shape, width: int, sides: Mapping[str, Sides], moving: Moving, templates: Templates, again: bool
    ) -> Program:
        """A block, from a template where there is one; its steps count unless they were counted for this stage (`again`)."""
        self.shared.spend(2)
        found = templates.find()
        if found is None or self.walker.count + found[0].steps > MAX_STEPS:
            moving.record()
            before = self.walker.count
            program = self._expanded(stage, shape, width, sides, moving)
            found = Template(program, self.walker.count - before, self.interner), moving.holes
            templates.keep(moving.readings, found[0])
        elif not again:
            self.walker.count += found[0].steps
        return found[0].filled(found[1])

    def _expanded(self, stage: Stage, shape: Shape, width: int, sides: Mapping[str, Sides], moving: Moving) -> Program:
        """A block, with holes for the numbers that may be others in the next one."""
        definition = self.spec.blocks[stage.block.name]
        values = {**self.base, "width": width, "in": shape[0], "image": len(shape) == 3}
        outer = Env(values, Frame(stage=stage), moving, frozenset(moving.values), sides)
        inner = outer.inside(definition, stage.block)
        scope = ScopeDraft(shape, numbered=False, reserved=frozenset({SHORTCUT, GATE}))
        out = inner.whole("out")
        merge = stage.merge or definition.merge or Reference("add", {}, definition.at)
        part = ResidualForm(
            f"block {quote(definition.name)}", definition.before, definition.body, definition.after, stage.shortcut, merge,
            inner if stage.merge is None else outer, outer, inner, out, sides["stride"], stage.block.at if definition.shipped else definition.at, True,
        )  # fmt: skip
        build(self.walker, scope, part)
        self._check_block(part, scope, shape)
        return scope.program(definition.name, "block", definition.at)

    def _check_block(self, part: ResidualForm, scope: ScopeDraft, shape: Shape) -> None:
        out = scope.drafts[-1].shape if scope.drafts else shape
        want = divided(part.out, shape, part.stride)
        if out != want:
            flat = " (a vector: did a `flatten` slip in?)" if len(out) != len(want) else ""
            message, help, at = self._mismatch(part, scope, shape, out)
            if message:
                raise locate("shape", f"{part.what}: {message}", help, at=at, frame=part.shortcut_env.frame)
            raise locate(
                "shape",
                f"{part.what} must give {kind_of(want)} (out {part.out}, stride {sides_text(part.stride)}), "
                f"but after the merge and `after` it gives {kind_of(out)}{flat}",
                "change `out` or the steps so that they agree",
                at=part.at,
                frame=part.shortcut_env.frame,
            )

    def _mismatch(self, part: ResidualForm, scope: ScopeDraft, entering: Shape, out: Shape) -> tuple[str, str, Location]:
        """What a block's output says of a merge that its `out` does not foresee, or of its stride; empty where it is something else."""
        shipped = self.spec.blocks[part.env.frame.definition.name].shipped if part.env.frame and part.env.frame.definition else False
        if merge_row(part).joins and len(out) == len(entering) and out[0] != part.out:
            message = (
                f"merge: {part.merge.name} puts the {entering[0]} channels of the shortcut beside those of the body, so {out[0]} leave, "
                f"but `out` says {part.out}"
            )
            if shipped:
                return message, f"use merge: add, or a block that foresees {part.merge.name}, such as dense", part.merge.at
            body = out[0] - entering[0]
            more = "width" if part.env.get("width") == body else str(body)
            return message, f"write `out: in + {more}` in the block, or use merge: add", part.at
        if (strided := stride_fault(entering, out, part.stride)) is not None:
            return (*strided, part.at)
        return "", "", part.at

    # --- the end ---

    def _check_head(self, root: ScopeDraft, here: int) -> None:
        shape = root.shape(here)
        classes = self.spec.classes
        if shape == (classes,):
            return
        last = self.walker.blamed([shape, (0,)], 0)
        at = last.at if last is not None and len(shape) == 1 and last.at.source == self.spec.head_at.source else self.spec.head_at
        if len(shape) == 1:
            message, help = (
                f"the head must end in `classes` features, {classes}, but ends in {shape[0]}",
                "end it with linear: {out: classes}",
            )
        else:
            message = f"the head must end in the {classes} features of `classes`, but ends in {kind_of(shape)}"
            help = "end it with globalpool, flatten and linear: {out: classes}, or write `head: classifier`"
        raise refuse("head", message, help, at=at)

    def _keep_limits(self, root: ScopeDraft) -> None:
        params = activations = 0
        for d in root.drafts:
            if d.program is not None:
                params, activations = params + d.program.params, activations + self._activations(d.program)
            else:
                row = OPS[d.op]
                params += row.params(Site(dict(d.attrs), tuple(root.shape(v) for v in d.inputs), d.shape))
                activations += prod(d.shape) if row.weighted else 0
        for value, limit, what in ((params, MAX_PARAMS, "params"), (activations, MAX_ACTIVATIONS, "activations")):
            if value > limit:
                at = root.drafts[-1].location or self.spec.at
                raise refuse(
                    "limit",
                    f"the network has {value:,} {what} (up to here), over the limit of {limit:,}",
                    "use smaller widths, kernels or inputs",
                    at=at,
                )

    def _activations(self, program: Program) -> int:
        """What the weighted layers of a scope give, in elements; once for each pattern."""
        program = program.pattern
        if id(program) not in self.activations:
            self.activations[id(program)] = sum(
                n.times * self._activations(n.program) if n.program is not None else prod(n.shape) * OPS[n.op].weighted
                for n in program.nodes
            )
        return self.activations[id(program)]
