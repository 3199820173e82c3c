"""`resnet-dsl runs` on the folders of data/runs (the goldens are in data/cli), and on what it may meet beside them."""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, speak
from resnet_dsl.pictures.drawing.lines import Series, chart
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.run import Run
from resnet_dsl.records.summary import Curve, Summary, curves_table, differences, differences_table, runs_table

STORED = Path(__file__).parent / "data" / "runs"
SVG = {"s": "http://www.w3.org/2000/svg"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(STORED, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert main(["runs", *args, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_all(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys)
    assert [(r["run"], r["state"], r["step"], r["steps"], r["best"], r["test"]) for r in found["runs"]] == [
        ("runs/plain-digits-001", "interrupted", 33, 44, 0.6, None),
        ("runs/plain-digits-002", "finished", 44, 44, 0.55, 0.55),
        ("runs/residual-digits-001", "finished", 44, 44, 0.9, 0.9),
    ]
    assert found["differences"] == {
        "lr": [0.1, 0.2, 0.2],
        "seed": [0, 1, 0],
        "spec, line 6": ["shortcut: none", "shortcut: none", "shortcut: A"],
    }
    assert "curves" not in found["runs"][0]
    compared = shown(capsys, "runs/plain-digits-001", "runs/residual-digits-001")
    assert [r["run"] for r in compared["runs"]] == ["runs/residual-digits-001", "runs/plain-digits-001"]  # best first
    assert compared["runs"][1]["curves"] == {"test": [[1.0, 0.1], [2.0, 0.35], [3.0, 0.6]], "train": [[1.0, 0.1], [2.0, 0.3], [3.0, 0.5]]}


def test_a_run_that_is_trained_now(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("runs/plain-digits-001")
    with RunFolder.open(path):
        assert (run := Run.open(path)).state == "training"
        assert run.holder.startswith(f"process {os.getpid()} on ")
        assert main(["runs"]) == 0
        out = capsys.readouterr().out
        assert re.search(r"plain-digits-001 +10\.8 k +training +33/44", out)
        assert f"1 is trained by process {os.getpid()} on" in out
    # Looking takes no lock with it, and a lock that nobody holds is none.
    assert Run.open(path).state == "interrupted"
    with RunFolder.open(path):
        assert Run.open(path).state == "training"


@pytest.mark.parametrize(
    ("file", "content", "warning"),
    [
        ("metrics.jsonl", "no json\n", "metrics.jsonl: line 1 is damaged: it is no JSON document"),
        ("results.json", "[]", "results.json: is damaged: it must be an object, not a list"),
        ("results.json", '{"test": [], "steps": {}}', "results.json: is damaged: `name` is missing"),
        (
            "metrics.jsonl",
            '{"event": "test", "step": 1, "epoch": 1, "top1": "x"}\n{"event": "test", "step": 1, "epoch": 1, "top1": 1}\n',
            "metrics.jsonl: line 1 is damaged: `top1` must be a number, not 'x'",
        ),
        ("run.json", "{", "run.json: is damaged: it is no JSON document"),
        ("recipe.yaml", "lr: fast\n", "lr"),
        ("recipe.yaml", "lr: [\n", ""),
        ("recipe.yaml", b"\xff\xfe\x00", ""),
        ("spec.yaml", b"\xff\xfe\x00", "it is not text"),
    ],
)
def test_a_damaged_folder_is_named_and_left_out(
    file: str, content: str | bytes, warning: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "runs/plain-digits-001" / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    found = shown(capsys)
    assert main(["runs"]) == 0
    err = capsys.readouterr().err
    assert [r["run"] for r in found["runs"]] == ["runs/plain-digits-002", "runs/residual-digits-001"]
    (line,) = [x for x in err.splitlines() if "runs/plain-digits-001" in x]
    assert line.startswith("warning: runs/plain-digits-001 is left out: ")
    assert warning in line


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nowhere"], 3, "no folder of runs"),
        (["runs/notes"], 3, "no runs there"),
        (["runs/half-digits-001"], 3, "no runs there"),
        (["runs", "-o", "curves.png"], 2, "not as curves.png"),
        (["runs", "-o", "no/such/curves.svg"], 3, "cannot write"),
        (["runs", "--metric", "top1"], 2, "--metric cannot be 'top1'"),
    ],
)
def test_refused(args: list[str], code: int, message: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", *args]) == code
    assert message in capsys.readouterr().err


def test_a_run_without_an_evaluation(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run in ("plain-digits-001", "plain-digits-002", "residual-digits-001"):
        (home / "runs" / run / "metrics.jsonl").unlink()
        (home / "runs" / run / "results.json").unlink(missing_ok=True)
    found = shown(capsys)
    assert {(r["state"], r["step"], r["steps"], r["best"], r["seconds"]) for r in found["runs"]} == {("interrupted", 0, None, None, None)}
    assert main(["runs", "-o", "curves.svg"]) == 3
    assert "nothing has been measured" in capsys.readouterr().err
    assert main(["runs", "runs/plain-digits-001"]) == 0


def test_the_picture(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "-o", "curves.svg"]) == 0
    root = ET.parse("curves.svg").getroot()
    lines = [p for p in root.iterfind("s:path", SVG) if p.get("stroke-width") == "1.6"]
    # Each run has a line for test and a dashed one for train, and both stand in the legend.
    drawn = [(p.get("stroke"), p.get("stroke-dasharray"), p.get("d", "").count("L") + 1) for p in lines]
    blue, red, green = "#4477aa", "#ee6677", "#228833"
    curves = [(hue, dash, n) for hue, n in ((blue, 4), (red, 3), (green, 4)) for dash in (None, "5 3")]
    assert drawn == [*curves, *((hue, dash, 2) for hue, dash, _ in curves)]
    texts = [t.text for t in root.iterfind("s:text", SVG)]
    assert {"Top-1 accuracy", "epoch", "100%", "1  runs/residual-digits-001 (test)", "3  runs/plain-digits-002 (train)"} <= set(texts)
    # Higher accuracy is higher up, and all of it within the picture.
    ends = [[float(v) for v in p.get("d", "").rpartition("L")[2].split()] for p in lines[:6:2]]
    assert ends[0][1] < ends[1][1] < ends[2][1]
    numbers = [float(v) for p in lines for v in re.findall(r"[\d.]+", p.get("d", ""))]
    assert max(numbers) < 720
    capsys.readouterr()
    before = Path("curves.svg").read_bytes()
    assert main(["runs", "-o", "curves.svg", "--quiet"]) == 0
    assert Path("curves.svg").read_bytes() == before


@pytest.mark.parametrize(
    ("ys", "ticks"),
    [
        ([0.113, 0.9], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([0.91, 0.93], ["0.91", "0.915", "0.92", "0.925", "0.93"]),
        ([5.0, 5.0], ["2", "3", "4", "5", "6", "7", "8"]),
        ([0.0, 0.0], ["-0.6", "-0.4", "-0.2", "0", "0.2", "0.4", "0.6"]),
        ([1e-6, 3e-3], ["0", "0.001", "0.002", "0.003"]),
        ([-3.0, 12000.0], ["-5000", "0", "5000", "10000", "15000"]),
    ],
)
def test_ticks_are_round_and_span_the_values(ys: list[float], ticks: list[str]) -> None:
    root = ET.fromstring(chart([Series("a", list(enumerate(ys)), 0)], x="x", y="y").encode())
    assert [t.text for t in root.iterfind("s:text", SVG) if t.get("text-anchor") == "end"] == ticks


def test_a_chart_takes_any_name_and_one_point() -> None:
    svg = chart([Series("a<b & \x1b'c'\u202e", [(1.0, 2.0)], 0)], x="<x>", y="y")
    root = ET.fromstring(svg.encode())
    assert "0  " not in svg
    assert any(t.text == "1  a<b & <U+001B>'c'<U+202E>" for t in root.iterfind("s:text", SVG))
    assert len(root.findall("s:circle", SVG)) == 1
    with pytest.raises(ValueError, match="needs a point"):
        chart([Series("a", [], 0)], x="x", y="y")


def summary(i: int, **more: object) -> Summary:
    plain: dict[str, Any] = {
        "run": f"runs/a-rather-long-network-name-{i:03d}",
        "name": "another",
        "data": "fashion-mnist",
        "state": "finished",
        "on": "test",
    }
    figures = {"step": 64_000, "steps": 64_000, "best": 0.95, "last": 0.9, "test": 0.9, "seconds": 7321.0, "params": 269_722}
    return Summary(**{**plain, **figures, "holder": None, "recipe": {"seed": i}, **more})


def test_tables_of_many_and_long_runs_fit_80_columns() -> None:
    runs = [summary(i) for i in range(12)]
    table = runs_table(runs, "table")
    assert [c.key for c in table.columns] == ["number", "run", "state", "steps", "best", "last", "seconds"]
    text = table.render("table")
    assert "2:02:01" in text
    assert "Left out for lack of space: network, params, data; --format csv holds them." in speak(text, COMMAND_LINE)
    curves = [[Curve("test", tuple((float(e), 0.5) for e in range(1, 101))), Curve("train", ((1.0, 0.25),))] for _ in runs]
    table = curves_table(curves, [r.run for r in runs], "accuracy", "table")
    assert tuple(speak(note, COMMAND_LINE) for note in table.notes) == (
        "The first 9 of 12 runs, without training images; --format csv holds all.",
        "24 of 100 epochs at which it was measured; --format csv holds all.",
    )
    assert max(map(len, speak(text + table.render("table"), COMMAND_LINE).splitlines())) <= 80
    assert [row[0] for row in table.rows][::23] == [1.0, 100.0]
    whole = curves_table(curves, [r.run for r in runs], "accuracy", "csv")
    assert (len(whole.columns), len(whole.rows)) == (25, 100)


def test_what_differs() -> None:
    runs = [summary(i, recipe={"lr": 0.1, "ema": None, **({"extra": 1} if i == 1 else {})}) for i in range(3)]
    found = differences(runs, ["name: a\nx: 1\ny: 2", "name: b\nx: 1\ny: 3", "name: a\nx: 1"])
    assert found == [("extra", [None, 1, None]), ("spec, line 3", ["y: 2", "y: 3", None])]
    assert differences([runs[0]], ["name: a"]) == []
    rows = differences_table([("seed", list(range(10))), *found]).rows
    assert rows[0] == ["seed", "0", "1"]
    assert rows[8] == ["", "and 2 more values", ""]
    assert rows[9:] == [["extra", "none", "1, 3"], ["", "1", "2"], ["spec, line 3", "y: 2", "1"], ["", "y: 3", "2"], ["", "none", "3"]]
