"""A spec printed back: parents merged, overrides set, every default written out, each line with its origin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from resnet_dsl.diagnostics import OVERRIDES, Location, Speech, clean, either, inline, speak
from resnet_dsl.language.extends import stage_names
from resnet_dsl.language.kinds import ACTS, MERGES, NORMS
from resnet_dsl.language.spec import Definition, Spec
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree
from resnet_dsl.ops.arguments import Signature, number_text

_ORDER = ("version", "name", "description", "params", "input", "classes", "norm", "act", "stem", "block", "shortcut", "merge",
          "stages", "output_stride", "head", "init", "expect", "train", "blocks", "shortcuts", "sequences")  # fmt: skip
_DEFAULTS = {"version": "1", "norm": "batch", "act": "relu", "head": "classifier"}
_SAFE = re.compile(r"[A-Za-z0-9_./+*()<>=%-]([A-Za-z0-9_./+*()<>=% -]*[A-Za-z0-9_./+*()<>=%-])?\Z")
_COLUMN = 56
_LINE = 100


def resolved(spec: Spec, *, origins: bool = True, speech: Speech = "python") -> str:
    """The complete spec as YAML, of the same network. With `origins`, each line says where it is from: `# file:line`, `# default`, or the override."""
    lines = [f"{text:<{_COLUMN}} # {clean(speak(origin, speech))}" if origins and origin else text for text, origin in _lines(spec)]
    if spec.folded:
        lines.insert(0, "# The weights that this came with are of the network with its batch norms folded.")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _lines(spec: Spec) -> Iterator[tuple[str, str]]:
    tree = spec.tree
    for key in _ORDER:
        value = tree.get(key)
        if key == "name":
            yield f"name: {spec.name}", _origin(value.at) if value is not None else "the file's name"
        elif key == "expect" and spec.overridden:
            continue
        elif key == "init":
            yield from _init(spec, value)
        elif key == "stages":
            yield "stages:", _origin(tree.keys_at[key])
            yield from _stages(spec, value)
        elif key in ("norm", "act", "merge", "block", "shortcut", "stem", "head"):
            yield from _reference(spec, key, value)
        elif value is None:
            if key in _DEFAULTS:
                yield f"{key}: {_DEFAULTS[key]}", "default"
        else:
            yield from _entry(key, value, 0)


def _origin(at: Location) -> str:
    name, text = at.source.name, at.source.text
    return either(f"overrides: {text}", f"--set {text}") if name == OVERRIDES else f"{inline(name)}:{at.line}"


def _init(spec: Spec, value: Tree | None) -> Iterator[tuple[str, str]]:
    given = [f"{k} {_origin(v.at)}" for k, v in value.items()] if isinstance(value, MappingTree) else []
    left = [k for k in ("weights", "zero_last") if not isinstance(value, MappingTree) or k not in value]
    text = f"init: {{weights: {spec.init_weights}, zero_last: {str(spec.zero_last).lower()}}}"
    yield text, "; ".join([*given, *([f"default {', '.join(left)}"] if left else [])])


def _stages(spec: Spec, value: Tree | None) -> Iterator[tuple[str, str]]:
    assert isinstance(value, SequenceTree)
    for name, stage in zip(stage_names(value), value, strict=True):
        assert isinstance(stage, MappingTree)
        parts = [f"name: {name}"] if "name" not in stage else []
        parts += [f"{k}: {_flow(_completed(spec, k, v))}" for k, v in stage.items()]
        left = [*(["name"] if "name" not in stage else []), *(["stride"] if "stride" not in stage else [])]
        if "stride" not in stage:
            parts.append("stride: 1")
        elsewhere = {_origin(v.at) for v in stage.values()} - {_origin(stage.at)}
        notes = [_origin(stage.at), *sorted(elsewhere), *([f"default {', '.join(left)}"] if left else [])]
        yield f"  - {{{', '.join(parts)}}}", "; ".join(notes)


def _reference(spec: Spec, key: str, value: Tree | None) -> Iterator[tuple[str, str]]:
    if value is None:
        if key in _DEFAULTS:
            default = Scalar(_DEFAULTS[key], True, spec.at)
            yield f"{key}: {_flow(_completed(spec, key, default))}", "default"
        return
    if isinstance(value, SequenceTree):
        yield from _entry(key, value, 0)
        return
    completed = _completed(spec, key, value)
    filled = _arguments(completed) - _arguments(value)
    yield f"{key}: {_flow(completed)}", "; ".join([_origin(value.at), *([f"default {', '.join(sorted(filled))}"] if filled else [])])


def _arguments(tree: Tree) -> set[str]:
    if isinstance(tree, MappingTree):
        (args,) = tree.values()
        return set(args) if isinstance(args, MappingTree) else set()
    return set()


def _completed(spec: Spec, key: str, value: Tree) -> Tree:
    """A reference with the defaults of its arguments, as far as they are plain values."""
    tables: Mapping[str, Mapping[str, Definition] | Mapping[str, Signature]] = {
        "block": spec.blocks, "shortcut": spec.shortcuts, "stem": spec.sequences, "head": spec.sequences, "norm": NORMS, "act": ACTS, "merge": MERGES,
    }  # fmt: skip
    if key not in tables or isinstance(value, SequenceTree):
        return value
    name = value.text if isinstance(value, Scalar) else next(iter(value))
    given = value[name] if isinstance(value, MappingTree) else MappingTree(value.at)
    assert isinstance(given, MappingTree)
    defaults = MappingTree(given.at, [(k, value.at, Scalar(v, True, value.at)) for k, v in _literals(tables[key][name]).items()])
    args = given.over(defaults)
    return MappingTree(value.at, [(name, value.at, args)]) if args else value


def _literals(target: Definition | Signature) -> dict[str, str]:
    if isinstance(target, Definition):
        return {k: s.expression.text for k, s in target.args.items() if s.expression.literal is not None}
    found = {}
    for k, a in target.args.items():
        if a.default is not None:
            found[k] = (
                a.default
                if isinstance(a.default, str)
                else str(a.default).lower()
                if isinstance(a.default, bool)
                else number_text(a.default)
            )
    return found


def _entry(key: str, value: Tree, depth: int) -> Iterator[tuple[str, str]]:
    """A key with its value: on one line where it fits, else one line per item."""
    pad = "  " * depth
    flow = f"{pad}{_key(key)}: {_flow(value)}"
    if (
        isinstance(value, Scalar)
        or not value
        or (len(flow) <= _LINE and depth > 0)
        or (isinstance(value, MappingTree) and len(flow) <= _COLUMN)
    ):
        yield flow, _origin(value.at)
    elif isinstance(value, MappingTree):
        yield f"{pad}{_key(key)}:", _origin(value.at)
        for k, v in value.items():
            yield from _entry(k, v, depth + 1)
    else:
        yield f"{pad}{_key(key)}:", _origin(value.at)
        for item in value:
            yield f"{pad}  - {_flow(item)}", _origin(item.at)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else json.dumps(key, ensure_ascii=False)


def _flow(tree: Tree) -> str:
    if isinstance(tree, MappingTree):
        return "{" + ", ".join(f"{_key(k)}: {_flow(v)}" for k, v in tree.items()) + "}"
    if isinstance(tree, SequenceTree):
        return "[" + ", ".join(_flow(v) for v in tree) + "]"
    if tree.plain and _SAFE.match(tree.text):
        return tree.text
    return json.dumps(tree.text, ensure_ascii=False)
