"""`check` for other programs: SARIF and GitHub's annotations, and `--watch`."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from resnet_dsl.cli.app import main
from resnet_dsl.explanations import CODES
from resnet_dsl.language.extends import spec_files

TINY = "input: {channels: 1, height: 8, width: 8}\nclasses: 10\nstem: cifar\nblock: basic\nshortcut: B\nstages: [{depth: 1, width: 16}]\n"

# SARIF 2.1.0 (OASIS, 2020): what sections 3.13, 3.14, 3.19, 3.27, 3.29, 3.30 and 3.49 ask of the parts that are written here.
_TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}, "additionalProperties": False}
_POSITION = {"type": "integer", "minimum": 1}
_LOCATION = {
    "type": "object", "required": ["physicalLocation"], "additionalProperties": False,
    "properties": {
        "message": _TEXT,
        "physicalLocation": {
            "type": "object", "required": ["artifactLocation"], "additionalProperties": False,
            "properties": {
                "artifactLocation": {"type": "object", "required": ["uri"], "properties": {"uri": {"type": "string", "pattern": "^[!-~]+$"}}},
                "region": {
                    "type": "object", "required": ["startLine"], "additionalProperties": False,
                    "properties": dict.fromkeys(("startLine", "startColumn", "endLine", "endColumn"), _POSITION),
                },
            },
        },
    },
}  # fmt: skip
_RULE = {
    "type": "object", "required": ["id"], "additionalProperties": False,
    "properties": {"id": {"type": "string"}, "shortDescription": _TEXT, "fullDescription": _TEXT},
}  # fmt: skip
_RESULT = {
    "type": "object", "required": ["message"], "additionalProperties": False,
    "properties": {
        "ruleId": {"type": "string"}, "ruleIndex": {"type": "integer", "minimum": -1}, "message": _TEXT,
        "level": {"enum": ["none", "note", "warning", "error"]},
        "locations": {"type": "array", "items": _LOCATION}, "relatedLocations": {"type": "array", "items": _LOCATION},
    },
}  # fmt: skip
_DRIVER = {
    "type": "object", "required": ["name"], "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "version": {"type": "string"}, "rules": {"type": "array", "items": _RULE, "uniqueItems": True}},
}  # fmt: skip
_RUN = {
    "type": "object", "required": ["tool"], "additionalProperties": False,
    "properties": {
        "tool": {"type": "object", "required": ["driver"], "properties": {"driver": _DRIVER}},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "results": {"type": "array", "items": _RESULT},
    },
}  # fmt: skip
SARIF = {
    "type": "object", "required": ["version", "runs"], "additionalProperties": False,
    "properties": {"$schema": {"type": "string"}, "version": {"const": "2.1.0"}, "runs": {"type": "array", "minItems": 1, "items": _RUN}},
}  # fmt: skip


def sarif(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[dict, int]:
    code = main([*args, "--format", "sarif"])
    out, err = capsys.readouterr()
    assert err == ""
    log = json.loads(out)
    Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    return run, code


def test_sarif_places_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("my nets/öne.yaml")
    path.parent.mkdir()
    path.write_text(TINY.replace("basic", "basci").replace("classes: 10", 'description: "\U0001f600", x: 1'))
    run, code = sarif(capsys, "check", str(path), "gone.yaml", "resnet50")
    assert code == 2
    assert run["columnKind"] == "unicodeCodePoints"
    assert [r["ruleId"] for r in run["results"]] == ["yaml-syntax", "file-not-found"]
    syntax, gone = (r["locations"][0]["physicalLocation"] for r in run["results"])
    assert syntax["artifactLocation"]["uri"] == "my%20nets/%C3%B6ne.yaml"
    assert syntax["region"]["startLine"] == 2
    assert "region" not in gone
    path.write_text(TINY.replace("basic", "basci").replace("}]", "}, {depth: 1, width: 16, name: layer1}]"))
    run, code = sarif(capsys, "check", str(path.resolve()))
    assert [(r["ruleId"], r["level"], r["locations"][0]["physicalLocation"]["region"]) for r in run["results"]] == [
        ("unknown-name", "error", {"startLine": 4, "startColumn": 8, "endColumn": 13}),
        ("name-taken", "error", {"startLine": 6, "startColumn": 61, "endColumn": 67}),
    ]
    assert run["results"][0]["message"]["text"] == "unknown block 'basci'\nhelp: did you mean 'basic'?"
    (related,) = run["results"][1]["relatedLocations"]
    assert related["message"]["text"] == "first used here"
    assert related["physicalLocation"]["artifactLocation"]["uri"] == path.resolve().as_uri()
    assert run["tool"]["driver"]["rules"][1]["shortDescription"]["text"] == CODES["unknown-name"].title


def test_sarif_of_what_is_good_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    run, code = sarif(capsys, "check", "resnet50")
    assert (run["results"], run["tool"]["driver"]["rules"], code) == ([], [], 0)


def test_sarif_of_an_option_and_of_lint(capsys: pytest.CaptureFixture[str]) -> None:
    run, code = sarif(capsys, "check", "resnet50", "--set", "shortcut=Z")
    assert (run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], code) == ("--set", 2)
    run, code = sarif(capsys, "lint", "resnet50")
    assert {r["level"] for r in run["results"]} == {"warning"}
    assert code == 0


# --- watch ---------------------------------------------------------------------------------------------------


class Reader:
    """What a process prints, as it comes."""

    def __init__(self, fd: int) -> None:
        self.fd, self.text = fd, ""

    def until(self, wanted: str) -> str:
        """Everything up to and with `wanted`."""
        deadline = time.monotonic() + 60
        while wanted not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{wanted!r} did not come; what came: {self.text!r}"
            self.text += os.read(self.fd, 65536).decode()
        found, _, self.text = self.text.partition(wanted)
        return found + wanted


@contextmanager
def watching(*args: str, terminal: bool = False) -> Iterator[tuple[subprocess.Popen[bytes], Reader]]:
    ours, theirs = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "resnet_dsl", "check", "--watch", *args]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    try:
        yield process, Reader(ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_watch_sees_a_file_its_parent_and_its_recipe_change(tmp_path: Path) -> None:
    net, base, recipe = tmp_path / "net.yaml", tmp_path / "base.yaml", tmp_path / "fast.yaml"
    base.write_text(TINY)
    recipe.write_text("epochs: 1\n")
    net.write_text("extends: base.yaml\ntrain: fast.yaml\n")
    with watching(str(net)) as (process, reader):
        first = reader.until("watching 3 files; Ctrl-C ends\n")
        assert "\x1b" not in first
        assert f"ok {net}: 5," in first
        base.write_text(TINY.replace("width: 16", "width: 32"))
        assert f"ok {net}: 19,242 params" in reader.until("Ctrl-C ends\n")
        recipe.write_text("epochs: 0\n")
        assert "error[recipe]: 'epochs'" in reader.until("Ctrl-C ends\n")
        net.write_text("extends: gone.yaml\n")
        assert "error[file-not-found]" in reader.until("watching 2 files; Ctrl-C ends\n")
        (tmp_path / "gone.yaml").write_text(TINY)
        assert f"ok {net}: 5," in reader.until("Ctrl-C ends\n")
        net.unlink()
        assert "error[file-not-found]" in reader.until("watching 1 file; Ctrl-C ends\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_watch_clears_a_terminal(tmp_path: Path) -> None:
    net = tmp_path / "net.yaml"
    net.write_text(TINY)
    with watching(str(net), terminal=True) as (process, reader):
        assert reader.until("Ctrl-C ends").startswith("\x1b[2J\x1b[Hok ")
        net.write_text(TINY.replace("basic", "basci"))
        assert "did you mean 'basic'?" in reader.until("Ctrl-C ends").partition("\x1b[2J\x1b[H")[2]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("args", "said"), [("-", "standard input"), ("resnet50 --format json", "one document"), ("resnet5", "is not found")]
)
def test_what_cannot_be_watched(args: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--watch", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True)


def test_files_of_a_spec_that_goes_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\ntrain: r.yaml\n")
    assert [p.name for p in spec_files(str(tmp_path / "a.yaml"))] == ["a.yaml", "b.yaml", "r.yaml"]
    assert [p.name for p in spec_files("resnet50")] == ["resnet50.yaml", "resnet34.yaml"]
