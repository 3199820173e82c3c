"""The names that expressions see while a graph is made, and the place to blame when they fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.diagnostics import Label, Location, SpecError, quote, refuse
from resnet_dsl.language.expressions import Result
from resnet_dsl.language.spec import Definition, Reference, Slot, SlotError, Stage, Step


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Where a definition was called: its given arguments and the place of the call, and the frame around it."""

    stage: Stage | None = None
    definition: Definition | None = None
    given: Mapping[str, Slot] | None = None
    at: Location | None = None
    parent: Frame | None = None


class Env(dict[str, Result]):
    """Names and their values. Arguments and `let` are computed when they are first read.

    So nothing is computed for a step that is left out."""

    def __init__(self, values: Mapping[str, Result], frame: Frame | None) -> None:
        super().__init__(values)
        self.frame = frame
        self.pending: dict[str, tuple[Slot, Env]] = {}

    def __missing__(self, name: str) -> Result:
        slot, env = self.pending[name]
        value = self[name] = env.value(slot)
        return value

    def value(self, slot: Slot) -> Result:
        """A slot's value here. Raises SlotError, which records the frame."""
        try:
            return slot.value(self)
        except SlotError as e:
            if e.frame is None:
                e.frame = self.frame
            raise

    def whole(self, name: str) -> int:
        """A name's value as an integer; its rule has checked that it is one."""
        return int(self[name])

    def inside(self, definition: Definition, call: Reference | Step, visible: Mapping[str, Result] | None = None) -> Env:
        """The scope of a definition that is called from here with a reference's or a step's arguments.

        `visible` are the names of the language that it sees; left out, all of this scope's (a block sees what its
        references see).
        """
        frame = self.frame or Frame()
        names = visible if visible is not None else {k: self[k] for k in self if k not in self.pending}
        # A shipped definition's own names win over a spec's parameters, which it does not know of.
        own = definition.args.keys() | definition.let.keys()
        inner = Env({k: v for k, v in names.items() if k not in own}, Frame(frame.stage, definition, call.args, call.at, frame))
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
