"""What was damaged in a run's folder: every document ends in exit 3, with the file, the key and what it must be; lists leave the run out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny

from resnet_dsl.cli.app import main

TINY = tiny("steps: 4, batch: 64, log_every: 2, augment: {flip: false}", stages="[{depth: 1, width: 4}]")
HUGE = "1" + "0" * 400

# A key, joined by dots, the JSON in its place (None: the key is gone), and what is said of it.
RECORD = [
    ("data", "null", "`data` must be a text, not null"),
    ("data", "3", "`data` must be a text, not 3"),
    ("data", "[]", "`data` must be a text, not a list"),
    ("data", None, "`data` is missing"),
    ("data_dir", "3", "`data_dir` must be a text, not 3"),
    ("data_dir", '"a\\u0000b"', "`data_dir` must be without NUL characters"),
    ("limit_train", '"many"', "`limit_train` must be a whole number, not 'many'"),
    ("limit_train", "true", "`limit_train` must be a whole number, not true"),
    ("limit_train", "1.5", "`limit_train` must be a whole number, not 1.5"),
    ("limit_train", "-1", "`limit_train` must be at least 0, not -1"),
    ("limit_train", "1e400", "`limit_train` must be a whole number, not inf"),
    ("limit_train", HUGE, "`limit_train` must be at most 1e+15, not a number of so many digits"),
    ("overfit_batch", "1", "`overfit_batch` must be true or false, not 1"),
    ("parallel", '"dp"', "`parallel` must be one of 'ddp' or 'fsdp', not 'dp'"),
    ("freeze", '"layer1"', "`freeze` must be a list, not 'layer1'"),
    ("freeze", "[1]", "`freeze.0` must be a text, not 1"),
    ("freeze", "null", "`freeze` must be a list, not null"),
    ("data_sha256", "3", "`data_sha256` must be a text, not 3"),
    ("classes", "{}", "`classes` must be a list, not an object"),
    ("extensions", "{}", "`extensions` must be a list, not an object"),
    ("extensions", "[3]", "`extensions.0` must be an object, not 3"),
    ("extensions", '[{"steps_before": "a"}]', "`extensions.0.steps_before` must be a whole number, not 'a'"),
    ("plan", "[]", "`plan` must be an object, not a list"),
    ("plan.device", "null", "`plan.device` must be a text, not null"),
    ("plan.precision", '"fp8"', "`plan.precision` must be one of 'fp32' or 'bf16', not 'fp8'"),
    ("plan.threads", "0", "`plan.threads` must be at least 1, not 0"),
]
RESULTS = [
    ("name", None, "`name` is missing"),
    ("name", "[]", "`name` must be a text, not a list"),
    ("test", None, "`test` is missing"),
    ("test", "null", "`test` must be an object, not null"),
    ("test", "[]", "`test` must be an object, not a list"),
    ("test.top1", '"good"', "`test.top1` must be a number, not 'good'"),
    ("test.top1", "[1]", "`test.top1` must be a number, not a list"),
    ("test.top1", "Infinity", "`test.top1` must be a finite number, not inf"),
    ("test.loss", "NaN", "`test.loss` must be a finite number, not nan"),
    ("test.top1", HUGE, "`test.top1` must be a number, not a number of so many digits"),
    ("steps", "{}", "`steps` must be a whole number, not an object"),
    ("steps", HUGE, "`steps` must be at most 1e+15"),
    ("epochs", "1e308", "`epochs` must be at most 1e+100, not 1e+308"),
    ("seconds", "-1", "`seconds` must be at least 0"),
]
ROW = [
    ("event", "3", "`event` must be a text, not 3"),
    ("step", '"2"', "`step` must be a whole number, not '2'"),
    ("step", None, "`step` is missing"),
    ("step", HUGE, "`step` must be at most 1e+15"),
    ("epoch", "Infinity", "`epoch` must be a finite number, not inf"),
    ("epoch", "NaN", "`epoch` must be a finite number, not nan"),
    ("epoch", "1e308", "`epoch` must be at most 1e+15, not 1e+308"),
    ("epoch", HUGE, "`epoch` must be a number"),
    ("train_accuracy", '"high"', "`train_accuracy` must be a number, not 'high'"),
    ("train_accuracy", "[1]", "`train_accuracy` must be a number, not a list"),
    ("loss", "-1e400", "`loss` must be a finite number, not -inf"),
    ("seconds", "{}", "`seconds` must be a number, not an object"),
]
SESSIONS = [
    ("sessions", "3", "`sessions` must be a list, not 3"),
    ("sessions", "null", "`sessions` must be a list, not null"),
    ("sessions", "[1]", "`sessions.0` must be an object, not 1"),
    ("sessions", '[{"from_step": "x"}]', "`sessions.0.from_step` must be a whole number, not 'x'"),
]
WHOLE = [
    ("", "it is no JSON document"),
    ("{", "it is no JSON document"),
    ("[]", "it must be an object, not a list"),
    ("null", "it must be an object, not null"),
    ('{"a":' * 100_000, "it is no JSON document"),
    ('{"data": ' + "9" * 5_000 + "}", "it is no JSON document"),
]
"""Whole files."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("damage")
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["train", str(folder / "tiny.yaml"), "--out", str(folder / "run"), "--quiet"]) == 0
    yield folder / "run"
    torch.set_num_threads(before)


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "runs/a")
    return Path("runs/a")


def damaged(text: str, key: str, value: str | None) -> str:
    """A JSON text with another value, which may be none that Python's writer would write."""
    document: Any = json.loads(text)
    *way, last = key.split(".")
    here = document
    for name in way:
        here = here[name]
    if value is None:
        del here[last]
        return json.dumps(document)
    here[last] = "THE VALUE"
    return json.dumps(document).replace('"THE VALUE"', value)


Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """What a command that ends in exit 3 says."""

    def said(*args: str) -> str:
        assert main(list(args)) == 3
        captured = capsys.readouterr()
        assert captured.out == ""
        return captured.err

    return said


def refused(err: str, file: str, message: str) -> None:
    assert f"{file}: error[run-damaged]: " in err
    assert f"is damaged: {message}" in err


def left_out(said: Said, file: str, message: str) -> None:
    for args in (["runs"], ["runs", "-f", "json"], ["report", "runs", "-o", "r.html", "--no-predictions"]):
        err = said(*args)
        assert f"warning: runs/a is left out: {file}: " in err
        assert f"is damaged: {message}" in err
        assert "error[run-missing]: no runs there" in err
    assert not Path("r.html").exists()


@pytest.mark.parametrize(("key", "value", "message"), RECORD)
def test_record(key: str, value: str | None, message: str, run: Path, said: Said) -> None:
    path = run / "run.json"
    path.write_text(damaged(path.read_text(), key, value))
    left_out(said, "run.json", message)
    refused(said("evaluate", "runs/a"), "runs/a/run.json", message)
    (run / "results.json").unlink()
    refused(said("train", "--resume", "runs/a"), "runs/a/run.json", message)


@pytest.mark.parametrize("key", ["plan", "data_sha256"])
def test_a_record_of_an_early_version_is_listed_and_not_resumed(
    key: str, run: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "run.json"
    path.write_text(damaged(path.read_text(), key, None))
    assert main(["runs"]) == 0
    assert "finished" in capsys.readouterr().out
    (run / "results.json").unlink()
    refused(said("train", "--resume", "runs/a"), "runs/a/run.json", f"`{key}` is missing")


@pytest.mark.parametrize(("key", "value", "message"), RESULTS)
def test_results(key: str, value: str | None, message: str, run: Path, said: Said) -> None:
    path = run / "results.json"
    path.write_text(damaged(path.read_text(), key, value))
    left_out(said, "results.json", message)
    refused(said("train", "--resume", "runs/a"), "runs/a/results.json", message)


@pytest.mark.parametrize(("key", "value", "message"), ROW)
def test_rows(key: str, value: str | None, message: str, run: Path, said: Said) -> None:
    path = run / "metrics.jsonl"
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, damaged(second, key, value) + "\n", *rest]))
    left_out(said, "metrics.jsonl", message)
    assert "metrics.jsonl: line 2 is damaged" in said("runs")
    (run / "results.json").unlink()
    if value != HUGE:  # a longer log is cut to the length that the checkpoint knows, and the damage with it
        refused(said("train", "--resume", "runs/a"), "runs/a/metrics.jsonl", message)


@pytest.mark.parametrize(("key", "value", "message"), SESSIONS)
def test_sessions(key: str, value: str | None, message: str, run: Path, said: Said) -> None:
    path = run / "env.json"
    path.write_text(damaged(path.read_text(), key, value))
    (run / "results.json").unlink()
    refused(said("train", "--resume", "runs/a"), "runs/a/env.json", message)


@pytest.mark.parametrize(("text", "message"), WHOLE, ids=["empty", "cut off", "list", "null", "deep", "digits"])
@pytest.mark.parametrize("file", ["run.json", "results.json", "metrics.jsonl"])
def test_whole_files(file: str, text: str, message: str, run: Path, said: Said) -> None:
    (run / file).write_text(text + "\n")
    left_out(said, file, message)


@pytest.mark.parametrize("file", ["run.json", "results.json", "metrics.jsonl", "env.json", "lock", "spec.yaml"])
def test_pipes_and_devices_are_not_waited_for(file: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "results.json").unlink()
    for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
        (run / file).unlink(missing_ok=True)
        make(run / file)
        commands = [["train", "--resume", "runs/a"]]
        if file in ("run.json", "metrics.jsonl", "spec.yaml"):
            commands += [["runs"], ["report", "runs", "-o", "r.html", "--no-predictions"]]
        for args in commands:
            assert main(args) == 3
            err = capsys.readouterr().err
            assert "is not a run folder" in err or "not a regular file" in err
        if file == "lock":
            assert main(["runs"]) == 0


def test_a_log_of_extremes_can_be_drawn(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"event": "test", "step": 10**15, "epoch": 1e15, "loss": -1e100, "top1": 1e100, "train_accuracy": 1e-300, "seconds": 1e12}
    more = [
        row,
        {**row, "epoch": 0, "loss": 1e100},
        {"event": "train", "step": 0, "epoch": 1e-9, "lr": 1e100, "new in a later version": []},
    ]
    with (run / "metrics.jsonl").open("a") as f:
        f.writelines(json.dumps(r) + "\n" for r in more)
    (run / "results.json").unlink()
    for metric in ("accuracy", "loss", "lr"):
        assert main(["runs", "--metric", metric, "-o", f"{metric}.svg"]) == 0
        assert "nan" not in Path(f"{metric}.svg").read_text()
    assert main(["report", "runs", "-o", "r.html", "--no-predictions"]) == 0
    assert capsys.readouterr().out


def test_what_a_newer_version_adds_stays(run: Path) -> None:
    path = run / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": [1, {"a": None}]}))
    assert main(["train", "--resume", "runs/a", "--steps", "6", "--quiet"]) == 0
    held = json.loads(path.read_text())
    assert held["colour"] == [1, {"a": None}]
    assert [(e["steps_before"], e["steps_after"]) for e in held["extensions"]] == [(4, 6)]
    assert json.loads((run / "results.json").read_text())["steps"] == 6
