"""The JSON Schema of a spec, for editors: forms from the pydantic models, names and arguments from the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_dsl.language.definitions import library
from resnet_dsl.language.forms import DEFINED, Document
from resnet_dsl.language.kinds import ACTS, KINDS, MERGES, NORMS, STEPS, Arg, Signature
from resnet_dsl.language.spec import Definition, Slot

Json = dict[str, Any]
ID = "https://resnet-dsl.invalid/schema/spec-1.json"

_NAME: Json = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
_AS: Json = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "description": "The step's module name."}
_WHEN: Json = {"$ref": "#/$defs/condition", "description": "The step is left out where this is false."}


def json_schema() -> Json:
    """The schema as plain data; the same from run to run."""
    schema: Json = _linked(Document.model_json_schema())
    schema["properties"]["stages"] = _stages(schema["properties"]["stages"])
    stage = schema["$defs"]["StageForm"]
    schema["$defs"] = {**schema["$defs"], **_definitions(), "StagePatch": _patch(stage)}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **schema, "title": "resnet-dsl spec, version 1"}


def _linked(tree: Any) -> Any:
    """pydantic's schema with our definitions linked, and without the nulls and defaults that a document never holds."""
    if isinstance(tree, list):
        return [_linked(t) for t in tree if t != {"type": "null"}]
    if not isinstance(tree, dict):
        return tree
    linked = {k: _linked(v) for k, v in tree.items() if k != DEFINED and (k, v) != ("default", None)}
    if DEFINED in tree:
        linked = {"$ref": f"#/$defs/{tree[DEFINED]}", **linked}
    if len(linked.get("anyOf", ())) == 1:
        linked = {**linked.pop("anyOf")[0], **linked}
    return linked


def _stages(form: Json) -> Json:
    """A list, or with `extends` a mapping that patches the parent's stages by name."""
    patch = {"$ref": "#/$defs/StagePatch"}
    return {
        "description": form["description"],
        "anyOf": [
            {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/StageForm"}},
            {"type": "object", "additionalProperties": patch},
        ],
    }


def _definitions() -> Json:
    shipped = library()
    number = {"title": "number or expression", "anyOf": [{"type": "number"}, {"type": "string", "minLength": 1}]}
    condition = {"title": "condition", "anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}]}
    pair = {
        "title": "number or [height, width]",
        "anyOf": [{"$ref": "#/$defs/number"}, {"type": "array", "items": {"$ref": "#/$defs/number"}, "minItems": 2, "maxItems": 2}],
    }
    steps = {"type": "array", "items": {"$ref": "#/$defs/step"}}
    return {
        "number": number,
        "condition": condition,
        "pair": pair,
        "steps": steps,
        "step": _step(shipped["sequence"]),
        "block": _reference(shipped["block"], "a block of the spec's own"),
        "shortcut": _reference(shipped["shortcut"], "a policy of the spec's own"),
        "norm": _kinds(NORMS),
        "act": _kinds(ACTS),
        "merge": _kinds(MERGES),
        "stepsOrSequence": {"anyOf": [{"$ref": "#/$defs/steps"}, _reference(shipped["sequence"], "a sequence of the spec's own")]},
        "change": {"anyOf": [{"enum": ["none", "refuse"]}, {"$ref": "#/$defs/steps"}]},
        "train": {"anyOf": [{"type": "string", "description": "A shipped recipe's name, or the path of a recipe."}, {"type": "object"}]},
    }


def _patch(stage: Json) -> Json:
    """A stage without `name` and with nothing required."""
    return {"type": "object", "additionalProperties": False, "title": "StagePatch", "description": "Changes to one stage of the parent.",
            "properties": {k: v for k, v in stage["properties"].items() if k != "name"}}  # fmt: skip


def _arg(arg: Arg) -> Json:
    refs = {"value": "condition" if arg.rule.kind == "condition" else "number", "pair": "pair", "steps": "steps", "merge": "merge"}
    default = (
        {"default": arg.default if isinstance(arg.default, str | bool | int) else float(arg.default)} if arg.default is not None else {}
    )
    if arg.form == "word":
        return {"enum": list(arg.choices), "description": arg.about, **default}
    if arg.form == "padding":
        return {"anyOf": [{"const": "same"}, {"$ref": "#/$defs/pair"}], "description": arg.about, **default}
    if arg.form == "paths":
        return {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/steps"}, "description": arg.about}
    if arg.form == "shortcut":
        return {"anyOf": [{"$ref": "#/$defs/shortcut"}, {"$ref": "#/$defs/steps"}], "description": arg.about, **default}
    return {"$ref": f"#/$defs/{refs[arg.form]}", "description": arg.about, **default}


def _arguments(signature: Signature, extra: Json) -> Json:
    properties = {**{k: _arg(a) for k, a in signature.args.items()}, **extra}
    required = [k for k, a in signature.args.items() if a.required]
    return {"type": "object", "properties": properties, "additionalProperties": False, **({"required": required} if required else {})}


def _one_key(properties: Json, *, own: str = "") -> Json:
    """A mapping of one name to its arguments."""
    return {"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1,
            "additionalProperties": {"type": "object", "description": own} if own else False}  # fmt: skip


def _named(signature: Mapping[str, Signature]) -> list[Json]:
    return [{"const": k, "description": s.about} for k, s in signature.items()]


def _kinds(table: Mapping[str, Signature]) -> Json:
    return {"anyOf": [*_named(table), _one_key({k: _arguments(s, {}) | {"description": s.about} for k, s in table.items()})]}


def _slots(slots: Mapping[str, Slot], extra: Json) -> Json:
    properties = {k: {"$ref": f"#/$defs/{s.rule.kind}", "description": f"default {s.expression.text}"} for k, s in slots.items()}
    return {"type": "object", "properties": {**properties, **extra}, "additionalProperties": False}


def _reference(shipped: Mapping[str, Definition], own: str) -> Json:
    named: list[Json] = [{"enum": list(shipped)}, {**_NAME, "description": own}]
    return {"anyOf": [*named, _one_key({n: _slots(d.args, {}) for n, d in shipped.items()}, own=own)]}


def _step(sequences: Mapping[str, Definition]) -> Json:
    common = {"as": _AS, "when": _WHEN}
    properties: Json = {}
    for name, signature in STEPS.items():
        if name in KINDS:
            kinds = KINDS[name]
            merged = Signature(signature.about, {k: a for s in kinds.values() for k, a in s.args.items()})
            arguments = _arguments(merged, {"kind": {"enum": list(kinds), "description": "another kind than the spec's own"}, **common})
            properties[name] = {"anyOf": [{"enum": list(kinds)}, arguments], "description": signature.about}
        elif name == "chain":
            properties[name] = {"anyOf": [{"$ref": "#/$defs/steps"}, _arguments(signature, common)], "description": signature.about}
        else:
            properties[name] = _arguments(signature, common) | {"description": signature.about}
    for name, definition in sequences.items():
        properties[name] = _slots(definition.args, common)
    return {
        "anyOf": [
            {"enum": list(properties)},
            {**_NAME, "description": "a sequence of the spec's own"},
            _one_key(properties, own="a sequence of the spec's own"),
        ]
    }
