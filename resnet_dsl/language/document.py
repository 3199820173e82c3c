"""The form of a document: which keys there are, which are needed, what kind of value each takes (LANGUAGE section 3).

The models read the located tree itself, so that every pydantic error carries the place of its input and pydantic's own
text is never shown. What names, steps and expressions mean is for `language.resolve`; here they are any tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from resnet_dsl.diagnostics import Diagnostic, Location, did_you_mean, quote, suggest
from resnet_dsl.language.kinds import INITS
from resnet_dsl.language.source import Mapping as MappingTree
from resnet_dsl.language.source import Scalar, Tree, describe
from resnet_dsl.language.source import Sequence as SequenceTree

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


def _fail(code: str, message: str, help: str) -> PydanticCustomError:
    # Braces are pydantic's template syntax: the texts travel in the context instead.
    return PydanticCustomError(code, "located", {"message": message, "help": help})  # type: ignore[arg-type]


def _text(value: Any) -> str:
    if isinstance(value, Scalar) and value.kind == "text":
        return value.text
    what = describe(value)
    quoting = f'put it in quotes: "{value.text}"' if isinstance(value, Scalar) and value.text else "write one string"
    raise _fail("wrong-type", f"must be text (a string), not {what}", quoting)


def _name(value: Any) -> str:
    text = _text(value)
    if not NAME.match(text):
        problem = "it is empty" if not text else f"{len(text):,} characters" if len(text) > 64 else quote(text)
        raise _fail("bad-name", f"must be 1 to 64 characters: letters, digits, '_', '.', '-', the first a letter or digit, not {problem}", "use a plain ASCII name such as my-net.v2")
    return text


def _boolean(value: Any) -> bool:
    if isinstance(value, Scalar) and value.kind == "bool":
        return value.text == "true"
    raise _fail("wrong-type", f"must be a boolean, true or false, not {describe(value)}", boolean_help(value))


def boolean_help(value: Tree) -> str:
    """The mend where true or false is due."""
    word = value.text.lower() if isinstance(value, Scalar) else ""
    if word in ("yes", "on", "true", "1"):
        return "write true"
    return "write false" if word in ("no", "off", "false", "0", "none", "null", "~") else "write true or false"


def _whole(value: Any) -> int:
    if isinstance(value, Scalar) and value.kind == "int":
        digits = value.text.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0":
            raise _fail("number-form", f"{quote(value.text)} has a leading zero", f"write {digits.lstrip('0') or '0'}")
        if len(digits) > 16:
            raise _fail("limit", f"a number of {len(digits)} digits is over the limit of 1e15", "numbers are at most 1e15")
        return int(value.text)
    raise _fail("wrong-type", f"must be a whole number (an integer), not {describe(value)}", "write the exact figure in digits, such as 25557032")


def _choice(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        text = _text(value)
        if text not in words:
            raise _fail("unknown-name", f"{quote(text)} is not known: it is one of {', '.join(words)}", did_you_mean(text, words, what="it"))
        return text

    return check


def _version(value: Any) -> int:
    if not (isinstance(value, Scalar) and value.kind == "int" and value.text == "1"):
        raise _fail("wrong-type", f"must be the integer 1, the only version there is, not {describe(value)}", "write `version: 1`, or leave it out")
    return 1


def _train(value: Any) -> Any:
    if isinstance(value, MappingTree) or (isinstance(value, Scalar) and value.kind == "text" and value.text):
        return value
    raise _fail("wrong-type", f"must be a recipe's name, a path or an inline recipe (a mapping), not {describe(value)}", "write train: quick, or train: {epochs: 5}")


def _any(value: Any) -> Any:
    if isinstance(value, Scalar) and value.kind == "null":
        raise _fail("null", "has no value (null)", "give it a value, or delete the key")
    return value


def _tree(schema: str) -> Any:
    """A value that `resolve` reads; `schema` is its place among the JSON Schema's definitions."""
    return Annotated[Any, PlainValidator(_any), WithJsonSchema({"$ref": f"#/$defs/{schema}"})]


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Name = Annotated[str, PlainValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"})]
Boolean = Annotated[bool, PlainValidator(_boolean), WithJsonSchema({"type": "boolean"})]
Whole = Annotated[int, PlainValidator(_whole), WithJsonSchema({"type": "integer", "minimum": 0})]
Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"const": 1})]
Initial = Annotated[str, PlainValidator(_choice(*INITS)), WithJsonSchema({"enum": list(INITS)})]
Number = _tree("number")
Steps = _tree("steps")
Change = _tree("change")
BlockName = _tree("block")
Policy = _tree("shortcut")
Merge = _tree("merge")
Norm = _tree("norm")
Act = _tree("act")
StepsOrSequence = _tree("stepsOrSequence")
Train = Annotated[Any, PlainValidator(_train), WithJsonSchema({"$ref": "#/$defs/train"})]
Definitions = dict[str, Number]


def _input_form(value: Any) -> str | None:
    if not isinstance(value, MappingTree):
        return None
    return "features" if "features" in value and "channels" not in value else "image"


def _sequence_form(value: Any) -> str:
    return "list" if isinstance(value, SequenceTree) else "full"


class Form(BaseModel):
    """What all parts of a document share: strict, frozen, and no key that is not listed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")


class ImageInput(Form):
    """Pictures: channels x height x width."""

    channels: Number = Field(description="Channels of an image: 1 for grey, 3 for colour.", examples=[3])
    height: Number = Field(description="Pixels.", examples=[224])
    width: Number = Field(description="Pixels.", examples=[224])


class FeatureInput(Form):
    """Vectors."""

    features: Number = Field(description="Values in a vector.", examples=[784])


class InitForm(Form):
    """How weights start."""

    weights: Initial = Field("he", description="he: normal, fan-out (He et al. 2015b); he_fan_in; xavier; torch: PyTorch's own; fixup (Zhang et al. 2019).")
    zero_last: Boolean = Field(False, description="Zero the last norm, conv, linear or scale in each block's body, so that blocks start as the identity.")


class ExpectForm(Form):
    """What the author believes; a mismatch is an error."""

    params: Whole | None = Field(None, description="Elements of trainable parameters.", examples=[25557032])
    macs: Whole | None = Field(None, description="Multiply-accumulates of convolutions and linear layers for one input.", examples=[4089184256])
    depth: Whole | None = Field(None, description="Weighted layers on the main path.", examples=[50])


class StageForm(Form):
    """`depth` blocks of `width`; the first one carries `stride`."""

    depth: Number = Field(description="Blocks in the stage.", examples=[3])
    width: Number = Field(description="Width of a block; what that means is the block's matter.", examples=[64])
    stride: Number = Field("1", description="Stride of the first block.", examples=[2])
    name: Annotated[Any, PlainValidator(_any), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"})] = Field(None, description="Module name; layer1, layer2, ... if left out.", examples=["layer1"])
    block: BlockName = Field(None, description="Another block than the net's, with all its arguments.")
    shortcut: Policy = Field(None, description="Another shortcut policy than the net's.")
    merge: Merge = Field(None, description="Another merge than the net's.")
    before: Steps = Field(None, description="Steps before the first block.")
    after: Steps = Field(None, description="Steps after the last block: a transition, say.")


class StagePatch(StageForm):
    """Changes to one stage of the parent, by its name."""

    depth: Number = Field(None, description="Blocks in the stage.")
    width: Number = Field(None, description="Width of a block.")


class BlockForm(Form):
    """A residual block: y = after(merge(body(before(x)), shortcut))."""

    args: Definitions = Field(default_factory=dict, description="Arguments with their defaults.")
    let: Definitions = Field(default_factory=dict, description="Names for what is computed once.")
    out: Number = Field("width", description="Channels (features) that leave the block.")
    before: Steps = Field(None, description="Steps before the body; a projection shortcut reads what they give.")
    body: Steps = Field(description="The residual function F.")
    after: Steps = Field(None, description="Steps after the merge.")
    merge: Merge = Field(None, description="The block's own merge.")


class PolicyForm(Form):
    """A shortcut policy: what stands beside the body."""

    args: Definitions = Field(default_factory=dict, description="Arguments with their defaults.")
    let: Definitions = Field(default_factory=dict, description="Names for what is computed once.")
    change: Change = Field("refuse", description="Where the shape changes: steps, none or refuse.")
    same: Change = Field(None, description="Where it does not: steps, none or refuse.")


class SequenceForm(Form):
    """Steps with a name and arguments."""

    args: Definitions = Field(default_factory=dict, description="Arguments with their defaults.")
    let: Definitions = Field(default_factory=dict, description="Names for what is computed once.")
    steps: Steps = Field(description="The steps.")


class Document(Form):
    """A network: stages, a block type, a shortcut policy."""

    version: Version = Field(1, description="Version of the language.")
    name: Name | None = Field(None, description="Name of the network; the file's name if left out.", examples=["resnet50"])
    description: Text | None = Field(None, description="One string about the network.")
    extends: Text | None = Field(None, description="A shipped spec's name, or the relative path of a .yaml file.", examples=["resnet50", "base.yaml"])
    params: Definitions = Field(default_factory=dict, description="Numbers that every expression may use.", examples=[{"k": 4}])
    input: Annotated[Annotated[ImageInput, Tag("image")] | Annotated[FeatureInput, Tag("features")], Discriminator(_input_form)] | None = Field(
        None, description="What one input is: an image, or a vector of features.", examples=[{"channels": 3, "height": 32, "width": 32}])
    classes: Number = Field(None, description="Classes, at least 2.", examples=[10])
    norm: Norm = Field(None, description="Normalisation that `norm` steps use.")
    act: Act = Field(None, description="Activation that `act` steps use.")
    stem: StepsOrSequence = Field(None, description="Before the stages: a sequence's name, or a list of steps.")
    block: BlockName = Field(None, description="The block that stages are made of.")
    shortcut: Policy = Field(None, description="The shortcut policy: none, identity, A, B, C, D, Ws or the spec's own.")
    merge: Merge = Field(None, description="How body and shortcut are joined.")
    stages: list[StageForm] | None = Field(None, description="The stages in order; with `extends` also a mapping that patches the parent's by name.")
    head: StepsOrSequence = Field(None, description="After the stages; it ends in `classes` features.")
    blocks: dict[str, BlockForm] = Field(default_factory=dict, description="The spec's own blocks.")
    shortcuts: dict[str, PolicyForm] = Field(default_factory=dict, description="The spec's own shortcut policies.")
    sequences: dict[str, Annotated[Annotated[SequenceForm, Tag("full")] | Annotated[Steps, Tag("list")], Discriminator(_sequence_form)]] = Field(default_factory=dict, description="The spec's own sequences.")
    init: InitForm = Field(default_factory=lambda: InitForm(), description="How weights start.")
    expect: ExpectForm | None = Field(None, description="Figures that the author believes.")
    train: Train = Field(None, description="A recipe's name, a recipe file, or an inline recipe.")


# --- from pydantic's errors to places and plain words --------------------------------------------------------

_FORMS: Mapping[tuple[str, ...], type[Form]] = {
    (): Document, ("input",): ImageInput, ("init",): InitForm, ("expect",): ExpectForm, ("stages", "*"): StageForm,
    ("blocks", "*"): BlockForm, ("shortcuts", "*"): PolicyForm, ("sequences", "*"): SequenceForm,
}  # fmt: skip
_KEY_NOUNS: Mapping[tuple[str, ...], str] = {
    (): "a top-level key", ("input",): "a key of input", ("init",): "a key of init", ("expect",): "a key of expect",
    ("stages", "*"): "a key of a stage", ("blocks", "*"): "a key of a block", ("shortcuts", "*"): "a key of a shortcut policy",
    ("sequences", "*"): "a key of a sequence",
}  # fmt: skip
_MAPPING_HELP: Mapping[tuple[str, ...], str] = {
    ("input",): "write {channels: 3, height: 224, width: 224} or {features: 784}", ("stages", "*"): "write {depth: 2, width: 64}",
    ("init",): "write {weights: he, zero_last: true}", ("expect",): "write {params: 25557032}",
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
        Document.model_validate(tree)
    except ValidationError as e:
        errors = e.errors(include_url=False)
    found = [_translate(tree, e) for e in errors if e["type"] != "missing"]
    missing: dict[tuple[str, ...], tuple[MappingTree, list[str]]] = {}
    for e in errors:
        if e["type"] == "missing":
            path = _path(tree, e["loc"][:-1])
            missing.setdefault(path, (e["input"], []))[1].append(str(e["loc"][-1]))
    absent = [k for k in REQUIRED if k not in tree] + _reference_missing(tree)
    if absent:
        missing[()] = (tree, absent)
    for path, (parent, keys) in missing.items():
        found += _missing(path, parent, keys)
    return found


def _reference_missing(tree: MappingTree) -> list[str]:
    """`block` and `shortcut` are needed unless every stage has its own."""
    stages = tree.get("stages")
    listed = stages if isinstance(stages, SequenceTree) else []
    return [k for k in ("block", "shortcut") if k not in tree and not (listed and all(isinstance(s, MappingTree) and k in s for s in listed))]


def _missing(path: tuple[str, ...], parent: MappingTree, keys: list[str]) -> Iterator[Diagnostic]:
    """One error a mapping; none for a key that an unknown key was surely meant to be."""
    form = _form(path)
    meant = {suggest(k, form.model_fields) for k in parent if k not in form.model_fields}
    keys = [k for k in keys if k not in meant]
    if keys:
        noun = _where(path, parent)
        names = ", ".join(quote(k) for k in keys)
        extra = " (the net has none, and not every stage has its own)" if path == () and {"block", "shortcut"} & set(keys) else ""
        yield Diagnostic("missing-key", f"{names} missing: {noun} needs {'it' if len(keys) == 1 else 'them'}{extra}", parent.at, f"add `{keys[0]}: ...`")


def _where(path: tuple[str, ...], parent: MappingTree) -> str:
    if not path:
        return "a spec"
    if len(path) > 1 and path[0] in ("blocks", "shortcuts", "sequences"):
        return f"{_KEY_NOUNS[(path[0], '*')].removeprefix('a key of ')} ({path[1]})"
    return _KEY_NOUNS.get(_pattern(path), "a key of the spec").removeprefix("a key of ")


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


def _pattern(path: tuple[str, ...]) -> tuple[str, ...]:
    return (path[0], "*", *path[2:]) if len(path) > 1 and path[0] in ("stages", "blocks", "shortcuts", "sequences") else path


def _form(path: tuple[str, ...]) -> type[Form]:
    return _FORMS.get(_pattern(path), Document)


def _translate(tree: MappingTree, e: ErrorDetails) -> Diagnostic:
    value: Tree = e["input"]
    path = _path(tree, e["loc"])
    if e["type"] == "extra_forbidden":
        return unknown_key(path[-1], value, _form(path[:-1]).model_fields, _KEY_NOUNS.get(_pattern(path[:-1]), "a key here"), path[:-1])
    return wrong_value(path[-1] if path else "", value, e, _MAPPING_HELP.get(_pattern(path), "write {key: value}"))


def unknown_key(key: str, value: Tree, known: Mapping[str, object], noun: str, path: tuple[str, ...] = ()) -> Diagnostic:
    """An unknown key, shown at the key."""
    at = value.key_at or value.at
    if isinstance(value, Scalar) and value.is_empty and ":" in key:
        return Diagnostic("unknown-key", f"{quote(key)} is unknown: there is no space after its colon, so it is read as a name", at, f"put a space after the colon: {key.replace(':', ': ', 1)}")
    if path and path[0] == "input":
        noun = "a key of input ({channels, height, width} or {features})"
    return Diagnostic("unknown-key", f"unknown key {quote(key)}: it is not {noun}", at, did_you_mean(key, known, what=noun.removeprefix("a ").removeprefix("top-level ")))


def at_value(value: Tree) -> Location:
    """The place of a value; the key's where nothing was written."""
    return (value.key_at or value.at) if isinstance(value, Scalar) and value.is_empty else value.at


def wrong_value(key: str, value: Tree, e: ErrorDetails, mapping_help: str) -> Diagnostic:
    """A value of the wrong kind, shown at the value."""
    named = f"{quote(key)} " if key and not key.isdigit() else "this "
    at = at_value(value)
    if isinstance(value, Scalar) and value.kind == "null" and e["type"] != "null":
        shape = "list" if e["type"] == "list_type" else "mapping" if "located" not in e["msg"] else "value"
        mend = {"list": "write a list, [] where nothing is meant", "mapping": mapping_help, "value": "give it a value, or delete the key"}[shape]
        return Diagnostic("null", f"{named}has no value (null), but must be a {shape}", at, mend)
    if e["msg"] == "located":
        ctx = e["ctx"]
        if e["type"] == "null":
            return null_value(key, value)
        return Diagnostic(e["type"], f"{named}{ctx['message']}", at, ctx["help"])
    if e["type"] == "list_type":
        items = "`- {depth: 2, width: 64}`, one line a stage" if key == "stages" else "write [ ... ]"
        return Diagnostic("wrong-type", f"{named}must be a list, not {describe(value)}", at, f"write a list: {items}")
    return Diagnostic("wrong-type", f"{named}must be a mapping of keys to values, not {describe(value)}", at, mapping_help)


def null_value(key: str, value: Tree) -> Diagnostic:
    """A key without a value, or an explicit null."""
    lists = {"stem", "head", "body", "before", "after", "same", "steps"}
    empty = "write [] for an empty list" if key in lists else "give it a value, or delete the key"
    nothing = {"norm": "write `norm: none` for no normalisation", "shortcut": "write `shortcut: none` for a plain net", "act": "write `act: identity` for none"}
    kind = "a list of steps or a reference" if key in lists else "a value"
    return Diagnostic("null", f"{quote(key)} has no value (it is null, empty), but needs {kind}", at_value(value), nothing.get(key, empty))
