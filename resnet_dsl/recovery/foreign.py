"""Names of other libraries to ours: the tables of `emission.naming` read backwards, for networks of any depth.

A name's numbers give the stage and the block that it is of. Where a table counts blocks through the network, and names do not tell
the stages, the shipped specs are tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from resnet_dsl.emission.naming import NameTable, owner, tables
from resnet_dsl.graph import compile
from resnet_dsl.graph.graph import Shape, join
from resnet_dsl.graph.tensors import Tensors
from resnet_dsl.language import expressions, load
from resnet_dsl.language.files import shipped_specs
from resnet_dsl.recovery.layers import natural

_HOLE = re.compile(r"\{([^{}]+)\}")

Place = tuple[int, int | None]
"""A stage from 1, and a block in it from 0 or None."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """Tensors under our names, the table that had theirs, and what stood before all of them.

    There are no tensors where the names are of a table, but do not tell which stage a block is of.
    """

    tensors: Tensors
    table: NameTable | None
    prefix: str


def renamings(stored: Tensors) -> Iterator[Renamed]:
    """The tensors of a file under our names; likelier ones first, and first of all as they are."""
    prefix = ""
    while True:
        names = {name.removeprefix(prefix): shape for name, shape in stored.items()}
        yield Renamed(names, None, prefix)
        for table in tables():
            if table.sign in names:
                told = False
                for way in (_inverse, _shipped):
                    ours = way(table, list(names))
                    if ours is None:
                        continue
                    told = True
                    if all(ours[name] == name for name in names):
                        break
                    yield Renamed({ours[k]: _flat(ours[k], shape) for k, shape in names.items()}, table, prefix)
                if not told:
                    yield Renamed({}, table, prefix)
        outer = {name.partition(".")[0] for name in names}
        if len(outer) > 1 or not all("." in name.removeprefix(f"{next(iter(outer))}.") for name in names):
            return
        prefix += f"{outer.pop()}."


def _flat(name: str, shape: Shape) -> Shape:
    """A linear layer that a library has as a conv over the whole map, as a matrix."""
    return (shape[0], prod(shape[1:])) if len(shape) == 4 and natural(owner(name))[0] == "fc" else shape


def _inverse(table: NameTable, names: Sequence[str]) -> dict[str, str] | None:
    """Our name of each tensor; None where the table's names do not tell stages, or two names would be one."""
    modules = list(dict.fromkeys(owner(name) for name in names))
    ours: dict[str, str] = {}
    for rows, within in ((table.block, True), ((table.stage,), False)):
        if any(_counts_on(template) for row in rows for template in row.values()):
            return None
        at: dict[Place, list[dict[str, str]]] = {}
        for i, row in enumerate(rows):
            for module, template in row.items():
                for theirs, place in _matches(template, modules, within):
                    at.setdefault(place, [{} for _ in rows])[i][theirs] = module
        for (stage, block), found in at.items():
            every = set().union(*found)
            whole = next((row for row in found if row.keys() == every), found[0])
            scope = f"layer{stage}" if block is None else f"layer{stage}.{block}"
            ours |= {theirs: join(scope, module) for theirs, module in whole.items()}
    blocks = {owner(path) if path.count(".") == 2 else ".".join(path.split(".")[:2]) for path in ours.values() if path.count(".") >= 2}
    counts = {"stages": len({path.partition(".")[0] for path in ours.values()}), "blocks": len(blocks)}
    for module, template in table.network.items():
        ours[_HOLE.sub(lambda m: str(expressions.parse(m[1]).value(counts)), template)] = module
    renamed = {name: join(ours.get(owner(name), owner(name)), name.rpartition(".")[2]) for name in names}
    return renamed if len(set(renamed.values())) == len(renamed) else None


def _counts_on(template: str) -> bool:
    return any("n" in expressions.parse(m[1]).names for m in _HOLE.finditer(template))


def _matches(template: str, modules: Sequence[str], within: bool) -> Iterator[tuple[str, Place]]:
    """The modules that a template may have named, each with its position."""
    holes = _HOLE.findall(template)
    parts = [re.escape(part) for part in _HOLE.split(template)[::2]]
    pattern = re.compile("([0-9]{1,4})".join(parts))
    for module in modules:
        found = pattern.fullmatch(module)
        if found is None:
            continue
        at: dict[str, int] = {}
        for text, number in zip(holes, found.groups(), strict=True):
            expression = expressions.parse(text)
            (name,) = expression.names
            values = (v for v in range(max(0, int(number) - 2), int(number) + 3) if expression.value({name: v}) == int(number))
            value = next(values, None)
            if value is None or at.setdefault(name, value) != value:
                break
        else:
            if "s" in at and ("b" in at) == within:
                yield module, (at["s"], at.get("b"))


def _shipped(table: NameTable, names: Sequence[str]) -> dict[str, str] | None:
    """Our name of each tensor, from a shipped spec whose tensors have these names in the table."""
    wanted = set(names)
    for spec in shipped_specs():
        theirs = table.names(compile(load(spec)))
        if set(theirs.values()) == wanted:
            return {name: key for key, name in theirs.items()}
    return None
