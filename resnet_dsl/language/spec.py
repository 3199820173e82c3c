"""A spec with its names resolved: the values that the graph is made from.

Everything here is frozen and printable. Numbers and conditions that depend on where a definition is used are `Slot`s:
an expression, the rule that its value must follow, and the place to blame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from resnet_dsl.diagnostics import Location
from resnet_dsl.language.expectations import Expectation, ExpectedShape
from resnet_dsl.language.expressions import Expression, ExpressionError, of
from resnet_dsl.language.tree import MappingTree, Tree
from resnet_dsl.ops.arguments import Result, ValueRule
from resnet_dsl.table import Column, Table, count, shape_text


class SlotError(Exception):
    """A value that breaks its rule or cannot be computed, found while the graph is made."""

    def __init__(self, slot: Slot, code: str, message: str, help: str) -> None:
        super().__init__(message)
        self.slot, self.code, self.message, self.help = slot, code, message, help
        self.frame: Any = None
        """Where the definition was called that holds the slot; set on the way up."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Slot:
    """A number or a condition that is evaluated later: `what` is its name (`out`, `kernel`), `at` the place of its value."""

    expression: Expression
    rule: ValueRule
    at: Location
    what: str
    _known: Result | None = field(default=None, init=False)

    def __repr__(self) -> str:
        return f"<Slot {self.what}: {self.expression.text[:200]}>"

    def value(self, env: Mapping[str, Result]) -> Result:
        """Its value where `env` holds. Raises SlotError."""
        if self._known is not None:
            return self._known
        try:
            value = self.expression.value(env)
        except ExpressionError as e:
            raise SlotError(self, e.code, f"{self.what}: {e.message}", e.help) from None
        wrong = self.rule.complaint(value)
        if wrong is not None:
            raise SlotError(self, wrong[0], f"{self.what} {wrong[1]}", wrong[2])
        if not self.expression.names:  # it is the same everywhere
            object.__setattr__(self, "_known", value)
        return value

    def whole(self, env: Mapping[str, Result]) -> int:
        """Its value as an integer; its rule has checked that it is one."""
        return int(self.value(env))


def constant(value: Result, rule: ValueRule, at: Location, what: str) -> Slot:
    """A slot with a value that is known."""
    return Slot(of(value), rule, at, what)


Pair = tuple[Slot, Slot]
"""Two values, of height and width; one slot twice where one was written."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Reference:
    """A name from a table (a block, a policy, a norm, ...) with the arguments given to it.

    `words` are arguments that are words, not values (`gate: conv`).
    """

    name: str
    args: Mapping[str, Slot]
    at: Location
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Reference {self.name}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Step:
    """One step of a list. `name` is a row of the step table or a sequence; arguments are sorted by what they are."""

    name: str
    at: Location
    is_sequence: bool = False
    alias: str | None = None
    alias_at: Location | None = None
    when: Slot | None = None
    args: Mapping[str, Slot] = field(default_factory=dict)
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    kind: Reference | None = None
    steps: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)
    paths: tuple[tuple[Step, ...], ...] = ()
    paths_at: tuple[Location, ...] = ()
    shortcut: Reference | tuple[Step, ...] | None = None
    merge: Reference | None = None

    def __repr__(self) -> str:
        return f"<Step {self.name}{f' as {self.alias}' if self.alias else ''}>"


Change = tuple[Step, ...] | Literal["none", "refuse"]
Family = Literal["block", "shortcut", "sequence"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Definition:
    """A block, a shortcut policy or a sequence: shipped or the user's, in the same form."""

    family: Family
    name: str
    at: Location
    shipped: bool
    args: Mapping[str, Slot] = field(default_factory=dict)
    let: Mapping[str, Slot] = field(default_factory=dict)
    out: Slot | None = None
    before: tuple[Step, ...] = ()
    body: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    merge: Reference | None = None
    change: Change = "refuse"
    same: Change = ()
    steps: tuple[Step, ...] = ()
    uses: frozenset[str] = frozenset()
    """The names that its expressions read from where it is called."""

    def __repr__(self) -> str:
        return f"<Definition {self.family} {self.name}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Stage:
    """One stage: `depth` blocks of `width`, the first with `stride` (height, width); its own references or None for the net's.

    `dilation` is None where it is that of the stage before.
    """

    name: str
    at: Location
    name_at: Location | None
    depth: Slot
    width: Slot
    stride: Pair
    dilation: Pair | None
    block: Reference
    shortcut: Reference
    merge: Reference | None
    before: tuple[Step, ...]
    after: tuple[Step, ...]

    def __repr__(self) -> str:
        return f"<Stage {self.name}: {self.depth.expression.text[:60]} of {self.block.name}, width {self.width.expression.text[:60]}>"


@dataclass(frozen=True, slots=True, eq=False)
class Train:
    """Where a spec's recipe stands, for `language.recipes.recipe_of`: the value of `train`, the folder that a path in
    it may not leave (None: the spec is shipped), and the overrides of keys under `train.`."""

    value: Tree | None = None
    root: Path | None = None
    overrides: MappingTree | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Spec:
    """A network, complete: every reference is known, every default is filled in.

    `input` is (channels, height, width) or (features,). `output_stride` bounds what the stages divide it by. `train` says where its recipe stands. `overridden`: options changed it, so what its
    author expects is not tested. `folded`: it came with weights whose batch norms are folded, and compiles to that network.
    `tree` is the merged document, with the place of every value.
    """

    name: str
    description: str
    input: tuple[int, ...]
    classes: int
    params: Mapping[str, Result]
    norm: Reference
    act: Reference
    stem: tuple[Step, ...]
    stages: tuple[Stage, ...]
    output_stride: Slot | None
    head: tuple[Step, ...]
    blocks: Mapping[str, Definition]
    shortcuts: Mapping[str, Definition]
    sequences: Mapping[str, Definition]
    merge: Reference | None
    init_weights: str
    zero_last: bool
    expect: tuple[Expectation, ...]
    expect_shapes: tuple[ExpectedShape, ...]
    train: Train
    at: Location
    head_at: Location
    tree: MappingTree
    overridden: bool = False
    folded: bool = False

    def __repr__(self) -> str:
        blocks = ", ".join(dict.fromkeys(stage.block.name for stage in self.stages))[:150]
        stages = f"{len(self.stages):,} stage{'s' if len(self.stages) != 1 else ''}"
        return f"<Spec {self.name}: {shape_text(self.input)} to {self.classes}, {stages} of {blocks}>"

    def _repr_html_(self) -> str:
        return self.table().render("html")

    def table(self) -> Table:
        """One row per stage."""
        columns = (
            Column("stage", "stage"),
            Column("block", "block"),
            Column("shortcut", "shortcut"),
            Column("depth", "depth", count, right=True),
            Column("width", "width", count, right=True),
            Column("stride", "stride", right=True),
        )
        rows = [
            [
                s.name,
                s.block.name,
                s.shortcut.name,
                *(slot.whole(self.params) for slot in (s.depth, s.width)),
                _sides(s.stride, self.params),
            ]
            for s in self.stages
        ]
        title = f"{self.name}: {shape_text(self.input)} to {self.classes}"
        return Table(columns, rows, title=title, notes=(self.description,) if self.description else ())


def _sides(pair: Pair, params: Mapping[str, Result]) -> str:
    height, width = (slot.whole(params) for slot in pair)
    return str(height) if height == width else f"{height}x{width}"
