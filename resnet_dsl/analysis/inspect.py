"""What a network costs, and its shapes: one value for the terminal, a notebook and JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from resnet_dsl.analysis.cost import COUNTED, Costs, Kind, convention
from resnet_dsl.analysis.features import Feature, features
from resnet_dsl.analysis.figures import FIGURES, MEMORY, OF_BATCH
from resnet_dsl.analysis.memory import Optimizer, Precision, Saving
from resnet_dsl.analysis.quantities import size as bytes_of
from resnet_dsl.analysis.report import Breakdown, Part, figures_of
from resnet_dsl.analysis.structure import operations
from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.graph.graph import Graph
from resnet_dsl.table import Answer, Column, Layout, Table, count, shape_text, short, size

By = Literal["net", "stage", "block", "op"]

MAX_OPERATIONS = 100_000
"""Rows of a table of operations: 22 MB of text, and 350 MB of memory."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(Answer, Breakdown):
    """What a network costs for one input, in all and by part.

    `by` is what a row of its table is, `columns` name what a row tells (`figures.FIGURES`; empty: what suits `by`).
    `largest_batch` is the largest batch that trains in `max_memory`, where that was asked for.
    """

    by: By = "stage"
    columns: tuple[str, ...] = ()
    max_memory: str = ""
    largest_batch: int | None = None

    @property
    def room(self) -> str:
        """Which batch fits into `max_memory`, in words; empty where nobody asked."""
        if self.largest_batch is None:
            return ""
        nothing = f"nothing, not even a batch of 1 ({size(self.memory.total(1))})"
        return f"in {self.max_memory} fits {f'a batch of {self.largest_batch:,}' if self.largest_batch else nothing}"

    def summary(self) -> str:
        """The network, its parameters, MACs and depth."""
        costs = f"{self.params:,} params, {short(self.macs)} MACs, depth {self.depth:,}"
        return f"{self.name}: {shape_text(self.input)} to {self._given(count(self.classes))}, {costs}"

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """What it gives in place of its classes, each with its shape and stride; empty for a network without `outputs`."""
        return features(self.graph)

    def _given(self, classes: str) -> str:
        outputs = len(self.graph.outputs)
        return f"{classes} classes" if not outputs else f"{outputs} output{'s' if outputs > 1 else ''}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """The one table of `inspect`."""
        return [self.table()]

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """As `inspect` prints it; in a terminal with the batch that fits."""
        text = super().render(format, bold=bold, width=width, quiet=quiet)
        return f"{text}{self.room[:1].upper()}{self.room[1:]}.\n" if self.room and format == "table" else text

    def to_dict(self, by: By | None = None) -> dict[str, object]:
        """The JSON document of `inspect --format json`: `blocks` is there by block, `ops` by op."""
        by = by or self.by
        part = ("name", "out", "params", "macs", "activations")
        m = self.memory
        document: dict[str, object] = {
            "name": self.name, "input": list(self.input), "classes": None if self.graph.outputs else self.classes, "params": self.params, "macs": self.macs,
            "flops": self.flops, "activations": self.activations, "depth": self.depth,
            "shortcut_params": self.shortcut_params, "shortcut_macs": self.shortcut_macs, "counted": list(self.costs.counted),
            "batch": self.batch, "precision": self.precision, "weight_bytes": self.weight_bytes, "activation_bytes": self.activation_bytes,
            "memory": {"weights": m.weights, "gradients": m.gradients, "optimizer": m.optimizer, "saved": m.saved.of(self.batch),
                       "recomputed": m.again(self.batch), "total": m.total(self.batch)},
            "stem": self._figures(self.stem, *part),
            "stages": [self._figures(s, "name", "blocks", *part[1:]) for s in self.stages],
            "head": self._figures(self.head, *part),
        }  # fmt: skip
        if by == "block":
            document["blocks"] = [self._figures(b, "path", "kind", "shortcut", "blocks", *part[1:]) for b in self.blocks]
        if by == "op":
            document["ops"] = [{"path": o.path, "op": o.kind, **self._figures(o, "label", *part[1:4])} for o in self.ops]
        if self.features:
            document["outputs"] = [f.to_dict() for f in self.features]
        if self.largest_batch is not None:
            document["largest_batch"] = self.largest_batch
        return document

    def _figures(self, p: Part, *keys: str) -> dict[str, object]:
        """The named fields, and what a part sees and saves."""
        size, jump = p.reach.size, p.reach.jump
        seen = {"receptive": list(size) if size else "all", "jump": list(jump) if jump else None} if len(self.input) == 3 else {}
        return {**p.to_dict(*keys), **seen, "saved": p.saved.of(self.batch)}

    def table(self, by: By | None = None, columns: Sequence[str] = ()) -> Table:
        """One row per part, by another part or with other columns where they are given."""
        by = by or self.by
        names = tuple(columns) or self.columns or _USUAL[by]
        figures = [FIGURES[name] for name in names]
        if by == "net":
            pairs = [*_NET[:3], *((f.column, f.total(self)) for f in figures), *_NET[3:]]
            shown = [(column, get(self) if callable(get) else get) for column, get in pairs]
            shown = [(column, value) for i, (column, value) in enumerate(shown) if column.key not in {c.key for c, _ in shown[:i]}]
            return Table(tuple(c for c, _ in shown), [[v for _, v in shown]], notes=self._notes(by, names), upright=True)
        parts, about = self._parts(by)
        return Table(
            (*(column for column, _ in about), *(f.column for f in figures)),
            [[*(get(p) for _, get in about), *(f.part(self, p) for f in figures)] for p in parts],
            f"{self.name}: {shape_text(self.input)} to {self._given(str(self.classes))}, depth {self.depth}",
            ["total", *(None for _ in about[1:]), *(f.total(self) for f in figures)],
            self._notes(by, names),
        )

    def _parts(self, by: By) -> tuple[tuple[Part, ...], tuple[tuple[Column, Callable[[Part], object]], ...]]:
        if by == "block":
            return self.blocks, _ABOUT_BLOCK
        return (self.ops, _ABOUT_OP) if by == "op" else ((self.stem, *self.stages, *self.ending), _ABOUT_STAGE)

    def _notes(self, by: By, columns: Sequence[str]) -> tuple[str, ...]:
        notes = _lines(f"Outputs: {'; '.join(map(str, self.features))}.") if self.features else []
        if self.shortcut_params and by != "net" and {"params", "macs"} & set(columns):
            share = self.shortcut_params / self.params
            notes.append(f"Of this in shortcuts: {self.shortcut_params:,} params ({share:.1%}), {self.shortcut_macs:,} MACs.")
        if {"macs", "share", "shortcut_macs"} & set(columns):
            notes += _lines(convention(self.costs.counted))
        notes += dict.fromkeys(note for name in columns if (note := FIGURES[name].note) and by != "net")
        if set(columns) & {*MEMORY, *OF_BATCH}:
            notes += self._memory_notes(columns)
        return tuple(notes)

    def _memory_notes(self, columns: Sequence[str]) -> list[str]:
        m, again = self.memory, self.memory.again(self.batch)
        notes = [f"Bytes for a batch of {self.batch:,} in {self.precision}."]
        if set(columns) & set(MEMORY):
            in_half = ", in fp32" if self.precision != "fp32" else ""
            notes = [
                f"Training with {self.optimizer}, batch of {self.batch:,}, {self.precision}: {size(m.total(self.batch))} in all.",
                f"Weights, gradients and optimizer state{in_half}; saved: what autograd keeps for",
                "the backward pass, memory that tensors share counted once. Not counted:",
                "gradients of activations in flight, workspaces, what the allocator wastes.",
            ]
            if self.saving.checkpoint:
                notes.insert(1, f"Each block saves its input and runs again: {size(again)} more, for one at a time.")
        return notes


def inspect(
    graph: Graph,
    *,
    by: By = "stage",
    columns: Sequence[str] = (),
    counted: Collection[Kind] = COUNTED,
    memory: bool = False,
    batch: int | None = None,
    precision: Precision | None = None,
    optimizer: Optimizer | None = None,
    checkpoint: bool = False,
    max_memory: str | int | None = None,
) -> Report:
    """What a network costs.

    `counted` says what its MACs are. Bytes are counted for `batch` inputs (1) in `precision` (fp32), training with
    `optimizer` (sgd); `checkpoint` saves the input of each block alone. `max_memory` asks for the largest batch that trains in
    so many bytes, and bytes are counted for that batch. Where any of these is given, or `memory` is, the table shows memory.
    Raises SpecError for a size that is none.
    """
    if by == "op" and (held := operations(graph)) > MAX_OPERATIONS:
        message = f"{graph.name} has {held:,} operations, over the limit of {MAX_OPERATIONS:,} for a table of them"
        raise refuse(
            "limit", message, f"write {Argument('by', 'block')}, which has one row for each run of equal blocks", at=Argument("by")
        )
    limit = bytes_of(max_memory, "max_memory") if max_memory is not None else None
    if not columns and (memory or batch or precision or optimizer or checkpoint or limit is not None):
        columns = (*(("shape",) if by != "net" else ("params",)), *MEMORY)
    costs = Costs(graph, counted)
    saving = Saving(graph, precision or "fp32", checkpoint=checkpoint)
    found = Report(
        **figures_of(costs.network), graph=graph, costs=costs, saving=saving, batch=batch or 1, precision=precision or "fp32",
        optimizer=optimizer or "sgd", by=by, columns=tuple(columns),
    )  # fmt: skip
    if limit is None:
        return found
    largest = found.memory.largest_batch(limit)
    return replace(found, batch=batch or max(1, largest), max_memory=str(max_memory), largest_batch=largest)


_PATH: tuple[Column, Callable[[Part], object]] = (Column("path", "path"), lambda p: p.path)
_ABOUT_STAGE = (
    (Column("name", "stage"), lambda p: p.path),
    (Column("blocks", "blocks", count, True), lambda p: p.blocks or None),
)
_ABOUT_BLOCK = (
    _PATH,
    (Column("kind", "what"), lambda p: p.kind),
    (Column("blocks", "", lambda blocks: f"x{blocks:,}" if blocks > 1 else ""), lambda p: p.blocks or None),
    (Column("shortcut", "shortcut"), lambda p: p.shortcut or None),
)
_ABOUT_OP = (_PATH, (Column("op", "op"), lambda p: p.label))
_USUAL: dict[By, tuple[str, ...]] = {
    "net": ("params", "macs", "activations"),
    "stage": ("shape", "params", "macs", "activations"),
    "block": ("shape", "params", "macs"),
    "op": ("shape", "params", "macs"),
}
_NET: tuple[tuple[Column, Any], ...] = (
    (Column("name", "name"), lambda r: r.name),
    (Column("input", "input", shape_text), lambda r: r.input),
    (Column("classes", "classes"), lambda r: None if r.graph.outputs else r.classes),
    (Column("depth", "depth"), lambda r: r.depth),
    (Column("shortcut_params", "shortcut params", count), lambda r: r.shortcut_params),
    (Column("shortcut_macs", "shortcut MACs", count), lambda r: r.shortcut_macs),
)


def _lines(text: str, width: int = 78) -> list[str]:
    """A note over several lines, broken where a clause ends."""
    lines = [""]
    for clause in text.replace("; ", ";\n").split("\n"):
        if len(lines[-1]) + len(clause) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {clause}".strip()
    return lines
