"""What sets two networks apart, as values: steps that changed, were added or were removed, and what they cost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.analysis.weights import WeightsFit, fit
from resnet_dsl.graph.graph import Graph, Shape

SWAPPED = "swapped"
"""The attribute of two steps that changed places."""

Status = Literal["same", "changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Side:
    """A step, or a run of equal ones, in one of the networks. `path` is its full path, `name` its name in its scope.

    `kind` is a block's or policy's name or an operation's label; `cost` is that of the whole run.
    """

    path: str
    name: str
    kind: str
    times: int
    shape: Shape
    cost: Cost

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        cost = {"params": self.cost.params, "macs": self.cost.macs}
        return {"path": self.path, "kind": self.kind, "times": self.times, "out": list(self.shape), **cost}


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of a step that changed, with its values before and after in words; empty where one side does not have it."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        if self.name == SWAPPED:
            return f"{self.before} and {self.after} swapped"
        return f"{self.name} {self.before or 'none'} -> {self.after or 'none'}"

    def to_dict(self) -> dict[str, str]:
        """The JSON form."""
        return {"attribute": self.name, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class Change:
    """A step of A and the same step of B; one of them alone where it was added or removed.

    `status` is about the step with all that it holds, `attributes` about the step itself.
    """

    status: Status
    role: str
    a: Side | None
    b: Side | None
    attributes: tuple[Attribute, ...] = ()
    inside: tuple[Change, ...] = ()

    @property
    def count(self) -> int:
        """How many changes it stands for."""
        own = len(self.attributes) if self.status == "changed" else int(self.status != "same")
        return own + sum(c.count for c in self.inside)

    @property
    def side(self) -> Side:
        """Where it is now, or was."""
        side = self.b or self.a
        assert side is not None
        return side

    def walk(self) -> Iterator[Change]:
        """Itself and all that it holds, in order."""
        yield self
        for c in self.inside:
            yield from c.walk()

    def to_dict(self) -> dict[str, object]:
        """The JSON form; what holds no change is not opened."""
        return {
            "status": self.status,
            "role": self.role,
            "a": self.a.to_dict() if self.a else None,
            "b": self.b.to_dict() if self.b else None,
            "changes": [x.to_dict() for x in self.attributes],
            "inside": [c.to_dict() for c in self.inside],
        }


def groups(changes: Sequence[Change]) -> list[list[Change]]:
    """Neighbours that one line can describe: what did not change, and what changed in the same way except for the figures."""
    return [list(run) for _, run in groupby(changes, _pattern)]


def span(names: Sequence[str]) -> str:
    """Neighbours by their names: `conv1 to act1`, `0-5` for `0` and `1-5`."""
    first, last = names[0], names[-1]
    if all(re.fullmatch(r"\d+(-\d+)?", x) for x in (first, last)):
        ends = first.split("-")[0], last.split("-")[-1]
        return ends[0] if ends[0] == ends[1] else "-".join(ends)
    return first if len(names) == 1 else f"{first} to {last}"


def _pattern(change: Change) -> tuple[object, ...]:
    if change.status == "same":
        return ("same",)
    if change.status != "changed":
        return (id(change),)
    kinds = [x.kind if x and change.role != "step" else "" for x in (change.a, change.b)]
    inside = tuple(_inner_pattern(c) for c in change.inside if c.status != "same")
    return (change.role, *kinds, tuple(x.name for x in change.attributes), inside, *((id(change),) if change.role != "block" else ()))


def _inner_pattern(change: Change) -> tuple[object, ...]:
    names = tuple(x.name if x else "" for x in (change.a, change.b))
    inside = tuple(_inner_pattern(c) for c in change.inside if c.status != "same")
    return (change.status, *names, tuple(x.name for x in change.attributes), inside)


@dataclass(frozen=True, repr=False)
class Changes:
    """Two networks and what sets B apart from A. `attributes` are of the networks themselves: input, initial weights."""

    a: Graph
    b: Graph
    labels: tuple[str, str]
    attributes: tuple[Attribute, ...]
    changes: tuple[Change, ...]
    costs: tuple[Costs, Costs]

    @property
    def count(self) -> int:
        """How many changes there are; 0 says that the networks are the same."""
        return len(self.attributes) + sum(c.count for c in self.changes)

    @property
    def same(self) -> bool:
        """Do they do the same, under the same names?"""
        return self.count == 0

    @cached_property
    def weights(self) -> WeightsFit:
        """Do A's weights fit B?"""
        return fit(self.a, self.b)

    def parts(self) -> list[tuple[str, Cost, Cost]]:
        """Stem, stages and head with their costs in A and in B; a renamed stage is one row, `layer3 -> mid`."""
        rows: dict[tuple[str, str], list[Cost]] = {}
        for c in self.changes:
            names = [side.name for side in (c.a, c.b) if side is not None]
            key = ("stage", " -> ".join(dict.fromkeys(names))) if c.role == "stage" else (c.role, c.role)
            row = rows.setdefault(key, [Cost(), Cost()])
            for i, side in enumerate((c.a, c.b)):
                if side is not None:
                    row[i] = row[i] + side.cost
        return [(name, row[0], row[1]) for (_, name), row in rows.items()]
