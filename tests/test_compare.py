"""Comparisons: order, the papers' own tables, and the plot."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import resnet_dsl as rd
from resnet_dsl.analysis.compare import Comparison
from resnet_dsl.analysis.papers import agreement, paper_table, presets
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.files import shipped_specs
from resnet_dsl.pictures.costplot import MAX_BARS, CostPlot, chart
from resnet_dsl.pictures.drawing.chart import BarMark, DotMark, TextMark

# Exact counts of independent twins, by preset and row.
EXACT = {
    "he2015-table1": (1_794_805_760, 3_644_493_824, 3_857_973_248, 7_570_194_432, 11_282_415_616),
    "he2015-text": (3_644_493_824, 3_644_493_824, 3_663_761_408, 15_470_264_320, 19_632_062_464),
    "he2015-table6": (269_722, 464_154, 658_586, 853_018, 1_727_962, 19_421_274),
    "he2016": (1_727_962, 19_421_274, 1_703_258, 10_327_706),
    "wrn-table4": (563_930, 2_243_546, 8_949_210, 35_748_314, 36_479_194, 52_517_850, 17_158_106, None, 10_961_370, None),
    "resnext": (4_089_184_256, 7_801_405_440),
    "resnext-cifar": (34_426_698, 68_155_210),
    "senet": (3_857_973_248, 3_860_488_192, 7_570_194_432, 11_282_415_616),
}


@pytest.mark.parametrize("name", presets())
def test_the_papers_tables(name: str) -> None:
    table = paper_table(name)
    assert [r.ours if e is not None else None for r, e in zip(table.rows, EXACT[name], strict=True)] == list(EXACT[name])
    for row, said in zip(table.rows, presets()[name]["rows"], strict=True):
        # What does not agree when rounded has a reason that a person wrote.
        assert bool(said["because"]) == (agreement(row.printed, row.ours, table.unit) != "the same, rounded")


def test_agreement() -> None:
    assert agreement("3.8", 3_857_973_248, "e9") == "the same, cut off"
    assert agreement("3.9", 3_857_973_248, "e9") == "the same, rounded"
    assert agreement("15.3", 15_470_264_320, "e9") == "differs by -1.1%"
    assert agreement("0.27", 269_722, "M") == "the same, rounded"


def networks(*names: str) -> Comparison:
    return rd.compare([rd.compile(rd.load(n)) for n in names], labels=names)


def test_sorting_keeps_what_all_are_measured_by() -> None:
    found = networks("resnet50", "resnet18", "resnet34").sorted("params")
    assert [e.label for e in found.entries] == ["resnet18", "resnet34", "resnet50"]
    assert [row[3] for row in found.table().rows] == [11_689_512 - 25_557_032, 21_797_672 - 25_557_032, 0]
    assert "ratios are to resnet50" in found.table().notes[0]
    assert [e.label for e in found.sorted("macs", largest_first=True).entries] == ["resnet50", "resnet34", "resnet18"]


def overlap(a: TextMark, b: TextMark) -> bool:
    across = a.left < b.left + b.width and b.left < a.left + a.width
    return across and abs(a.y - b.y) < 0.9 * min(a.size, b.size)


@pytest.mark.parametrize(
    "names", [("resnet50",), ("resnet18", "resnet34", "resnet34-A", "plain34", "resnet50"), tuple(shipped_specs())], ids=len
)
def test_labels_do_not_overlap(names: tuple[str, ...]) -> None:
    found = networks(*names)
    drawn = chart(found)
    words = [m for m in drawn.marks if isinstance(m, TextMark)]
    assert [(a.text, b.text) for i, a in enumerate(words) for b in words[i + 1 :] if overlap(a, b)] == []
    assert all(m.left >= -0.5 and m.left + m.width <= drawn.width + 12 for m in words)
    assert len([m for m in drawn.marks if isinstance(m, DotMark)]) == len(names)


def test_bars_are_to_scale() -> None:
    found = networks("resnet18", "resnet50")
    rows: dict[float, float] = {}
    for m in chart(found).marks:
        if isinstance(m, BarMark) and m.height == 12:
            rows[m.y] = rows.get(m.y, 0.0) + m.width
    params, macs = list(rows.values())[:2], list(rows.values())[2:]
    assert params[0] / params[1] == pytest.approx(11_689_512 / 25_557_032, rel=0.01)
    assert macs[0] / macs[1] == pytest.approx(1_814_073_344 / 4_089_184_256, rel=0.01)


def test_many_networks_are_said_not_to_be_all_drawn() -> None:
    graph = rd.compile(rd.load("resnet20"))
    drawn = chart(rd.compare([graph] * (MAX_BARS + 5), labels=[f"n{i}" for i in range(MAX_BARS + 5)]))
    assert any(isinstance(m, TextMark) and m.text == f"Bars: the first {MAX_BARS} of {MAX_BARS + 5} networks." for m in drawn.marks)


def test_files(tmp_path: Path) -> None:
    found = networks("resnet18", "resnet34")
    for name in ("a.svg", "a.png", "a.html"):
        CostPlot(found).save(tmp_path / name)
        first = (tmp_path / name).read_bytes()
        CostPlot(found).save(tmp_path / name)
        assert (tmp_path / name).read_bytes() == first
    tree = ElementTree.parse(tmp_path / "a.svg")
    assert {"resnet18", "resnet34", "MACs by stage"} <= {"".join(e.itertext()) for e in tree.iter() if e.tag.endswith("text")}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "a.html").read_text()
    assert "<svg" in page and "11,689,512" in page
    assert not re.search(r"(src|href)=\"?http", page)
    with pytest.raises(SpecError, match=r"no plot ends in '\.gif'"):
        CostPlot(found).save(tmp_path / "a.gif")


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "resnet18", "resnet34", "-o", "costs.svg"]) == 0
    assert capsys.readouterr() == ("", "wrote costs.svg\n")
    assert main(["compare", "--preset", "he2015-table6", "--format", "json"]) == 0
    assert [r["ours"] for r in json.loads(capsys.readouterr()[0])["rows"]] == list(EXACT["he2015-table6"])
    for args, said in (
        (["--preset", "he2015"], "did you mean 'he2016'?"),
        (["--preset", "he2016", "resnet18"], "a preset has its own networks"),
        ([], "there is no network to compare"),
        (["resnet18", "--sort", "flops"], "did you mean 'macs'?"),
    ):
        assert main(["compare", *args]) == 2
        assert said in capsys.readouterr()[1]
