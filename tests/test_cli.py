"""Commands and what they print: each file of data/cli/*.txt is a command line, its output on both streams and its exit code.

RESNET_DSL_ACCEPT=1 in the environment rewrites the files; read the difference before you keep it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from resnet_dsl.analysis.vary import split
from resnet_dsl.cli import app
from resnet_dsl.cli.app import COMMANDS, main
from resnet_dsl.verbs import networks
from resnet_dsl.verbs.modules import build

CASES = Path(__file__).parent / "data" / "cli"


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("RESNET_DSL_DEBUG", raising=False)


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str, int]:
    code = main(args)
    out, err = capsys.readouterr()
    return out, err, code


@pytest.mark.parametrize("case", sorted(CASES.glob("*.txt")), ids=lambda p: p.stem)
def test_case(case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    command = case.read_text().splitlines()[0]
    out, err, code = run(capsys, *command.removeprefix("$ resnet-dsl ").split())
    found = f"{command}\n{out}" + (f"--- stderr\n{err}" if err else "") + f"--- exit {code}\n"
    assert code != app.BUG, err
    if os.environ.get("RESNET_DSL_ACCEPT"):
        case.write_text(found)
    assert found == case.read_text()
    if not {"comment", "csv", "json", "markdown", "github", "--resolved", "--ir", "lint"} & set(command.split()):
        assert max(map(len, out.splitlines()), default=0) <= 80


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_help_ends_with_a_runnable_example(row: app.Command, capsys: pytest.CaptureFixture[str]) -> None:
    out, _, code = run(capsys, row.name, "--help")
    assert code == 0
    assert out.rstrip().splitlines()[-1].strip() == row.examples[-1]


NEED_A_RUN = ("train", "evaluate", "predict", "runs", "report", "demo")
TAKE_MINUTES = ("resnet-dsl study degradation --quick",)


@pytest.mark.parametrize(
    "example",
    [e for row in COMMANDS for e in row.examples if row.name not in NEED_A_RUN and "runs/" not in e and e not in TAKE_MINUTES],
)
def test_examples_run(example: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if example.startswith("resnet-dsl fmt"):
        run(capsys, "new", "mynet")
    if example.startswith("resnet-dsl weights"):
        _, _, spec, file, *_ = example.split()
        torch.save(build(spec).state_dict(), file)
    if example.startswith("resnet-dsl import"):
        file = example.split()[2]
        save = save_file if file.endswith(".safetensors") else torch.save
        save(build("resnet20").state_dict(), file)
    out, err, code = run(capsys, *example.split()[1:])
    # `diff` says by its exit code that networks differ.
    assert (code, "error[" in err) == (int(example.startswith("resnet-dsl diff")), False)
    assert out or list(tmp_path.iterdir())


@pytest.mark.parametrize("like", [(), ("--like", "resnet20-digits"), ("--like", "vgg16")])
def test_new_writes_normal_form(like: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "mynet.yaml")
    assert run(capsys, "new", "mynet", "-o", path, *like)[2] == 0
    assert run(capsys, "fmt", path, "--check", "--diff") == ("", "", 0)


# --- options and exit codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ("inspct", 2, "did you mean 'inspect'?"),
        ("inspect", 2, "missing argument 'SPEC'"),
        ("inspect resnet50 --bye op", 2, "there is no option --bye\n  help: did you mean --by?"),
        ("inspect resnet50 --by layer", 2, "--by cannot be 'layer'\n  help: write one of: net, stage, block, op"),
        ("inspect resnet5", 2, "error[file-not-found]"),
        ("inspect resnet50 --set shortcut=Z", 2, "--set:1:10: error[unknown-name]"),
        ("inspect resnet50 --input 3x224", 2, "--input: error[usage]"),
        ("inspect resnet50 --input 3x2x2", 2, "error[shape]"),
        ("inspect resnet50 --batch 0", 2, "--batch must be at least 1, not 0\n  help: write --batch 1\n"),
        ("compare resnet50 --vary shortcut", 2, "--vary: error[usage]"),
        ("compare resnet50 --vary shortcut=A,,B", 2, "--vary: error[usage]"),
        ("compare resnet50 --vary classes=" + "2," * 1000 + "3", 2, "over the limit of 1,000"),
        ("emit resnet18 -o /no/such/folder/x.py", 3, "--out: error[output]: cannot write"),
        ("emit resnet18 -o /", 3, "--out: error[output]: cannot write"),
        ("new a/../b?", 2, "NAME: error[usage]"),
        ("explain merge-shap", 2, "did you mean 'merge-shape'?"),
    ],
)
def test_mistakes(args: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, err, found = run(capsys, *args.split())
    assert (out, found) == ("", code)
    assert said in err
    assert "help:" in err
    assert "Traceback" not in err


def test_several_specs_in_check_are_all_checked(capsys: pytest.CaptureFixture[str]) -> None:
    out, err, code = run(capsys, "check", "resnet18", "nothing", "resnet34")
    assert [line.split()[1] for line in out.splitlines()] == ["resnet18:", "resnet34:"]
    assert err.startswith("nothing: error[file-not-found]")
    assert code == 2


def test_quiet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "check", "resnet18", "--quiet") == ("", "", 0)
    assert run(capsys, "emit", "resnet18", "-q", "-o", str(tmp_path / "x.py")) == ("", "", 0)
    out, _, _ = run(capsys, "inspect", "resnet18", "--quiet")
    assert out.splitlines()[0].startswith("stage")
    assert out.splitlines()[-1].startswith("total")


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "inspect", "resnet50", "--format", "json", "--by", "op")[0])
    assert [document[k] for k in ("params", "macs", "flops", "activations", "depth")] == [25557032, 4089184256, 8178368512, 11114984, 50]
    assert document["ops"][0] == {
        "path": "conv1", "op": "conv", "label": "7x7 conv, 64, /2", "out": [64, 112, 112], "params": 9408, "macs": 118013952,
        "receptive": [7, 7], "jump": [2, 2], "saved": 4 * 3 * 224 * 224,
    }  # fmt: skip
    rows = json.loads(run(capsys, "compare", "resnet50", "--vary", "shortcut=B,C", "--format", "json")[0])
    assert [r["label"] for r in rows] == ["shortcut=B", "shortcut=C"]
    assert rows[1]["delta"] == {"params": 40128552 - 25557032, "macs": rows[1]["macs"] - rows[0]["macs"]}
    assert rows[1]["ratio"]["params"] == pytest.approx(1.57, abs=0.005)
    assert "ops" not in rows[0]


def test_vary_splits_at_commas_that_stand_alone() -> None:
    assert list(split("A,B")) == ["A", "B"]
    assert list(split('"min(1, 2)",max(3, 4),[5, 6],{a: 7, b: 8}')) == ['"min(1, 2)"', "max(3, 4)", "[5, 6]", "{a: 7, b: 8}"]


def test_new_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for args in (("new",), ("new", "wide", "--like", "resnet20"), ("new", "folder.yaml")):
        assert run(capsys, *args)[2] == 0
    schema = (tmp_path / "resnet-dsl.schema.json").read_text()
    assert schema == run(capsys, "schema")[0]
    for path in sorted(tmp_path.glob("*.yaml")):
        assert path.read_text().startswith("# yaml-language-server: $schema=")
        assert run(capsys, "check", path.name)[2] == 0
    before = (tmp_path / "mynet.yaml").read_text()
    assert "error[file-exists]" in run(capsys, "new")[1]
    assert (tmp_path / "mynet.yaml").read_text() == before


def test_a_bug_of_ours_is_70(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(networks, "inspect", broken)
    out, err, code = run(capsys, "inspect", "resnet50")
    assert (out, code) == ("", 70)
    assert "this is a bug in resnet-dsl" in err
    assert "ZeroDivisionError: oh" in err
    assert "Traceback" not in err
    monkeypatch.setenv("RESNET_DSL_DEBUG", "1")
    assert "Traceback" in run(capsys, "inspect", "resnet50")[1]


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (OSError(28, "No space left on device"), 3)])
def test_interrupts_and_the_environment(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(networks, "inspect", broken)
    assert run(capsys, "inspect", "resnet50")[2] == code


# --- what needs a process of its own -----------------------------------------------------------------------


def shell(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    program = f"{sys.executable} -m resnet_dsl"
    return subprocess.run(
        ["bash", "-c", "set -o pipefail; " + command.replace("resnet-dsl", program)],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **env},
    )  # fmt: skip


def test_a_reader_that_stops_reading_is_no_error() -> None:
    done = shell("resnet-dsl inspect resnet1202 --by op | head -1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("resnet1202")


def test_standard_input() -> None:
    done = shell(f"resnet-dsl check - < {CASES / 'tiny.yaml'}")
    assert done.stdout.startswith("ok -: 15,794 params")


def test_output_that_cannot_be_encoded_is_spelled_out(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("description: \u03c0\n" + (CASES / "tiny.yaml").read_text(), encoding="utf-8")
    done = shell(f"resnet-dsl inspect {path} --resolved", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'description: "\\u03c0"' in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [("resnet-dsl inspect resnet10", "resnet101"), ("resnet-dsl com", "compare"), ("resnet-dsl explain merge-", "merge-shape")],
)
def test_shell_completion(words: str, offered: str) -> None:
    done = shell("resnet-dsl", _RESNET_DSL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
    assert offered in done.stdout.split()
