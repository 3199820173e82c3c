"""Names and shapes to a tree of layers, and the tree to stem, stages and head."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from resnet_dsl.diagnostics import quote
from resnet_dsl.graph.graph import Shape, join
from resnet_dsl.graph.scope import GATE, SHORTCUT
from resnet_dsl.graph.tensors import Tensors

Kind = Literal["conv", "linear", "batch", "norm", "scale", "bias"]


_CLIP = 40
"""Letters of a name in a list of names."""


class Unread(Exception):
    """Why names and shapes could not be read as a network: a sentence."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A module with tensors of its own. `norm` is one without running statistics, `batch` one with."""

    kind: Kind
    tensors: Mapping[str, Shape]

    @property
    def weight(self) -> Shape:
        """The shape of its weight: (out, in / groups, height, width) of a conv, (out, in) of a linear layer."""
        return self.tensors["weight"]

    @property
    def out(self) -> int:
        """Channels or features that leave it."""
        return self.weight[0]

    @property
    def bias(self) -> bool:
        """True where it has a bias."""
        return "bias" in self.tensors

    @property
    def kernel(self) -> Shape:
        """Of a conv: (height, width)."""
        return self.weight[2:]


class Modules(dict[str, "Layer | Modules"]):
    """Layers and modules of layers by name, as the file has them in order."""

    def layers(self, *kinds: Kind) -> list[Layer]:
        """Its own layers of these kinds, in order of their names, conv2 before conv10."""
        return [n for _, n in sorted(self.items(), key=lambda item: natural(item[0])) if isinstance(n, Layer) and n.kind in kinds]

    def every(self) -> Iterator[Layer]:
        """Its layers and those of its modules."""
        for node in self.values():
            yield from node.every() if isinstance(node, Modules) else (node,)


@dataclass(frozen=True, slots=True)
class BlockLayers:
    """A block: its path, its own layers, its shortcut's layers (None where it has none with weights) and its gate."""

    path: str
    body: Modules
    shortcut: Modules | None
    gate: Layer | None


@dataclass(frozen=True, slots=True)
class StageLayers:
    """A stage: its blocks in order, and the layers beside them."""

    name: str
    blocks: tuple[BlockLayers, ...]
    around: Modules


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A file's layers: `ends` are those of stem and head; `ordered`: the file has its names in the order of the module."""

    tensors: Tensors
    ends: Modules
    stages: tuple[StageLayers, ...]
    ordered: bool
    every: tuple[Layer, ...] = field(repr=False)


def natural(name: str) -> tuple[str, int]:
    """A key that orders conv2 before conv10."""
    found = re.fullmatch(r"(.*?)([0-9]{0,9})", name, re.S)
    assert found is not None
    return found[1], int(found[2] or 0)


def anatomy(tensors: Tensors) -> Anatomy:
    """The stem, stages and head of a state_dict. Raises Unread."""
    root = _tree(tensors)
    ends, stages = Modules(), []
    for name, node in root.items():
        if isinstance(node, Modules) and isinstance(node.get("0"), Modules):
            stages.append(_stage(name, node))
        else:
            ends[name] = node
    if not stages:
        shown = ", ".join(quote(name) for name in list(root)[:6])
        raise Unread(f"there are no stages in it, scopes whose blocks are called 0, 1, ...; its outermost names are {shown}")
    ordered = _as_registered(tensors)
    if not ordered:
        stages.sort(key=lambda stage: natural(stage.name))
    return Anatomy(tensors, ends, tuple(stages), ordered, tuple(root.every()))


def _as_registered(names: Iterable[str]) -> bool:
    """True where names are in a module's order: those of a layer together, and not sorted by letters as safetensors sorts them."""
    paths = [name.rpartition(".")[0] for name in names]
    runs = [path for path, _ in groupby(paths)]
    return len(runs) == len(set(runs)) and runs != sorted(runs)


def _stage(name: str, scope: Modules) -> StageLayers:
    count = sum(1 for child in scope if child.isdecimal())
    blocks = []
    for i in range(count):
        path, node = join(name, str(i)), scope.get(str(i))
        if not isinstance(node, Modules):
            raise Unread(f"{quote(path)} is not a block" if node else f"{quote(name)} has {count} blocks, but none is called {i}")
        shortcut, gate = node.get(SHORTCUT), node.get(GATE)
        if isinstance(shortcut, Layer) or isinstance(gate, Modules):
            raise Unread(f"{quote(join(path, GATE if isinstance(gate, Modules) else SHORTCUT))} is not what such a name holds here")
        blocks.append(BlockLayers(path, Modules((k, v) for k, v in node.items() if k not in (SHORTCUT, GATE)), shortcut, gate))
    return StageLayers(name, tuple(blocks), Modules((k, v) for k, v in scope.items() if not k.isdecimal()))


def _tree(tensors: Tensors) -> Modules:
    modules: dict[str, dict[str, Shape]] = {}
    for name, shape in tensors.items():
        path, _, tensor = name.rpartition(".")
        modules.setdefault(path, {})[tensor] = shape
    root = Modules()
    for path, own in modules.items():
        kind = _kind(own)
        if not path or kind is None:
            held = ", ".join(f"{_clipped(name)} ({shape_words(shape)})" for name, shape in own.items())
            raise Unread(f"{quote(path)} is not a layer of the language: it holds {held}" if path else f"beside all layers is {held}")
        *parents, last = path.split(".")
        here = root
        for parent in parents:
            inner = here.setdefault(parent, Modules())
            if isinstance(inner, Layer):
                raise Unread(f"{quote(path)} is inside {quote(parent)}, which is a layer")
            here = inner
        if last in here:
            raise Unread(f"{quote(path)} is a layer and holds layers")
        here[last] = Layer(kind, own)
    return root


def _kind(own: Mapping[str, Shape]) -> Kind | None:
    weight, bias = own.get("weight"), own.get("bias")
    names = set(own)
    if names == {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}:
        return "batch"
    if names == {"bias"}:
        return "bias" if bias is not None and len(bias) in (0, 3) else None
    if weight is None or not names <= {"weight", "bias"}:
        return None
    if bias is None and len(weight) in (0, 3):
        return "scale"
    if len(weight) == 1 and bias == weight:
        return "norm"
    if len(weight) in (2, 4) and (bias is None or bias == weight[:1]) and 0 not in weight:
        return "conv" if len(weight) == 4 else "linear"
    return None


def contents(block: BlockLayers) -> str:
    """What a block holds, in words."""
    names = sorted(block.body, key=lambda name: natural(name))
    parts = [f"{_clipped(name)} ({_node_words(block.body[name])})" for name in names]
    return ", ".join(parts if len(parts) <= 8 else [*parts[:7], "..."]) or "nothing"


def _node_words(node: Layer | Modules) -> str:
    if isinstance(node, Modules):
        return ", ".join(map(_clipped, list(node)[:4])) + (", ..." if len(node) > 4 else "")
    return shape_words(next(iter(node.tensors.values())))


def _clipped(name: str) -> str:
    return name if len(name) <= _CLIP else f"{name[:_CLIP]}..."


def shape_words(shape: Shape) -> str:
    """A tensor's shape in a message: 64x3x7x7, or `a number`."""
    return "x".join(map(str, shape)) if shape else "a single number"
