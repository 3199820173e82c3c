"""What the rules of `lint` look for. Each rule is a function from a spec and its graph to places, and to what is wrong there."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from resnet_dsl.analysis.cost import Costs, work
from resnet_dsl.analysis.structure import last_activation, late_strides, main_path
from resnet_dsl.diagnostics import Location, Source, quote
from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import Node, Program
from resnet_dsl.language.spec import Slot, Spec, Stage
from resnet_dsl.language.tree import MappingTree, Scalar, Tree
from resnet_dsl.ops.table import OPS
from resnet_dsl.table import shape_text

SMALL_INPUT = 64
"""A side up to which pictures are small: CIFAR has 32, Tiny ImageNet 64."""

FEW = 8
"""A batch under which batch norm's statistics are noise (Wu and He 2018, figure 1)."""

DEEP = 20
"""Layers from which a network is deep enough to need something that keeps its signals in bounds."""


@dataclass(frozen=True)
class Subject:
    """What a rule reads: a spec and its graph, and places to blame."""

    spec: Spec
    graph: Graph

    def stages(self) -> Iterator[tuple[Stage, Node]]:
        """Each stage as written and as compiled."""
        return zip(self.spec.stages, self.graph.stages, strict=True)

    def blocks(self) -> Iterator[tuple[Stage, Node]]:
        """Each distinct run of blocks of each stage."""
        return ((stage, node) for stage, call in self.stages() for node in call.callee.nodes if node.role == "block")

    def scopes(self) -> Iterator[tuple[Location, Program]]:
        """Every distinct scope, each with a place in the user's own text."""
        seen: set[int] = set()
        top = self.key("stem")
        yield top, self.graph.root
        todo = deque((self.own(stage.block.at, *_places(stage)), call.callee) for stage, call in self.stages())
        todo += [(self.at(n, top), n.program) for n in self.graph.root.nodes if n.program is not None and n.role != "stage"]
        while todo:
            at, program = todo.popleft()
            if id(program) not in seen:
                seen.add(id(program))
                yield at, program
                todo += [(self.at(n, at), n.program) for n in program.nodes if n.program is not None]

    def at(self, node: Node, otherwise: Location) -> Location:
        """A node's step where the user wrote it; `otherwise` for a step of a shipped definition."""
        if node.location is None or node.location.source in self.shipped:
            return otherwise
        stage = next((stage for stage in self.spec.stages if stage.at is node.location), None)
        return node.location if stage is None else self.own(stage.at, *_places(stage))

    def own(self, *places: Location) -> Location:
        """The first of some places that is in the spec itself, not in a parent, whose line it may override; else the first of all."""
        return next((at for at in places if at.source == self.spec.at.source), places[0])

    def causes(self, *slots: Slot) -> Location:
        """The place to blame for some values: what the spec itself says of one, or of a parameter that one reads."""
        params = self.spec.tree.get("params")
        keys = params.keys_at if isinstance(params, MappingTree) else {}
        read = (keys[name] for slot in slots for name in sorted(slot.expression.names) if name in keys)
        return self.own(*(slot.at for slot in slots), *read)

    @cached_property
    def shipped(self) -> set[Source]:
        """The texts of the standard library."""
        tables = (self.spec.blocks, self.spec.shortcuts, self.spec.sequences)
        return {d.at.source for table in tables for d in table.values() if d.shipped}

    def key(self, name: str) -> Location:
        """The place of a top-level key, or of the whole."""
        return self.spec.tree.keys_at.get(name, self.spec.at)


def _places(stage: Stage) -> tuple[Location, ...]:
    """Where a stage's own values stand, of which a child may have changed each."""
    return stage.stride[0].at, stage.block.at, stage.width.at, stage.depth.at, stage.shortcut.at


Finding = tuple[Location, str]
"""A place and what is to be seen there."""


def _group(node: Node) -> str:
    return OPS[node.op].group if node.program is None else ""


def _does(node: Node, program: Program) -> Collection[str]:
    """What an operation does, in the words of the op table."""
    return work(node, program.in_shapes(node)) if node.program is None else ()


def _keeps_statistics(node: Node) -> bool:
    """True for a norm with running statistics beside its weight and bias, such as batch norm."""
    return _group(node) == "norm" and len(OPS[node.op].state(node.site([node.shape]))) > 2


def late_stride(s: Subject) -> Iterator[Finding]:
    late = {id(found.block): found for found in late_strides(s.graph)}
    exact = Costs(s.graph).network.macs
    spared = sum(found.spared for found in late_strides(s.graph))
    for stage, node in s.blocks():
        if id(node.program) in late:
            yield (
                stage.block.at,
                (
                    f"the stride sits in the {_kernel(late[id(node.program)].strided)} conv, not in the 1x1 before it: this is v1.5, not the paper "
                    f"of 2015 ({exact:,} MACs, the paper's placement {exact - spared:,})"
                ),
            )
            return


def _kernel(node: Node) -> str:
    return shape_text(node.pair("kernel"))


def imagenet_stem(s: Subject) -> Iterator[Finding]:
    first = s.graph.stages[0].callee.input
    if len(s.graph.input) == len(first) == 3 and min(s.graph.input[1:]) <= SMALL_INPUT and 4 * min(first[1:]) <= min(s.graph.input[1:]):
        yield (
            s.key("stem"),
            f"the stem leaves {shape_text(first[1:])} of pictures of {shape_text(s.graph.input[1:])} before the first block",
        )


def pixel_kernel(s: Subject) -> Iterator[Finding]:
    for at, program in s.scopes():
        for node in program.nodes:
            if _group(node) == "conv" and min(node.pair("kernel")) > 1 and program.in_shapes(node)[0][1:] == (1, 1):
                yield s.at(node, at), f"a {_kernel(node)} conv reads a map of 1x1: all but one of its weights read only padding"


def pads_nothing(s: Subject) -> Iterator[Finding]:
    for stage, short in _parameter_free(s):
        if short.shape[0] == short.input[0]:
            yield stage.shortcut.at, f"the shortcut of stage {stage.name} drops pixels and pads no channels: {_move(short)}"


def mostly_zeros(s: Subject) -> Iterator[Finding]:
    for stage, short in _parameter_free(s):
        if short.shape[0] > 2 * short.input[0]:
            share = 1 - short.input[0] / short.shape[0]
            yield stage.shortcut.at, f"{share:.0%} of what the shortcut of stage {stage.name} gives are zeros: {_move(short)}"


def _parameter_free(s: Subject) -> Iterator[tuple[Stage, Program]]:
    """Shortcuts that change the shape without weights."""
    costs = Costs(s.graph)
    for stage, block in s.blocks():
        for node in block.callee.nodes:
            if node.role == "shortcut" and costs.scope(node.callee).params == 0 and len(node.shape) == 3:
                yield stage, node.callee


def _move(p: Program) -> str:
    return f"{shape_text(p.input)} to {shape_text(p.shape)}"


def _widths(s: Subject) -> Iterator[tuple[Stage, Stage, Program, Program]]:
    """Neighbouring stages of residual maps that give what their last block adds."""
    pairs = list(s.stages())
    for (before, a), (after, b) in pairwise(pairs):
        if len(a.shape) == len(b.shape) == 3 and not _joins(a.callee) and not _joins(b.callee):
            yield before, after, a.callee, b.callee


def _joins(stage: Program) -> bool:
    """Do its blocks put channels side by side?"""
    blocks = (n.callee for n in stage.nodes if n.role == "block")
    return any(n.role == "merge" and n.shape[0] > block.in_shapes(n)[0][0] for block in blocks for n in block.nodes)


def same_map(s: Subject) -> Iterator[Finding]:
    for before, after, a, b in _widths(s):
        if a.shape[1:] == b.shape[1:] and a.shape[0] != b.shape[0] and not _dilates(b):
            yield (
                s.causes(after.width, *after.stride, before.width),
                f"stages {before.name} and {after.name} give maps of one size, {shape_text(a.shape[1:])}, with {a.shape[0]} and {b.shape[0]} channels",
            )


def _dilates(program: Program) -> bool:
    """Does a convolution in it have a dilation, as where one replaces a stride (Yu and Koltun 2016)?"""
    return any(
        _dilates(n.program) if n.program is not None else _group(n) == "conv" and n.pair("dilation") != (1, 1) for n in program.nodes
    )


def halved_map(s: Subject) -> Iterator[Finding]:
    for before, after, a, b in _widths(s):
        if (
            all(-(-x // 2) == y for x, y in zip(a.shape[1:], b.shape[1:], strict=True))
            and a.shape[1:] != b.shape[1:]
            and b.shape[0] != 2 * a.shape[0]
        ):
            yield (
                s.causes(after.width, *after.stride, before.width),
                f"stage {after.name} halves the map and goes from {a.shape[0]} to {b.shape[0]} channels, not to {2 * a.shape[0]}",
            )


def _one_value(s: Subject) -> Iterator[tuple[Node, Location]]:
    """Norms over each channel that see one position."""
    for at, program in s.scopes():
        for node in program.nodes:
            if node.program is None and OPS[node.op].centers and set(node.shape[1:]) <= {1}:
                yield node, s.at(node, at)


def instance_norm_pixel(s: Subject) -> Iterator[Finding]:
    for node, at in _one_value(s):
        if not _keeps_statistics(node):
            yield (
                at,
                f"an instance norm of a map of 1x1: each value is its own mean, and torch refuses it in training ({shape_text(node.shape)})",
            )


def batch_norm_pixel(s: Subject) -> Iterator[Finding]:
    for node, at in _one_value(s):
        if len(node.shape) == 3 and _keeps_statistics(node):
            yield at, f"a batch norm of a map of 1x1: its mean is over the batch only ({shape_text(node.shape)})"


def batch_of_one(s: Subject) -> Iterator[Finding]:
    train = s.spec.train
    if train.value is None and train.overrides is None:
        return
    from resnet_dsl.language.recipes import recipe_of

    recipe = recipe_of(s.spec)
    if recipe.batch < FEW and any(_keeps_statistics(n) for _, p in s.scopes() for n in p.nodes):
        yield s.key("train"), f"batch norm with a batch of {recipe.batch}: what each value is measured by is mostly chance"


def bias_before_norm(s: Subject) -> Iterator[Finding]:
    for at, program in s.scopes():
        by_path = {n.path: n for n in program.nodes}
        for node in program.nodes:
            before = by_path.get(node.inputs[0])
            if (
                before is not None
                and node.program is None
                and OPS[node.op].centers
                and _group(before) in ("conv", "linear")
                and before["bias"]
            ):
                yield (
                    s.at(before, at),
                    f"the bias of {before.path} is taken away by {node.path}, which follows it and has a bias of its own",
                )


def act_after_add(s: Subject) -> Iterator[Finding]:
    for stage, block in s.blocks():
        nodes = block.callee.nodes
        before = [n for n in nodes if n.role == "before" and _group(n) in ("norm", "act")]
        after = [n for n in nodes if n.role == "after" and _group(n) == "act" and not OPS[n.op].view]
        if before and after and any(n.role == "merge" for n in nodes):
            yield (
                stage.block.at,
                f"a pre-activation block, with {before[0].path} before its body, ends in {after[0].path} after the addition",
            )


def no_last_norm(s: Subject) -> Iterator[Finding]:
    last = next((n for n in reversed(s.graph.stages[-1].callee.nodes) if n.role == "block"), None)
    if last is None or s.graph.stages[-1].callee.nodes[-1] is not last:
        return
    inside = last.callee.nodes
    preact = any(n.role == "before" and _group(n) == "norm" for n in inside) and inside[-1].role == "merge"
    head = [n for n in s.graph.root.nodes if n.role == "head"]
    if preact and not any(_group(n) == "norm" for n in head[:2]):
        yield s.key("head"), "the last addition of a pre-activation network goes into the head without a norm and an activation"


def uneven_stages(s: Subject) -> Iterator[Finding]:
    runs = [sum(n.times for n in call.callee.nodes if n.role == "block") for call in s.graph.stages]
    if len(runs) == 3 and len(s.graph.input) == 3 and min(s.graph.input[1:]) <= SMALL_INPUT and len(set(runs)) > 1:
        depth = Costs(s.graph).network.depth
        deepest = s.spec.stages[runs.index(max(runs))]
        yield (
            s.causes(deepest.depth, *(stage.depth for stage in s.spec.stages)),
            f"the three stages have {', '.join(map(str, runs))} blocks: depth {depth} is no 6n+2",
        )


def unused_param(s: Subject) -> Iterator[Finding]:
    tree = s.spec.tree
    params = tree.get("params")
    if isinstance(params, MappingTree):
        texts = Counter(word for value in tree.values() for text in _texts(value) for word in _words(text))
        for name, own in params.items():
            if texts[name] == (isinstance(own, Scalar) and name in _words(own)):
                yield params.keys_at[name], f"the parameter {quote(name)} is used nowhere"


def _words(text: Scalar) -> set[str]:
    return set(re.findall(r"\w+", text.text))


def _texts(tree: Tree) -> Iterator[Scalar]:
    if isinstance(tree, Scalar):
        yield tree
    else:
        for item in tree.values() if isinstance(tree, MappingTree) else tree:
            yield from _texts(item)


def no_norm(s: Subject) -> Iterator[Finding]:
    depth = Costs(s.graph).network.depth
    tame = any(n.program is None and OPS[n.op].group in ("norm", "affine") and not OPS[n.op].view for _, p in s.scopes() for n in p.nodes)
    if depth >= DEEP and not tame and s.graph.init_weights != "fixup" and not s.graph.zero_last:
        yield s.key("norm"), f"{depth} layers without a norm, a scale, or an initialization that replaces one"


def act_in_body(s: Subject) -> Iterator[Finding]:
    for stage, block in s.blocks():
        nodes = block.callee.nodes
        body = [n for n in main_path(block.callee) if n.role == "body"]
        adds = any(n.role == "merge" and "add" in _does(n, block.callee) for n in nodes)
        if adds and body and {"ReLU", "ReLU6"} & set(_does(body[-1], block.callee)):
            yield stage.block.at, f"the body ends in {body[-1].path}: what it adds to the shortcut is never negative"


def twice(s: Subject) -> Iterator[Finding]:
    for at, program in s.scopes():
        by_path = {n.path: n for n in program.nodes}
        for node in program.nodes:
            before = by_path.get(node.inputs[0])
            if before is not None and _group(node) in ("norm", "act") and not OPS[node.op].view and node.op == before.op:
                yield s.at(node, at), f"{before.path} and {node.path} do the same, one right after the other"


def act_after_head(s: Subject) -> Iterator[Finding]:
    if (found := last_activation(s.graph)) is not None:
        yield s.at(found.node, s.key("head")), found.message


def map_by_padding(s: Subject) -> Iterator[Finding]:
    for at, program in s.scopes():
        for node in program.nodes:
            if _group(node) in ("conv", "pool") and node.get("padding") is not None and (words := _moved(node, program)):
                yield s.at(node, at), words


def _moved(node: Node, program: Program) -> str:
    """How a step of stride 1 changes the map by its padding; empty where it does not, or pads nothing, as a valid convolution."""
    before, after = program.in_shapes(node)[0][1:], node.shape[1:]
    stride, padding, kernel = node.pair("stride"), node.pair("padding"), node.pair("kernel")
    for old, new, s, p, k in zip(before, after, stride, padding, kernel, strict=True):
        # No padding alike at both sides keeps a map under an even kernel: one pixel less is the nearest there is.
        if s == 1 and p and new != old and not (k % 2 == 0 and new == old - 1):
            verb = "larger" if new > old else "smaller"
            what = f"a {_kernel(node)} {'conv' if _group(node) == 'conv' else 'pool'}"
            return f"{what} of stride 1 makes the map {verb}, {shape_text(before)} to {shape_text(after)}, by its padding of {shape_text(padding)}"
    return ""
