"""The form of a document: which keys there are, which are needed, what kind of value each takes (docs/language.md, Top-level keys).

The models read the located tree itself, so that every pydantic error carries the place of its input and pydantic's own
text is never shown. What names, steps and expressions mean is for `language.resolve`; here they are any tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PlainValidator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

from resnet_dsl.diagnostics import did_you_mean, quote
from resnet_dsl.language.expectations import FIGURES
from resnet_dsl.language.kinds import INITS
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe

DEFINED = "defined"
"""In a model's JSON Schema: this value is one of `language.schema`'s definitions, which pydantic does not know."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")


def _fail(code: str, message: str, help: str) -> PydanticCustomError:
    # Braces are pydantic's template syntax: the texts travel in the context instead.
    return PydanticCustomError(code, "located", {"message": message, "help": help})


def _text(value: Any) -> str:
    if isinstance(value, Scalar) and value.kind == "text":
        return value.text
    what = describe(value)
    quoting = f'put it in quotes: "{value.text}"' if isinstance(value, Scalar) and value.text else "write one string"
    raise _fail("wrong-type", f"must be text (a string), not {what}", quoting)


def _name(value: Any) -> str:
    text = _text(value)
    if not NAME.match(text):
        problem = "an empty text" if not text else f"{len(text):,} characters" if len(text) > 64 else quote(text)
        raise _fail(
            "bad-name",
            f"must be 1 to 64 characters: letters, digits, '_', '.', '-', the first a letter or digit, not {problem}",
            "use a plain ASCII name such as my-net.v2",
        )
    return text


def _boolean(value: Any) -> bool:
    if isinstance(value, Scalar) and value.kind == "bool":
        return value.text == "true"
    raise _fail("wrong-type", f"must be a boolean, true or false, not {describe(value)}", boolean_help(value))


def boolean_help(value: Tree) -> str:
    """The fix where true or false is expected."""
    word = value.text.lower() if isinstance(value, Scalar) else ""
    if word in ("yes", "on", "true", "1"):
        return "write true"
    return "write false" if word in ("no", "off", "false", "0", "none", "null", "~") else "write true or false"


def _choice(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        text = value.text if isinstance(value, Scalar) else describe(value)
        if text not in words:
            raise _fail(
                "unknown-name", f"{quote(text)} is not known: it is one of {', '.join(words)}", did_you_mean(text, words, what="it")
            )
        return text

    return check


def _version(value: Any) -> int:
    if not (isinstance(value, Scalar) and value.kind == "int" and value.text == "1"):
        raise _fail(
            "wrong-type", f"must be the integer 1, the only version there is, not {describe(value)}", "write `version: 1`, or leave it out"
        )
    return 1


def _train(value: Any) -> Any:
    if isinstance(value, MappingTree) or (isinstance(value, Scalar) and value.kind == "text" and value.text):
        return value
    raise _fail(
        "wrong-type",
        f"must be a recipe's name, a path or an inline recipe (a mapping), not {describe(value)}",
        "write train: quick, or train: {epochs: 5}",
    )


def _any(value: Any) -> Any:
    if isinstance(value, Scalar) and value.kind == "null":
        raise _fail("null", "has no value (null)", "give it a value, or delete the key")
    return value


Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Name = Annotated[str, PlainValidator(_name), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"})]
Boolean = Annotated[bool, PlainValidator(_boolean), WithJsonSchema({"type": "boolean"})]
Version = Annotated[int, PlainValidator(_version), WithJsonSchema({"const": 1})]
Initial = Annotated[str, PlainValidator(_choice(*INITS)), WithJsonSchema({"enum": list(INITS)})]
Value = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "value"})]
Number = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "number"})]
Size = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "size"})]
Window = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "window"})]
WindowPair = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "windowPair"})]
Depth = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "depth"})]
Classes = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "classes"})]
Figure = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "figure"})]
ShapeText = Annotated[Any, PlainValidator(_any), WithJsonSchema({"type": ["string", "integer"], "pattern": "^[0-9]+(x[0-9]+x[0-9]+)?$"})]
Steps = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "steps"})]
Change = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "change"})]
BlockName = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "block"})]
Policy = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "shortcut"})]
Merge = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "merge"})]
Norm = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "norm"})]
Act = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "act"})]
StepsOrSequence = Annotated[Any, PlainValidator(_any), WithJsonSchema({DEFINED: "stepsOrSequence"})]
Train = Annotated[Any, PlainValidator(_train), WithJsonSchema({DEFINED: "train"})]
Definitions = dict[str, Value]


def _input_form(value: Any) -> str | None:
    if not isinstance(value, MappingTree):
        return None
    return "features" if "features" in value and "channels" not in value else "image"


def _sequence_form(value: Any) -> str:
    return "list" if isinstance(value, SequenceTree) else "full"


class Form(BaseModel):
    """What all parts of a document share: strict, frozen, and no key that is not listed."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", defer_build=True)


class ImageInput(Form):
    """Pictures: channels x height x width."""

    channels: Size = Field(description="Channels of an image: 1 for grey, 3 for colour.", examples=[3])
    height: Size = Field(description="Pixels.", examples=[224])
    width: Size = Field(description="Pixels.", examples=[224])


class FeatureInput(Form):
    """Vectors."""

    features: Size = Field(description="Values in a vector.", examples=[784])


class InitForm(Form):
    """How weights start."""

    weights: Initial = Field(
        "he",
        description="he: normal, fan-out (He et al. 2015b); he_fan_in; xavier; torch: PyTorch's own; fixup (Zhang et al. 2019).",
        examples=["fixup"],
    )
    zero_last: Boolean = Field(
        False,
        description="Zero the last norm, conv, linear or scale in each block's body, so that blocks start as the identity.",
        examples=[True],
    )


def _figure(key: str, example: int | str) -> Any:
    about = f"{FIGURES[key]} A number, a bound such as '<= 300k', or a range such as 1M..2M."
    return Field(None, description=about, examples=[example])


class ExpectForm(Form):
    """What the author believes; a mismatch is an error."""

    params: Figure = _figure("params", 25557032)
    macs: Figure = _figure("macs", "1M..2M")
    depth: Figure = _figure("depth", 50)
    activations: Figure = _figure("activations", "<= 10M")
    shortcut_params: Figure = _figure("shortcut_params", 0)
    shortcut_macs: Figure = _figure("shortcut_macs", 0)
    blocks: Figure = _figure("blocks", 16)
    receptive: Figure = _figure("receptive", ">= 32")
    shapes: dict[str, ShapeText] = Field(
        default_factory=dict,
        description="Shapes of values by name: a stage, a step of the stem or the head, or a path such as layer1.0.conv1.",
        examples=[{"layer3": "64x8x8"}],
    )


class StageForm(Form):
    """`depth` blocks of `width`; the first one carries `stride`."""

    depth: Depth = Field(description="Blocks in the stage.", examples=[3])
    width: Size = Field(description="Width of a block; what that means is the block's matter.", examples=[64])
    stride: WindowPair = Field("1", description="Stride of the first block: a number, or [height, width].", examples=[2, [1, 2]])
    dilation: WindowPair = Field(
        None,
        description="Dilation of the blocks' spatial convolutions, a number or [height, width]; the first one of the first block keeps that of "
        "the stage before. Left out: as in the stage before, 1 in the first.",
        examples=[2],
    )
    name: Annotated[Any, PlainValidator(_any), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"})] = Field(
        None, description="Module name; layer1, layer2, ... if left out.", examples=["layer1"]
    )
    block: BlockName = Field(None, description="Another block than the net's, with all its arguments.", examples=["basic", "bottleneck"])
    shortcut: Policy = Field(None, description="Another shortcut policy than the net's.", examples=["B"])
    merge: Merge = Field(None, description="Another merge than the net's.", examples=["concat"])
    before: Steps = Field(
        None,
        description="Steps before the first block.",
        examples=[["norm", {"conv": {"out": "width", "kernel": 2, "stride": 2, "padding": 0}}]],
    )
    after: Steps = Field(None, description="Steps after the last block: a transition, say.", examples=[[{"maxpool": {"kernel": 2}}]])


class BlockForm(Form):
    """A residual block: y = after(merge(body(before(x)), shortcut))."""

    args: Definitions = Field(
        default_factory=dict, description="Arguments with their defaults.", examples=[{"groups": 1, "base_width": 64}]
    )
    let: Definitions = Field(
        default_factory=dict, description="Names for what is computed once.", examples=[{"mid": "width * base_width // 64 * groups"}]
    )
    out: Size = Field("width", description="Channels (features) that leave the block.", examples=["width * 4"])
    before: Steps = Field(
        None, description="Steps before the body; a projection shortcut reads what they give.", examples=[["norm", "act"]]
    )
    body: Steps = Field(
        description="The residual function F.", examples=[[{"conv": {"out": "width", "kernel": 3, "stride": "stride"}}, "norm"]]
    )
    after: Steps = Field(None, description="Steps after the merge.", examples=[["act"]])
    merge: Merge = Field(None, description="The block's own merge.", examples=["concat"])


class PolicyForm(Form):
    """A shortcut policy: what stands beside the body."""

    args: Definitions = Field(
        default_factory=dict, description="Arguments with their defaults.", examples=[{"groups": 1, "base_width": 64}]
    )
    let: Definitions = Field(
        default_factory=dict, description="Names for what is computed once.", examples=[{"mid": "width * base_width // 64 * groups"}]
    )
    change: Change = Field(
        "refuse",
        description="Where the shape changes: steps, none or refuse.",
        examples=[[{"conv": {"out": "out", "kernel": 1, "stride": "stride"}}, "norm"]],
    )
    same: Change = Field(None, description="Where it does not: steps, none or refuse.", examples=[[]])


class SequenceForm(Form):
    """Steps with a name and arguments."""

    args: Definitions = Field(
        default_factory=dict, description="Arguments with their defaults.", examples=[{"groups": 1, "base_width": 64}]
    )
    let: Definitions = Field(
        default_factory=dict, description="Names for what is computed once.", examples=[{"mid": "width * base_width // 64 * groups"}]
    )
    steps: Steps = Field(description="The steps.", examples=[["norm", "act"]])


class SpecForm(Form):
    """A network: stages, a block type, a shortcut policy."""

    version: Version = Field(1, description="Version of the language.", examples=[1])
    name: Name | None = Field(None, description="Name of the network; the file's name if left out.", examples=["resnet50"])
    description: Text | None = Field(
        None, description="One string about the network.", examples=["ResNet-50 with its stride in the 3x3 conv"]
    )
    extends: Text | None = Field(
        None, description="A shipped spec's name, or the relative path of a .yaml file.", examples=["resnet50", "base.yaml"]
    )
    params: dict[str, Number] = Field(default_factory=dict, description="Numbers that every expression may use.", examples=[{"k": 4}])
    input: Annotated[Annotated[ImageInput, Tag("image")] | Annotated[FeatureInput, Tag("features")], Discriminator(_input_form)] | None = (
        Field(
            None, description="What one input is: an image, or a vector of features.", examples=[{"channels": 3, "height": 32, "width": 32}]
        )
    )
    classes: Classes = Field(None, description="Classes, at least 2.", examples=[10])
    norm: Norm = Field(None, description="Normalisation that `norm` steps use.", examples=["batch", "none"])
    act: Act = Field(None, description="Activation that `act` steps use.", examples=["relu", "gelu"])
    stem: StepsOrSequence = Field(
        None,
        description="Before the stages: a sequence's name, or a list of steps.",
        examples=["imagenet", "cifar"],
    )
    block: BlockName = Field(None, description="The block that stages are made of.", examples=["basic", "bottleneck"])
    shortcut: Policy = Field(None, description="The shortcut policy: none, identity, A, B, C, D, Ws or the spec's own.", examples=["B"])
    merge: Merge = Field(None, description="How body and shortcut are joined.", examples=["add"])
    stages: list[StageForm] | None = Field(
        None,
        description="The stages in order; with `extends` also a mapping that patches the parent's by name.",
        examples=[[{"depth": 2, "width": 64}, {"depth": 2, "width": 128, "stride": 2}]],
    )
    output_stride: Window = Field(
        None,
        description="The stages divide the input by no more than this: what is left of their strides becomes dilation, with the same weights.",
        examples=[8, 16],
    )
    head: StepsOrSequence = Field(None, description="After the stages; it ends in `classes` features.", examples=["classifier"])
    blocks: dict[str, BlockForm] = Field(
        default_factory=dict,
        description="The spec's own blocks.",
        examples=[{"small": {"body": [{"conv": {"out": "width", "kernel": 3, "stride": "stride"}}]}}],
    )
    shortcuts: dict[str, PolicyForm] = Field(
        default_factory=dict,
        description="The spec's own shortcut policies.",
        examples=[{"pool": {"change": [{"avgpool": {"kernel": "stride"}}], "same": []}}],
    )
    sequences: dict[str, Annotated[Annotated[SequenceForm, Tag("full")] | Annotated[Steps, Tag("list")], Discriminator(_sequence_form)]] = (
        Field(default_factory=dict, description="The spec's own sequences.", examples=[{"pre": {"steps": ["norm", "act"]}}])
    )
    init: InitForm = Field(
        default_factory=lambda: InitForm(),
        description="How weights start: normal with fan-out if left out.",
        examples=[{"weights": "he", "zero_last": True}],
    )
    expect: ExpectForm | None = Field(None, description="Figures that the author believes.", examples=[{"params": 25557032, "depth": 50}])
    train: Train = Field(None, description="A recipe's name, a recipe file, or an inline recipe.", examples=["quick", "my-recipe.yaml"])
