"""Costs, reports and comparisons: the rules of counting, and figures that add up."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest

import resnet_dsl as rd
from resnet_dsl.analysis.cost import Cost
from resnet_dsl.analysis.inspect import Part, Report
from resnet_dsl.language.files import shipped_specs
from resnet_dsl.table import Column, Table, count, short, signed, times

BASE = {
    "input": {"channels": 4, "height": 8, "width": 8},
    "classes": 10,
    "stem": [],
    "block": "basic",
    "shortcut": "B",
    "stages": [{"depth": 1, "width": 4}],
}


def report(folder: Path, **keys: object) -> Report:
    path = folder / "spec.yaml"
    path.write_text(json.dumps({**BASE, **keys}))
    return rd.inspect(rd.compile(rd.load(str(path))))


def added(parts: list[Part]) -> Cost:
    return sum((Cost(p.params, p.macs, p.activations) for p in parts), Cost())


@pytest.mark.parametrize("name", list(shipped_specs()))
def test_parts_add_up(name: str) -> None:
    r = rd.inspect(rd.compile(rd.load(name)))
    whole = Cost(r.params, r.macs, r.activations)
    assert added([r.stem, *r.stages, r.head]) == whole
    assert added(list(r.blocks)) == whole
    assert added(list(r.ops)) == whole
    assert sum(s.blocks for s in r.stages) == sum(b.blocks for b in r.blocks)


def gate(**merge: object) -> dict[str, object]:
    return {"merge": {"highway": merge}}


CONV = {"conv": {"out": 4, "kernel": 3}}
SE = {"residual": {"merge": "mul", "body": ["globalpool", {"conv": {"out": 2, "kernel": 1}}, {"conv": {"out": 4, "kernel": 1}}, "act"]}}


@pytest.mark.parametrize(
    ("keys", "depth"),
    [
        ({}, 3),
        ({"stages": [{"depth": 5, "width": 4}]}, 11),
        ({"shortcut": "C"}, 3),
        (gate(), 3),
        (gate(gate="channel"), 3),
        ({"stem": [CONV]}, 4),
        ({"stem": [SE]}, 3),
        ({"stem": [CONV, SE]}, 4),
        ({"stem": [{"residual": {"body": [CONV, CONV], "shortcut": [CONV]}}]}, 5),
        ({"stem": [{"residual": {"before": [CONV], "body": [CONV], "after": [CONV]}}]}, 6),
        ({"stem": [{"residual": {"merge": "mul", "body": [CONV, CONV], "shortcut": [CONV]}}]}, 4),
        ({"stem": [{"branches": {"paths": [[CONV], [CONV, CONV, CONV]], "merge": "add"}}]}, 6),
        ({"stem": [{"branches": {"paths": [[CONV], [CONV, CONV, CONV]], "merge": "concat"}}]}, 6),
        ({"stem": [{"repeat": {"times": 4, "steps": [CONV, "act"]}}]}, 7),
        ({"stem": [{"chain": [CONV, {"chain": [CONV]}]}]}, 5),
        ({"block": "dense"}, 3),
    ],
)
def test_depth(keys: dict[str, object], depth: int, tmp_path: Path) -> None:
    assert report(tmp_path, **keys).depth == depth


def test_what_is_counted(tmp_path: Path) -> None:
    """By hand: 4 to 6 channels with stride 2 on 8x8, a biased gate, and a head of ten."""
    r = report(tmp_path, stages=[{"depth": 1, "width": 6, "stride": 2}], **gate())
    body = 9 * 4 * 6 + 9 * 6 * 6
    assert r.shortcut_params == 4 * 6 + 2 * 6
    assert r.shortcut_macs == 4 * 6 * 16
    assert r.params == body + 2 * 6 + 2 * 6 + r.shortcut_params + (4 * 6 + 6) + (6 * 10 + 10)
    assert r.macs == body * 16 + r.shortcut_macs + 4 * 6 * 16 + 60
    assert r.flops == 2 * r.macs
    assert r.activations == 6 * 16 * 4 + 10
    assert r.stages[0].out == (6, 4, 4)


def test_norms_and_learnt_constants_have_parameters_and_no_macs(tmp_path: Path) -> None:
    plain = report(tmp_path)
    steps = [
        "norm",
        {"scale": {"per": "channel"}},
        {"scale": {}},
        {"scale": {"learn": False}},
        {"bias": {"per": "channel"}},
        {"norm": {"kind": "group", "groups": 2}},
    ]
    more = report(tmp_path, stem=steps)
    assert more.params - plain.params == 8 + 4 + 1 + 4 + 8
    assert (more.macs, more.activations, more.depth) == (plain.macs, plain.activations, plain.depth)


def test_shortcuts_within_shortcuts_are_counted_once(tmp_path: Path) -> None:
    inner = {"residual": {"body": [CONV], "shortcut": [{"conv": {"out": 4, "kernel": 1}}]}}
    r = report(tmp_path, shortcuts={"deep": {"change": [inner], "same": [inner]}}, shortcut="deep")
    assert r.shortcut_params == 9 * 16 + 16


def test_memory(tmp_path: Path) -> None:
    graph = rd.compile(rd.load("resnet18"))
    r = rd.inspect(graph, batch=8, precision="bf16")
    assert (r.weight_bytes, r.activation_bytes) == (2 * r.params, 2 * 8 * r.activations)
    assert rd.inspect(graph).activation_bytes == 4 * r.activations


def test_blocks_that_repeat_cost_no_time() -> None:
    graph = rd.compile(rd.load("resnet20", {"params.n": "30000"}))
    start = time.perf_counter()
    r = rd.inspect(graph)
    table = r.table("block").render("table")
    assert time.perf_counter() - start < 0.1
    assert r.depth == 180_002
    assert len(table.splitlines()) < 20


# --- tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["net", "stage", "block", "op"])
def test_csv_holds_bare_values_of_all_columns(by: str) -> None:
    rows = list(csv.DictReader(io.StringIO(rd.inspect(rd.compile(rd.load("resnet50"))).table(by).render("csv"))))
    assert sum(int(row["params"]) for row in rows) == 25557032
    assert sum(int(row["macs"]) for row in rows) == 4089184256


def test_a_stage_may_be_called_like_the_ends(tmp_path: Path) -> None:
    stages = [{"depth": 1, "width": 4, "name": "head"}, {"depth": 1, "width": 4, "name": "stem"}]
    graph = report(tmp_path, stages=stages).graph
    table = rd.compare([graph, graph], labels=["a", "b"]).table("stage")
    assert [row[0] for row in table.rows[::2]] == ["stem", "head", "stem", "head"]
    assert sum(int(str(row[2])) for row in table.rows[::2]) == rd.inspect(graph).params


def test_stages_that_the_first_network_lacks_have_no_ratio(tmp_path: Path) -> None:
    short_one = report(tmp_path).graph
    long_one = report(tmp_path, stages=[{"depth": 1, "width": 4}, {"depth": 1, "width": 4}]).graph
    rows = {(row[0], row[1]): row[2:] for row in rd.compare([short_one, long_one], labels=["a", "b"]).table("stage").rows}
    assert rows["layer2", "b"][1:3] == [None, None]
    assert ("layer2", "a") not in rows


def test_prose_wraps_and_markdown_escapes() -> None:
    table = Table((Column("name", "name"), Column("about", "about", wrap=True)), [["a|b", "word " * 30]], title="t", notes=("n",))
    assert max(map(len, table.render("table", width=60).splitlines())) <= 60
    assert "| a\\|b | word word" in table.render("markdown")
    assert table.render("table", bold=True).startswith("\033[1mt\033[0m")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (9999, "10.0 k"), (99_960, "100 k"), (999_499, "999 k"), (999_500, "1.00 M"),
     (-925e6, "-925 M"), (4_089_184_256, "4.09 G"), (12_345_678_901_234_567, "12,346 T")],
)  # fmt: skip
def test_short(value: float, text: str) -> None:
    assert short(value) == text


def test_figures_in_words() -> None:
    assert (count(25557032), times(1.5702), short(512, "B"), short(51_114_064, "B")) == ("25,557,032", "1.57x", "512 B", "51.1 MB")
    assert [signed(count)(n) for n in (-1200, 0, 1200)] == ["-1,200", "0", "+1,200"]


def test_reports_print_as_tables() -> None:
    graph = rd.compile(rd.load("resnet18"))
    assert str(rd.inspect(graph)).splitlines()[0] == "resnet18: 3x224x224 to 1000 classes, depth 18"
    assert "resnet18" in str(rd.compare([graph]))
    assert "graph" not in repr(rd.inspect(graph))
