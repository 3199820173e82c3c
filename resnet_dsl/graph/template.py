"""Blocks that differ in a few numbers share one expansion, within a network and among the variants of one spec.

What an expansion reads of `index`, `position` and the like is recorded in order. A real number that only becomes an attribute (the rate of
a drop path, say) leaves a hole; every other value decided something. A later block for which everything is decided the same way is
the same template with other numbers in its holes. So only the recorded expressions are computed for it, and no step is walked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from resnet_dsl.graph.env import Hole, SlotReading
from resnet_dsl.graph.graph import Node, Program
from resnet_dsl.graph.scope import Family, Interner, adopt
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.spec import Slot, Spec, Step
from resnet_dsl.ops.site import Value

MAX_TEMPLATES = 256
"""Of equal blocks, that are kept: what decides in more ways than this is expanded each time."""


class Template:
    """An expanded block with its holes. `steps` are the steps that were walked for it."""

    def __init__(self, program: Program, steps: int, interner: Interner) -> None:
        self.program = program
        self.steps = steps
        self._interner = interner
        self._open: dict[int, Template | None] = {
            i: Template(n.program, 0, interner) if n.program is not None else None for i, n in enumerate(program.nodes) if _is_open(n)
        }
        self._numbers = [number for i, n in enumerate(program.nodes) for number in self._numbers_of(i, n)]
        self._family: Family | None = None

    def filled(self, values: Sequence[float]) -> Program:
        """The one program with these numbers in the holes."""
        numbers = tuple([number if type(number) is float else self._number(number, values) for number in self._numbers])
        known = self._family.get(numbers) if self._family is not None else None
        return known or self._made(numbers, values)

    def _numbers_of(self, i: int, n: Node) -> tuple[float | Template, ...]:
        """What stands for each of a node's numbers: itself, a hole, or the template of the scope that the node calls."""
        inner = self._open.get(i)
        if inner is not None:
            return (inner,)
        return (id(n.program),) if n.program is not None else tuple(v for _, v in n.attrs if isinstance(v, float))

    def _number(self, number: float | Template, values: Sequence[float]) -> float:
        if isinstance(number, Template):
            return id(number.filled(values))
        return values[number.number] if isinstance(number, Hole) else number

    def _made(self, numbers: tuple[float, ...], values: Sequence[float]) -> Program:
        nodes = list(self.program.nodes)
        for i, inner in self._open.items():
            n = nodes[i]
            attrs = tuple((k, values[v.number] if isinstance(v, Hole) else v) for k, v in n.attrs)
            called = inner.filled(values) if inner is not None else None
            nodes[i] = Node(n.path, n.op, n.shape, n.inputs, attrs, n.role, called, n.times, n.location)
        p = self.program
        made = Program(p.kind, p.role, p.input, tuple(nodes), p.location, p.taps)
        if self._family is None:
            self._family = self._interner.family(made)
        return self._family.get(numbers) or adopt(self._family, numbers, made)


def _is_open(node: Node) -> bool:
    return any(map(_is_open, node.program.nodes)) if node.program is not None else any(isinstance(v, Hole) for _, v in node.attrs)


@dataclass
class _Decision:
    """What is read next, and where each value leads; a template where nothing is left to read."""

    reading: SlotReading | None = None
    ways: dict[Result | None, _Decision] = field(default_factory=dict)
    template: Template | None = None


class Templates:
    """The templates of equal blocks of one width that the same shape enters with the same stride, by what they decided.

    `vary`: what they are depends on `index` or `position`, so one block of a stage is not like the next.
    """

    def __init__(self) -> None:
        self._start = _Decision()
        self._count = 0
        self.vary = False

    def find(self) -> tuple[Template, list[float]] | None:
        """The template of the block that is expanded now, and the numbers for its holes; None where no block before was like it.

        Raises SlotError as the expansion would.
        """
        here, values = self._start, list[float]()
        while here.template is None:
            if here.reading is None:
                return None
            value = here.reading.value()
            if here.reading.hole:
                values.append(float(value))
            way = here.ways.get(None if here.reading.hole else value)
            if way is None:
                return None
            here = way
        return here.template, values

    def keep(self, readings: Sequence[SlotReading], template: Template) -> None:
        """Remember what an expansion read and gave, for the blocks that follow."""
        self.vary = self.vary or any(reading.reads & {"index", "position"} for reading in readings)
        if self._count == MAX_TEMPLATES:
            return
        self._count += 1
        here = self._start
        for reading in readings:
            here.reading = here.reading or reading
            here = here.ways.setdefault(None if reading.hole else reading.value(), _Decision())
        here.template = template


Attributes = tuple[str, dict[str, Value], Mapping[str, Slot]]
"""The op of a step, its attributes, and the slots that they came from."""


class Overspent(Exception):
    """More work than an `Expansions` was given for."""


class Expansions:
    """What the expansions of one spec and of its variants share: equal scopes, and the templates of blocks.

    Variants differ in widths, depths, strides, parameters and input. `work` is how much may be done for all of them: a step that is
    walked counts 1. Raises Overspent beyond.
    """

    def __init__(self, spec: Spec, work: float = inf) -> None:
        self.interner = Interner()
        self._work = work
        self._common = (spec.blocks, spec.shortcuts, spec.sequences, spec.norm, spec.act)
        self._templates: dict[tuple[object, ...], Templates] = {}
        self.attributes: dict[Step, Attributes | None] = {}
        """Of steps whose attributes are the same wherever they stand; None for other steps."""

    def take(self, spec: Spec) -> None:
        """Begin with a variant."""
        common = (spec.blocks, spec.shortcuts, spec.sequences, spec.norm, spec.act)
        assert all(a is b for a, b in zip(common, self._common, strict=True)), "a variant has the definitions of its spec"
        self.spend(len(spec.params) / 10 + len(spec.stages))

    def spend(self, work: float) -> None:
        """Count work that is about to be done."""
        self._work -= work
        if self._work < 0:
            raise Overspent

    def templates(self, key: tuple[object, ...]) -> Templates:
        """Those of the blocks with one key: all that an expansion depends on, but for what moves."""
        return self._templates.setdefault(key, Templates())
