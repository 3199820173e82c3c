"""From what the user named to one merged tree: the chain of `extends`, then the overrides."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from resnet_dsl.diagnostics import (
    OVERRIDES,
    Collector,
    Label,
    Location,
    Source,
    SpecError,
    did_you_mean,
    either,
    quote,
    quote_path,
    refuse,
    setting,
)
from resnet_dsl.language.document import at_value
from resnet_dsl.language.files import read_file, read_stdin, shipped_name, shipped_spec
from resnet_dsl.language.kinds_of_files import other_document, record
from resnet_dsl.language.source import read, read_value
from resnet_dsl.language.stored import HOLDERS, stored_spec
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe

MAX_LINKS = 16
NOT_INHERITED = ("extends", "name", "description", "expect")
WHOLE = frozenset({"input", "norm", "act", "stem", "block", "shortcut", "merge", "head"})
"""Keys whose value replaces the parent's as a whole."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document with its parents merged in and the overrides set.

    `stem` is that of its file, `root` the folder that paths in it may not leave (None
    for a shipped spec), `problems` what is wrong with its form, `recipe` what is laid over the spec's own recipe, by
    name or path, `train` the overrides of recipe keys, `folded` as in `Spec`.
    """

    tree: MappingTree
    stem: str
    root: Path | None
    problems: Collector
    overridden: bool = False
    train: MappingTree | None = None
    recipe: str | None = None
    folded: bool = False


def load_document(name: str) -> Loaded:
    """The document of a path, of `-` (standard input) or of a shipped spec's name, with its parents merged."""
    folded = False
    if name == "-":
        source, place, stem = read_stdin(), Path.cwd() / "stdin", "stdin"
    elif name.endswith(HOLDERS):
        (source, folded), place, stem = stored_spec(name), Path(name), Path(name).stem
    elif (other := record(name)) is not None and os.path.isfile(name):
        raise SpecError([other])
    elif is_path(name):
        source, place, stem = read_file(name), Path(name), Path(name).stem
    else:
        place = shipped_spec(name)
        source, stem = Source(place.name, read_file(str(place)).text), place.stem
    shipped = not is_path(name) and name != "-"
    # What travels in a file of weights names nothing that lies beside it.
    root = None if shipped or name.endswith(HOLDERS) else place.parent.resolve()
    chain = _Chain(root)
    own = read(source, chain.problems)
    if (other := other_document(own)) is not None:
        raise SpecError([other])
    tree = chain.merged(own, place, [name], shipped)
    return Loaded(tree, stem, root, chain.problems, folded=folded)


def load_text(source: Source, stem: str) -> Loaded:
    """The document of a text that is in no file, with its parents merged. It can extend only shipped specs."""
    chain = _Chain(None)
    return Loaded(chain.merged(read(source, chain.problems), Path(source.name), [source.name], False), stem, None, chain.problems)


def written(path: str) -> Source:
    """The text of the spec at a path: a .yaml file's own, or the one in the metadata of a file that `export` wrote."""
    return stored_spec(path)[0] if path.endswith(HOLDERS) else read_file(path)


def is_path(name: str) -> bool:
    """True for a path, False for a shipped spec's name."""
    return name.endswith((".yaml", ".yml", *HOLDERS)) or os.sep in name or (shipped_name(name) is None and os.path.lexists(name))


def spec_files(name: str) -> list[Path]:
    """The files that decide what a spec is, as far as they can be read: its own, its parents', a recipe's.

    They need not be there. Raises SpecError for the name of a shipped spec that does not exist.
    """
    found = [Path(name) if is_path(name) else shipped_spec(name)]
    recipes = []
    for place in found:
        try:
            tree = read(written(str(place)), Collector())
        except SpecError:
            break
        train, parent = (v.text if isinstance(v := tree.get(k), Scalar) else "" for k in ("train", "extends"))
        if train.endswith(".yaml"):
            recipes.append(place.parent / train)
        above = place.parent / parent if parent.endswith(".yaml") else shipped_spec(parent) if shipped_name(parent) else None
        if above is not None and above not in found and len(found) <= MAX_LINKS:
            found.append(above)
    return found + recipes


class _Chain:
    """Follows `extends` from the root spec: single inheritance, no cycles, and no file outside the root's folder."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.problems = Collector()
        self.seen: list[tuple[str, str]] = []

    def merged(self, tree: MappingTree, place: Path, trail: list[str], shipped: bool) -> MappingTree:
        """The tree laid over its parents."""
        self.seen.append((str(place.resolve()) if str(place) != "-" else "-", trail[-1]))
        value = tree.get("extends")
        if value is None:
            return tree
        if not isinstance(value, Scalar) or value.kind != "text" or not value.text:
            shown = "it is empty" if isinstance(value, Scalar) and value.kind == "text" else f"not {describe(value)}"
            raise refuse(
                "extends",
                f"'extends' must be one string (text): a shipped spec's name or a parent's relative path: {shown}",
                "write extends: resnet50, or extends: base.yaml",
                at=at_value(value),
            )
        parent_name, at = value.text, value.at
        if len(self.seen) > MAX_LINKS:
            raise refuse(
                "limit",
                f"the chain of 'extends' is too long: over the limit of {MAX_LINKS} links ({' -> '.join(trail[-3:])} -> ...)",
                "merge some of the parents into one",
                at=at,
            )
        if parent_name.endswith(".yaml"):
            source, parent_place, parent_shipped = self._file(parent_name, place, at, shipped)
        else:
            parent_place = shipped_spec(parent_name, at, "parent for 'extends'")
            source, parent_shipped = Source(parent_place.name, read_file(str(parent_place), at).text), True
        known = [p for p, _ in self.seen]
        here = str(parent_place.resolve())
        if here in known:
            ring = [n for _, n in self.seen[known.index(here) :]]
            raise refuse(
                "cycle",
                f"'extends' goes in a circle: {' -> '.join([*ring, parent_name])}",
                "a spec cannot extend itself, by whatever way round",
                at=at,
            )
        try:
            parent = read(source, self.problems)
        except SpecError as e:
            note = Label("extended here", at)
            raise SpecError(replace(d, labels=(*d.labels, note)) for d in e.diagnostics) from None
        return merge_specs(self.merged(parent, parent_place, [*trail, parent_name], parent_shipped), tree)

    def _file(self, name: str, place: Path, at: Location, shipped: bool) -> tuple[Source, Path, bool]:
        if "\0" in name:
            raise refuse("extends", "'extends': a path cannot hold a NUL character", "write the parent's relative path", at=at)
        root = self.root
        if os.path.isabs(name) or root is None or shipped:
            raise refuse(
                "extends",
                f"'extends': the path {quote_path(name)} is not allowed: a parent's path is relative and stays inside the spec's folder",
                "copy the parent beside the spec",
                at=at,
            )
        path = place.parent / name
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(root):
            raise refuse(
                "extends",
                f"'extends': the path {quote_path(name)} leads outside the folder of the root spec, which is not allowed",
                "copy the parent beside the spec",
                at=at,
            )
        source = read_file(str(path), at)
        shown = os.path.join(os.path.dirname(at.source.name), name)
        return Source(os.path.normpath(shown) if shown else name, source.text), path, False


def merge_specs(parent: MappingTree, child: MappingTree) -> MappingTree:
    """A child over its parent: mappings merge key by key, all else is replaced; `stages` as a mapping patches by name."""
    merged = child.over(parent.without(*NOT_INHERITED), whole=WHOLE)
    patches, stages = child.get("stages"), parent.get("stages")
    if isinstance(patches, MappingTree) and not isinstance(stages, SequenceTree):
        label = (Label("the parent's stages", stages.at),) if stages is not None else ()
        what = f"not a list but {describe(stages)}" if stages is not None else "none"
        raise refuse(
            "patch",
            f"'stages' as a mapping patches the parent's list of stages, but the parent has {what}",
            "write the stages as a list: - {depth: 2, width: 64}",
            at=patches.at,
            labels=label,
        )
    if isinstance(patches, MappingTree) and isinstance(stages, SequenceTree):
        merged = merged.with_(["stages"], _patched(stages, patches), child.keys_at["stages"])
    return merged


def stage_names(stages: SequenceTree) -> list[str]:
    """The names of a list of stages, given or counted."""
    names = []
    for i, stage in enumerate(stages, 1):
        given = stage.get("name") if isinstance(stage, MappingTree) else None
        names.append(given.text if isinstance(given, Scalar) else f"layer{i}")
    return names


def _patched(stages: SequenceTree, patches: MappingTree) -> SequenceTree:
    names = stage_names(stages)
    patched = stages
    for name, patch in patches.items():
        at = patches.keys_at[name]
        if name not in names:
            raise refuse(
                "unknown-name",
                f"unknown stage {quote(name)}: a patch may not add a stage; the parent has {', '.join(names)}",
                did_you_mean(name, names, what="a stage"),
                at=at,
            )
        if not isinstance(patch, MappingTree):
            raise refuse(
                "wrong-type",
                f"the patch of stage {quote(name)} must be a mapping of keys to values, not {describe(patch)}",
                f"write {name}: {{depth: 4}}",
                at=at_value(patch),
            )
        if "name" in patch:
            raise refuse(
                "patch",
                f"a patch may not rename a stage: 'name' is not allowed here (the stage is called {quote(name)} already)",
                "delete `name`, or write the stages as a list",
                at=patch["name"].at,
            )
        i = names.index(name)
        stage = stages[i]
        if isinstance(stage, MappingTree):
            patched = patched.with_([i], MappingTree(stage.at, patch.over(stage, whole=WHOLE).entries()), at)
    return patched


# --- overrides ---------------------------------------------------------------------------------------------


def parse_overrides(overrides: Mapping[str, str] | Iterable[str]) -> list[tuple[str, Source]]:
    """`KEY=VALUE` texts, or a mapping of them, as (key, source of the option). Raises SpecError."""
    texts = [f"{k}={v}" for k, v in overrides.items()] if isinstance(overrides, Mapping) else list(overrides)
    found = []
    for text in texts:
        source = Source(OVERRIDES, text)
        if not text.isprintable() and (bad := next((c for c in text if 0xD800 <= ord(c) <= 0xDFFF), None)):
            raise refuse("character", "an override that is not UTF-8", "write it in UTF-8", at=Location(source, 1, text.index(bad) + 1))
        key, sign, _ = text.partition("=")
        if not sign or not key.strip():
            raise refuse(
                "usage",
                f"an override is KEY=VALUE, not {quote(text)}",
                f"write {setting('shortcut', 'C')}, or {setting('params.k', '4')}",
                at=Location(source, 1, 1, max(1, len(text))),
            )
        found.append((key.strip(), source))
    return found


def apply_overrides(document: Loaded, overrides: Iterable[tuple[str, Source]]) -> Loaded:
    """The document with each override set. Mistakes are located in the override.

    `train.KEY` is kept apart: it is laid over the recipe, wherever that comes from.
    """
    tree, train, overridden = document.tree, document.train, document.overridden
    for key, source in overrides:
        value = read_value(source, len(source.text.partition("=")[0]) + 1)
        at = Location(source, 1, 1, len(key))
        path = key.split(".")
        if path[0] == "extends":
            raise refuse(
                "usage",
                f"{OVERRIDES} extends: an override cannot change the parent, which has been merged already",
                f"name the other spec{either('', ' on the command line')} instead",
                at=at,
            )
        if path[0] == "train" and len(path) > 1:
            train = _set(train if train is not None else MappingTree(at), path[1:], value, at, key)
        else:
            tree, overridden = _set(tree, path, value, at, key), True
    return replace(document, tree=tree, overridden=overridden, train=train)


def _set(tree: MappingTree, path: list[str], value: Tree, at: Location, key: str) -> MappingTree:
    """The tree with the value at the path: stages are found by name, and a block that is only named takes arguments."""
    here, way, names = tree, list[str | int](), list(path)
    while len(names) > 1:
        name = names.pop(0)
        way.append(name)
        old = here.get(name)
        if isinstance(old, SequenceTree):
            i = _stage(old, names, at, key)
            way.append(i)
            del names[0]
            old = old[i]
            if not isinstance(old, MappingTree):
                return tree  # the form's check says so
        elif isinstance(old, Scalar) and old.kind == "text" and old.text == names[0]:
            old = MappingTree(old.at, [(names[0], old.at, MappingTree(old.at))])
            tree = tree.with_(way, old, here.keys_at[name])
        if old is None:
            break
        if not isinstance(old, MappingTree):
            whole = either(f"overrides={{'{name}': '{{...}}'}}", f"--set '{name}={{...}}'")
            raise refuse(
                "wrong-type",
                f"{OVERRIDES} {key}: {quote(name)} is {describe(old)}, which has no {quote(names[0])} to set",
                f"set {name} as a whole: {whole}",
                at=at,
            )
        here = old
    return tree.with_([*way, *names], value, at)


def _stage(stages: SequenceTree, names: list[str], at: Location, key: str) -> int:
    """The position of the stage that the first of these names calls; the second name is a key in it."""
    known = stage_names(stages)
    if len(names) < 2:
        raise refuse("usage", f"{OVERRIDES} {key}: a stage is set key by key", f"write {setting(f'{key}.depth', '3')}, say", at=at)
    if names[0] not in known:
        raise refuse(
            "unknown-name",
            f"{OVERRIDES} {key}: there is no stage called {quote(names[0])}",
            did_you_mean(names[0], known, what="a stage"),
            at=at,
        )
    return known.index(names[0])
