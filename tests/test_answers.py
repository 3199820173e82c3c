"""The values that the verbs give: one line of `repr`, the command's text and JSON, a table in a notebook, a DataFrame."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import resnet_dsl as rd
from resnet_dsl.cli import app
from resnet_dsl.table import Answer, Column, Table
from resnet_dsl.verbs import networks

RUN = Path(__file__).parent / "data" / "runs" / "plain-digits-001"

# A command line, and the Python that gives the same.
SAME: dict[str, Callable[[], Answer]] = {
    "inspect resnet50": lambda: rd.inspect("resnet50"),
    "inspect resnet50 --by op": lambda: rd.inspect("resnet50", by="op"),
    "inspect resnet50 --by net --set shortcut=C": lambda: rd.inspect("resnet50", {"shortcut": "C"}, by="net"),
    "inspect resnet50 --columns shape,receptive": lambda: rd.inspect(rd.load("resnet50"), columns=("shape", "receptive")),
    "inspect resnet50 --input 3x128x128": lambda: rd.inspect("resnet50", input=(3, 128, 128)),
    "inspect resnet50 --count conv,act": lambda: rd.inspect("resnet50", counted="conv,act"),
    "inspect resnet50 --memory --batch 32 --precision bf16": lambda: rd.inspect("resnet50", memory=True, batch=32, precision="bf16"),
    "inspect resnet50 --max-memory 24GiB": lambda: rd.inspect(rd.compile("resnet50"), max_memory="24GiB"),
    "inspect resnet20 --symbolic": lambda: networks.formulas("resnet20"),
    "inspect resnet50 --explain-count": lambda: networks.counters("resnet50"),
    "compare resnet18 resnet34": lambda: rd.compare("resnet18", rd.compile("resnet34")),
    "compare resnet18 resnet34 --by stage --sort -macs": lambda: rd.compare(["resnet18", "resnet34"], by="stage", sort="-macs"),
    "compare resnet34 --vary shortcut=A,B": lambda: rd.compare("resnet34", vary={"shortcut": ["A", "B"]}),
    "compare resnet20 resnet32 --vary shortcut=A,B --set classes=37": lambda: rd.compare(
        "resnet20", "resnet32", vary=["shortcut=A,B"], overrides={"classes": "37"}
    ),
    "compare --preset he2015-table1": lambda: networks.paper_table("he2015-table1"),
    "diff resnet34 resnet34 --set-b shortcut=C": lambda: rd.diff("resnet34", "resnet34", overrides_b={"shortcut": "C"}),
    "diff resnet18 resnet18": lambda: rd.diff("resnet18", "resnet18"),
    "lint resnet50": lambda: rd.lint("resnet50"),
    "lint resnet20 resnet50 --allow late-stride": lambda: rd.lint("resnet20", "resnet50", allow=["late-stride"]),
    f"inspect {RUN}": lambda: rd.inspect(RUN),
    f"diff {RUN} resnet20": lambda: rd.diff(RUN, "resnet20"),
}


def printed(capsys: pytest.CaptureFixture[str], command: str) -> str:
    capsys.readouterr()
    assert app.main(shlex.split(command)) in (0, 1)
    return capsys.readouterr().out


@pytest.mark.parametrize("command", list(SAME))
def test_a_value_is_what_the_command_prints(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = SAME[command]()
    assert str(found).replace("to_dict() shows", "--format json shows") == printed(capsys, command)
    assert json.loads(json.dumps(found.to_dict())) == json.loads(printed(capsys, f"{command} --format json"))
    if not command.startswith("lint"):
        for format in ("csv", "markdown", "latex"):
            text = found.to_text(format)  # type: ignore[arg-type]
            assert text.replace("to_dict() shows", "--format json shows") == printed(capsys, f"{command} --format {format}")


@pytest.mark.needs("pandas")
@pytest.mark.parametrize("command", list(SAME))
def test_a_value_shows_itself_in_a_line_and_in_a_notebook(command: str) -> None:
    found = SAME[command]()
    assert repr(found).startswith(f"<{type(found).__name__} ")
    assert len(repr(found)) <= 300
    assert "\n" not in repr(found)
    html = found._repr_html_()
    assert html.count("<table>") == html.count("</table>") == len(found.tables("html")) or "the networks are the same" in html
    assert len(found.to_dataframe()) == len(found.tables("csv")[0].rows)


@pytest.mark.needs("pandas")
def test_a_fit_says_its_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = rd.fit("resnet50", params="5M", over=("width", "depth"))
    assert str(found) == found.spec_text == printed(capsys, "fit resnet50 --params 5M --over width,depth")
    assert found.cost.params == rd.inspect(found.graph).params == found.to_dict()["params"]
    assert found.cost.params <= 5_000_000
    assert repr(found).startswith("<Fitted resnet50: widths 64-128-256-512 -> ")
    assert len(repr(found)) <= 300
    assert len(found.to_dataframe()) == 4
    assert rd.inspect(found.save(tmp_path / "small.yaml")).params == found.cost.params
    monkeypatch.chdir(tmp_path)
    again = rd.fit(Path("small.yaml"), {"shortcut": "C"}, params=1_000_000, out="smaller.yaml")
    assert "extends: small.yaml\nshortcut: C\n" in again.save().read_text()


def test_pictures_are_shown_and_saved(tmp_path: Path) -> None:
    drawn = rd.draw("plain34", "resnet34")
    assert repr(drawn) == f"<Drawing plain34 | resnet34: {drawn.scene.width:.0f} x {drawn.scene.height:.0f} points, light>"
    assert drawn._repr_svg_().startswith("<?xml")
    found = rd.diff("resnet34", "resnet34", overrides_b={"shortcut": "C"})
    assert found._repr_svg_() == found.draw()._repr_svg_()
    plot = networks.plot(rd.compare("resnet18", "resnet34"))
    assert plot.save(tmp_path / "a.svg").read_text() == plot._repr_svg_()


def test_networks_of_one_name_are_told_apart() -> None:
    a, b = (rd.compile("resnet50", {"shortcut": s}) for s in "BC")
    assert [e.label for e in rd.compare(a, b).entries] == ["resnet50 shortcut=B", "resnet50 shortcut=C"]
    assert [e.label for e in rd.compare(a, b, rd.compile("resnet18")).entries][2] == "resnet18"
    assert [e.label for e in rd.compare(a, a).entries] == ["resnet50 #1", "resnet50 #2"]
    grown = [rd.load("resnet20", {"params.n": str(n), "shortcut": s}) for n in (3, 5) for s in "AB"]
    labels = [e.label for e in rd.compare(*grown).entries]
    assert len(set(labels)) == 4
    assert labels[0].startswith("resnet20 ")
    assert [e.label for e in rd.compare(a, b, labels=["mine", "yours"]).entries] == ["mine", "yours"]


@pytest.mark.parametrize(
    ("mistaken", "said"),
    [
        (lambda: rd.draw("resnet18", by="block", style="paper"), "leave out style='paper', or by='block'"),
        (lambda: rd.draw("resnet18", theme="pink"), "theme=: error[usage]"),
        (lambda: rd.inspect("resnet50", columns="parms"), "columns=: error[unknown-name]"),
        (lambda: rd.inspect("resnet50", counted=["cnv"]), "counted=: error[unknown-name]"),
        (lambda: rd.inspect("resnet50", max_memory="24XB"), "write max_memory='24GiB', or 500MB"),
        (lambda: rd.inspect("resnet50", input="3x"), "write input='3x224x224', or input='784'"),
        (lambda: rd.inspect(rd.load("resnet50"), {"shortcut": "C"}), "'resnet50' is loaded already"),
        (lambda: rd.compare("resnet18", sort="parms"), "sort=: error[unknown-name]"),
        (lambda: rd.compare("resnet18", vary=["shortcut"]), "write vary='shortcut=A,B,C'"),
        (lambda: rd.compare("resnet18", vary={"classes": list(range(1, 1002))}), "vary=: error[limit]"),
        (lambda: rd.compare(), "there is no network to compare"),
        (lambda: rd.fit("resnet50"), "give params='5M', macs='300M', or like='resnet50'"),
        (lambda: rd.fit("resnet50", params="5M", like="resnet18"), "give like=, or params= and macs="),
        (lambda: rd.fit("resnet50", params=10), "let more change: over='width,depth'"),
        (lambda: rd.fit("resnet50", params="5M", over="widht"), "over=: error[unknown-name]"),
        (lambda: rd.lint("resnet50", allow=["late"]), "allow=: error[unknown-name]"),
    ],
)
def test_mistakes_are_told_in_python(mistaken: Callable[[], object], said: str) -> None:
    with pytest.raises(rd.SpecError) as e:
        mistaken()
    assert said in str(e.value)
    assert "--" not in str(e.value)


ODD = ("a\033[31mb", "[x](y)", "two\nlines", "<b>x</b>", "a|b", "\udcff", "50% & more_", "caf\u00e9", "=1+1")


@pytest.mark.parametrize(
    ("format", "shown"),
    [
        ("table", ["a<U+001B>[31mb", "two<U+000A>lines", "<b>x</b>", "a|b", "<0xFF>", "50% & more_", "café", "=1+1"]),
        (
            "markdown",
            ["a&lt;U+001B>[31mb", "two&lt;U+000A>lines", "&lt;b>x&lt;/b>", "a\\|b", "<0xFF>", "50% & more_", "café", "=1+1"],
        ),
        ("latex", ["a<U+001B>[31mb", "two<U+000A>lines", "<b>x</b>", "a|b", "<0xFF>", r"50\% \& more\_", "café", "=1+1"]),
        (
            "html",
            ["a&lt;U+001B&gt;[31mb", "two&lt;U+000A&gt;lines", "&lt;b&gt;x&lt;/b&gt;", "a|b", "&lt;0xFF&gt;", "50% &amp; more_", "café"],
        ),
        ("csv", ["a<U+001B>[31mb", '"two\nlines"', "<b>x</b>", "a|b", "<0xFF>", "50% & more_", "café", "=1+1"]),
    ],
)
def test_names_from_outside_are_safe_in_every_format(format: str, shown: list[str]) -> None:
    """In cells, in headings, in the title and in notes."""
    columns = (Column("name", "name"), *(Column(odd, odd) for odd in ODD[:2]))
    text = Table(columns, [[odd, 1, 2] for odd in ODD], title=ODD[0], notes=(ODD[0],)).render(format)  # type: ignore[arg-type]
    assert all(line in text for line in shown)
    assert not any(c in text for c in "\033\udcff\r\x07")
    text.encode()
