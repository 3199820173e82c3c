"""The names that expressions see while a graph is made, and the place to blame when they fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from resnet_dsl.diagnostics import Label, Location, SpecError, quote, refuse
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.spec import Definition, Pair, Reference, Slot, SlotError, Stage, Step
from resnet_dsl.ops.arguments import Arg
from resnet_dsl.ops.site import Value

NOTHING: frozenset[str] = frozenset()

Sides = tuple[int, int]
"""Values of height and width."""

NO_SIDES: Mapping[str, Sides] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where a definition was called: its given arguments and the place of the call, and the frame around it."""

    stage: Stage | None = None
    definition: Definition | None = None
    given: Mapping[str, Slot] | None = None
    at: Location | None = None
    parent: Frame | None = None


class Hole(float):
    """A real number of a template, which each block fills with its own: the `number`-th that was read."""

    number: int

    def __new__(cls, value: float, number: int) -> Hole:
        """The hole, which has the value of the block that was expanded."""
        hole = super().__new__(cls, value)
        hole.number = number
        return hole

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hole) and other.number == self.number

    def __hash__(self) -> int:
        return hash(("hole", self.number))


@dataclass(frozen=True, slots=True)
class SlotReading:
    """A slot that was read where a block was expanded, and whose value may be another for the next block.

    `reads` are the names that the value depends on. `hole`: it is a number that no shape depends on. Otherwise it decided something.
    """

    env: Env
    slot: Slot
    reads: frozenset[str]
    hole: bool = False

    def value(self) -> Result:
        """The value for the block that is expanded now. Raises SlotError."""
        return self.env.computed(self.slot)


class Moving:
    """What few blocks read, and which is another from block to block or from stage to stage: `index`, `position`, `depth`, ...

    `readings` are what was read of it, in the order of reading.
    """

    def __init__(self) -> None:
        self.values: Mapping[str, Result] = {}
        self.readings: list[SlotReading] = []
        self.holes: list[float] = []
        self.stale: list[tuple[Env, str]] = []

    def move(self, values: Mapping[str, Result]) -> None:
        """Go on to the next block: what was computed from the values of the last one is forgotten."""
        self.values = values
        for env, name in self.stale:
            env.pop(name, None)
        self.stale.clear()

    def record(self) -> None:
        """Begin to record what a block reads."""
        self.readings, self.holes = [], []


def unequal(sides: Mapping[str, Sides]) -> bool:
    """Has a name another value for the height than for the width?"""
    return any(height != width for height, width in sides.values())


class Env(dict[str, Result]):
    """Names and their values. Arguments and `let` are computed when they are first read.

    So nothing is computed for a step that is left out. `moves` are the names whose values are those of `moving`. Where a name of `sides`
    has a value for the height and another for the width, each side of a pair is evaluated with its own, whatever arguments it comes
    through; elsewhere the name is the larger of the two.
    """

    def __init__(
        self, values: Mapping[str, Result], frame: Frame | None, moving: Moving | None = None, moves: frozenset[str] = NOTHING,
        sides: Mapping[str, Sides] = NO_SIDES,
    ) -> None:  # fmt: skip
        super().__init__(values)
        self.update((name, max(pair)) for name, pair in sides.items())
        self.frame = frame
        self.pending: dict[str, tuple[Slot, Env]] = {}
        self.moving = moving
        self.moves = moves
        self._varying: dict[str, frozenset[str]] = {}
        self.twins: tuple[Env, Env] | None = None
        if unequal(sides):
            height, width = (Env({**values, **{n: pair[side] for n, pair in sides.items()}}, frame, moving, moves) for side in (0, 1))
            self.twins = height, width

    def __missing__(self, name: str) -> Result:
        if name in self.moves and self.moving is not None:
            return self.moving.values[name]
        slot, env = self.pending[name]
        value = self[name] = env.computed(slot)
        if self.moving is not None and self._moving_in(name):
            self.moving.stale.append((self, name))
        return value

    def value(self, slot: Slot) -> Result:
        """A slot's value here, on which the graph depends. Raises SlotError, which records the frame."""
        if self.moving is not None and slot.expression.names and (reads := self.moving_in(slot)):
            self.moving.readings.append(SlotReading(self, slot, reads))
        return self.computed(slot)

    def attribute(self, slot: Slot, arg: Arg) -> Value:
        """A slot's value as an attribute of an operation; a hole where it is a real number that varies. Raises SlotError."""
        if self.moving is None or not slot.expression.names or not arg.real or not (reads := self.moving_in(slot)):
            return arg.typed(self.value(slot))
        value = float(self.computed(slot))
        self.moving.readings.append(SlotReading(self, slot, reads, hole=True))
        self.moving.holes.append(value)
        return Hole(value, len(self.moving.holes) - 1)

    def moving_in(self, slot: Slot) -> frozenset[str]:
        """The moving names that a slot's value depends on."""
        found = NOTHING
        for name in slot.expression.names:
            if reads := self._moving_in(name):
                found |= reads
        return found

    def _moving_in(self, name: str) -> frozenset[str]:
        if name in self.moves:
            return frozenset({name})
        if name not in self.pending:
            return NOTHING
        if name not in self._varying:
            slot, env = self.pending[name]
            self._varying[name] = env.moving_in(slot)
        return self._varying[name]

    def computed(self, slot: Slot) -> Result:
        """A slot's value here. Raises SlotError, which records the frame."""
        try:
            return slot.value(self)
        except SlotError as e:
            if e.frame is None:
                e.frame = self.frame
            raise

    def pair(self, slots: Pair) -> Sides:
        """Two values, of height and width. Raises SlotError."""
        height, width = self.twins or (self, self)
        first = int(height.value(slots[0]))
        return first, first if height is width and slots[0] is slots[1] else int(width.value(slots[1]))

    def whole(self, name: str) -> int:
        """A name's value, on which the graph depends, as an integer; its rule has checked that it is one."""
        slot, env = self.pending.get(name, (None, self))
        return int(self[name] if slot is None else env.value(slot))

    def counting(self, index: int) -> Env:
        """The same names, but `index` is that of a copy."""
        kept = {k: v for k, v in self.items() if self.moving is None or not self._moving_in(k)}
        copy = Env({**kept, "index": index}, self.frame, self.moving, self.moves - {"index"})
        copy.pending, copy.twins = self.pending, self.twins and (self.twins[0].counting(index), self.twins[1].counting(index))
        return copy

    def inside(
        self,
        definition: Definition,
        call: Reference | Step,
        visible: Mapping[str, Result] | None = None,
        sides: Mapping[str, Sides] = NO_SIDES,
    ) -> Env:
        """The scope of a definition that is called from here with a reference's or a step's arguments.

        `visible` and `sides` are the names of the language that it sees; left out, all of this scope's (a block sees what its
        references see).
        """
        if self.twins is None and not unequal(sides):
            return self._inside(definition, call, None if visible is None else {**visible, **{n: pair[0] for n, pair in sides.items()}})

        def made(of: Env, side: Callable[[Sides], int]) -> Env:
            return of._inside(definition, call, None if visible is None else {**visible, **{n: side(pair) for n, pair in sides.items()}})

        inner, (height, width) = made(self, max), self.twins or (self, self)
        inner.twins = made(height, itemgetter(0)), made(width, itemgetter(1))
        return inner

    def _inside(self, definition: Definition, call: Reference | Step, visible: Mapping[str, Result] | None) -> Env:
        frame = self.frame or Frame()
        names = visible if visible is not None else {k: self[k] for k in self if k not in self.pending}
        # A shipped definition's own names win over a spec's parameters, which it does not know of.
        own = definition.args.keys() | definition.let.keys()
        moves = self.moves - own if visible is None else frozenset()
        given_at = Frame(frame.stage, definition, call.args, call.at, frame)
        inner = Env({k: v for k, v in names.items() if k not in own}, given_at, self.moving, moves)
        for name, slot in definition.args.items():
            given = call.args.get(name)
            inner.pending[name] = (given, self) if given is not None else (slot, inner)
        for name, slot in definition.let.items():
            inner.pending[name] = (slot, inner)
        if definition.out is not None:
            inner.pending["out"] = (definition.out, inner)
        return inner


def blame(names: frozenset[str], at: Location, frame: Frame | None) -> tuple[Location, str]:
    """Returns the place in the user's own text, and words that name the shipped definition.

    A fault in a shipped definition is shown at the argument that caused it, else at the reference to the definition.
    A fault in the user's own text is shown where it is, and the words are empty."""
    via = ""
    while frame is not None and frame.definition is not None and frame.definition.shipped and at.source == frame.definition.at.source:
        given = frame.given or {}
        cause = next((n for n in sorted(_arguments(names, frame.definition)) if n in given), None)
        assert frame.at is not None
        called = f"{frame.definition.family} {frame.definition.name}"
        if cause is not None:
            at, names, via = given[cause].at, given[cause].expression.names, f" ({quote(cause)} of {called})"
        else:
            at, names, via = frame.at, frozenset(), f" ({called})"
        frame = frame.parent
    return at, via


def _arguments(names: frozenset[str], definition: Definition) -> set[str]:
    """Returns the names and every name that they were computed from."""
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        slot = definition.let.get(name) or definition.args.get(name) or (definition.out if name == "out" else None)
        if slot is not None:
            todo += slot.expression.names
    return found


def locate(code: str, message: str, help: str, *, at: Location, frame: Frame | None, names: frozenset[str] = frozenset()) -> SpecError:
    """The error at the user's own place, with the step of a shipped definition and the stage as notes.

    `at` is where the fault shows, `names` are what its expression reads, `frame` is where its definition was called.
    """
    place, via = blame(names, at, frame)
    labels: list[Label] = []
    if place is not at and place.source != at.source:
        labels.append(Label("the step of the shipped definition", at))
    if frame is not None and frame.stage is not None:
        labels.append(Label(f"called for by stage {quote(frame.stage.name)}", frame.stage.at))
        message = f"{message} (in stage {frame.stage.name})"
    return refuse(code, message + via, help, at=place, labels=labels)
