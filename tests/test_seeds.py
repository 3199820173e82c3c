"""Several seeds in one folder, and runs that differ by their seed alone as one."""

from __future__ import annotations

import csv
import io
import json
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, speak
from resnet_dsl.records.seeds import Spread
from resnet_dsl.verbs.seeds import read_seeds

pytestmark = [pytest.mark.needs("torch"), pytest.mark.usefixtures("one_thread")]

ASKED: dict[str, Any] = {"data": "digits", "limit_train": 256, "quiet": True}


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seeds") / "net.yaml"
    path.write_text(tiny("steps: 4, batch: 64, lr: 0.1, augment: {flip: false}, seed: 7"))
    return path


@pytest.mark.parametrize(
    ("given", "expected"),
    [("3", (7, 8, 9)), (2, (7, 8)), ("1,5,9", (1, 5, 9)), ((4, 2), (4, 2)), ("0,", None), ("5,", None), ([3], (3,)), ("1", (7,))],
)
def test_seeds_are_a_number_or_a_list(given: Any, expected: tuple[int, ...] | None) -> None:
    if expected is None:
        with pytest.raises(SpecError):
            read_seeds(given, 7)
    else:
        assert read_seeds(given, 7) == expected


@pytest.mark.parametrize("given", ["", "0", "-1", "three", "1,x", "1.5", "1001", 0, -3, [], [-1], "9" * 40, "1,1"])
def test_what_are_no_seeds(given: Any) -> None:
    with pytest.raises(SpecError) as e:
        read_seeds(given, 0)
    (found,) = e.value.diagnostics
    assert (found.code, e.value.exit_code, found.to_dict(COMMAND_LINE)["file"]) == ("usage", 2, "--seeds")
    assert "1,5,9" in speak(found.help, COMMAND_LINE) or given == "1,1"


def test_mean_and_deviation() -> None:
    assert Spread.of([]) == Spread(None, None, 0)
    assert Spread.of([0.5]) == Spread(0.5, None, 1)
    found = Spread.of([0.5, 0.7, 0.9])
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    assert [str(s) for s in (Spread.of([]), Spread.of([0.5]), found)] == ["-", "50.00%", "70.00% (20.00)"]


def test_seeds_of_one_network(spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each run is the one that `--seed` gives, an interrupted series goes on, and `runs --group` tells what the series tells."""
    home = tmp_path / "series"
    with pytest.raises(rd.Interrupted, match="time is up after 0 of 2 seeds") as e:
        rd.train_seeds(spec, 2, out=home, max_time=0.0, **ASKED)
    assert (e.value.folder, e.value.step, e.value.total) == (home, 0, 2)
    found = rd.train_seeds(spec, 2, out=home, resume=True, **ASKED)
    (group,) = found
    assert [run.path.name for run in group.runs] == ["seed-7", "seed-8"]
    assert group.seeds == (7, 8)
    alone = rd.train(spec, out=tmp_path / "alone", seed=8, **ASKED)
    assert (alone.path / "model.safetensors").read_bytes() == (home / "seed-8/model.safetensors").read_bytes()

    test = [run.results.test.top1 for run in group.runs if run.results]
    assert group.spread("test") == Spread(statistics.fmean(test), statistics.stdev(test), 2)
    assert f"{100 * statistics.fmean(test):.2f}% ({100 * statistics.stdev(test):.2f})" in found.to_text()

    other = rd.train(spec, out=home / "other", lr=0.05, **ASKED)
    assert main(["runs", str(home), "--group", "--format", "json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert {tuple(g["seeds"]): g["test"]["n"] for g in groups} == {(7, 8): 2, (7,): 1}
    assert next(g["test"]["mean"] for g in groups if g["seeds"] == [7, 8]) == pytest.approx(statistics.fmean(test))
    assert main(["runs", str(home), "--group", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {(row["seeds"], row["n"]) for row in rows} == {("7 8", "2"), ("7", "1")}
    assert next(row["test_sd"] for row in rows if row["n"] == "1") == ""
    assert other.results is not None

    (home / "seed-7/results.json").unlink()
    assert "1 of 2 runs are not finished" in rd.runs(home).grouped().to_text()


def test_the_command(spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", str(spec), "--data", "digits", "--limit-train", "256", "--quiet", "--out", str(tmp_path / "a")]
    assert main([*line, "--seeds", "3,5", "--max-time", "1h"]) == 0
    assert "3 5" in capsys.readouterr().out
    for more, code, said in (
        (["--seeds", "3,5"], 2, "is not empty"),
        (["--seeds", "x"], 2, "are no seeds"),
        (["--seeds", "2", "--dry-run"], 2, "one seed is enough"),
    ):
        assert main([*line, *more]) == code
        assert said in capsys.readouterr().err
    assert main(["train", "--resume", "--seeds", "2"]) == 2
    assert main(["runs", str(tmp_path / "a"), "--group", "--metric", "loss"]) == 2


def test_one_process_trains_several_seeds(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SpecError, match="several seeds are for one process"):
        rd.train_seeds(spec, 2, **ASKED)


def test_the_line_that_resumes_a_series(spec: Path, tmp_path: Path) -> None:
    """What is printed can be typed: the same command, and the folder where none was named."""
    words = [
        "train",
        str(spec),
        "--seeds",
        "2",
        "--data",
        "digits",
        "--limit-train",
        "256",
        "--steps",
        "100000",
        "--max-time",
        "1s",
        "--plan",
        "threads=1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "resnet_dsl", *words], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 75
    line = done.stderr.splitlines()[-1].removeprefix("resume with: resnet-dsl ")
    assert shlex.split(line)[:2] == ["train", "--resume"] and "--out runs/" in line
    again = [sys.executable, "-m", "resnet_dsl", *shlex.split(line)]
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, "error[" in done.stderr) == (75, False)
    assert done.stderr.splitlines()[-1].endswith(line)


def test_balanced_accuracy_over_seeds(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shown where classes are of unequal size; a series in a folder of runs is found."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(10), [60, *[6] * 9])
    X = rng.integers(0, 256, (len(y), 1, 8, 8), dtype=np.uint8)
    found = rd.train_seeds(spec, 2, data={"train": (X, y), "test": (X, y)}, out="runs/uneven", quiet=True)
    (group,) = found
    scores = [run.results.test.balanced_accuracy for run in group.runs if run.results]
    assert group.spread("balanced_accuracy").mean == pytest.approx(statistics.fmean(v for v in scores if v is not None))
    assert main(["runs", "--group"]) == 0
    said = capsys.readouterr().out
    assert "balanced" in said.splitlines()[0] and "runs/uneven" in said
