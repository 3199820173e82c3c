"""Reading a training recipe: its layers, lowest first, to a validated `Recipe`; mistakes are located."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from resnet_dsl.diagnostics import Argument, Diagnostic, Location, Source, SpecError, did_you_mean, mistake, quote, quote_path, refuse
from resnet_dsl.language.document import at_value, unknown_key
from resnet_dsl.language.files import PACKAGE, read_file
from resnet_dsl.language.forms import boolean_help
from resnet_dsl.language.habits import number_meant
from resnet_dsl.language.recipe import Recipe, merge, part_of
from resnet_dsl.language.recipe import keys as known_keys
from resnet_dsl.language.source import read
from resnet_dsl.language.spec import Spec
from resnet_dsl.language.tree import MappingTree, Scalar, Tree, describe, plain


def shipped_recipes() -> dict[str, Path]:
    """The shipped recipes by name."""
    folder = PACKAGE / "specs" / "recipes"
    return {p.stem: p for p in sorted(folder.glob("*.yaml"))}


def recipe_of(spec: Spec, option: str | None = None) -> Recipe:
    """The recipe that a spec is trained with: the defaults, its own `train`, then `option`, then what was set under `train.`.

    `option` is a shipped recipe's name or any path. Raises SpecError.
    """
    where = spec.train
    return combine(where.value, where.root, option, where.overrides)


def recipe_named(name: str) -> Recipe:
    """A shipped recipe, or the recipe in a file. Raises SpecError."""
    return combine(None, None, name)


def combine(train: Tree | None, root: Path | None, option: str | None = None, overrides: MappingTree | None = None) -> Recipe:
    """The parts of a recipe laid over each other: the defaults, `train` of a document, an option, overrides.

    `root` is the folder that a path in a document may not leave (None: the document is shipped). Raises SpecError.
    """
    layers: list[MappingTree] = []
    if isinstance(train, MappingTree):
        layers.append(train)
    elif isinstance(train, Scalar):
        layers.append(_named(train.text, train.at, root))
    if option is not None:
        layers.append(_option(option))
    if overrides is not None:
        layers.append(overrides)
    data: Mapping[str, object] = {}
    for layer in layers:
        below = plain(layer)
        assert isinstance(below, Mapping)
        data = merge(data, below)
    try:
        return Recipe.model_validate(data)
    except ValidationError as e:
        raise SpecError([_translate(error, layers) for error in e.errors(include_url=False)]) from None


def _option(name: str) -> MappingTree:
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        tree = read(read_file(name))
        if {"stages", "block"} & set(tree):
            fix = f"give it as SPEC, and a recipe's name or file as {Argument('recipe')}"
            raise refuse("recipe", f"{quote_path(name)} is a spec, not a recipe", fix, at=tree.at)
        return tree
    return _shipped(name, Location(Source(str(Argument("recipe")), name), 1, 1, max(1, len(name))))


def _named(name: str, at: Location, root: Path | None) -> MappingTree:
    """A recipe that a spec names: the rule of `extends`."""
    if not name.endswith(".yaml"):
        return _shipped(name, at)
    path = Path(os.path.dirname(at.source.name)) / name
    if os.path.isabs(name) or root is None or not Path(os.path.realpath(path)).is_relative_to(root):
        raise refuse(
            "train",
            f"'train': the path {quote_path(name)} is not allowed: a recipe's path is relative and stays inside the spec's folder",
            "copy the recipe beside the spec",
            at=at,
        )
    return read(read_file(str(path), at))


def _shipped(name: str, at: Location) -> MappingTree:
    known = shipped_recipes()
    if name not in known:
        raise refuse(
            "unknown-name",
            f"no such recipe: {quote(name)} is not found among the shipped recipes",
            did_you_mean(name, known, what="a shipped recipe"),
            at=at,
        )
    return read(Source(f"{name}.yaml", read_file(str(known[name])).text))


def _translate(e: ErrorDetails, layers: Sequence[MappingTree]) -> Diagnostic:
    """Translates one of pydantic's errors to plain words, at its place."""
    keys = [str(k) for k in e["loc"]]
    tree = find(keys, layers)
    ctx = e.get("ctx", {})
    if tree is None or e["type"] == "recipe":
        last = layers[-1]
        at = next(
            (t.at for t in (find([k], layers) for k in Recipe.model_fields if quote(k)[1:-1] in str(ctx.get("message", ""))) if t), last.at
        )
        return mistake("recipe", f"recipe: {ctx.get('message', 'not valid')}", str(ctx.get("help", "correct the recipe")), at=at)
    key = listed(keys)
    if e["type"] == "extra_forbidden":
        part = part_of(Recipe.model_fields[keys[0]]) if len(keys) > 1 else Recipe
        assert part is not None
        return unknown_key(key, tree, part.model_fields, "a key of a recipe" if part is Recipe else f"a key of {keys[0]}")
    at = at_value(tree)
    message, help = wrong(e["type"], ctx, tree)
    if e["type"] in _BOUNDS and (field := known_keys().get(".".join(k for k in keys if not k.isdigit()))) is not None:
        example = field.examples[0] if field.examples else None
        help += f", {example:g} say" if isinstance(example, int | float) and not isinstance(example, bool) else ""
    if keys[0] == "milestones" and len(keys) > 1 and (run := _part_of_the_run(tree, layers)) is not None:
        message, help = run
    return mistake("recipe", f"{quote(key)} {message}", help, at=at)


_WANTED = {
    "int": "a whole number (an integer)", "float": "a number", "bool": "a boolean, true or false", "string": "text", "list": "a list",
    "tuple": "a list", "model": "a mapping of keys to values", "dict": "a mapping of keys to values", "finite": "a finite number",
}  # fmt: skip
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def wrong(kind: str, ctx: Mapping[str, object], tree: Tree) -> tuple[str, str]:
    """What one of pydantic's errors (its type and context) says of a value, in plain words, and the fix."""
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        bound = f"{ctx[name]:,}" if isinstance(ctx[name], int) else f"{ctx[name]:g}"
        return (
            f"must be {words} {bound}, but is {tree.text if isinstance(tree, Scalar) else describe(tree)}",
            f"use a number {words} {bound}",
        )
    if kind == "literal_error":
        words_ = [w.strip("'").lower() if w in ("True", "False") else w.strip("'") for w in re.split(r", | or ", str(ctx["expected"]))]
        given = tree.text if isinstance(tree, Scalar) else ""
        help = boolean_help(tree) if "true" in words_ and not given.isalpha() else did_you_mean(given, words_, what="it")
        return f"is one of {', '.join(words_)}, not {describe(tree)}", help
    wanted = _WANTED.get(kind.split("_")[0], "a value of another kind")
    help = boolean_help(tree) if kind.startswith("bool") else f"write {wanted}"
    if wanted in (_WANTED["int"], _WANTED["float"]) and isinstance(tree, Scalar) and (number := number_meant(tree.text)) is not None:
        help = f"write {number}"
    if wanted == _WANTED["int"] and isinstance(tree, Scalar) and tree.kind == "float" and float(tree.text).is_integer():
        help = f"write {float(tree.text):.0f}"
    if wanted == _WANTED["list"] and isinstance(tree, Scalar) and tree.kind in ("int", "float"):
        help = f"write a list: [{tree.text}]"
    return f"must be {wanted}, not {describe(tree)}", help


def listed(keys: Sequence[str]) -> str:
    """The last key, with the place in its list where an item of one is meant, counted from 0: `milestones[0]`."""
    return f"{keys[-2]}[{keys[-1]}]" if keys[-1].isdigit() and len(keys) > 1 else keys[-1]


def _part_of_the_run(tree: Tree, layers: Sequence[MappingTree]) -> tuple[str, str] | None:
    """What is said of a milestone that is an epoch or a step, which milestones of other programs are."""
    if not isinstance(tree, Scalar) or tree.kind not in ("int", "float"):
        return None
    given = float(tree.text)
    for unit in ("steps", "epochs"):
        length = find([unit], layers)
        whole = float(length.text) if isinstance(length, Scalar) and length.kind in ("int", "float") else 0
        if 1 <= given < whole:
            message = f"is {tree.text}, but milestones are parts of the run, between 0 and 1: of {whole:,.0f} {unit}, {tree.text} is {given / whole:g}"
            return message, f"write {given / whole:g}"
    return f"is {tree.text}, but milestones are parts of the run, between 0 and 1", "write 0.5 for half of the run"


def find(keys: Sequence[str], layers: Sequence[MappingTree]) -> Tree | None:
    """The value that decided, in the last layer that has it."""
    for layer in reversed(layers):
        here: Tree | None = layer
        for key in keys:
            if isinstance(here, MappingTree):
                here = here.get(key)
            elif isinstance(here, list) and key.isdigit() and int(key) < len(here):
                here = here[int(key)]
            else:
                here = None
        if here is not None and keys:
            return here
    return None
