"""What is said of files and requests that are not what they should be: paths, encodings, other documents, inputs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

import pytest

import resnet_dsl as rd
from resnet_dsl import diagnostics
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, clean, inline, quote, quote_path, render
from resnet_dsl.language import binding, document
from resnet_dsl.language.habits import number_meant, shape_meant
from resnet_dsl.language.recipes import recipe_named
from resnet_dsl.language.source import decode

BAD = "classes: 1\n"
TEXT = "name: tiny\ninput: {channels: 1}  # modèle\n"


def said(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str, int]:
    code = main(list(args))
    out, err = capsys.readouterr()
    return out, err, code


# --- paths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("模型/网络.yaml", "模型/网络.yaml"),
        ("données/é.yaml", "données/é.yaml"),
        ("модель/сеть.yaml", "модель/сеть.yaml"),
        ("e\u0301.yaml", "e\u0301.yaml"),  # as macOS writes é
        ("网络 한국어 עברית ไทย.yaml", "网络 한국어 עברית ไทย.yaml"),
        ("🧠.yaml", "🧠.yaml"),
        ("a b,c:d%.yaml", "a b,c:d%.yaml"),
        ("rtl\u202egnp.yaml", "rtl<U+202E>gnp.yaml"),
        ("zero\u200bwidth.yaml", "zero<U+200B>width.yaml"),
        ("esc\x1b[31m\n.yaml", "esc<U+001B>[31m<U+000A>.yaml"),
        ("bad\udcff.yaml", "bad<0xFF>.yaml"),
    ],
)
def test_a_path_is_shown_as_it_is_and_programs_get_it_itself(
    path: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(BAD)
    assert said(capsys, "check", path)[1].startswith(f"{shown}:1:1: error[missing-key]")
    (spec,) = json.loads(said(capsys, "check", path, "-f", "json")[0])["specs"]
    assert spec["spec"] == spec["diagnostics"][0]["file"] == path
    for char in "%,:":
        shown = shown.replace(char, f"%{ord(char):02X}")
    assert said(capsys, "check", path, "-f", "github")[0].startswith(f"::error file={shown},line=1,")
    log = json.loads(said(capsys, "check", path, "-f", "sarif")[0])
    uri = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert unquote(uri, errors="surrogateescape") == path


def test_a_missing_path_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'données/网络.yaml': cannot open it" in said(capsys, "check", "données/网络.yaml")[1]


def test_words_that_look_like_others_are_spelled_out() -> None:
    assert quote("b\u0430sic") == "'b<U+0430>sic'"  # a Cyrillic a
    assert quote("网络") == "'网络'"
    assert quote_path("b\u0430sic") == "'b\u0430sic'"
    assert clean("a\u2028b\nc") == "a<U+2028>b\nc"
    assert inline("a\nb") == "a<U+000A>b"


# --- encodings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf8_is_read_with_and_without_its_mark(encoding: str) -> None:
    assert decode("x.yaml", TEXT.encode(encoding)).text == TEXT


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_wide_encodings_are_named(encoding: str) -> None:
    with pytest.raises(SpecError, match=rf"the file is {encoding[:6].upper()}, and a spec is UTF-8\n  help: save it as UTF-8") as raised:
        decode("x.yaml", TEXT.encode(encoding))
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(("data", "message"), [
    (TEXT.encode("latin-1"), "x.yaml:2:28: error[not-utf8]: byte 0xE8 is not UTF-8: as Latin-1 (Windows-1252) it is 'è'"),
    (b"name: \xed\xa0\x80\n", "x.yaml:1:7: error[not-utf8]: byte 0xED is not UTF-8"),
    (b"PK\x03\x04\0\0\xff\xfe\0", "x.yaml:1:7: error[not-utf8]: this is a binary file, not text"),
])  # fmt: skip
def test_other_bytes_are_located(data: bytes, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        decode("x.yaml", data)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("data", [b"", b"\0", b"a\0b: 1\n", b"name: x\n" * 100])
def test_a_zero_byte_is_no_other_encoding(data: bytes) -> None:
    assert decode("x.yaml", data).text == data.decode()


# --- other documents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "message", "help"),
    [
        (
            "s.yaml",
            "title: t\nclaim: c\nsource: {}\ndata: digits\narms: {a: {}}\ndecide: []\n",
            "this is a study",
            "resnet-dsl study s.yaml",
        ),
        ("r.yaml", "optimizer: sgd\nlr: 0.1\nepochs: 3\n", "this is a training recipe", "resnet-dsl train SPEC --recipe r.yaml"),
        ("r.yaml", "lr: 0.1\n", "this is a training recipe", "--recipe r.yaml"),
        ("r.yaml", "optimizer: sgd\nlr: 0.1\nepoch: 3\n", "this is a training recipe", "--recipe r.yaml"),
        ("x.json", '{"$schema": "https://json-schema.org", "$defs": {}}', "this is a JSON Schema", "resnet-dsl schema"),
        ("run.json", '{"data": "digits"}', "this is a record of a run", "resnet-dsl inspect ."),
        ("metrics.jsonl", '{"step": 1}\n{"step": 2}\n', "this is a record of a run", "resnet-dsl inspect ."),
        ("plan.json", "{}", "this is a record of a study", "resnet-dsl report ."),
    ],
)
def test_another_document_is_called_what_it_is(
    name: str, text: str, message: str, help: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    with pytest.raises(SpecError) as raised:
        rd.load(name)
    (d,) = raised.value.diagnostics
    shown = render([d], COMMAND_LINE)
    assert (d.code, raised.value.exit_code, message in shown, help in shown) == ("not-a-spec", 2, True, True)


@pytest.mark.parametrize("text", ["classes: 10\nblock: basic\n", "extends: resnet20\n", "stagse: []\nclasses: 10\n", "foo: 1\nbar: 2\n"])
def test_a_broken_spec_is_no_other_document(text: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    assert "not-a-spec" not in {d.code for d in rd.check(path).diagnostics}


def test_shipped_recipes_and_studies_are_told_from_specs() -> None:
    package = Path(rd.__file__).parent
    for path in [*package.glob("specs/recipes/*.yaml"), *package.glob("studies/*.yaml")]:
        assert [d.code for d in rd.check(path).diagnostics] == ["not-a-spec"], path.name


# --- numbers, shapes and inputs ------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "number"), [
    ("three", "3"), ("Sixteen", "16"), ("32px", "32"), ("32 px", "32"), ("64k", "64000"), ("1M", "1000000"), ("1,000", "1000"), ("1_000", "1000"),
    ("0,1", "0.1"), ("10,", "10"), ("10;", "10"), ("50%", "0.5"), ("1/4", "0.25"), ("3 epochs", "3"), ("128 images", "128"),
    ("width", None), ("3x3", None), ("1e6", None), ("", None), ("k * 2", None), ("12 monkeys", None),
])  # fmt: skip
def test_numbers_that_are_meant(text: str, number: str | None) -> None:
    assert number_meant(text) == number


@pytest.mark.parametrize(("text", "shape"), [
    ("3x224x224", (3, 224, 224)), ("3,224,224", (3, 224, 224)), ("[3, 224]", (3, 224, 224)), ("224x224", (3, 224, 224)), ("224", (224,)),
    ("224x224x3", (3, 224, 224)), ("(1, 3, 8, 9)", (3, 8, 9)), ("3 x 32 x 32", (3, 32, 32)), ("64x32x4", (64, 32, 4)), ("12x1x5000", (12, 1, 5000)),
    ("abc", None), ("3x", None), ("1x2x3x4x5", None),
])  # fmt: skip
def test_shapes_that_are_meant(text: str, shape: tuple[int, ...] | None) -> None:
    assert shape_meant(text) == shape


@pytest.mark.parametrize(
    ("spec", "given", "message", "help"),
    [
        ("resnet50", "224", "resnet50 reads maps, and 224 is a vector", "write --input 3x224x224"),
        ("resnet20-digits", "8", "resnet20-digits reads maps", "write --input 1x8x8"),
        ("residual-stack", "3x8x8", "residual-stack reads vectors, and 3x8x8 is a map", "write --input 32"),
        ("resnet50", "224x224x3", "channels come first", "write --input 3x224x224"),
        ("resnet50", "224x224", "a map has channels, a height and a width", "write --input 3x224x224"),
        ("resnet50", "3,224,224", "sizes are joined by x", "write --input 3x224x224"),
        ("resnet50", "[3, 224]", "a map has channels", "write --input 3x224x224"),
        ("resnet50", "1x3x96x64", "without a batch", "write --input 3x96x64"),
        ("resnet50", "big", "an input is CxHxW", "write --input 3x224x224, or --input 784"),
    ],
)
def test_an_input_that_is_none(spec: str, given: str, message: str, help: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, err, code = said(capsys, "inspect", spec, "--input", given)
    assert (code, err.count("error["), message in err, help in err) == (2, 1, True, True)


def test_an_input_in_python() -> None:
    with pytest.raises(SpecError, match=r"reads maps, and 224 is a vector\n  help: write input='3x224x224'"):
        rd.inspect("resnet50", input=224)
    assert rd.inspect("resnet50", input="3x64x48").graph.input == (3, 64, 48)


def test_a_spec_is_no_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text("extends: resnet20\nstages: {layer1: {depth: 2}}\n")
    with pytest.raises(SpecError, match=r"'net\.yaml' is a spec, not a recipe"):
        recipe_named("net.yaml")


def test_pictures_of_networks_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text("name: tiny\nextends: resnet20-digits\n")
    assert [g.name for g in rd.draw("a.yaml", "b.yaml").graphs] == ["a.yaml", "b.yaml"]
    assert [g.name for g in rd.draw("a.yaml", "resnet20").graphs] == ["tiny", "resnet20"]
    shown = [g.name for g in rd.draw(rd.load("resnet20"), rd.load("resnet20", ["shortcut=B"])).graphs]
    assert shown == ["resnet20 shortcut=A", "resnet20 shortcut=B"]
    assert all(name in str(rd.compare("a.yaml", "b.yaml")) for name in ("a.yaml", "b.yaml"))


def test_markdown_around_a_spec(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("```yaml\nclasses: 10\n```\n")
    (d,) = rd.check(path).diagnostics
    assert (d.message.startswith("``` is Markdown"), d.help) == (True, "delete the lines with ```")
    assert os.fspath(path) in str(rd.check(path))


SMALL = (
    "input: {channels: 3, height: 32, width: 32}\nclasses: 10\nstem: cifar\nblock: basic\nshortcut: A\nstages:\n  - {depth: 3, width: 16}\n"
)


@pytest.mark.parametrize("more", [
    "".join(f"unknown_key_{i}: {i}\n" for i in range(1_500)),
    "params:\n" + "".join(f"  p{i}: unknown_{i} + 1\n" for i in range(1_500)),
])  # fmt: skip
def test_near_names_are_searched_for_the_first_mistakes_only(more: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    near = diagnostics.suggest

    def counted(word: str, known: Iterable[str]) -> str | None:
        searched.append(word)
        return near(word, known)

    for module in (diagnostics, document, binding):
        monkeypatch.setattr(module, "suggest", counted)
    path = tmp_path / "s.yaml"
    path.write_text(SMALL + more)
    found = rd.check(path)
    assert len(found.diagnostics) == 1_500
    assert len(searched) < 500
    (spec,) = found.to_dict()["specs"]
    assert (len(spec["diagnostics"]), spec["more"]) == (1_000, 500)
