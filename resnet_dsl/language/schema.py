"""The JSON Schema of a spec, for editors: forms from the pydantic models, names and arguments from the tables.

A reference and a step are each a union of two forms: a bare name, or a mapping of one name to its arguments.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from resnet_dsl.language.definitions import library
from resnet_dsl.language.document import REQUIRED
from resnet_dsl.language.forms import DEFINED, SpecForm
from resnet_dsl.language.kinds import ACTS, KINDS, MERGES, NORMS, STEPS
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.recipes import recipe_named, shipped_recipes
from resnet_dsl.language.spec import Change, Definition, Step
from resnet_dsl.ops.arguments import (
    CLASSES,
    CONDITION,
    DEPTH,
    FIGURE,
    FRACTION,
    INDEX,
    NUMBER,
    PADDING,
    POSITIVE,
    RATE,
    SIZE,
    TIMES,
    WINDOW,
    Arg,
    Signature,
    ValueRule,
)

Json = dict[str, Any]
ID = "https://resnet-dsl.invalid/schema/spec-1.json"
FILE = "resnet-dsl.schema.json"
MODELINE = f"# yaml-language-server: $schema={FILE}"
"""The first line of a spec, by which editors find the schema beside it."""

_RULES: Mapping[ValueRule, tuple[str, Any]] = {
    NUMBER: ("number", 1), CONDITION: ("condition", True), SIZE: ("size", 64), WINDOW: ("window", 3), PADDING: ("padding", 1),
    RATE: ("rate", 0.1), FRACTION: ("fraction", 0.1), POSITIVE: ("positive", 1e-5), INDEX: ("index", 0), TIMES: ("times", 2),
    DEPTH: ("depth", 3), CLASSES: ("classes", 10), FIGURE: ("figure", 25557032),
}  # fmt: skip
"""Each rule of a value: what it is called here, and an example."""

_NAME: Json = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}
_AS: Json = {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$", "description": "The step's module name.", "examples": ["conv1"]}
_WHEN: Json = {"$ref": "#/$defs/condition", "description": "The step is left out where this is false.", "examples": ["stride > 1"]}


class _AsWritten(GenerateJsonSchema):
    """pydantic's generator, except that it keeps the order of keys: people read the examples."""

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        """Keeps the order."""
        return value


def outline(steps: Iterable[Step]) -> str:
    """The names of steps, for a line about what holds them."""
    return ", ".join(s.name for s in steps)


def change_outline(change: Change) -> str:
    """What a policy does, in a few words."""
    return change if isinstance(change, str) else outline(change) or "identity"


def json_schema() -> Json:
    """The schema as plain data; the same from run to run."""
    schema: Json = _linked(SpecForm.model_json_schema(schema_generator=_AsWritten))
    schema["properties"]["stages"] = _stages(schema["properties"]["stages"])
    stage = schema["$defs"]["StageForm"]
    schema["$defs"] = {**schema["$defs"], **_definitions(), "StagePatch": _patch(stage)}
    whole: Json = _shown({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **schema, "allOf": _conditions()})
    return whole


def written_schema() -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _shown(tree: Any) -> Any:
    """Examples that are lists or mappings as snippets: editors insert those, where they would show an example as text."""
    if isinstance(tree, list):
        return [_shown(t) for t in tree]
    if not isinstance(tree, dict):
        return tree
    shown = {k: _shown(v) for k, v in tree.items()}
    if isinstance(examples := tree.get("examples"), list):
        large = [e for e in examples if isinstance(e, dict | list)]
        shown |= {"examples": [e for e in examples if e not in large]}
        if not shown["examples"]:
            del shown["examples"]
        if large:
            shown["defaultSnippets"] = [{"label": _text(e), "body": e} for e in large]
    return shown


def _text(value: object) -> str:
    """Plain data as a line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _linked(tree: Any) -> Any:
    """pydantic's schema with our definitions linked, without its titles and the nulls and defaults that a document never holds."""
    if isinstance(tree, list):
        return [_linked(t) for t in tree if t != {"type": "null"}]
    if not isinstance(tree, dict):
        return tree
    linked = {
        k: _linked(v) for k, v in tree.items() if k != DEFINED and (k, v) != ("default", None) and not (k == "title" and isinstance(v, str))
    }
    if DEFINED in tree:
        linked = {"$ref": f"#/$defs/{tree[DEFINED]}", **linked}
    if len(linked.get("anyOf", ())) == 1:
        linked = {**linked.pop("anyOf")[0], **linked}
    return linked


def _stages(form: Json) -> Json:
    """A list, or with `extends` a mapping that patches the parent's stages by name."""
    listed = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/StageForm"}}
    return {
        "description": form["description"],
        "examples": form["examples"],
        "anyOf": [listed, {"type": "object", "additionalProperties": {"$ref": "#/$defs/StagePatch"}}],
    }


def _conditions() -> list[Json]:
    """What depends on the rest of the document: without `extends` nothing may be missing, and without definitions of its own a
    spec has only the shipped names."""
    shipped = library()
    steps = {"items": _only([*STEPS, *shipped["sequence"]])}
    ends = {"if": {"type": "array"}, "then": steps, "else": _only(shipped["sequence"])}
    closed = {
        "blocks": {"block": _only(shipped["block"])},
        "shortcuts": {"shortcut": _only(shipped["shortcut"])},
        "sequences": {"before": steps, "after": steps},
    }
    conditions: list[Json] = [{"if": {"required": ["extends"]}, "else": {"required": list(REQUIRED)}}]
    for group, properties in closed.items():
        top = {"stem": ends, "head": ends} if group == "sequences" else properties
        told = {"properties": {**top, "stages": {"items": {"properties": properties}}}}
        conditions.append({"if": {"anyOf": [{"required": ["extends"]}, {"required": [group]}]}, "else": told})
    return conditions


def _only(names: Iterable[str]) -> Json:
    """A reference to one of these."""
    known = {"enum": list(names)}
    return {"if": {"type": "string"}, "then": known, "else": {"if": {"type": "object"}, "then": {"propertyNames": known}}}


def _definitions() -> Json:
    shipped = library()
    pairs = {f"{name}Pair": _pair(name) for name in (_RULES[WINDOW][0], _RULES[PADDING][0])}
    return {
        **{name: _value(rule) for rule, (name, _) in _RULES.items()},
        **pairs,
        "value": {"anyOf": [{"type": "number"}, {"type": "boolean"}, {"type": "string", "minLength": 1}]},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}},
        "step": _step(shipped["sequence"]),
        "block": _reference(shipped["block"], "a block of the spec's own"),
        "shortcut": _reference(shipped["shortcut"], "a policy of the spec's own"),
        "norm": _kinds(NORMS),
        "act": _kinds(ACTS),
        "merge": _kinds(MERGES),
        "stepsOrSequence": {"anyOf": [{"$ref": "#/$defs/steps"}, _reference(shipped["sequence"], "a sequence of the spec's own")]},
        "change": {"anyOf": [{"const": "none", "description": "no shortcut there"}, {"const": "refuse", "description": "an error there"}, {"$ref": "#/$defs/steps"}]},
        **_train(),
    }  # fmt: skip


def _train() -> Json:
    """A recipe by its name or path, or inline."""
    recipe: Json = _linked(Recipe.model_json_schema(schema_generator=_AsWritten))
    named = [{"const": n, "description": recipe_named(n).description} for n in shipped_recipes()]
    path = {"type": "string", "pattern": r"\.yaml$", "description": "the path of a recipe"}
    return {**recipe.pop("$defs"), "Recipe": recipe, "train": {"anyOf": [{"$ref": "#/$defs/Recipe"}, *named, path]}}


def _patch(stage: Json) -> Json:
    """A stage without `name` and with nothing required."""
    return {"type": "object", "additionalProperties": False, "description": "Changes to one stage of the parent.",
            "properties": {k: v for k, v in stage["properties"].items() if k != "name"}}  # fmt: skip


def _value(rule: ValueRule) -> Json:
    """A literal in its range, or an expression, which an editor cannot check further."""
    if rule.kind == "condition":
        return {"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}]}
    literal: Json = {"type": "integer" if rule.whole else "number"}
    if rule.low is not None:
        literal["minimum"] = rule.low
    if rule.high is not None:
        literal["exclusiveMaximum" if rule.below else "maximum"] = rule.high
    return {"anyOf": [literal, {"type": "string", "minLength": 1}]}


def _pair(name: str) -> Json:
    one = {"$ref": f"#/$defs/{name}"}
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 2, "maxItems": 2}]}


def _arg(arg: Arg) -> Json:
    name, example = _RULES[arg.rule]
    if arg.default is not None:
        example = arg.default if isinstance(arg.default, str | bool | int) else float(arg.default)
    told: Json = {"description": arg.about + (" (required)" if arg.required else "")}
    if arg.default is not None:
        told["default"] = example
    if arg.form == "word":
        return {"enum": list(arg.choices), **told, "examples": list(arg.choices[-1:])}
    if arg.form == "steps":
        return {"$ref": "#/$defs/steps", **told, "examples": [["norm", "act"]]}
    if arg.form == "paths":
        paths = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/steps"}}
        return {**paths, **told, "examples": [[["norm"], [{"conv": {"kernel": 3}}]]]}
    if arg.form == "shortcut":
        return {"anyOf": [{"$ref": "#/$defs/shortcut"}, {"$ref": "#/$defs/steps"}], **told, "examples": ["B"]}
    if arg.form == "merge":
        return {"$ref": "#/$defs/merge", **told, "examples": ["concat"]}
    if arg.form == "padding":
        return {"anyOf": [{"const": "same"}, {"$ref": f"#/$defs/{name}Pair"}], **told, "examples": [0, [1, 0]]}
    return {"$ref": f"#/$defs/{name}Pair" if arg.form == "pair" else f"#/$defs/{name}", **told, "examples": [example]}


def _arguments(signature: Signature, extra: Json) -> Json:
    properties = {**{k: _arg(a) for k, a in signature.args.items()}, **extra}
    required = [k for k, a in signature.args.items() if a.required]
    return {"type": "object", "properties": properties, "additionalProperties": False, **({"required": required} if required else {})}


def _one_key(properties: Json, *, own: str = "") -> Json:
    """A mapping of one name to its arguments."""
    return {"type": "object", "properties": properties, "minProperties": 1, "maxProperties": 1,
            "additionalProperties": {"type": "object", "description": own} if own else False}  # fmt: skip


def _named(about: Mapping[str, str]) -> list[Json]:
    return [{"const": name, "description": text} for name, text in about.items()]


def _kinds(table: Mapping[str, Signature]) -> Json:
    named = _named({k: s.about for k, s in table.items()})
    return {"anyOf": [*named, _one_key({k: _arguments(s, {}) | {"description": s.about} for k, s in table.items()})]}


def _slots(definition: Definition, extra: Json) -> Json:
    """The arguments of a definition."""
    properties = {
        k: {
            "$ref": f"#/$defs/{_RULES[s.rule][0]}",
            "description": f"An argument of {definition.name}; {s.expression.text} if left out.",
            "examples": [_literal(s.expression.text)],
        }
        for k, s in definition.args.items()
    }
    return {"type": "object", "properties": {**properties, **extra}, "additionalProperties": False, "description": _about(definition)}


def _literal(text: str) -> object:
    return {"true": True, "false": False}.get(text, int(text) if text.isdecimal() else text)


def _about(d: Definition) -> str:
    """A line about a shipped definition: what it is made of."""
    if d.family == "shortcut":
        return f"where the shape changes: {change_outline(d.change)}; where it does not: {change_outline(d.same)}"
    if d.family == "sequence":
        return outline(d.steps)
    return f"{outline([*d.before, *d.body])}; then {', '.join(['the merge', *(s.name for s in d.after)])}"


def _own(shipped: Iterable[str], about: str) -> Json:
    """A name that is none of the shipped ones."""
    return {**_NAME, "not": {"enum": list(shipped)}, "description": about}


def _reference(shipped: Mapping[str, Definition], own: str) -> Json:
    named = _named({n: _about(d) for n, d in shipped.items()})
    return {"anyOf": [*named, _own(shipped, own), _one_key({n: _slots(d, {}) for n, d in shipped.items()}, own=own)]}


def _step(sequences: Mapping[str, Definition]) -> Json:
    common = {"as": _AS, "when": _WHEN}
    properties: Json = {}
    for name, signature in STEPS.items():
        if name in KINDS:
            kinds = KINDS[name]
            merged = Signature(signature.about, {k: a for s in kinds.values() for k, a in s.args.items()})
            kind = {"enum": list(kinds), "description": "another kind than the spec's own", "examples": [list(kinds)[1]]}
            bare = _named({k: s.about for k, s in kinds.items()})
            properties[name] = {"anyOf": [*bare, _arguments(merged, {"kind": kind, **common})], "description": signature.about}
        elif name == "chain":
            properties[name] = {"anyOf": [{"$ref": "#/$defs/steps"}, _arguments(signature, common)], "description": signature.about}
        else:
            properties[name] = _arguments(signature, common) | {"description": signature.about}
    about = {name: signature.about for name, signature in STEPS.items()}
    for name, definition in sequences.items():
        properties[name] = _slots(definition, common)
        about[name] = _about(definition)
    own = "a sequence of the spec's own"
    return {"anyOf": [*_named(about), _own(about, own), _one_key(properties, own=own)]}
