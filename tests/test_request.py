"""The table of requests: options, keywords, the record of a run and the page of documentation are all made of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import resnet_dsl as rd
from resnet_dsl.cli.app import COMMANDS, Commands
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, speak
from resnet_dsl.language import changed
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.record import RunRecord
from resnet_dsl.records.request import FLAGS, LASTING, Request

PAGE = Path(__file__).parent.parent / "docs" / "training.md"
OTHER: dict[str, Any] = {
    "precision": "fp32", "parallel": "fsdp", "head": "new", "first_conv": "sum", "normalisation": "imagenet", "mean": "0.5", "std": "0.5", "overrides": ["lr=1"], "freeze": "layer1", "logger": "notes", "max_time": "10m",
    "lr": 0.1, "test_share": 0.25,
}  # fmt: skip
"""Values of fields that are no switch and no number."""


def value(name: str) -> Any:
    """Another value of a field than the one it has where it is left out."""
    kinds = {f.name: str(f.type) for f in fields(Request)}
    return OTHER.get(name, 3 if "int | None" in kinds[name] else True if "bool" in kinds[name] else "x")


def test_options_are_the_table() -> None:
    row = next(row for row in COMMANDS if row.name == "train")
    options = {p.name: p for p in Commands.build(row).params}
    assert set(options) - set(FLAGS) == {"spec", "seeds", "dry_run", "find_lr", "format", "help"} & set(options)
    assert set(FLAGS) <= set(options)
    for name, flag in FLAGS.items():
        assert options[name].opts[0] == f"--{flag.option or name.replace('_', '-')}"
        assert options[name].help == speak(flag.help, COMMAND_LINE)


@pytest.mark.parametrize("verb", [rd.train, rd.rehearse, rd.find_lr])
def test_keywords_are_the_table(verb: Any) -> None:
    network, *keywords = inspect.signature(verb).parameters.values()
    assert network.name == "network"
    assert {p.name: p.default for p in keywords} == {f.name: f.default for f in fields(Request)}
    assert keywords[0].name == "data"
    assert keywords[0].kind == inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {p.kind for p in keywords[1:]} == {inspect.Parameter.KEYWORD_ONLY}
    assert str(next(p for p in keywords if p.name == "epochs")) == "epochs: int | None = None"
    with pytest.raises(TypeError, match="epoch"):
        verb("resnet20-digits", epoch=1)


def rows() -> Iterator[str]:
    yield "| option | keyword | with `--resume` | |"
    yield "|---|---|---|---|"
    for name, flag in FLAGS.items():
        option = f"--{flag.option or name.replace('_', '-')}"
        short = f", `-{flag.short}`" if flag.short else ""
        resumed = "may change" if flag.resumable else "stays"
        yield f"| `{option}`{short} | `{name}` | {resumed} | {speak(flag.help, COMMAND_LINE)} |".replace("auto|", "auto\\|")


def test_the_page_is_the_table() -> None:
    assert "\n".join(rows()) + "\n" in PAGE.read_text(encoding="utf-8")


def test_what_lasts_is_in_the_record_of_a_run() -> None:
    assert set(LASTING) <= set(RunRecord.model_fields)
    request = Request(**{name: value(name) for name in LASTING})
    held = RunRecord(**request.lasting())
    assert list(request.lasting()) == [name for name in RunRecord.model_fields if name in LASTING]
    assert Request.of(held).lasting() == request.lasting()
    assert Request().lasting()["parallel"] == "ddp"


@pytest.mark.parametrize("name", FLAGS)
def test_a_run_that_is_resumed_stays_as_it_was_begun(name: str) -> None:
    request = Request(**{name: value(name)})
    if FLAGS[name].resumable:
        request.require_resumable()
        return
    with pytest.raises(SpecError, match="settings that it began with") as e:
        request.require_resumable()
    # Every field that may be given is named, except where the run is and what is shown.
    may = {n.replace("_", "-") for n, f in FLAGS.items() if f.resumable} - {"out", "download", "quiet"}
    assert set(re.findall(r"--([a-z-]+)", speak(e.value.diagnostics[0].help, COMMAND_LINE))) == may


def test_what_python_gives_is_brought_into_form() -> None:
    request = Request(overrides={"shortcut": "C"}, freeze="layer1", epochs=3, lr=0.1, weights=Path("a/b"), max_time=90)
    assert request.settings == ["shortcut=C", "train.epochs=3", "train.lr=0.1"]
    assert (request.freeze, request.weights, request.seconds) == (("layer1",), "a/b", 90)
    assert Request(max_time="1h30m").seconds == 5400
    for wrong, message in (({"precision": "fp8"}, "is not one of auto, fp32, bf16"), ({"limit_train": 0}, "use at least 1")):
        with pytest.raises(SpecError, match=message):
            Request(**wrong)


def test_a_spec_that_is_loaded_takes_settings_too() -> None:
    spec = rd.load("resnet20-digits", {"shortcut": "C"})
    again = changed(spec, Request(epochs=3, overrides=["params.n=1"]).settings)
    assert recipe_of(again).epochs == 3
    assert again.name == spec.name
    assert rd.compile(again).text() == rd.compile(rd.load("resnet20-digits", {"shortcut": "C", "params.n": "1"})).text()
