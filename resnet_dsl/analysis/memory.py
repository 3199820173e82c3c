"""What training a network keeps in memory: weights, gradients, the optimizer's state, and what autograd saves.

Autograd saves tensors for the backward pass (column `saved` of the op table). Tensors share memory: a ReLU's output is the
next convolution's input, a view is what it looks at. So memory is followed as storages, each counted once where it is
first saved. In half precision the rules are those of torch's autocast on a GPU: weights stay in fp32 and a half copy of
each convolution's and linear layer's weight is saved; group norm, layer norm and softmax compute in fp32.

Not counted: gradients of activations in flight, workspaces of kernels, and what an allocator wastes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program
from resnet_dsl.ops.table import OPS

Precision = Literal["fp32", "bf16", "fp16"]
Optimizer = Literal["sgd", "adamw"]

BYTES: Mapping[Precision, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Of one element."""

STATE: Mapping[Optimizer, int] = {"sgd": 1, "adamw": 2}
"""Numbers that an optimizer keeps for each parameter: a momentum; two moments."""

MAX_BATCH = 1 << 40


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of bytes: a fixed part, and a part for each sample."""

    fixed: int = 0
    each: int = 0

    def __add__(self, other: Amount) -> Amount:
        """The sum."""
        return Amount(self.fixed + other.fixed, self.each + other.each)

    def __mul__(self, times: int) -> Amount:
        """The amount, `times` over."""
        return Amount(self.fixed * times, self.each * times)

    def of(self, batch: int) -> int:
        """The bytes of a batch."""
        return self.fixed + batch * self.each


@dataclass(frozen=True, slots=True)
class Storage:
    """Memory that values lie in: elements of `size` bytes for each sample. `grad`: a gradient flows to it."""

    elements: int
    size: int
    grad: bool
    saved: bool


@dataclass(frozen=True, slots=True)
class ScopeMemory:
    """One call of a scope: what it saves, and where its input and its output lie afterwards; `exit` is None for the input's storage."""

    saved: Amount
    entry: Storage
    exit: Storage | None

    @property
    def out(self) -> Storage:
        """The storage of what comes out."""
        return self.exit or self.entry


class Saving:
    """What autograd saves in the scopes of one graph. With `checkpoint` a block saves its input alone, and runs again
    for its backward pass; `recomputed` are what the blocks then save, one at a time."""

    def __init__(self, graph: Graph, precision: Precision = "fp32", *, checkpoint: bool = False) -> None:
        self.size = BYTES[precision]
        self.checkpoint = checkpoint
        self.recomputed: set[Amount] = set()
        self._known: dict[tuple[int, Storage], ScopeMemory] = {}
        self.start = Storage(prod(graph.input), 4, grad=False, saved=False)
        self.total = self.run(graph.root, self.start).saved

    def run(self, program: Program, entry: Storage) -> ScopeMemory:
        """One call of a scope whose input lies in `entry`."""
        program = program.pattern
        key = (id(program), entry)
        known = self._known.get(key)
        if known is None:
            scope = _Scope(self, program, entry)
            total = Amount()
            for _, _, amount in scope.nodes():
                total = total + amount
            known = self._known[key] = scope.outcome(total)
        return known

    def nodes(self, program: Program, entry: Storage) -> Iterator[tuple[Node, Storage, Amount]]:
        """A scope's nodes in order, each with the storage of its first operand and what it saves, all `times` together."""
        return _Scope(self, program, entry).nodes()

    def call(self, node: Node, entry: Storage) -> ScopeMemory:
        """One call of a child scope."""
        if not (self.checkpoint and node.role == "block"):
            return self.run(node.callee, entry)
        kept = replace(entry, saved=True)
        inner = self.run(node.callee, kept)
        self.recomputed.add(inner.saved)
        saved = Amount() if entry.saved else Amount(each=entry.elements * entry.size)
        return ScopeMemory(saved, kept, replace(inner.exit, saved=False) if inner.exit is not None else None)


class _Scope:
    """One walk through a scope: which value lies in which storage."""

    def __init__(self, saving: Saving, program: Program, entry: Storage) -> None:
        self.saving = saving
        self.program = program
        self.storages = [entry]
        self.places = {SCOPE_INPUT: 0}

    def nodes(self) -> Iterator[tuple[Node, Storage, Amount]]:
        for node in self.program.nodes:
            first = self.storages[self.places[node.inputs[0]]]
            amount = self._call(node) if node.program is not None else self._operate(node)
            yield node, first, amount

    def outcome(self, saved: Amount) -> ScopeMemory:
        last = self.places[self.program.output]
        return ScopeMemory(saved, self.storages[0], self.storages[last] if last else None)

    def _call(self, node: Node) -> Amount:
        place = self.places[node.inputs[0]]
        total = Amount()
        left = node.times
        while left:
            entry = self.storages[place]
            done = self.saving.call(node, entry)
            total, left = total + done.saved, left - 1
            self.storages[place] = done.entry
            if done.exit is not None:
                place = self._new(done.exit)
            if self.storages[place] == entry:  # and so it goes on
                total, left = total + done.saved * left, 0
        self.places[node.path] = place
        return total

    def _operate(self, node: Node) -> Amount:
        row, site = OPS[node.op], self.program.site(node)
        places = [self.places[path] for path in node.inputs]
        keeps = row.saved(site)
        params = row.params(site)
        grad = params > 0 or any(self.storages[p].grad for p in places)
        half = self.saving.size < 4
        size = max(self.storages[p].size for p in places)
        if half and (row.weighted or row.wide):
            size = 4 if row.wide else self.saving.size
        fixed = each = 0
        if grad:
            for slot in keeps.inputs:
                storage = self.storages[places[slot]]
                if half and (row.weighted or row.wide) and storage.size != size:
                    each += prod(site.inputs[slot]) * size  # a copy in the precision of this operation
                elif not storage.saved:
                    each += storage.elements * storage.size
                    self.storages[places[slot]] = replace(storage, saved=True)
            each += keeps.extra * size + 4 * keeps.stats + 8 * keeps.indices + keeps.flags
            fixed += 4 * keeps.fixed
            if half and row.weighted:
                fixed += size * (params - (node.shape[0] if site["bias"] else 0))
        if row.view:
            self.places[node.path] = places[0]
        else:
            out = Storage(prod(node.shape), 4 if keeps.widens else size, grad, saved=keeps.output and grad)
            self.places[node.path] = self._new(out)
            each += out.elements * size if out.saved else 0
        return Amount(fixed, each)

    def _new(self, storage: Storage) -> int:
        self.storages.append(storage)
        return len(self.storages) - 1


@dataclass(frozen=True, slots=True)
class Memory:
    """What a training step keeps, in bytes. `saved` is by the end of the forward pass, `recomputed` what checkpointed
    blocks save when they run again: the largest is added, since one runs at a time."""

    weights: int
    gradients: int
    optimizer: int
    saved: Amount
    recomputed: tuple[Amount, ...] = ()

    def again(self, batch: int) -> int:
        """What the largest checkpointed block saves when it runs again."""
        return max((a.of(batch) for a in self.recomputed), default=0)

    def total(self, batch: int) -> int:
        """All bytes for a batch."""
        return self.weights + self.gradients + self.optimizer + self.saved.of(batch) + self.again(batch)

    def largest_batch(self, limit: int) -> int:
        """The largest batch that fits into `limit` bytes; 0 where none does."""
        low, high = 0, 1
        while high < MAX_BATCH and self.total(high) <= limit:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.total(middle) <= limit else (low, middle)
        return low


def memory(params: int, saving: Saving, optimizer: Optimizer = "sgd") -> Memory:
    """The memory of training a network of so many parameters; weights, gradients and state are in fp32."""
    return Memory(
        4 * params, 4 * params, 4 * params * STATE[optimizer], saving.total, tuple(sorted(saving.recomputed, key=lambda a: a.each))
    )
