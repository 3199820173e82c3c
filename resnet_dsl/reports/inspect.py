"""Costs and shapes of one network: as values, as the documented JSON, as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

from resnet_dsl.graph.graph import CALL, Graph, Node, Shape, shape_text
from resnet_dsl.graph.ops import OPS
from resnet_dsl.reports.cost import CONVENTION, Cost, Costs, operation
from resnet_dsl.reports.table import Column, Table, count, short

By = Literal["net", "stage", "block", "op"]
Precision = Literal["fp32", "bf16", "fp16"]

BYTES: Mapping[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Of one element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Cost):
    """A part of a network and what it costs: the stem, a stage, the head, a run of equal blocks, one operation.

    `kind` is what it is (`stage`, a block's name, an op), `blocks` how many blocks it holds, `out` the shape it gives,
    `shortcut` a block's policy (`identity` where it computes nothing), `label` an operation in a few words.
    """

    path: str
    kind: str
    out: Shape
    blocks: int = 0
    shortcut: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        """The path, which is also the prefix in the state_dict."""
        return self.path

    def to_dict(self, *keys: str) -> dict[str, object]:
        """The named fields, as JSON has them."""
        return {k: list(v) if isinstance(v := getattr(self, k), tuple) else v for k in keys}


@dataclass(frozen=True, kw_only=True)
class Report(Cost):
    """What a network costs for one input, in all and by part. `batch` and `precision` matter to bytes alone."""

    graph: Graph = field(repr=False)
    costs: Costs = field(repr=False)
    batch: int = 1
    precision: Precision = "fp32"

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
    def weight_bytes(self) -> int:
        """Of all trainable parameters in `precision`."""
        return self.params * BYTES[self.precision]

    @property
    def activation_bytes(self) -> int:
        """Of the outputs of all convolutions and linear layers in `precision`, for `batch` inputs."""
        return self.activations * BYTES[self.precision] * self.batch

    @cached_property
    def stages(self) -> tuple[Part, ...]:
        """One part a stage."""
        return tuple(self._stage(node, cost) for node, cost in self.costs.nodes(self.graph.root) if node.role == "stage")

    @cached_property
    def stem(self) -> Part:
        """All steps before the stages."""
        return self._ends("stem", self.graph.input)

    @cached_property
    def head(self) -> Part:
        """All steps after the stages."""
        return self._ends("head", self.graph.stages[-1].shape)

    @cached_property
    def blocks(self) -> tuple[Part, ...]:
        """One part a run of equal blocks (and a step around them), stage by stage, with the stem and the head."""
        return (self.stem, *(p for node in self.graph.stages for p in self._in_stage(node)), self.head)

    @cached_property
    def ops(self) -> tuple[Part, ...]:
        """One part an operation, in order."""
        return tuple(
            _part(operation(f.node, f.in_shapes), path=f.path, kind=f.node.op, out=f.node.shape,
                  label=OPS[f.node.op].label(dict(f.node.attrs), f.in_shapes, f.node.shape))
            for f in self.graph.nodes()
        )  # fmt: skip

    def _ends(self, role: Literal["stem", "head"], shape: Shape) -> Part:
        total = Cost()
        for node, cost in self.costs.nodes(self.graph.root):
            if node.role == role:
                total, shape = total + cost, node.shape
        return _part(total, path=role, kind=role, out=shape)

    def _stage(self, node: Node, cost: Cost) -> Part:
        blocks = sum(n.times for n in node.callee.nodes if n.role == "block")
        return _part(cost, path=node.path, kind="stage", out=node.shape, blocks=blocks)

    def _in_stage(self, stage: Node) -> Iterator[Part]:
        for node, cost in self.costs.nodes(stage.callee):
            if node.role == "block":
                paths = node.paths[0] if node.times == 1 else f"{node.paths[0]}-{node.paths[-1]}"
                yield _part(cost, path=f"{stage.path}.{paths}", kind=node.callee.kind, out=node.shape,
                            blocks=node.times, shortcut=_policy(node))  # fmt: skip
            else:
                yield _part(cost, path=f"{stage.path}.{node.path}", kind=node.callee.kind if node.op == CALL else node.op, out=node.shape)

    def __str__(self) -> str:
        return self.table().render("table")

    def to_dict(self, by: By = "stage") -> dict[str, object]:
        """The JSON document of `inspect --format json`: `blocks` is there by block, `ops` by op."""
        part = ("name", "out", "params", "macs", "activations")
        document: dict[str, object] = {
            "name": self.name, "input": list(self.input), "classes": self.classes, "params": self.params, "macs": self.macs,
            "flops": self.flops, "activations": self.activations, "depth": self.depth,
            "shortcut_params": self.shortcut_params, "shortcut_macs": self.shortcut_macs,
            "batch": self.batch, "precision": self.precision, "weight_bytes": self.weight_bytes, "activation_bytes": self.activation_bytes,
            "stem": self.stem.to_dict(*part),
            "stages": [s.to_dict("name", "blocks", *part[1:]) for s in self.stages],
            "head": self.head.to_dict(*part),
        }  # fmt: skip
        if by == "block":
            document["blocks"] = [b.to_dict("path", "kind", "shortcut", "blocks", *part[1:]) for b in self.blocks]
        if by == "op":
            document["ops"] = [{"path": o.path, "op": o.kind, **o.to_dict("label", *part[1:4])} for o in self.ops]
        return document

    def table(self, by: By = "stage", *, memory: bool = False) -> Table:
        """One row a part. With `memory` the figures are bytes instead of multiply-accumulates."""
        figures = self._memory_columns() if memory else _COUNT_COLUMNS if by in ("net", "stage") else _COUNT_COLUMNS[:2]
        parts, columns = self._parts(by)
        if by == "net":
            columns = (*_NET_COLUMNS[:3], *figures, *_NET_COLUMNS[3:])
            return Table(_plain(columns), [[get(self) for _, get in columns]], notes=self._notes(by, memory), upright=True)
        columns = (*columns, *figures)
        labels = [None] * (len(columns) - len(figures) - 1)
        return Table(
            _plain(columns),
            [[get(part) for _, get in columns] for part in parts],
            f"{self.name}: {shape_text(self.input)} to {self.classes} classes, depth {self.depth}",
            ["total", *labels, *(get(self) for _, get in figures)],
            self._notes(by, memory),
        )

    def _parts(self, by: By) -> tuple[tuple[Part, ...], tuple[_Figure, ...]]:
        if by == "block":
            return self.blocks, (
                _PATH,
                (Column("kind", "what"), lambda p: p.kind),
                (Column("blocks", "", _copies), lambda p: p.blocks or None),
                (Column("shortcut", "shortcut"), lambda p: p.shortcut or None),
                _OUT,
            )
        if by == "op":
            return self.ops, (_PATH, (Column("op", "op"), lambda p: p.label), _OUT)
        return (self.stem, *self.stages, self.head), (
            (Column("name", "stage"), lambda p: p.path),
            (Column("blocks", "blocks", count, True), lambda p: p.blocks or None),
            _OUT,
        )

    def _notes(self, by: By, memory: bool) -> tuple[str, ...]:
        notes = [CONVENTION]
        if memory:
            notes = [
                f"Bytes in {self.precision}, batch of {self.batch}: weights, all trainable parameters; activations,",
                "the outputs of conv and linear layers.",
            ]
        elif by == "stage":
            notes.append("Activations: output elements of conv and linear layers for one input.")
        if self.shortcut_params and by != "net":
            share = self.shortcut_params / self.params
            notes.insert(0, f"Of this in shortcuts: {self.shortcut_params:,} params ({share:.1%}), {self.shortcut_macs:,} MACs.")
        return tuple(notes)

    def _memory_columns(self) -> tuple[_Figure, ...]:
        size = BYTES[self.precision]
        return (
            _COUNT_COLUMNS[0],
            (Column("weight_bytes", "weights", _bytes, True), lambda c: c.params * size),
            (Column("activation_bytes", "activations", _bytes, True), lambda c: c.activations * size * self.batch),
        )


def inspect(graph: Graph, *, batch: int = 1, precision: Precision = "fp32") -> Report:
    """What a network costs. `batch` and `precision` say what the bytes are counted for."""
    costs = Costs(graph)
    return Report(**_figures(costs.network), graph=graph, costs=costs, batch=batch, precision=precision)


_Figure = tuple[Column, Callable[[Any], object]]

_PATH: _Figure = (Column("path", "path"), lambda p: p.path)
_OUT: _Figure = (Column("out", "output", shape_text), lambda p: p.out)
_COUNT_COLUMNS: tuple[_Figure, ...] = (
    (Column("params", "params", count, True), lambda c: c.params),
    (Column("macs", "MACs", count, True), lambda c: c.macs),
    (Column("activations", "activations", count, True), lambda c: c.activations),
)
_NET_COLUMNS: tuple[_Figure, ...] = (
    (Column("name", "name"), lambda r: r.name),
    (Column("input", "input", shape_text), lambda r: r.input),
    (Column("classes", "classes"), lambda r: r.classes),
    (Column("depth", "depth"), lambda r: r.depth),
    (Column("shortcut_params", "shortcut params", count), lambda r: r.shortcut_params),
    (Column("shortcut_macs", "shortcut MACs", count), lambda r: r.shortcut_macs),
)


def _plain(figures: tuple[_Figure, ...]) -> tuple[Column, ...]:
    return tuple(column for column, _ in figures)


def _copies(blocks: int) -> str:
    return f"x{blocks:,}" if blocks > 1 else ""


def _bytes(value: int) -> str:
    return short(value, "B")


def _figures(cost: Cost) -> dict[str, int]:
    return {f.name: getattr(cost, f.name) for f in fields(Cost)}


def _part(cost: Cost, *, path: str, kind: str, out: Shape, blocks: int = 0, shortcut: str = "", label: str = "") -> Part:
    return Part(**_figures(cost), path=path, kind=kind, out=out, blocks=blocks, shortcut=shortcut, label=label)


def _policy(block: Node) -> str:
    """What the block's shortcut is: the policy's name, `identity` where a merge reads the input itself, or nothing."""
    for node in block.callee.nodes:
        if node.role == "shortcut":
            return node.callee.kind
    return "identity" if any(n.role == "merge" for n in block.callee.nodes) else "none"
