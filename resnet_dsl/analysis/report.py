"""What each part of a network costs: the stem, the stages, the head, the blocks and the operations, as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from math import prod
from typing import Any, Literal

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.analysis.field import Reach, Reaches
from resnet_dsl.analysis.memory import BYTES, STATE, Amount, Memory, Optimizer, Precision, Saving, Storage, memory
from resnet_dsl.graph.graph import CALL, SCOPE_INPUT, Graph, Node, Program, Shape, join
from resnet_dsl.ops.table import OPS


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
        """Elements of the output, for one input."""
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
class Breakdown(Cost):
    """What a network costs for one input, in all and by part.

    `batch`, `precision` and `optimizer` matter for bytes only. `costs` say what is counted, `saving` what autograd saves.
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
        """Bytes of all trainable parameters in `precision`."""
        return self.params * self.size

    @property
    def activation_bytes(self) -> int:
        """Bytes of the outputs of all convolutions and linear layers in `precision`, for `batch` inputs."""
        return self.activations * self.size * self.batch

    @cached_property
    def memory(self) -> Memory:
        """What training the network keeps in memory."""
        return memory(self.params, self.saving, self.optimizer)

    @cached_property
    def _reaches(self) -> Reaches:
        return Reaches(self.graph)

    @cached_property
    def _root(self) -> tuple[_Place, ...]:
        return tuple(self._places(self.graph.root, Reach(), self.saving.start))

    @cached_property
    def stages(self) -> tuple[Part, ...]:
        """One part per stage."""
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
        last = self.stages[-1] if self.stages else self.stem
        return self._ends("head", last.out, last.reach)

    @property
    def ending(self) -> tuple[Part, ...]:
        """The head, where there is one: outputs from before it leave it away."""
        return (self.head,) if not self.graph.outputs or any(n.role == "head" for n in self.graph.root.nodes) else ()

    @cached_property
    def blocks(self) -> tuple[Part, ...]:
        """One part per run of equal blocks and per step around them, stage by stage, with the stem and the head."""
        return (self.stem, *(part for p in self._root if p.node.role == "stage" for part in self._in_stage(p)), *self.ending)

    @cached_property
    def ops(self) -> tuple[Part, ...]:
        """One part per operation, in order."""
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
        return Part(**figures_of(total), path=role, kind=role, out=out, reach=reach, saved=saved)

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
                label = OPS[node.op].label(program.site(node)) + _joined(program, node)
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


def figures_of(cost: Cost) -> dict[str, Any]:
    """The fields of a cost, as keyword arguments of what extends it."""
    return {f.name: getattr(cost, f.name) for f in fields(Cost)}


def _part(p: _Place, path: str, kind: str, *, blocks: int = 0, shortcut: str = "", label: str = "") -> Part:
    return Part(
        **figures_of(p.cost),
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
