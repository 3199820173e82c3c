"""Checking a document's form: from pydantic's errors to places and plain words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from resnet_dsl.diagnostics import MAX_SHOWN, OVERRIDES, Diagnostic, Location, did_you_mean, mistake, quote, setting, suggest
from resnet_dsl.language.forms import BlockForm, ExpectForm, Form, ImageInput, InitForm, PolicyForm, SequenceForm, SpecForm, StageForm
from resnet_dsl.language.habits import joined, shape_meant
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe

FORMS: Mapping[tuple[str, ...], type[Form]] = {
    (): SpecForm, ("input",): ImageInput, ("init",): InitForm, ("expect",): ExpectForm, ("stages", "*"): StageForm,
    ("blocks", "*"): BlockForm, ("shortcuts", "*"): PolicyForm, ("sequences", "*"): SequenceForm,
}  # fmt: skip
"""The form of each mapping that has one, by the path that leads to it."""
_KEY_NOUNS: Mapping[tuple[str, ...], str] = {
    (): "a top-level key", ("input",): "a key of input", ("init",): "a key of init", ("expect",): "a key of expect",
    ("stages", "*"): "a key of a stage", ("blocks", "*"): "a key of a block", ("shortcuts", "*"): "a key of a shortcut policy",
    ("sequences", "*"): "a key of a sequence",
}  # fmt: skip
_MAPPING_HELP: Mapping[tuple[str, ...], str] = {
    ("input",): "write {channels: 3, height: 224, width: 224} or {features: 784}", ("stages", "*"): "write {depth: 2, width: 64}",
    ("init",): "write {weights: he, zero_last: true}", ("expect",): "write {params: 25557032}", ("expect", "shapes"): "write {layer3: 64x8x8}",
    ("blocks", "*"): "write {body: [...]}", ("shortcuts", "*"): "write {change: [...], same: []}",
    ("sequences", "*"): "write {steps: [...]}, or the list of steps alone", ("params",): "write {k: 4}",
    ("blocks", "*", "args"): "write {k: 4}: names with their defaults", ("shortcuts", "*", "args"): "write {k: 4}: names with their defaults",
    ("sequences", "*", "args"): "write {k: 4}: names with their defaults",
}  # fmt: skip
REQUIRED = ("input", "classes", "stem", "stages")


def check_form(tree: MappingTree) -> list[Diagnostic]:
    """Everything that is wrong with the form of a merged document, located."""
    errors: list[ErrorDetails] = []
    try:
        SpecForm.model_validate(tree)
    except ValidationError as failed:
        errors = failed.errors(include_url=False)
    wrong = [e for e in errors if e["type"] != "missing"]
    found = [_translate(tree, e, search=i < MAX_SHOWN) for i, e in enumerate(wrong)]
    missing: dict[tuple[str, ...], tuple[MappingTree, list[str]]] = {}
    for e in errors:
        if e["type"] == "missing":
            path = _path(tree, e["loc"][:-1])
            missing.setdefault(path, (e["input"], []))[1].append(str(e["loc"][-1]))
    given = {"stages"} if isinstance(tree.get("blocks"), SequenceTree) else set()  # a list of blocks is the list of stages
    if absent := [k for k in REQUIRED if k not in tree and k not in given]:
        missing[()] = (tree, absent)
    found += _reference_missing(tree, missing)
    for path, (parent, keys) in missing.items():
        if parent.damaged:
            continue
        unknown = [k for k in parent if k not in _form(path).model_fields]
        if not (path and unknown and (len(keys) == 1 or "features" in unknown)):  # the unknown key is the root cause
            found += _missing(path, parent, keys)
    return found


def corrected(tree: MappingTree, path: tuple[str, ...] = ()) -> MappingTree:
    """The document with misspelt keys put right, as far as they are near a known one: what stands under them is looked
    at all the same, and what it defines is no second mistake."""
    known = _form(path).model_fields if pattern(path) in FORMS else None
    entries: dict[str, tuple[str, Location, Tree]] = {}
    for key, at, value in tree.entries():
        near: str | None = None
        if known is not None and key not in known and len(entries) < _LOOKED_AT:
            if isinstance(value, Scalar) and value.is_empty and (pair := joined(key)) is not None:
                near, value = pair[0], Scalar(pair[2], True, value.at, value.key_at, value.flow)
            else:
                near = key_meant(key, value, known)
        name = key if near is None or near in tree else near
        entries[name] = (name, at, _corrected(value, (*path, name)))
    return MappingTree(tree.at, entries.values(), tree.key_at, tree.damaged)


def _corrected(value: Tree, path: tuple[str, ...]) -> Tree:
    if (
        isinstance(value, MappingTree)
        and path != ("input",)
        and (pattern(path) in FORMS or path[0] in ("blocks", "shortcuts", "sequences"))
    ):
        return corrected(value, path)
    if isinstance(value, SequenceTree) and path == ("stages",):
        return SequenceTree(value.at, [_corrected(v, ("stages", "*")) for v in value], value.key_at)
    return value


def _reference_missing(tree: MappingTree, missing: dict[tuple[str, ...], tuple[MappingTree, list[str]]]) -> Iterator[Diagnostic]:
    """`block` and `shortcut` are needed unless every stage has its own: said of the spec, or of the first stage without."""
    stages = tree.get("stages")
    listed = [s for s in stages if isinstance(s, MappingTree)] if isinstance(stages, SequenceTree) else []
    meant = _meant(tree, SpecForm.model_fields)
    for key in ("block", "shortcut"):
        without = [s for s in listed if key not in s]
        if key in tree or key in meant or (listed and not without):
            continue
        if listed and len(without) < len(listed):
            message = f"{quote(key)} missing: this stage has none of its own, and the spec has none for all"
            yield mistake("missing-key", message, f"add `{key}: ...` to the stage, or to the spec", at=without[0].at)
        else:
            missing.setdefault((), (tree, []))[1].append(key)


def _missing(path: tuple[str, ...], parent: MappingTree, keys: list[str]) -> Iterator[Diagnostic]:
    """One error a mapping; none for a key that an unknown key was surely meant to be."""
    form = _form(path)
    meant = _meant(parent, form.model_fields)
    keys = [k for k in keys if k not in meant]
    if keys:
        noun = _where(path, parent)
        names = ", ".join(quote(k) for k in keys)
        fix = " and ".join(f"`{k}: ...`" for k in keys)
        yield mistake("missing-key", f"{names} missing: {noun} needs {'it' if len(keys) == 1 else 'them'}", f"add {fix}", at=parent.at)


def _where(path: tuple[str, ...], parent: MappingTree) -> str:
    if not path:
        return "a spec"
    if len(path) > 1 and path[0] in ("blocks", "shortcuts", "sequences"):
        return f"{_KEY_NOUNS[(path[0], '*')].removeprefix('a key of ')} ({path[1]})"
    return _KEY_NOUNS.get(pattern(path), "a key of the spec").removeprefix("a key of ")


def _path(tree: Tree, loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """pydantic's loc without the tags of unions: what leads through the tree."""
    path: list[str] = []
    here: Tree | None = tree
    for part in loc:
        if isinstance(here, MappingTree) and part in here:
            here = here[str(part)]
        elif isinstance(here, SequenceTree) and isinstance(part, int):
            here = here[part]
        else:
            continue
        path.append(str(part))
    return tuple(path)


def pattern(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path in `FORMS`' terms: `*` for a stage's place or name, and for a definition's name."""
    return (path[0], "*", *path[2:]) if len(path) > 1 and path[0] in ("stages", "blocks", "shortcuts", "sequences") else path


def _form(path: tuple[str, ...]) -> type[Form]:
    return FORMS.get(pattern(path), SpecForm)


def _translate(tree: MappingTree, e: ErrorDetails, *, search: bool) -> Diagnostic:
    """One of pydantic's errors in plain words; for an unknown key the near one is searched for where asked to."""
    value: Tree = e["input"]
    path = _path(tree, e["loc"])
    if e["type"] == "extra_forbidden":
        known, noun = _form(path[:-1]).model_fields, _KEY_NOUNS.get(pattern(path[:-1]), "a key here")
        if not search:
            at = value.key_at or value.at
            return mistake("unknown-key", f"unknown key {quote(path[-1])}: it is not {noun}", f"the keys are {', '.join(known)}", at=at)
        return unknown_key(path[-1], value, known, noun, path[:-1])
    return wrong_value(path[-1] if path else "", value, e, _MAPPING_HELP.get(pattern(path), "write {key: value}"))


def unknown_key(key: str, value: Tree, known: Mapping[str, object], noun: str, path: tuple[str, ...] = ()) -> Diagnostic:
    """An unknown key, shown at the key."""
    at = value.key_at or value.at
    pair = joined(key) if isinstance(value, Scalar) and value.is_empty else None
    if pair is not None and pair[1] == ":":
        return mistake(
            "unknown-key",
            f"{quote(key)} is unknown: there is no space after its colon, so it is read as a name",
            f"put a space after the colon: {pair[0]}: {pair[2]}",
            at=at,
        )
    if pair is not None:
        message = f"{quote(key)} is unknown: a key and its value are joined by a colon, not by ="
        return mistake("unknown-key", message, f"write {pair[0]}: {pair[2]}", at=at)
    if path and path[0] == "input":
        noun = "a key of input ({channels, height, width} or {features})"
        if key == "features":
            message = "'features' cannot stand beside channels, height or width: an input is a map or a vector"
            return mistake("unknown-key", message, "keep {channels, height, width}, or {features} alone", at=at)
    near = key_meant(key, value, known)
    if key in _BLOCKS and "block" in known and "depth" in known:
        message = f"unknown key {quote(key)}: it is a block's name, not {noun}"
        return mistake("unknown-key", message, f"write block: {key}", at=at)
    if not path and near is None and _is_recipes(key):
        message = f"unknown key {quote(key)}: it is a key of the recipe, and not a top-level key"
        shown = value.text if isinstance(value, Scalar) and value.text else "..."
        help = setting(f"train.{key}", shown) if at.source.name == OVERRIDES else f"train: {{{key}: {shown}}}"
        return mistake("unknown-key", message, f"write {help}", at=at)
    help = did_you_mean(key, () if near else known, what=noun.removeprefix("a ").removeprefix("top-level "))
    return mistake("unknown-key", f"unknown key {quote(key)}: it is not {noun}", f"did you mean '{near}'?" if near else help, at=at)


def _is_recipes(key: str) -> bool:
    """Is it a key of a recipe? Asked only of what is unknown."""
    from resnet_dsl.language.recipe import Recipe

    return key in Recipe.model_fields


_NUMBERS = frozenset({"depth", "width", "stride", "classes", "channels", "height", "features", "out", "kernel", "padding", "dilation",
                      "groups", "rate", "times", "hidden", "ratio", "epochs", "steps", "lr", "batch", "seed"})  # fmt: skip
_SIDES = frozenset({"stride", "kernel", "padding", "dilation"})
_WORDS = frozenset({"block", "shortcut", "merge", "name", "norm", "act", "stem", "head", "body", "before", "after", "same", "change",
                    "extends", "description", "paths", "stages", "as", "init"})  # fmt: skip


_LOOKED_AT = 100
"""Keys of one mapping that may be misspelt ones; a mapping of more is none that somebody typed."""
_BLOCKS = frozenset({"basic", "bottleneck", "preact_basic", "preact_bottleneck"})


def key_meant(key: str, value: Tree, known: Iterable[str]) -> str | None:
    """The known key that an unknown one was meant to be. What stands there counts more than the spelling: in a stage, `blocks: 2` is no `block`."""
    if isinstance(value, Scalar):
        cannot = _WORDS if value.kind in ("int", "float") else frozenset()
    else:
        cannot = _NUMBERS - _SIDES if isinstance(value, SequenceTree) and len(value) == 2 else _NUMBERS
    names = list(known)
    return suggest(key, [n for n in names if n not in cannot] if cannot else names)


def _meant(tree: MappingTree, known: Mapping[str, object]) -> set[str | None]:
    """The known keys that unknown ones stand for, and `depth` where `block` is a number."""
    block = tree.get("block")
    number = {"depth"} if "depth" in known and isinstance(block, Scalar) and block.kind == "int" else set()
    unknown = islice(((k, v) for k, v in tree.items() if k not in known), _LOOKED_AT)
    return number | {pair[0] if (pair := joined(k)) else key_meant(k, v, known) for k, v in unknown}


def at_value(value: Tree) -> Location:
    """The place of a value; the key's where nothing was written."""
    return (value.key_at or value.at) if isinstance(value, Scalar) and value.is_empty else value.at


def wrong_value(key: str, value: Tree, e: ErrorDetails, mapping_help: str) -> Diagnostic:
    """A value of the wrong kind, shown at the value."""
    named = f"{quote(key)} " if key and not key.isdigit() else "a stage "
    at = at_value(value)
    if isinstance(value, Scalar) and value.kind == "null" and e["type"] != "null":
        shape = "list" if e["type"] == "list_type" else "mapping" if "located" not in e["msg"] else "value"
        fix = {
            "list": "write a list: `- {depth: 2, width: 64}`, one line a stage",
            "mapping": mapping_help,
            "value": "give it a value, or delete the key",
        }[shape]
        return mistake("null", f"{named}has no value (null), but must be a {shape}", fix, at=at)
    if e["msg"] == "located":
        ctx = e["ctx"]
        if e["type"] == "null":
            return null_value(key, value)
        return mistake(e["type"], f"{named}{ctx['message']}", ctx["help"], at=at)
    if e["type"] == "list_type":
        items = "`- {depth: 2, width: 64}`, one line a stage" if key == "stages" else "write [ ... ]"
        return mistake("wrong-type", f"{named}must be a list, not {describe(value)}", f"write a list: {items}", at=at)
    if key == "blocks" and isinstance(value, SequenceTree):
        message = "'blocks' defines blocks by name, a mapping, but this is a list"
        return mistake("wrong-type", message, "did you mean `stages:`, the list of stages?", at=at)
    if isinstance(value, Scalar) and (pair := joined(value.text.split()[0] if value.text.split() else "")) is not None:
        message = f"{named}must be a mapping of keys to values, but without a space after its colon this is one text, {quote(value.text)}"
        return mistake("wrong-type", message, f"put a space after each colon: {pair[0]}: {pair[2]}", at=at)
    if key == "input" and (written := _shape(value)) is not None:
        return mistake("wrong-type", f"{named}must be a mapping of keys to values, not {describe(value)}", written, at=at)
    return mistake("wrong-type", f"{named}must be a mapping of keys to values, not {describe(value)}", mapping_help, at=at)


def _shape(value: Tree) -> str | None:
    """How the shape that is written as a text or a list, `3x224x224`, is written in a spec."""
    items = list(value) if isinstance(value, SequenceTree) else [value]
    if not all(isinstance(v, Scalar) for v in items):
        return None
    shape = shape_meant(" ".join(v.text for v in items if isinstance(v, Scalar)))
    if shape is None:
        return None
    vector = f"{{features: {shape[0]}}}"
    if len(shape) == 1:
        return f"write {{channels: 3, height: {shape[0]}, width: {shape[0]}}} for pictures, or {vector} for vectors"
    return "write {{channels: {}, height: {}, width: {}}}".format(*shape)


def null_value(key: str, value: Tree) -> Diagnostic:
    """A key without a value, or an explicit null."""
    lists = {"stem", "head", "body", "before", "after", "same", "steps"}
    empty = "write [] for an empty list" if key in lists else "give it a value, or delete the key"
    nothing = {
        "norm": "write `norm: none` for no normalisation",
        "shortcut": "write `shortcut: none` for a plain net",
        "act": "write `act: identity` for none",
    }
    kind = "a list of steps or a reference" if key in lists else "a value"
    return mistake("null", f"{quote(key)} has no value (it is null, empty), but needs {kind}", nothing.get(key, empty), at=at_value(value))
