"""What other libraries call the tensors of a network: one table a library and family, as data in `keys/`.

A table gives their name of a module for ours, by where it stands: in the network, in a stage or in a block. Text in braces is an
expression over `s`, the stage from 1, `b`, the block in its stage from 0, `n`, the block in the network from 0, and the numbers of
`stages` and `blocks`. Of the rows for a block the first counts that has all of the block's modules. No torch.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict

from resnet_dsl.graph.graph import Graph, join
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.language import expressions


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Requirement(_Model):
    """What no file of weights says and the library does: `attribute` of every `op` is `value`; `set` makes it so here."""

    op: str
    attribute: str
    value: float
    set: str

    def unmet(self, graph: Graph) -> float | None:
        """The first value in a network that is another; None where all are as required."""
        values = (n[self.attribute] for p in graph.programs for n in p.nodes if n.op == self.op)
        return next((float(v) for v in values if isinstance(v, int | float) and v != self.value), None)


class Padding(_Model):
    """Shortcuts with new channels on both sides of the old ones: the modules that read the stream of the shortcuts, and those that write it."""

    reads: frozenset[str]
    writes: frozenset[str]


class NameTable(_Model):
    """The names of one library for one family. `sign` is a tensor that every file in these names has.

    `imagenet`: what this library publishes for ImageNet in these names reads its pictures with ImageNet's mean and deviation. `says` is what
    a user should know of it.
    """

    family: str
    library: str
    sign: str
    network: Mapping[str, str]
    stage: Mapping[str, str] = {}
    block: tuple[Mapping[str, str], ...]
    requires: Requirement | None = None
    pads_both_sides: Padding | None = None
    imagenet: bool = False
    says: str | None = None

    def signs(self, names: Collection[str]) -> bool:
        """Is its sign among the names of a file, whatever stands before it?"""
        return any(name == self.sign or name.endswith(f".{self.sign}") for name in names)

    def __str__(self) -> str:
        return f"{self.family} in {self.library}"

    def names(self, graph: Graph) -> dict[str, str]:
        """Their name of each tensor of a network, by ours; ours where the table has none."""
        count = {"stages": len(graph.stages), "blocks": len(places(graph))}
        theirs: dict[str, str] = {}
        for at, modules in _scopes(graph):
            rows = self.block if "b" in at else (self.stage,) if "s" in at else (self.network,)
            row = next((r for r in rows if modules.keys() <= r.keys()), rows[-1])
            for module, keys in modules.items():
                if module in row:
                    name = _filled(row[module], {**count, **at})
                    theirs |= {key: f"{name}.{key.rpartition('.')[2]}" for key in keys}
        return {key: theirs.get(key, key) for key in tensors(graph)}


@functools.cache
def tables() -> tuple[NameTable, ...]:
    """All tables, by family and library."""
    files = sorted((f for f in resources.files("resnet_dsl.emission").joinpath("keys").iterdir()), key=lambda f: f.name)
    documents = [yaml.safe_load(f.read_text("utf-8")) for f in files if f.name.endswith(".yaml")]
    return tuple(NameTable(family=d["family"], **table) for d in documents for table in d["tables"])


def places(graph: Graph) -> dict[str, dict[str, int]]:
    """The paths of the network's blocks, with `s`, `b` and `n` of each."""
    found: dict[str, dict[str, int]] = {}
    for s, stage in enumerate(graph.stages, 1):
        inside = (path for node in stage.callee.nodes if node.role == "block" for path in node.paths)
        for b, path in enumerate(inside):
            found[join(stage.path, path)] = {"s": s, "b": b, "n": len(found)}
    return found


def _scopes(graph: Graph) -> Iterator[tuple[dict[str, int], dict[str, list[str]]]]:
    """Each scope's place, and the keys of the tensors of its modules, by the modules' paths within it."""
    at = {"": {}, **{stage.path: {"s": s} for s, stage in enumerate(graph.stages, 1)}, **places(graph)}
    modules: dict[str, dict[str, list[str]]] = {scope: {} for scope in at}
    for key in tensors(graph):
        module = scope = owner(key)
        while scope not in at:
            scope = owner(scope)
        modules[scope].setdefault(module.removeprefix(scope).removeprefix("."), []).append(key)
    return ((at[scope], modules[scope]) for scope in at)


def owner(path: str) -> str:
    """The path of what holds a module or a tensor; empty for the network."""
    return path.rpartition(".")[0]


def _filled(template: str, env: Mapping[str, int]) -> str:
    return re.sub(r"\{([^{}]+)\}", lambda m: str(_expression(m[1]).value(env)), template)


_expression = functools.cache(expressions.parse)
