"""The JSON Schema: complete, true of every spec that is shipped, and understood by the language server that editors run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cases import DATA
from jsonschema import Draft202012Validator
from language_server import Server

from resnet_dsl.diagnostics import Source
from resnet_dsl.language.definitions import library
from resnet_dsl.language.kinds import ACTS, NORMS, STEPS
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.schema import FILE, MODELINE, json_schema, written_schema
from resnet_dsl.language.source import read_value
from resnet_dsl.language.tree import plain

ROOT = Path(__file__).parent.parent
SCHEMA = json_schema()
SPECS = sorted([*ROOT.glob("specs/he2015/*.yaml"), *(DATA / "legal").glob("*.yaml")])

GOOD = """\
input: {channels: 1, height: 8, width: 8}
classes: 10
stem: cifar
shortcut: B
block: basic
stages:
  - {depth: 1, width: 16}
"""


def fields(tree: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a mapping may have, with what is said of it."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key in ("properties", "$defs") and isinstance(value, dict):
                for name, inner in value.items():
                    if key == "properties" and not re.search("allOf", path):
                        yield f"{path}.{name}", inner
                    yield from fields(inner, f"{path}.{name}")
            else:
                yield from fields(value, f"{path}.{key}" if key == "allOf" else path)
    elif isinstance(tree, list):
        for value in tree:
            yield from fields(value, path)


def test_every_field_is_described_and_has_an_example() -> None:
    found = dict(fields(SCHEMA))
    assert len(found) > 150
    assert [path for path, field in found.items() if not field.get("description")] == []
    # A step's or a reference's own name needs none: its arguments have theirs.
    named = re.compile(r"\.(step|block|shortcut|norm|act|merge|stepsOrSequence)\.[A-Za-z_0-9]+$")
    lacking = [p for p, f in found.items() if not (f.get("examples") or f.get("defaultSnippets")) and not named.search(p)]
    assert lacking == []


def test_examples_are_legal() -> None:
    """Each example of each field is what the field's own schema allows."""
    for path, field in fields(SCHEMA):
        check = Draft202012Validator({**field, "$defs": SCHEMA["$defs"]})
        for example in [*field.get("examples", ()), *(s["body"] for s in field.get("defaultSnippets", ()))]:
            assert check.is_valid(example), (path, example)


def test_every_name_and_argument_is_in_it() -> None:
    step = SCHEMA["$defs"]["step"]["anyOf"][-1]["properties"]
    assert list(step) == [*STEPS, *library()["sequence"]]
    for name, signature in STEPS.items():
        arguments = step[name] if "properties" in step[name] else step[name]["anyOf"][-1]
        assert {*signature.args, "as", "when"} <= set(arguments["properties"]), name
        assert set(arguments.get("required", ())) == {k for k, a in signature.args.items() if a.required}
    for family in ("block", "shortcut"):
        union = SCHEMA["$defs"][family]["anyOf"]
        assert [u["const"] for u in union if "const" in u] == list(library()[family]) == list(union[-1]["properties"])
        for name, definition in library()[family].items():
            assert list(union[-1]["properties"][name]["properties"]) == list(definition.args)
    for family, table in (("norm", NORMS), ("act", ACTS)):
        assert [u["const"] for u in SCHEMA["$defs"][family]["anyOf"] if "const" in u] == list(table)
    assert list(SCHEMA["$defs"]["Recipe"]["properties"]) == list(Recipe.model_fields)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_specs_that_compile_are_valid(path: Path) -> None:
    document = plain(read_value(Source(path.name, path.read_text()), 0))
    errors = [f"{list(e.absolute_path)}: {e.message}" for e in Draft202012Validator(SCHEMA).iter_errors(document)]
    assert errors == []


# --- the language server, as an editor speaks to it ------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("nets")
    (folder / FILE).write_text(written_schema())
    server = Server(folder)
    yield server
    server.close()


def spec(text: str) -> str:
    return f"{MODELINE}\n{text}"


BLOCKS, POLICIES = list(library()["block"]), list(library()["shortcut"])

# What is offered at `|`: these, and no name or key of another place.
COMPLETIONS: list[tuple[str, str, list[str], list[str]]] = [
    ("top-level keys", "|", ["input", "stem", "block", "stages", "expect"], ["depth", "conv"]),
    ("blocks", "block: |", BLOCKS, ["B", "conv"]),
    ("a block half written", "block: bo|", ["bottleneck"], ["B"]),
    ("arguments of a block", "block:\n  bottleneck:\n    |", list(library()["block"]["bottleneck"].args), ["growth", "kernel"]),
    ("arguments not yet given", "block:\n  bottleneck:\n    groups: 32\n    |", ["expansion", "base_width"], ["groups"]),
    ("arguments in braces", "block: {bottleneck: {gr|}}", ["groups"], ["growth"]),
    ("policies", "shortcut: |", POLICIES, ["basic"]),
    ("a stage's policy", "stages:\n  - depth: 1\n    shortcut: |", POLICIES, ["basic"]),
    ("arguments of a policy", "shortcut:\n  B:\n    |", ["norm"], ["out"]),
    ("keys of a stage", "stages:\n  - |", ["depth", "width", "stride", "block", "before"], ["conv"]),
    ("steps", "stem:\n  - |", [*STEPS, "conv_norm_act"], ["basic", "depth"]),
    ("steps of a block", "blocks:\n  mine:\n    body:\n      - |", [*STEPS, "se"], ["basic"]),
    ("arguments of a step", "stem:\n  - conv:\n      |", [*STEPS["conv"].args, "as", "when"], ["rate"]),
    ("stems", "stem: |", ["imagenet", "cifar", "deep"], ["basic"]),
    ("norms", "norm: |", list(NORMS), ["relu"]),
    ("activations of a step", "stem:\n  - act: |", list(ACTS), ["batch"]),
    ("recipes", "train: |", ["quick", "digits", "he2015-cifar"], ["basic"]),
    ("keys of a recipe", "train:\n  |", ["epochs", "lr", "augment"], ["depth"]),
    ("schedules", "train:\n  schedule: |", ["constant", "step", "cosine", "onecycle"], []),
]


@pytest.mark.needs("yaml-language-server")
@pytest.mark.parametrize(("name", "text", "offered", "foreign"), COMPLETIONS, ids=[c[0] for c in COMPLETIONS])
def test_completion(server: Server, name: str, text: str, offered: list[str], foreign: list[str]) -> None:
    found = server.completion(f"{name}.yaml", spec(text))
    assert set(offered) - set(found) == set()
    assert set(foreign) & set(found) == set()
    assert "[object Object]" not in found


@pytest.mark.needs("yaml-language-server")
def test_completion_explains_and_inserts_yaml(server: Server) -> None:
    item = server.completion("explained.yaml", spec("norm: |"))["batch"]
    assert "Ioffe and Szegedy 2015" in json.dumps(item["documentation"])
    item = server.completion("inserted.yaml", spec("input: |"))["{channels: 3, height: 32, width: 32}"]
    assert yaml.safe_load(item["textEdit"]["newText"]) == {"channels": 3, "height": 32, "width": 32}


@pytest.mark.needs("yaml-language-server")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("block: bas|ic", "conv, norm, act, conv, norm, se, droppath; then the merge, act"),
        ("shortcut: |B", "where the shape changes: conv, norm; where it does not: identity"),
        ("block: {bottleneck: {gr|oups: 32}}", "An argument of bottleneck; 1 if left out."),
        ("stem:\n  - co|nv: {kernel: 3}", "2-D convolution"),
        ("stem:\n  - conv: {ker|nel: 3}", "window: a number, or"),
        ("stages:\n  - {de|pth: 3, width: 3}", "Blocks in the stage."),
        ("init: {ze|ro_last: true}", "so that blocks start as the identity"),
        ("train: qu|ick", "Good accuracy on small images in a few epochs"),
    ],
)
def test_hover(server: Server, text: str, said: str) -> None:
    assert said in server.hover(f"{abs(hash(text))}.yaml", spec(text))


# A file that is broken by putting one text in another's place: what is underlined, as `line:from-to text`.
SQUIGGLES: list[tuple[str, str, str, list[str]]] = [
    ("unknown key", "input:", "inptu:", ["2:1-6 Property inptu is not allowed.", '2:1-2 Missing property "input".']),
    ("missing key", "classes: 10\n", "", ['2:1-2 Missing property "classes".']),
    ("unknown block", "block: basic", "block: basci", ['6:8-13 Value is not accepted. Valid values: "basic", "bottleneck", ']),
    ("unknown policy", "shortcut: B", "shortcut: {Z: {}}", ["5:12-13 "]),
    ("unknown argument", "block: basic", "block: {basic: {sse: 16}}", ["6:17-20 Property sse is not allowed."]),
    ("argument of a step", "stem: cifar", "stem: [conv: {kernel: 3, filters: 8}]", ["4:26-33 Property filters is not allowed."]),
    ("argument that lacks", "stem: cifar", "stem: [conv: {out: 3}]", ['4:8-12 Missing property "kernel".']),
    ("unknown step", "stem: cifar", "stem: [convolve]", ['4:8-16 Value is not accepted. Valid values: "conv", ']),
    ("out of range", "classes: 10", "classes: 1", ["3:10-11 Value is below the minimum of 2."]),
    ("wrong kind", "shortcut: B", "shortcut: {B: {norm: 3}}", ['5:22-23 Incorrect type. Expected "boolean | string".']),
    ("key of a stage", "width: 16", "width: 16, strides: 2", ["8:27-34 Property strides is not allowed."]),
    ("key of a recipe", "stem: cifar", "train: {epochs: 3, learning_rate: 1}\nstem: cifar", ["4:20-33 Property learning_rate is not allowed."]),
]  # fmt: skip


@pytest.mark.needs("yaml-language-server")
@pytest.mark.parametrize(("name", "old", "new", "expected"), SQUIGGLES, ids=[s[0] for s in SQUIGGLES])
def test_squiggles(server: Server, name: str, old: str, new: str, expected: list[str]) -> None:
    assert GOOD.count(old) == 1
    found = server.diagnostics(f"{name}.yaml", spec(GOOD.replace(old, new)))
    shown = []
    for d in found:
        start, end = d["range"]["start"], d["range"]["end"]
        assert start["line"] == end["line"]
        shown.append(f"{start['line'] + 1}:{start['character'] + 1}-{end['character'] + 1} {d['message']}")
    assert len(shown) == len(expected), shown
    for line, wanted in zip(shown, expected, strict=True):
        assert line.startswith(wanted), shown


@pytest.mark.needs("yaml-language-server")
@pytest.mark.parametrize("name", ["resnet50.yaml", "resnet20-digits.yaml", "vgg16.yaml", "ghostnet.yaml", "own.yaml"])
def test_nothing_is_underlined_in_good_specs(server: Server, name: str) -> None:
    own = (
        GOOD.replace("basic", "mine").replace("B", "ours")
        + "blocks: {mine: {body: [theirs]}}\nshortcuts: {ours: {}}\nsequences: {theirs: [norm]}\n"
    )
    (text,) = [p.read_text() for p in SPECS if p.name == name] or [own]
    assert server.diagnostics(name, spec(text)) == []
