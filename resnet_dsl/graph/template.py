"""Blocks that differ in a few numbers share one expansion.

What an expansion reads of `index` and `position` is recorded in order. A real number that only becomes an attribute (the rate of
a drop path, say) leaves a hole; every other value decided something. A later block for which everything is decided the same way is
the same template with other numbers in its holes. So only the recorded expressions are computed for it, and no step is walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from resnet_dsl.graph.env import Hole, Reading
from resnet_dsl.graph.graph import Node, Program
from resnet_dsl.graph.scope import Family, Interner, adopt
from resnet_dsl.language.expressions import Result

MAX_TEMPLATES = 256
"""Of one stage, that are kept: blocks of more kinds than this are all expanded."""


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

    reading: Reading | None = None
    ways: dict[Result | None, _Decision] = field(default_factory=dict)
    template: Template | None = None


class Templates:
    """The templates of one stage's blocks that the same shape enters with the same stride, by what they decided.

    `vary`: what is expanded depends on `index` or `position`.
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
            if here.reading.arg is not None:
                values.append(float(value))
            way = here.ways.get(None if here.reading.arg is not None else value)
            if way is None:
                return None
            here = way
        return here.template, values

    def keep(self, readings: Sequence[Reading], template: Template) -> None:
        """Remember what an expansion read and gave, for the blocks that follow."""
        if self._count == MAX_TEMPLATES:
            return
        self._count += 1
        self.vary = bool(readings)
        here = self._start
        for reading in readings:
            here.reading = here.reading or reading
            here = here.ways.setdefault(None if reading.arg is not None else reading.value(), _Decision())
        here.template = template
