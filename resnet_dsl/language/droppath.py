"""Stochastic depth from a recipe: `drop_path` given to the blocks of a spec that take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resnet_dsl.diagnostics import Collector, SpecError, quote, refuse, setting
from resnet_dsl.language.extends import Loaded
from resnet_dsl.language.resolve import resolve
from resnet_dsl.language.spec import Definition, Spec
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree

KEY = "drop_path"


def with_drop_path(spec: Spec, rate: float) -> Spec:
    """The spec with stochastic depth by the linear rule of Huang et al. 2016, section 3: block l of L (from 1) drops l/L of `rate`.

    Raises SpecError: no block takes `drop_path`, one has its own already, or a stage has no shortcut that would be left.
    """
    if plain := [stage for stage in spec.stages if stage.shortcut.name == "none"]:
        raise _refused(spec, f"stage {plain[0].name} has no shortcut: nothing would be left of an image whose block is dropped")
    stages = spec.tree["stages"]
    named = enumerate(stages) if isinstance(stages, SequenceTree) else ()
    places: list[tuple[tuple[str | int, ...], Tree]] = [((), spec.tree), *((("stages", i), stage) for i, stage in named)]
    changed = spec.tree
    for path, place in places:
        if isinstance(place, MappingTree) and (block := _given(spec, place, rate)) is not None:
            changed = changed.with_((*path, "block"), block, place.keys_at["block"])
    if changed is spec.tree:
        names = ", ".join(sorted({quote(stage.block.name) for stage in spec.stages}))
        raise _refused(spec, f"no block takes it: {names} has no argument {KEY}")
    found = resolve(Loaded(changed, spec.name, None, Collector(), spec.overridden))
    return replace(found, train=spec.train)


def _given(spec: Spec, place: MappingTree, rate: float) -> MappingTree | None:
    """The block that is named here, with the argument; None where none is named, or it takes none."""
    block = place.get("block")
    name, args = next(iter(block.items())) if isinstance(block, MappingTree) else (block.text if isinstance(block, Scalar) else "", None)
    if block is None or not _takes(spec.blocks, name):
        return None
    given = args if isinstance(args, MappingTree) else MappingTree(block.at)
    own = given.get(KEY)
    if own is not None and not (isinstance(own, Scalar) and own.text in ("0", "0.0")):
        raise _refused(spec, f"block {name} has its own already")
    wanted = given.with_([KEY], Scalar(f"{rate!r} * (position + 1) / total", True, block.at), block.at)
    return MappingTree(block.at, [(name, block.at, wanted)])


def _takes(blocks: Mapping[str, Definition], name: str) -> bool:
    return name in blocks and KEY in blocks[name].args


def _refused(spec: Spec, why: str) -> SpecError:
    return refuse(
        "recipe", f"recipe: drop_path does not fit {quote(spec.name)}: {why}", f"add {setting('train.drop_path', '0')}", at=spec.at
    )
