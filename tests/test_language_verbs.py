"""The language's verbs from Python: what they give, that it prints as the command does, and that its JSON is the command's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.verbs.catalog import catalog
from resnet_dsl.verbs.language import starter

BAD = "extends: resnet20-digits\nblock: basik\n"


def out(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    main(list(args))
    return capsys.readouterr().out


def test_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(BAD)
    found = rd.check("resnet50", Path("bad.yaml"))
    assert (found.ok, found.exit_code, [d.code for d in found.diagnostics]) == (False, 2, ["unknown-name"])
    assert found.specs[0].cost is not None and found.specs[0].cost.params == 25_557_032
    assert found.to_dict() == json.loads(out(capsys, "check", "resnet50", "bad.yaml", "--format", "json"))
    assert found.render("csv") == out(capsys, "check", "resnet50", "bad.yaml", "--format", "csv")
    assert str(found).startswith("ok resnet50: 25,557,032 params, 4.09 G MACs, depth 50\nbad.yaml:2:8: error[unknown-name]")
    assert repr(found) == "<Checked 1 of 2 refused; unknown-name in bad.yaml>"
    assert "bad.yaml" in found._repr_html_()
    good = rd.check(rd.load("resnet20"), strict=True)
    assert good.ok and repr(good) == "<Checked resnet20: ok>" and str(good) == out(capsys, "check", "resnet20")


def test_a_mistake_in_an_override_is_said_in_python() -> None:
    found = rd.check("resnet50", overrides={"shortcut": "Q"})
    assert found.to_dict()["specs"][0]["diagnostics"][0]["file"] == "overrides"


def test_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'classes:   10 # ten\nextends: "resnet20"\n'
    wanted = "extends: resnet20\nclasses: 10 # ten\n"
    assert str(rd.format(text)).split() == wanted.split()
    path = tmp_path / "net.yaml"
    path.write_text(text)
    path.chmod(0o640)
    found = rd.format(path)
    assert found.changed and repr(found).endswith("net.yaml: changed>") and path.read_text() == text
    assert found.diff() == out(capsys, "fmt", "--diff", str(path))
    found.write()
    assert path.read_text() == found.text and path.stat().st_mode & 0o777 == 0o640
    assert not rd.format(path).changed and rd.format(path).diff() == ""
    with pytest.raises(rd.SpecError, match="is a name"):
        rd.format("resnet50")


@pytest.mark.parametrize("code", ["unknown-name", "late-stride", "error[unknown-name]"])
def test_explain(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = rd.explain(code)
    assert str(found) == out(capsys, "explain", code)
    assert repr(found) == f"<Explanation {found.code}: {found.title}>"
    assert found.wrong.splitlines()[0].replace("&", "&amp;") in found._repr_html_()


def test_an_unknown_code_names_a_near_one() -> None:
    with pytest.raises(rd.SpecError) as e:
        rd.explain("unknown-nam")
    assert str(e.value) == "code=: error[unknown-name]: no such code: 'unknown-nam'\n  help: did you mean 'unknown-name'?"


def test_recover(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shapes = tensors(rd.compile(rd.load("resnet50", {"classes": "37"})))
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(shapes))
    found = rd.recover(shapes)
    assert (found.same, found.classes) == (("resnet50", "resnet50-v1"), 37)
    assert found.likeness == "this is resnet50 with 37 classes; resnet50-v1 has the same tensors"
    assert str(found) == str(rd.recover(file)) == out(capsys, "import", str(file))
    assert len(repr(found)) <= 300 and f"{found.params:,} params" in repr(found)
    assert found.to_dict()["spec"] == found.text
    small = rd.recover(shapes, input=(3, 128, 128), name="small")
    assert small.graph.input == (3, 128, 128) == rd.recover(shapes, input="3x128x128").graph.input and small.graph.name == "small"


@pytest.mark.parametrize(
    ("weights", "input", "said"),
    [
        ({"conv1.weight": (16, 3, 3, 3)}, "3x3", "input=: error[usage]: an input is CxHxW, or a number of features, not '3x3'"),
        ("net.yaml", None, "weights=: error[usage]: net.yaml is a spec, not weights"),
        ({"conv1.weight": (16, 3, 3, 3)}, None, "the state_dict: error[weights-unknown]: the network cannot be read"),
    ],
)
def test_recover_refuses_in_python(weights: object, input: str | None, said: str) -> None:
    with pytest.raises(rd.SpecError) as e:
        rd.recover(weights, input=input)  # type: ignore[arg-type]
    assert str(e.value).startswith(said)


def test_a_remark_names_the_argument(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shapes = tensors(rd.compile(rd.load("resnet20", {"stages.layer2.width": "24", "classes": "7"})))
    assert "input='CxHxW' says another" in rd.recover(shapes).render("csv")
    file = tmp_path / "weights.json"
    file.write_text(json.dumps(shapes))
    main(["import", str(file)])
    assert "--input CxHxW says another" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("what", ["specs", "blocks", "ops", "recipes", "studies"])
def test_catalog(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = catalog(what)  # type: ignore[arg-type]
    assert found.to_dict() == json.loads(out(capsys, "list", what, "--format", "json"))
    assert found.render("csv") == out(capsys, "list", what, "--format", "csv")
    assert len(repr(found)) <= 300 and "<table>" in found._repr_html_()


def test_a_starter_is_a_spec(tmp_path: Path) -> None:
    for name, like in (("mine", None), ("mine", "resnet50"), ("mine", str(tmp_path / "mine.yaml"))):
        text = starter(name, like=like)
        (tmp_path / "mine.yaml").write_text(text)
        assert rd.check(tmp_path / "mine.yaml").ok and rd.load(tmp_path / "mine.yaml").name == "mine"


def test_a_spec_in_a_line_and_in_a_notebook() -> None:
    spec = rd.load(Path("resnet50"), {"shortcut": "C"})
    assert repr(spec) == "<Spec resnet50: 3x224x224 to 1000, 4 stages of bottleneck>"
    assert all(len(repr(part)) <= 300 for part in (*spec.stages, *spec.blocks.values(), *spec.stem, spec.tree, spec.norm))
    shown = spec._repr_html_()
    assert "<b>resnet50: 3x224x224 to 1000</b>" in shown and shown.count("<tr>") == 5 and ">512<" in shown


def test_a_graph_in_a_line_and_in_a_notebook() -> None:
    graph = rd.compile("resnet50")
    assert repr(graph) == "<Graph resnet50: 3x224x224 to 1000, 25,557,032 params>"
    assert graph.params == rd.inspect(graph).params
    assert all(len(repr(part)) <= 300 for part in (graph.root, *graph.root.nodes, *graph.programs, *list(graph.nodes())[:9]))
    assert repr(graph.stages[2]) == "<Node layer3: stage -> 1024x14x14>"
    shown = graph._repr_html_()
    assert "<b>resnet50: 3x224x224 to 1000</b>" in shown and "<b>25,557,032</b>" in shown and ">1024x14x14<" in shown
