"""The form of a document: which keys there are, which are needed, what kind of value each takes (docs/language.md, Top-level keys).

Plain tables, read by three: `errors` checks a located tree by them, `language.schema` writes them for editors, `language.format`
takes the order of keys. What names, steps and expressions mean is for `language.resolve`; here they are any tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from resnet_dsl.diagnostics import did_you_mean, quote
from resnet_dsl.language.kinds import INITS
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a value: the message goes on after the key, the help is the edit that fixes it."""

    code: str
    message: str
    help: str


@dataclass(frozen=True, slots=True)
class FormError:
    """A mistake of form at a path: a key that is missing or unknown, a value of another shape, or a `Fault` of its own."""

    what: Literal["missing", "unknown", "list", "mapping"] | Fault
    path: tuple[str, ...]
    value: Tree
    """The value; for a missing key the mapping that should hold it."""


# --- kinds of value ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that one function checks. In the JSON Schema it is `defined` there, or is `schema`."""

    check: Callable[[Tree], Fault | None]
    schema: Mapping[str, Any] = field(default_factory=dict)
    defined: str = ""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of parts."""

    item: Form


@dataclass(frozen=True, slots=True)
class NamedValues:
    """A mapping of names to values of one kind."""

    value: Kind


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of two kinds, as a first glance at the value decides."""

    first: Kind
    second: Kind
    is_second: Callable[[Tree], bool]


@dataclass(frozen=True, slots=True)
class Key:
    """What stands under a key. Without `needed` it may be left out; `default` is what then holds, where that can be written."""

    kind: Kind
    description: str
    examples: tuple[Any, ...]
    default: Any = None
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A mapping with these keys and no others. `name` is what the JSON Schema calls it."""

    name: str
    about: str
    keys: Mapping[str, Key]


Kind = Leaf | ListOf | NamedValues | OneOf | Form


def errors(kind: Kind, tree: Tree, path: tuple[str, ...] = ()) -> Iterator[FormError]:
    """Everything that is wrong with the form of a value, from the outside in."""
    match kind:
        case Leaf():
            if (fault := kind.check(tree)) is not None:
                yield FormError(fault, path, tree)
        case OneOf():
            yield from errors(kind.second if kind.is_second(tree) else kind.first, tree, path)
        case ListOf():
            if isinstance(tree, SequenceTree):
                for i, item in enumerate(tree):
                    yield from errors(kind.item, item, (*path, str(i)))
            else:
                yield FormError("list", path, tree)
        case _ if not isinstance(tree, MappingTree):
            yield FormError("mapping", path, tree)
        case NamedValues():
            for name, value in tree.items():
                yield from errors(kind.value, value, (*path, name))
        case Form():
            for name, key in kind.keys.items():
                if name in tree:
                    yield from errors(key.kind, tree[name], (*path, name))
                elif key.needed:
                    yield FormError("missing", (*path, name), tree)
            for name, value in tree.items():
                if name not in kind.keys:
                    yield FormError("unknown", (*path, name), value)


# --- checks of one value -------------------------------------------------------------------------------------


def _text(value: Tree) -> Fault | None:
    if isinstance(value, Scalar) and value.kind == "text":
        return None
    quoting = f'put it in quotes: "{value.text}"' if isinstance(value, Scalar) and value.text else "write one string"
    return Fault("wrong-type", f"must be text (a string), not {describe(value)}", quoting)


def _name(value: Tree) -> Fault | None:
    if not (isinstance(value, Scalar) and value.kind == "text"):
        return _text(value)
    text = value.text
    if NAME.match(text):
        return None
    problem = "an empty text" if not text else f"{len(text):,} characters" if len(text) > 64 else quote(text)
    return Fault(
        "bad-name",
        f"must be 1 to 64 characters: letters, digits, '_', '.', '-', the first a letter or digit, not {problem}",
        "use a plain ASCII name such as my-net.v2",
    )


def _boolean(value: Tree) -> Fault | None:
    if isinstance(value, Scalar) and value.kind == "bool":
        return None
    return Fault("wrong-type", f"must be a boolean, true or false, not {describe(value)}", boolean_help(value))


def boolean_help(value: Tree) -> str:
    """The fix where true or false is expected."""
    word = value.text.lower() if isinstance(value, Scalar) else ""
    if word in ("yes", "on", "true", "1"):
        return "write true"
    return "write false" if word in ("no", "off", "false", "0", "none", "null", "~") else "write true or false"


def _initial(value: Tree) -> Fault | None:
    text = value.text if isinstance(value, Scalar) else describe(value)
    if text in INITS:
        return None
    return Fault("unknown-name", f"{quote(text)} is not known: it is one of {', '.join(INITS)}", did_you_mean(text, INITS, what="it"))


def _version(value: Tree) -> Fault | None:
    if isinstance(value, Scalar) and value.kind == "int" and value.text == "1":
        return None
    message = f"must be the integer 1, the only version there is, not {describe(value)}"
    return Fault("wrong-type", message, "write `version: 1`, or leave it out")


def _train(value: Tree) -> Fault | None:
    if isinstance(value, MappingTree) or (isinstance(value, Scalar) and value.kind == "text" and value.text):
        return None
    message = f"must be a recipe's name, a path or an inline recipe (a mapping), not {describe(value)}"
    return Fault("wrong-type", message, "write train: quick, or train: {epochs: 5}")


def _any(value: Tree) -> Fault | None:
    if isinstance(value, Scalar) and value.kind == "null":
        return Fault("null", "has no value (null)", "give it a value, or delete the key")
    return None


# --- the kinds -----------------------------------------------------------------------------------------------


def _defined(name: str) -> Leaf:
    return Leaf(_any, defined=name)


TEXT = Leaf(_text, {"type": "string"})
NAME_TEXT = Leaf(_name, {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"})
STAGE_NAME = Leaf(_any, {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"})
BOOLEAN = Leaf(_boolean, {"type": "boolean"})
VERSION = Leaf(_version, {"const": 1})
INITIAL = Leaf(_initial, {"enum": list(INITS)})
TRAIN = Leaf(_train, defined="train")
VALUE, NUMBER, SIZE, WINDOW, DEPTH = map(_defined, ("value", "number", "size", "window", "depth"))
CLASSES, FIGURE, STEPS, CHANGE, MERGE = map(_defined, ("classes", "figure", "steps", "change", "merge"))
BLOCK_NAME, POLICY_NAME, NORM, ACT = map(_defined, ("block", "shortcut", "norm", "act"))
STEPS_OR_SEQUENCE = _defined("stepsOrSequence")

# --- the forms -----------------------------------------------------------------------------------------------

IMAGE = Form(
    "ImageInput",
    "Pictures: channels x height x width.",
    {
        "channels": Key(SIZE, "Channels of an image: 1 for grey, 3 for colour.", (3,), needed=True),
        "height": Key(SIZE, "Pixels.", (224,), needed=True),
        "width": Key(SIZE, "Pixels.", (224,), needed=True),
    },
)

FEATURES = Form(
    "FeatureInput",
    "Vectors.",
    {
        "features": Key(SIZE, "Values in a vector.", (784,), needed=True),
    },
)

INPUT = OneOf(IMAGE, FEATURES, lambda value: isinstance(value, MappingTree) and "features" in value and "channels" not in value)

INIT = Form(
    "InitForm",
    "How weights start.",
    {
        "weights": Key(
            INITIAL,
            "he: normal, fan-out (He et al. 2015b); he_fan_in; xavier; torch: PyTorch's own; fixup (Zhang et al. 2019).",
            ("fixup",),
            default="he",
        ),
        "zero_last": Key(
            BOOLEAN,
            "Zero the last norm, conv, linear or scale in each block's body, so that blocks start as the identity.",
            (True,),
            default=False,
        ),
    },
)

EXPECT = Form(
    "ExpectForm",
    "What the author believes; a mismatch is an error.",
    {
        "params": Key(FIGURE, "Elements of trainable parameters.", (25557032,)),
        "macs": Key(FIGURE, "Multiply-accumulates of convolutions and linear layers for one input.", (4089184256,)),
        "depth": Key(FIGURE, "Weighted layers on the main path.", (50,)),
    },
)

STAGE = Form(
    "StageForm",
    "`depth` blocks of `width`; the first one carries `stride`.",
    {
        "depth": Key(DEPTH, "Blocks in the stage.", (3,), needed=True),
        "width": Key(SIZE, "Width of a block; what that means is the block's matter.", (64,), needed=True),
        "stride": Key(WINDOW, "Stride of the first block.", (2,), default="1"),
        "name": Key(STAGE_NAME, "Module name; layer1, layer2, ... if left out.", ("layer1",)),
        "block": Key(BLOCK_NAME, "Another block than the net's, with all its arguments.", ("basic", "bottleneck")),
        "shortcut": Key(POLICY_NAME, "Another shortcut policy than the net's.", ("B",)),
        "merge": Key(MERGE, "Another merge than the net's.", ("concat",)),
        "before": Key(
            STEPS, "Steps before the first block.", (["norm", {"conv": {"out": "width", "kernel": 2, "stride": 2, "padding": 0}}],)
        ),
        "after": Key(STEPS, "Steps after the last block: a transition, say.", ([{"maxpool": {"kernel": 2}}],)),
    },
)

BLOCK = Form(
    "BlockForm",
    "A residual block: y = after(merge(body(before(x)), shortcut)).",
    {
        "args": Key(NamedValues(VALUE), "Arguments with their defaults.", ({"groups": 1, "base_width": 64},)),
        "let": Key(NamedValues(VALUE), "Names for what is computed once.", ({"mid": "width * base_width // 64 * groups"},)),
        "out": Key(SIZE, "Channels (features) that leave the block.", ("width * 4",), default="width"),
        "before": Key(STEPS, "Steps before the body; a projection shortcut reads what they give.", (["norm", "act"],)),
        "body": Key(
            STEPS, "The residual function F.", ([{"conv": {"out": "width", "kernel": 3, "stride": "stride"}}, "norm"],), needed=True
        ),
        "after": Key(STEPS, "Steps after the merge.", (["act"],)),
        "merge": Key(MERGE, "The block's own merge.", ("concat",)),
    },
)

POLICY = Form(
    "PolicyForm",
    "A shortcut policy: what stands beside the body.",
    {
        "args": Key(NamedValues(VALUE), "Arguments with their defaults.", ({"groups": 1, "base_width": 64},)),
        "let": Key(NamedValues(VALUE), "Names for what is computed once.", ({"mid": "width * base_width // 64 * groups"},)),
        "change": Key(
            CHANGE,
            "Where the shape changes: steps, none or refuse.",
            ([{"conv": {"out": "out", "kernel": 1, "stride": "stride"}}, "norm"],),
            default="refuse",
        ),
        "same": Key(CHANGE, "Where it does not: steps, none or refuse.", ([],)),
    },
)

SEQUENCE = Form(
    "SequenceForm",
    "Steps with a name and arguments.",
    {
        "args": Key(NamedValues(VALUE), "Arguments with their defaults.", ({"groups": 1, "base_width": 64},)),
        "let": Key(NamedValues(VALUE), "Names for what is computed once.", ({"mid": "width * base_width // 64 * groups"},)),
        "steps": Key(STEPS, "The steps.", (["norm", "act"],), needed=True),
    },
)

SEQUENCE_OR_STEPS = OneOf(SEQUENCE, STEPS, lambda value: isinstance(value, SequenceTree))

DOCUMENT = Form(
    "Document",
    "A network: stages, a block type, a shortcut policy.",
    {
        "version": Key(VERSION, "Version of the language.", (1,), default=1),
        "name": Key(NAME_TEXT, "Name of the network; the file's name if left out.", ("resnet50",)),
        "description": Key(TEXT, "One string about the network.", ("ResNet-50 with its stride in the 3x3 conv",)),
        "extends": Key(TEXT, "A shipped spec's name, or the relative path of a .yaml file.", ("resnet50", "base.yaml")),
        "params": Key(NamedValues(NUMBER), "Numbers that every expression may use.", ({"k": 4},)),
        "input": Key(INPUT, "What one input is: an image, or a vector of features.", ({"channels": 3, "height": 32, "width": 32},)),
        "classes": Key(CLASSES, "Classes, at least 2.", (10,)),
        "norm": Key(NORM, "Normalisation that `norm` steps use.", ("batch", "none")),
        "act": Key(ACT, "Activation that `act` steps use.", ("relu", "gelu")),
        "stem": Key(STEPS_OR_SEQUENCE, "Before the stages: a sequence's name, or a list of steps.", ("imagenet", "cifar")),
        "block": Key(BLOCK_NAME, "The block that stages are made of.", ("basic", "bottleneck")),
        "shortcut": Key(POLICY_NAME, "The shortcut policy: none, identity, A, B, C, D, Ws or the spec's own.", ("B",)),
        "merge": Key(MERGE, "How body and shortcut are joined.", ("add",)),
        "stages": Key(
            ListOf(STAGE),
            "The stages in order; with `extends` also a mapping that patches the parent's by name.",
            ([{"depth": 2, "width": 64}, {"depth": 2, "width": 128, "stride": 2}],),
        ),
        "head": Key(STEPS_OR_SEQUENCE, "After the stages; it ends in `classes` features.", ("classifier",)),
        "blocks": Key(
            NamedValues(BLOCK),
            "The spec's own blocks.",
            ({"small": {"body": [{"conv": {"out": "width", "kernel": 3, "stride": "stride"}}]}},),
        ),
        "shortcuts": Key(
            NamedValues(POLICY),
            "The spec's own shortcut policies.",
            ({"pool": {"change": [{"avgpool": {"kernel": "stride"}}], "same": []}},),
        ),
        "sequences": Key(NamedValues(SEQUENCE_OR_STEPS), "The spec's own sequences.", ({"pre": {"steps": ["norm", "act"]}},)),
        "init": Key(INIT, "How weights start: normal with fan-out if left out.", ({"weights": "he", "zero_last": True},)),
        "expect": Key(EXPECT, "Figures that the author believes.", ({"params": 25557032, "depth": 50},)),
        "train": Key(TRAIN, "A recipe's name, a recipe file, or an inline recipe.", ("quick", "my-recipe.yaml")),
    },
)

PARTS = (IMAGE, FEATURES, SEQUENCE, STAGE, BLOCK, POLICY, INIT, EXPECT)
"""The forms within a document, in the order of the JSON Schema."""
