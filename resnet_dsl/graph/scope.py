"""Building one scope: nodes are added in order, and named when the scope is complete (docs/language.md, Module names)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Literal, Protocol

from resnet_dsl.diagnostics import Label, Location, SpecError, quote, refuse
from resnet_dsl.graph.env import Env, Frame, blame
from resnet_dsl.graph.graph import SCOPE_INPUT, Node, Program, Role, Shape, Value
from resnet_dsl.language.spec import Spec, Step

INPUT = -1
"""The value that a scope is given; values that its nodes make are counted from 0."""

SHORTCUT, GATE = "downsample", "gate"
"""Names that are taken in every block and residual."""


@dataclass(slots=True)
class _Draft:
    """A node without its name: `name` is fixed, or made from `stem` when the scope is complete."""

    op: str
    shape: Shape
    inputs: tuple[int, ...]
    attrs: tuple[tuple[str, Value], ...]
    role: Role
    location: Location | None
    stem: str = ""
    counted: bool = False
    name: str | None = None
    name_at: Location | None = None
    program: Program | None = None
    times: int = 1
    frame: Frame | None = None


@dataclass
class ScopeDraft:
    """A scope under construction. `numbered`: steps are 0, 1, ... (chains, paths, shortcuts), else named by kind."""

    input: Shape
    numbered: bool
    reserved: frozenset[str] = frozenset()
    drafts: list[_Draft] = field(default_factory=list)

    def shape(self, value: int) -> Shape:
        """The shape of a value."""
        return self.input if value == INPUT else self.drafts[value].shape

    def add(
        self, op: str, shape: Shape, inputs: Sequence[int], role: Role, location: Location | None, *, stem: str = "", counted: bool = False,
        name: str | None = None, name_at: Location | None = None, attrs: tuple[tuple[str, Value], ...] = (), program: Program | None = None, times: int = 1,
        frame: Frame | None = None,
    ) -> int:  # fmt: skip
        """Add a node; gives the value that it makes."""
        self.drafts.append(_Draft(op, shape, tuple(inputs), attrs, role, location, stem, counted, name, name_at, program, times, frame))
        return len(self.drafts) - 1

    def program(self, kind: str, role: str, location: Location | None) -> Program:
        """The finished scope. Raises SpecError where two steps have one name."""
        names = self._names()
        paths = {INPUT: SCOPE_INPUT, **dict(enumerate(names))}
        nodes = tuple(
            Node(n, d.op, d.shape, tuple(paths[i] for i in d.inputs), d.attrs, d.role, d.program, d.times, d.location)
            for n, d in zip(names, self.drafts, strict=True)
        )
        return Program(kind, role, self.input, nodes, location)

    def _names(self) -> list[str]:
        unnamed = Counter(d.stem for d in self.drafts if d.name is None and d.role != "merge")
        seen: Counter[str] = Counter()
        number = 0
        taken: dict[str, _Draft | None] = dict.fromkeys(self.reserved)
        names: list[str] = []
        for d in self.drafts:
            name = d.name
            if name is None and d.role == "merge":
                names.append("")
                continue
            if name is None and self.numbered:
                name, number = str(number), number + 1
            elif name is None:
                seen[d.stem] += 1
                name = f"{d.stem}{seen[d.stem]}" if d.counted or unnamed[d.stem] > 1 else d.stem
            if name in taken and d.role not in ("shortcut", "gate"):
                raise self._taken(name, d, taken[name])
            taken[name] = d
            names.append(name)
        return self._name_merges(names, taken)

    def _name_merges(self, names: list[str], taken: Mapping[str, object]) -> list[str]:
        """Names the merges, which are no modules, by names that are left."""
        used = set(taken)
        for i, d in enumerate(self.drafts):
            if not names[i]:
                name = d.op
                while name in used:
                    name += "_"
                used.add(name)
                names[i] = name
        return names

    def _taken(self, name: str, d: _Draft, first: _Draft | None) -> SpecError:
        if first is not None and d.name_at is None:
            d, first = first, d  # blame the name that was given, not the one that was counted
        at, other = _place(d), _place(first) if first else None
        if at == other and d.frame is not None and first is not None and first.frame is not None and d.frame is not first.frame:
            at, other = d.frame.at or at, first.frame.at or other  # one definition, called twice
        labels = (Label(f"the other {quote(name)}", other),) if other and other != at else ()
        why = (
            f"it is the name of the block's {'shortcut' if name == SHORTCUT else 'gate'}"
            if name in (SHORTCUT, GATE)
            else "two modules of one scope would have it"
        )
        return refuse(
            "name-taken", f"the name {quote(name)} is already taken: {why}", "choose another `as:` or `name:`", at=at, labels=labels
        )


def _place(d: _Draft) -> Location:
    """The user's own place of a node's name."""
    at = d.name_at or d.location
    assert at is not None
    return blame(frozenset(), at, d.frame)[0]


@dataclass(frozen=True, slots=True)
class ShapeDecision:
    """A step that changed the `channels`, the `size` or the `rank` of its input: the place to blame for a mismatch."""

    what: Literal["channels", "size", "rank"]
    at: Location
    names: frozenset[str]
    frame: Frame | None


class StepWalker(Protocol):
    """What a residual form needs of the walker that expands its steps."""

    spec: Spec
    interner: Interner
    decisions: list[ShapeDecision]

    def run(self, steps: Sequence[Step], env: Env, scope: ScopeDraft, here: int, role: Role) -> int:
        """Add the steps to a scope, from the value `here` on; gives the value of the last."""

    def blamed(
        self, shapes: Sequence[Shape], since: int, until: int | None = None, *, concat: bool = False, fallback: bool = False
    ) -> ShapeDecision | None:
        """The last step between two marks that decided what these shapes differ in."""


class Interner:
    """Equal scopes are one program, and scopes that differ in real numbers alone have one pattern."""

    def __init__(self) -> None:
        self._families: dict[tuple[object, ...], Family] = {}

    def intern(self, p: Program) -> Program:
        """The one program of all that are equal to `p`."""
        family, numbers = self.family(p), tuple(number for n in p.nodes for number in n.numbers)
        return family.get(numbers) or adopt(family, numbers, p)

    def intern_stage(self, p: Program) -> Program:
        """The same for a stage, whose nodes are in series. In its pattern, blocks of one pattern that follow each other are one call."""
        known = self.intern(p)
        if known is not p:
            return known
        nodes: list[Node] = []
        for _, alike in groupby(p.nodes, _run):
            first, *others = alike
            before = (nodes[-1].path,) if nodes else first.inputs
            called = first.program and first.program.pattern
            nodes.append(replace(first, inputs=before, program=called, times=first.times + sum(n.times for n in others)))
        if len(nodes) < len(p.nodes):
            p.join(self.intern(replace(p, nodes=tuple(nodes))))
        return known

    def family(self, p: Program) -> Family:
        """The programs that differ from `p` in real numbers alone, by these numbers."""
        return self._families.setdefault((p.kind, p.role, p.input, p.taps, tuple(n.pattern for n in p.nodes)), {})


def _run(node: Node) -> object:
    """Equal for blocks that make a run, where they follow each other."""
    steady = node.role == "block" and node.program is not None and node.shape == node.program.input
    return id(node.program.pattern) if steady and node.program is not None else node.path


Family = dict[tuple[float, ...], Program]
"""Programs of one pattern by the numbers that tell them apart; the first is the pattern."""


def adopt(family: Family, numbers: tuple[float, ...], p: Program) -> Program:
    """A program that its family does not have yet."""
    if family:
        p.join(next(iter(family.values())))
    family[numbers] = p
    return p
