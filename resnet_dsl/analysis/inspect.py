"""Costs and shapes of one network: as values, as the documented JSON, as tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import prod
from typing import Any, Literal

from resnet_dsl.analysis.cost import COUNTED, Cost, Costs, Kind, convention
from resnet_dsl.analysis.field import Reach, Reaches
from resnet_dsl.analysis.figures import FIGURES, MEMORY, OF_BATCH
from resnet_dsl.analysis.memory import BYTES, STATE, Amount, Memory, Optimizer, Precision, Saving, Storage, memory
from resnet_dsl.graph.graph import CALL, SCOPE_INPUT, Graph, Node, Program, Shape, join
from resnet_dsl.graph.ops import OPS
from resnet_dsl.table import Column, Table, count, shape_text, short

By = Literal["net", "stage", "block", "op"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Cost):
    """A part of a network and what it costs: the stem, a stage, the head, a run of equal blocks, one operation.

    `kind` is what it is (`stage`, a block's name, an op), `blocks` how many blocks it holds, `out` the shape it gives,
    `shortcut` a block's policy (`identity` where it computes nothing), `label` an operation in a few words, `reach` what
    its output sees of the input, `saved` what autograd saves first in it.
    """

    path: str
    kind: str
    out: Shape
    blocks: int = 0
    shortcut: str = ""
    label: str = ""
    reach: Reach
    saved: Amount

    @property
    def name(self) -> str:
        """The path, which is also the prefix in the state_dict."""
        return self.path

    @property
    def elements(self) -> int:
        """Of the output, for one input."""
        return prod(self.out)

    def to_dict(self, *keys: str) -> dict[str, object]:
        """The named fields, as JSON has them."""
        return {k: list(v) if isinstance(v := getattr(self, k), tuple) else v for k in keys}


@dataclass(frozen=True, slots=True)
class _Place:
    """A node of a scope with its analyses: what its operands see and what it sees, the storage of its first operand."""

    node: Node
    cost: Cost
    before: Reach
    after: Reach
    entry: Storage
    saved: Amount


@dataclass(frozen=True, kw_only=True)
class Report(Cost):
    """What a network costs for one input, in all and by part.

    `batch`, `precision` and `optimizer` matter to bytes alone. `costs` say what is counted, `saving` what autograd saves.
    """

    graph: Graph = field(repr=False)
    costs: Costs = field(repr=False)
    saving: Saving = field(repr=False)
    batch: int = 1
    precision: Precision = "fp32"
    optimizer: Optimizer = "sgd"

    @property
    def name(self) -> str:
        """The network's name."""
        return self.graph.name

    @property
    def input(self) -> Shape:
        """The shape of one input."""
        return self.graph.input

    @property
    def classes(self) -> int:
        """How many outputs it has."""
        return self.graph.classes

    @property
    def size(self) -> int:
        """Bytes of an element in `precision`."""
        return BYTES[self.precision]

    @property
    def optimizer_state(self) -> int:
        """Numbers that the optimizer keeps for each parameter."""
        return STATE[self.optimizer]

    @property
    def weight_bytes(self) -> int:
        """Of all trainable parameters in `precision`."""
        return self.params * self.size

    @property
    def activation_bytes(self) -> int:
        """Of the outputs of all convolutions and linear layers in `precision`, for `batch` inputs."""
        return self.activations * self.size * self.batch

    @cached_property
    def memory(self) -> Memory:
        """What training it keeps in memory."""
        return memory(self.params, self.saving, self.optimizer)

    @cached_property
    def _reaches(self) -> Reaches:
        return Reaches(self.graph)

    @cached_property
    def _root(self) -> tuple[_Place, ...]:
        return tuple(self._places(self.graph.root, Reach(), self.saving.start))

    @cached_property
    def stages(self) -> tuple[Part, ...]:
        """One part a stage."""
        return tuple(
            _part(p, p.node.path, "stage", blocks=sum(n.times for n in p.node.callee.nodes if n.role == "block"))
            for p in self._root
            if p.node.role == "stage"
        )

    @cached_property
    def stem(self) -> Part:
        """All steps before the stages."""
        return self._ends("stem", self.graph.input, Reach())

    @cached_property
    def head(self) -> Part:
        """All steps after the stages."""
        return self._ends("head", self.stages[-1].out, self.stages[-1].reach)

    @cached_property
    def blocks(self) -> tuple[Part, ...]:
        """One part a run of equal blocks (and a step around them), stage by stage, with the stem and the head."""
        return (self.stem, *(part for p in self._root if p.node.role == "stage" for part in self._in_stage(p)), self.head)

    @cached_property
    def ops(self) -> tuple[Part, ...]:
        """One part an operation, in order."""
        return tuple(self._operations(self.graph.root, "", Reach(), self.saving.start))

    def _places(self, program: Program, reach: Reach, storage: Storage) -> Iterator[_Place]:
        """A scope's nodes, where its input sees `reach` and lies in `storage`."""
        walks = zip(self.costs.nodes(program), self._reaches.nodes(program, reach), self.saving.nodes(program, storage), strict=True)
        for (node, cost), (_, before, after), (_, entry, saved) in walks:
            yield _Place(node, cost, before, after, entry, saved)

    def _ends(self, role: Literal["stem", "head"], out: Shape, reach: Reach) -> Part:
        total, saved = Cost(), Amount()
        for p in self._root:
            if p.node.role == role:
                total, saved, out, reach = total + p.cost, saved + p.saved, p.node.shape, p.after
        return Part(**_costs(total), path=role, kind=role, out=out, reach=reach, saved=saved)

    def _in_stage(self, stage: _Place) -> Iterator[Part]:
        for p in self._places(stage.node.callee, stage.before, stage.entry):
            node, name = p.node, stage.node.path
            if node.role == "block":
                paths = node.paths[0] if node.times == 1 else f"{node.paths[0]}-{node.paths[-1]}"
                yield _part(p, join(name, paths), node.callee.kind, blocks=node.times, shortcut=_policy(node))
            else:
                yield _part(p, join(name, node.path), node.callee.kind if node.op == CALL else node.op)

    def _operations(self, program: Program, scope: str, reach: Reach, storage: Storage) -> Iterator[Part]:
        for p in self._places(program, reach, storage):
            node = p.node
            if node.program is None:
                shapes = program.in_shapes(node)
                label = OPS[node.op].label(dict(node.attrs), shapes, node.shape) + _joined(program, node)
                yield _part(p, join(scope, node.path), node.op, label=label)
                continue
            before, entry = p.before, p.entry
            for name in node.paths:
                done = self.saving.call(node, entry)
                kept = done.saved if self.saving.checkpoint and node.role == "block" else None
                for part in self._operations(node.program, join(scope, name), before, entry):
                    yield part if kept is None else replace(part, saved=kept)
                    kept = kept and Amount()  # a block that runs again keeps what its first operation reads
                before, entry = before.then(self._reaches.scope(node.program)), done.out

    def __str__(self) -> str:
        return self.table().render("table")

    def to_dict(self, by: By = "stage") -> dict[str, object]:
        """The JSON document of `inspect --format json`: `blocks` is there by block, `ops` by op."""
        part = ("name", "out", "params", "macs", "activations")
        m = self.memory
        document: dict[str, object] = {
            "name": self.name, "input": list(self.input), "classes": self.classes, "params": self.params, "macs": self.macs,
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
        return document

    def _figures(self, p: Part, *keys: str) -> dict[str, object]:
        """The named fields, and what a part sees and saves."""
        size, jump = p.reach.size, p.reach.jump
        seen = {"receptive": list(size) if size else "all", "jump": list(jump) if jump else None} if len(self.input) == 3 else {}
        return {**p.to_dict(*keys), **seen, "saved": p.saved.of(self.batch)}

    def table(self, by: By = "stage", columns: Sequence[str] = ()) -> Table:
        """One row a part. `columns` are names of `figures.FIGURES`; left out, what suits `by`."""
        names = tuple(columns) or _USUAL[by]
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
            f"{self.name}: {shape_text(self.input)} to {self.classes} classes, depth {self.depth}",
            ["total", *(None for _ in about[1:]), *(f.total(self) for f in figures)],
            self._notes(by, names),
        )

    def _parts(self, by: By) -> tuple[tuple[Part, ...], tuple[tuple[Column, Callable[[Part], object]], ...]]:
        if by == "block":
            return self.blocks, _ABOUT_BLOCK
        return (self.ops, _ABOUT_OP) if by == "op" else ((self.stem, *self.stages, self.head), _ABOUT_STAGE)

    def _notes(self, by: By, columns: Sequence[str]) -> tuple[str, ...]:
        notes = []
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
                f"Training with {self.optimizer}, batch of {self.batch:,}, {self.precision}: {short(m.total(self.batch), 'B')} in all.",
                f"Weights, gradients and optimizer state{in_half}; saved: what autograd keeps for",
                "the backward pass, memory that tensors share counted once. Not counted:",
                "gradients of activations in flight, workspaces, what the allocator wastes.",
            ]
            if self.saving.checkpoint:
                notes.insert(1, f"Each block saves its input and runs again: {short(again, 'B')} more, for one at a time.")
        return notes


def inspect(
    graph: Graph,
    *,
    batch: int = 1,
    precision: Precision = "fp32",
    optimizer: Optimizer = "sgd",
    checkpoint: bool = False,
    counted: Collection[Kind] = COUNTED,
) -> Report:
    """What a network costs. `counted` says what its MACs are, the rest what bytes are counted for; `checkpoint` saves each
    block's input alone."""
    costs = Costs(graph, counted)
    saving = Saving(graph, precision, checkpoint=checkpoint)
    return Report(**_costs(costs.network), graph=graph, costs=costs, saving=saving, batch=batch, precision=precision, optimizer=optimizer)


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
    (Column("classes", "classes"), lambda r: r.classes),
    (Column("depth", "depth"), lambda r: r.depth),
    (Column("shortcut_params", "shortcut params", count), lambda r: r.shortcut_params),
    (Column("shortcut_macs", "shortcut MACs", count), lambda r: r.shortcut_macs),
)


def _costs(cost: Cost) -> dict[str, Any]:
    return {f.name: getattr(cost, f.name) for f in fields(Cost)}


def _part(p: _Place, path: str, kind: str, *, blocks: int = 0, shortcut: str = "", label: str = "") -> Part:
    return Part(
        **_costs(p.cost),
        path=path,
        kind=kind,
        out=p.node.shape,
        blocks=blocks,
        shortcut=shortcut,
        label=label,
        reach=p.after,
        saved=p.saved,
    )


def _policy(block: Node) -> str:
    """What the block's shortcut is: the policy's name, `identity` where a merge reads the input itself, or nothing."""
    for node in block.callee.nodes:
        if node.role == "shortcut":
            return node.callee.kind
    return "identity" if any(n.role == "merge" for n in block.callee.nodes) else "none"


def _joined(program: Program, node: Node) -> str:
    """What a block's merge joins its body with."""
    if node.role != "merge" or program.kind == "branches":
        return ""
    kinds = [n.callee.kind for n in program.nodes if n.role == "shortcut" and n.path in node.inputs]
    return f" shortcut {kinds[0]}" if kinds else " identity" if SCOPE_INPUT in node.inputs else ""


def _lines(text: str, width: int = 78) -> list[str]:
    """A note over several lines, broken where a clause ends."""
    lines = [""]
    for clause in text.replace("; ", ";\n").split("\n"):
        if len(lines[-1]) + len(clause) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {clause}".strip()
    return lines
