"""`rd.study`, and study folders that are damaged."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from studying import INVOCATION, TEXT, Instant, never, ready

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.study.conduct import Execution, conduct

# --- what is damaged ---------------------------------------------------------------------------------------

PLAN, RUN = "plan.json", "runs/plain-lr0.1-seed0/measures.json"
DAMAGE = [
    # The file; the keys to a value and the value that is put there (or the file's whole text); what is said.
    (RUN, "", "it is no JSON document"),
    (RUN, "[1]", "it must be an object, not a list"),
    (RUN, "{}", "`identity` is missing"),
    (RUN, "[" * 10_000, "it is no JSON document"),
    (RUN, ["identity", 3], "`identity` must be a text, not 3"),
    (RUN, ["measures", 3], "`measures` must be an object, not 3"),
    (RUN, ["measures", "all"], "`measures` must be an object, not 'all'"),
    (RUN, ["measures", math.nan], "`measures` must be an object, not nan"),
    (RUN, ["measures", "loss", "low"], "`measures.loss` must be a number, not 'low'"),
    (RUN, ["measures", "loss", math.nan], "`measures.loss` must be a finite number, not nan"),
    (RUN, ["measures", "loss", math.inf], "`measures.loss` must be a finite number, not inf"),
    (RUN, ["measures", "loss", [1.0]], "`measures.loss` must be a number, not a list"),
    (RUN, ["measures", "seconds", 10**400], "`measures.seconds` must be a number"),
    (RUN, ["curve", 3], "`curve` must be a list, not 3"),
    (RUN, ["curve", "[]"], "`curve` must be a list, not '[]'"),
    (RUN, ["curve", math.nan], "`curve` must be a list, not nan"),
    (RUN, ["curve", [[1]]], "`curve.0.1` is missing"),
    (RUN, ["curve", [["a", 2.0]]], "`curve.0.0` must be a whole number, not 'a'"),
    (RUN, ["curve", [[1, math.nan]]], "`curve.0.1` must be a finite number, not nan"),
    (RUN, ["diverged", True], "`diverged` must be a text, not true"),
    (PLAN, "{}", "`rule` is missing"),
    (PLAN, ["runs", []], "`runs` must be an object, not a list"),
    (PLAN, ["runs", "plain-lr0.1-seed0", 1], "`runs.plain-lr0.1-seed0` must be a text, not 1"),
    ("study.json", "{}", "`format` is missing"),
    ("study.json", ["made", None], "`made` must be an object, not null"),
    ("study.json", ["made", "cores", "two"], "`made.cores` must be a whole number, not 'two'"),
    ("study.json", ["verdict", "perhaps"], "`verdict` must be one of 'supported', 'not supported' or 'cannot tell at this budget', not 'perhaps'"),
    ("study.json", ["runs", [{}]], "`runs.0.name` is missing"),
    ("study.json", ["learning_rates", [math.inf]], "`learning_rates.0` must be a finite number, not inf"),
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder with invented numbers."""
    home = tmp_path_factory.mktemp("finished")
    p, _ = ready(home)
    conduct(p, home, Execution(Instant(), INVOCATION, sys.stderr, never, quiet=True))
    return home


@pytest.mark.parametrize(("name", "change", "said"), DAMAGE, ids=lambda v: str(v)[:60])
def test_a_damaged_file_is_refused(
    name: str, change: str | list[Any], said: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "study"
    shutil.copytree(finished, home)
    file = home / name
    if isinstance(change, str):
        file.write_text(change)
    else:
        *path, key, value = change
        document = json.loads(file.read_text())
        reduce(lambda d, k: d[k], path, document)[key] = value
        file.write_text(json.dumps(document))
    assert main(["study", str(home / "small.yaml"), "--out", str(home), "--quiet"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{file}: error[run-damaged]: is damaged: {said}")
    assert "help: delete it; what it holds is made again" in err


# --- from Python -------------------------------------------------------------------------------------------


def test_study_is_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_dsl.lab.study.launch._engine", lambda *asked: Instant())
    (tmp_path / "small.yaml").write_text(TEXT)
    found = rd.study(tmp_path / "small.yaml", seeds=2, out="d", plot="dots.svg")
    assert capsys.readouterr().err.count("train error 20.0 %") == 2
    assert (tmp_path / "dots.svg").read_text() == found.dots.svg
    assert (tmp_path / "d" / "curves.svg").read_text() == found.curves.svg
    assert main("study small.yaml --seeds 2 --out d --format json".split()) == 0
    assert json.loads(capsys.readouterr().out) == found.to_dict()
    assert main("study small.yaml --seeds 2 --out d".split()) == 0
    out, err = capsys.readouterr()
    assert out == str(found)
    assert err == "\nin d: study.json, study.svg, curves.svg, runs\n"
    assert rd.study("small.yaml", seeds=2, out=Path("d"), quiet=True).verdict == found.verdict
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"setting": "fast"}, "setting=: error[usage]: there is no setting 'fast'"),
        ({"engine": "slurm"}, "engine=: error[usage]: there is no engine 'slurm'"),
        ({"seeds": 0}, "seeds=: error[out-of-range]: must be a whole number from 1 to 1,000, not '0'"),
        ({"steps": 2.5}, "steps=: error[out-of-range]: must be a whole number of 1 or more, not '2.5'"),
        ({"address": "here"}, "address=: error[usage]: an address is for Ray\n  help: add engine='ray', or leave it out"),
        ({"plot": "plot.png"}, "plot=: error[usage]: it is drawn as SVG, not as plot.png"),
    ],
)
def test_what_study_refuses(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)) as e:
        rd.study("null", **given)
    assert e.value.exit_code == 2


def test_a_script_without_a_main_guard_runs_its_study_once(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    (tmp_path / "script.py").write_text(
        "import resnet_dsl as rd\nprint('began')\nprint(rd.study('small.yaml', out='d', jobs=2, quiet=True).verdict)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("began\ncannot tell at this budget\n", "", 0)


def test_rates_that_are_nearly_equal_have_folders_of_their_own(tmp_path: Path) -> None:
    p, tasks = ready(tmp_path, TEXT.replace("[0.1]", "[0.1, 0.1000001, 1e-05]"))
    assert [t.name for t in tasks[:3]] == ["plain-lr0.1-seed0", "plain-lr0.1000001-seed0", "plain-lr1e-05-seed0"]
    assert {t.recipe.name for t in tasks} == {"lr0.1.yaml", "lr0.1000001.yaml", "lr1e-05.yaml"}
    found = conduct(p, tmp_path, Execution(Instant(), INVOCATION, sys.stderr, never, quiet=True))
    assert "0.1000001" in found.render()
