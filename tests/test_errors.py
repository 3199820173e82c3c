"""Every mistake of the corpus (data/errors) gives exactly the message that is written there.

`python tests/test_errors.py --update` writes what is said now into the corpus: read the difference before you commit it.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest
from cases import DATA, Case, read

from resnet_dsl.analysis.expect import check_expect
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.graph import compile
from resnet_dsl.language import load

FILES = sorted((DATA / "errors").glob("*.md"))
CASES = [pytest.param(case, id=f"{path.stem}-{case.name}") for path in FILES for case in read(path)]


def refusal(case: Case, folder: Path) -> SpecError:
    """What is said about a case; the folder is the working directory, so that names stay short."""
    name = case.write(folder)
    try:
        spec = load(name, case.overrides)
        check_expect(spec, compile(spec))
    except SpecError as error:
        return error
    raise AssertionError(f"{case.name} is accepted")


@pytest.mark.parametrize("case", CASES)
def test_message(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = refusal(case, tmp_path)
    assert f"{render(error.diagnostics, COMMAND_LINE)}\n" == case.expected
    assert error.exit_code == 2
    places = [(d.location.line, d.location.column) for d in error.diagnostics if d.location.source.name == "spec.yaml"]
    assert places == sorted(places)
    assert all(d.help and d.message for d in error.diagnostics)
    # A source line, its caret and a help line belong to each error that has a place.
    shown = [d for d in error.diagnostics[:20] if d.location.line]
    assert len(re.findall(r"^ +\| +\^+$", case.expected, re.M)) == len(shown)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"shortcut": "Q"},
            """overrides:1:10: error[unknown-name]: unknown shortcut policy 'Q'
  1 | shortcut=Q
    |          ^
  help: shortcut policy is one of: none, identity, A, B, C, D, Ws""",
        ),
        (
            ["shortcut"],
            """overrides:1:1: error[usage]: an override is KEY=VALUE, not 'shortcut'
  1 | shortcut
    | ^^^^^^^^
  help: write overrides={'shortcut': 'C'}, or overrides={'params.k': '4'}""",
        ),
        (
            ["stages.layer1=3"],
            """overrides:1:1: error[usage]: overrides stages.layer1: a stage is set key by key
  1 | stages.layer1=3
    | ^^^^^^^^^^^^^
  help: write overrides={'stages.layer1.depth': '3'}, say""",
        ),
        (
            ["classes.x=3"],
            """overrides:1:1: error[wrong-type]: overrides classes.x: 'classes' is the number '10', which has no 'x' to set
  1 | classes.x=3
    | ^^^^^^^^^
  help: set classes as a whole: overrides={'classes': '{...}'}""",
        ),
        (
            ["extends=resnet18"],
            """overrides:1:1: error[usage]: overrides extends: an override cannot change the parent, which has been merged already
  1 | extends=resnet18
    | ^^^^^^^
  help: name the other spec instead""",
        ),
        (
            ["block={"],
            """overrides:1:8: error[yaml-syntax]: expected a value here (at the end of the file)
  1 | block={
    |        ^
  help: write the value as YAML in one line, as in overrides={'block': '{bottleneck: {groups: 32}}'}""",
        ),
    ],
)
def test_python_is_answered_in_python(overrides: dict[str, str] | list[str], said: str) -> None:
    with pytest.raises(SpecError) as e:
        load("resnet20-digits", overrides)
    assert str(e.value) == said


def update() -> None:
    """Write the messages of now into the corpus files."""
    start = Path.cwd()
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        for case in read(path):
            with tempfile.TemporaryDirectory() as folder:
                os.chdir(folder)
                said = render(refusal(case, Path(folder)).diagnostics, COMMAND_LINE)
                os.chdir(start)
            heading = f"## {case.name}\n"
            at = text.index(heading)
            body = re.sub(r"^```text\n.*?^```$", lambda _, said=said: f"```text\n{said}\n```", text[at:], count=1, flags=re.M | re.S)
            text = text[:at] + body
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python tests/test_errors.py --update")
    update()
