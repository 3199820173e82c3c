"""Stochastic depth from a recipe: `drop_path` given to the blocks of a spec that take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from resnet_dsl.diagnostics import Collector, SpecError, quote, refuse
from resnet_dsl.language.extends import Loaded
from resnet_dsl.language.resolve import resolve
from resnet_dsl.language.spec import Definition, Spec
from resnet_dsl.language.tree import Mapping as MappingTree
from resnet_dsl.language.tree import Scalar
from resnet_dsl.language.tree import Sequence as SequenceTree

KEY = "drop_path"


def with_drop_path(spec: Spec, rate: float) -> Spec:
    """The spec with stochastic depth by the linear rule of Huang et al. 2016, section 3: block l of L (from 1) drops l/L of `rate`.

    Raises SpecError: no block takes `drop_path`, one has its own already, or a stage has no shortcut that would be left.
    """
    tree: MappingTree = spec.tree
    if plain := [stage for stage in spec.stages if stage.shortcut.name == "none"]:
        raise _refused(spec, f"stage {plain[0].name} has no shortcut: of an image whose block is dropped nothing would be left")
    changed = _copy(tree)
    places = [changed]
    if isinstance(listed := tree["stages"], SequenceTree):
        stages = SequenceTree(listed.at, listed.key_at)
        stages.extend([_copy(s) if isinstance(s, MappingTree) else s for s in listed])
        changed.put("stages", tree.keys_at["stages"], stages)
        places += [s for s in stages if isinstance(s, MappingTree)]
    given = [_give(spec, place, rate) for place in places if "block" in place]
    if not any(given):
        names = ", ".join(sorted({quote(stage.block.name) for stage in spec.stages}))
        raise _refused(spec, f"no block takes it: {names} has no argument {KEY}")
    found = resolve(Loaded(changed, spec.name, None, Collector(), spec.overridden))
    return replace(found, train=spec.train)


def _give(spec: Spec, place: MappingTree, rate: float) -> bool:
    """Set the argument of the block that is named here; False where the block takes none."""
    block = place["block"]
    name, args = next(iter(block.items())) if isinstance(block, MappingTree) else (block.text if isinstance(block, Scalar) else "", None)
    if not _takes(spec.blocks, name):
        return False
    wanted = _copy(args) if isinstance(args, MappingTree) else MappingTree(block.at)
    own = wanted.get(KEY)
    if own is not None and not (isinstance(own, Scalar) and own.text in ("0", "0.0")):
        raise _refused(spec, f"block {name} has its own already")
    wanted.put(KEY, block.at, Scalar(f"{rate!r} * (position + 1) / total", True, block.at))
    reference = MappingTree(block.at, block.key_at)
    reference.put(name, block.at, wanted)
    place.put("block", place.keys_at["block"], reference)
    return True


def _takes(blocks: Mapping[str, Definition], name: str) -> bool:
    return name in blocks and KEY in blocks[name].args


def _copy(tree: MappingTree) -> MappingTree:
    copy = MappingTree(tree.at, tree.key_at)
    for key, value in tree.items():
        copy.put(key, tree.keys_at[key], value)
    return copy


def _refused(spec: Spec, why: str) -> SpecError:
    return refuse("recipe", f"recipe: drop_path does not fit {quote(spec.name)}: {why}", "add --set train.drop_path=0", at=spec.at)
