"""The language's verbs: check, format, explain and recover specs, and write new ones. None needs torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resnet_dsl.diagnostics import Source, SpecError, did_you_mean, either, quote, quote_path, refuse
from resnet_dsl.language import Spec
from resnet_dsl.language.habits import number_meant as number_meant
from resnet_dsl.records.target import find
from resnet_dsl.verbs.targets import Settings, load

if TYPE_CHECKING:
    from resnet_dsl.analysis.checking import Checked, CheckedSpec
    from resnet_dsl.explanations import Explanation
    from resnet_dsl.language.format import Formatted
    from resnet_dsl.recovery import Recovered
    from resnet_dsl.recovery.stored import Stored


class HasShape(Protocol):
    """A tensor, or whatever else knows its shape."""

    @property
    def shape(self) -> Sequence[int]:
        """The shape."""


def check(*specs: str | os.PathLike[str] | Spec, overrides: Settings = (), strict: bool = False, exercise: bool = False) -> Checked:
    """Check specs: the language, every shape, the training recipe, and the figures that `expect` states.

    A mistake is no exception here: `ok` says whether all are good, `diagnostics` hold what is wrong with its place and its fix.
    `strict`: each network is checked once more as a networkx graph. `exercise`: what is said of `expect` names the lines that do
    not hold, and no figure of the network.
    """
    from resnet_dsl.analysis.checking import Checked

    return Checked(tuple(_checked(spec, overrides, strict, exercise) for spec in specs))


def _checked(spec: str | os.PathLike[str] | Spec, overrides: Settings, strict: bool, exercise: bool) -> CheckedSpec:
    from resnet_dsl.analysis.checking import CheckedSpec, check_spec

    name = spec.name if isinstance(spec, Spec) else os.fspath(spec)
    try:
        return check_spec(name, spec if isinstance(spec, Spec) else load(spec, overrides), strict=strict, exercise=exercise)
    except SpecError as e:
        return CheckedSpec(name, error=e)


def files_of(spec: str) -> Sequence[Path]:
    """The files that decide what a spec is, as far as they can be read: its own, its parents', a recipe's."""
    from resnet_dsl.language.extends import spec_files

    return spec_files(find(spec).text)


def format(spec: str | os.PathLike[str]) -> Formatted:
    """A spec in its normal form: order of keys, spacing, quotes. Comments stay, and the network stays what it is.

    `spec` is a file's path, `-` for standard input, or the text of a spec. The text is `str()` of what is returned; its `write()`
    changes the file. Raises SpecError where it is not YAML; what its keys mean is not asked.
    """
    from resnet_dsl.language.extends import is_path
    from resnet_dsl.language.format import Formatted, format_document, format_file

    name = os.fspath(spec)
    if isinstance(spec, str) and ("\n" in spec or ": " in spec):
        text = format_document(Source("the text", spec))
        return Formatted("the text", spec, text, text != spec)
    if name != "-" and not is_path(name):
        raise refuse(
            "not-a-file",
            f"{quote_path(name)} is a name, and only files have a normal form",
            "give a path that ends in .yaml",
            at=either("spec=", "FILE"),
        )
    return format_file(name)


def explanations() -> Mapping[str, Explanation]:
    """What every code means, of errors and of `lint`'s rules, by the code."""
    from resnet_dsl.analysis.lint import RULES
    from resnet_dsl.explanations import CODES, Explanation

    rules = {name: Explanation(r.title, r.why, r.wrong, r.right, r.help) for name, r in RULES.items()}
    return {code: replace(e, code=code) for code, e in {**CODES, **rules}.items()}


def explain(code: str) -> Explanation:
    """Why a code of `error[CODE]` or `warning[CODE]` is one, with a spec that has it, before and after the fix.

    Raises SpecError for a code that there is not, with the nearest one.
    """
    known = explanations()
    name = code.removeprefix("error[").removeprefix("warning[").removesuffix("]")
    if name not in known:
        raise refuse("unknown-name", f"no such code: {quote(name)}", did_you_mean(name, known, what="a code"), at=either("code=", "CODE"))
    return known[name]


def recover(
    weights: str | os.PathLike[str] | Mapping[str, HasShape | Sequence[int]],
    *,
    input: str | Sequence[int] | None = None,
    name: str | None = None,
    key: str | None = None,
    classes: int | None = None,
    prefix: str | None = None,
) -> Recovered:
    """The spec of the network that weights are of, from the names and shapes of their tensors.

    `weights` is a state_dict, a mapping of names to shapes, or a file: .safetensors, .pth, or .json with names and shapes.
    `input` is what weights do not say, (channels, height, width) or (features,), also as text: "3x128x128".
    `name` is what the network is called; `key` is where in the file the tensors are, where it holds several state_dicts.
    `classes` gives a head to a backbone, which has none; `prefix` says which of several networks in a file is meant.
    The spec was compiled, and all its tensors agree. No torch is needed.
    Raises SpecError (exit 2) that says what does not fit; exit 3 for a file that cannot be read.
    """
    from resnet_dsl.analysis.quantities import input_shape
    from resnet_dsl.recovery import recover
    from resnet_dsl.recovery.stored import Stored

    shape = None if input is None else input_shape(input)
    if isinstance(weights, Mapping):
        shapes = {key: value if isinstance(value, Sequence) else value.shape for key, value in weights.items()}
        stored = Stored({key: tuple(map(int, shape)) for key, shape in shapes.items()})
        return recover(stored, at="the state_dict", name=name or "net", input=shape, classes=classes, prefix=prefix)
    file = os.fspath(weights)
    return recover(_stored(file, key), at=file, name=name or Path(file).stem, input=shape, classes=classes, prefix=prefix)


def _stored(file: str, key: str | None) -> Stored:
    from resnet_dsl.recovery.stored import read_stored

    if file.endswith((".yaml", ".yml")):
        raise refuse("usage", f"{file} is a spec, not weights", "give a .safetensors, .pth or .json file", at=either("weights=", "FILE"))
    return read_stored(file, key)


_OWN = re.compile(r"^(name|description|expect):[ ]*[^\s|>].*\n?", re.MULTILINE)


def starter(name: str, *, like: str | None = None, file: str | None = None) -> str:
    """The text of a spec to start from: a commented one, or a copy of the spec `like` under a new name.

    `file` is where it will be written, for its comments. Raises SpecError.
    """
    from resnet_dsl.language.extends import is_path, written
    from resnet_dsl.language.files import shipped_spec
    from resnet_dsl.language.forms import NAME
    from resnet_dsl.language.schema import MODELINE

    if not NAME.match(name):
        help = "letters, digits, _, . and -, at most 64, beginning with a letter or digit"
        raise refuse("usage", f"{quote(name)} is not a name for a network", help, at=either("name=", "NAME"))
    if like is None:
        text = resources.files("resnet_dsl.language").joinpath("starter.txt").read_text("utf-8")
        return f"{MODELINE}\n{text.format(name=name, file=file or f'{name}.yaml')}"
    # What was said of that spec alone is left out.
    own = _OWN.sub("", written(like if is_path(like) else str(shipped_spec(like))).text)
    return f"{MODELINE}\n# Started from {like}.\nname: {name}\n{own}"


SCHEMA_FILE = "resnet-dsl.schema.json"
"""Where editors look for the schema beside a spec."""


def schema() -> str:
    """The JSON Schema of specs, for editors: the text of its file."""
    from resnet_dsl.language.schema import written_schema

    return written_schema()


def settable(word: str) -> str | None:
    """The key that an override sets, for a word with dashes or without: the spec's own, or a recipe's below `train`; None where there is none."""
    from resnet_dsl.language.forms import SpecForm
    from resnet_dsl.language.recipe import Recipe

    key = word.replace("-", "_")
    if key in SpecForm.model_fields:
        return key
    return f"train.{key}" if key in Recipe.model_fields else None
