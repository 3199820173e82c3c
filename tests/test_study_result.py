"""A study's result: tables, pictures, JSON, what is damaged, and the command."""

from __future__ import annotations

import io
import json
import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.study import tables
from resnet_dsl.lab.study.engine import Event, TaskResult
from resnet_dsl.lab.study.measures import diverged
from resnet_dsl.lab.study.planning import Choice, StudyPlan, plan
from resnet_dsl.lab.study.progress import Board
from resnet_dsl.lab.study.reading import read_study, shipped_studies
from resnet_dsl.lab.study.records import RunMeasures, StudyDocument
from resnet_dsl.lab.study.result import Failure, Invocation, StudyResult, result
from resnet_dsl.lab.study.verdict import CANNOT_TELL, NOT_SUPPORTED, SUPPORTED

ROOT = Path(__file__).parent.parent
ERRORS = Path(__file__).parent / "data" / "study" / "errors.md"


# --- result, tables, pictures --------------------------------------------------------------------------------


def planned(name: str, **choice: Any) -> StudyPlan:
    return plan(read_study(name), Choice(**choice))


def invented(p: StudyPlan, errors: dict[str, tuple[float, ...]]) -> dict[str, RunMeasures]:
    """Measures of all runs: those at the first rate are 5 points worse, and lose."""
    found = {}
    for t in p.tasks(Path()):
        e = errors[t.arm][t.seed] + (5.0 if t.lr != max(p.recipes) else 0.0)
        measures = {"train_error": e, "train_error_eval": e + 1, "test_error": e + 2, "gap": 1.0, "loss": e / 50, "seconds": 10.0}
        found[t.name] = RunMeasures(
            identity=t.identity,
            diverged=None,
            measures=measures,
            curve=((20, 90.0), (40, e)),
            steps=40,
            weights_sha256="0",
            data_sha256="1",
        )
    return found


DEGRADED = {
    "plain-20": (20.0, 19.5, 20.4),
    "plain-56": (48.0, 47.0, 49.1),
    "residual-20": (15.0, 14.5, 15.2),
    "residual-56": (16.1, 15.9, 16.0),
}
INVOCATION = Invocation("resnet-dsl study degradation --quick", 2, "local", "cpu")


DIVERGED = {"diverged": "the loss is nan", "measures": diverged(10, 400, None), "curve": ()}


def degradation(errors: dict[str, tuple[float, ...]] = DEGRADED, **changes: dict[str, Any] | None) -> StudyResult:
    """The quick study with invented numbers; a run's name with what is changed of it, or None where it is missing."""
    p = planned("degradation", setting="quick")
    found = invented(p, errors)
    for name, change in changes.items():
        if change is None:
            del found[name]
        else:
            found[name] = found[name].model_copy(update=change)
    return result(p, p.tasks(Path()), found, INVOCATION.provenance())


def test_a_result_is_decided_on_the_best_rate() -> None:
    d = degradation()
    assert d.verdict == SUPPORTED
    assert {a.name: a.lr for a in d.arms} == dict.fromkeys(DEGRADED, 0.1)
    assert sum(r.chosen for r in d.runs) == 12
    assert d.comparisons[0].pairs == pytest.approx([28.0, 27.5, 28.7])
    assert d.to_dict()["cost"] == {"runs": 24, "seconds": 240.0}
    assert "/" not in json.dumps(d.to_dict()["made"])


def test_the_other_verdicts() -> None:
    assert degradation(DEGRADED | {"plain-56": (15.0, 14.0, 16.0)}).verdict == NOT_SUPPORTED
    assert degradation(DEGRADED | {"plain-56": (15.0, 40.0, 30.0)}).verdict == CANNOT_TELL


def test_a_missing_run_leaves_its_arm_undecided() -> None:
    d = degradation(**{"plain-56-lr0.02-seed1": None})
    assert d.verdict == CANNOT_TELL
    assert [c.verdict for c in d.comparisons] == [CANNOT_TELL, CANNOT_TELL, CANNOT_TELL, SUPPORTED]
    assert [r["name"] for r in d.to_dict()["runs"] if r.get("missing")] == ["plain-56-lr0.02-seed1"]
    assert "?: missing." in tables.runs_table(d).render("table")


def test_diverged_runs_count_and_are_said() -> None:
    d = degradation(**{f"plain-56-lr0.1-seed{s}": DIVERGED for s in range(3)})
    assert {a.name: a.lr for a in d.arms}["plain-56"] == 0.02
    assert d.verdict == SUPPORTED
    assert [row[-1] for row in tables.runs_table(d).rows].count("x") == 3


def words(svg: str) -> str:
    return "".join(ET.fromstring(svg.encode()).itertext())


def test_pictures_of_runs_that_diverged_say_so() -> None:
    every = [t.name for t in planned("degradation", setting="quick").tasks(Path())]
    d = degradation(**{name: DIVERGED for name in every if name.startswith("plain-56")})
    assert "plain-56: every run diverged" in words(d.curves.svg)
    assert 'd="M"' not in d.curves.svg
    d = degradation(**dict.fromkeys(every, DIVERGED))
    assert words(d.curves.svg).count(f"{d.title}: every run diverged") == 2
    # An error of chance is a number, a loss that diverged is none.
    assert "<circle" in d.dots.svg
    d = d.model_copy(update={"measures": ("loss",), "comparisons": ()})
    assert words(d.dots.svg).count(f"{d.title}: every run diverged") == 2
    d = degradation(**dict.fromkeys(every[:-1], DIVERGED), **{every[-1]: None})
    assert "residual-56: runs are missing" in words(d.curves.svg) or "runs are missing" in words(d.curves.svg)


def test_a_result_in_python_and_in_a_notebook() -> None:
    d = degradation()
    assert repr(d) == "<StudyResult degradation (quick) on fashion-mnist: supported; 24 of 24 runs>"
    assert str(d).endswith("SUPPORTED: All 4 comparisons hold.\n")
    page = d._repr_html_()
    assert page.count("<table>") == 3
    assert page.count("<img ") == 2
    assert "SUPPORTED" in page
    assert d._repr_svg_() == d.dots.svg
    d.require_complete()
    failed = d.model_copy(update={"failures": (Failure(run="a", error="disk full", exit_code=3), Failure(run="b", error="", exit_code=1))})
    with pytest.raises(SpecError, match="2 of 24 runs could not be made: a, b\ndisk full") as e:
        failed.require_complete()
    assert e.value.exit_code == 3
    assert failed.to_dict() == d.to_dict()


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "findings").glob("*.json")), ids=lambda p: p.stem)
def test_stored_results_are_read_and_written_back(path: Path) -> None:
    for document in json.loads(path.read_text())["documents"]:
        if "study" in document:
            assert json.dumps(StudyDocument.model_validate(document).to_dict()) == json.dumps(document)


@pytest.mark.parametrize("format", ["table", "markdown", "csv"])
def test_tables(format: Any, tmp_path: Path) -> None:
    d = degradation(**{"plain-56-lr0.02-seed1": {"diverged": "the loss is nan"}})
    text = "\n".join(t.render(format) for t in d.tables(format))
    if format == "table":
        text = d.render()
        assert max(map(len, text.splitlines())) <= 80
    golden = Path(__file__).parent / "data" / "study" / f"tables.{format}.txt"
    if os.environ.get("RESNET_DSL_ACCEPT"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_pictures_show_every_run() -> None:
    d = degradation(**{"residual-20-lr0.1-seed0": None})
    svg = "{http://www.w3.org/2000/svg}"
    dots = ET.fromstring(d.dots.svg.encode())
    # 23 runs in each of four panels.
    circles = [c.get("fill") for c in dots.iter(f"{svg}circle")]
    assert len(circles) == 4 * 23
    # No rate is chosen for the arm that lacks a run.
    assert sum(fill != "none" for fill in circles) == 4 * 9
    curves = ET.fromstring(d.curves.svg.encode())
    words = "".join(curves.itertext())
    assert all(arm in words for arm in DEGRADED)


def test_a_changed_rule_is_said() -> None:
    p = planned("null", setting="quick")
    d = result(p, p.tasks(Path()), {}, INVOCATION.provenance(), rule_kept=False)
    assert "The rule was changed after runs had been made" in " ".join(tables.verdict_text(d).split())
    assert d.verdict == CANNOT_TELL


def test_progress_without_a_terminal() -> None:
    p = planned("null", setting="quick")
    one, two, *_ = p.tasks(Path())
    stream = io.StringIO()
    board = Board(stream, False, [one, two], {one.name: 1.0, two.name: 1.0}, 3)
    board.event(Event("began", one))
    board.event(Event("step", one, 30, 60))
    board.event(Event("again", one, text="its process was killed by SIGKILL"))
    measures = {"train_error": 20.0, "test_error": 21.0, "seconds": 61.0}
    done = RunMeasures(identity="", diverged=None, measures=measures, curve=(), steps=60, data_sha256="", weights_sha256="")
    board.ended(TaskResult(one, done))
    board.ended(TaskResult(two, error="disk full", exit_code=3))
    board.close()
    assert re.sub(r"\d+:\d\d left", "T left", stream.getvalue()) == (
        "one-lr0.1-seed0: its process was killed by SIGKILL; it goes on from its checkpoint\n"
        "[4/5] one-lr0.1-seed0: train error 20.0 %, test error 21.0 %, 1:01  (T left)\n"
        "[5/5] one-lr0.1-seed1: failed: disk full\n"
    )


# --- the command line ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("study degradatio", 2, "did you mean 'degradation'?"),
        ("study null --quick --long", 2, "--quick and --long exclude each other"),
        ("study null --data cifar10", 2, "its data is one of: digits, fashion-mnist"),
        ("study null -o plot.png", 2, "name a file that ends in .svg"),
        ("study null --address here", 2, "an address is for Ray"),
        ("study nothing.yaml", 2, "the file is not found"),
        ("study null --seeds 0", 2, "--seeds"),
        ("study degradation --quick --data-dir nowhere --out d", 3, "not found on this machine"),
        ("list studies", 0, ""),
    ],
)
def test_requests(
    line: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == code
    out, err = capsys.readouterr()
    assert said in err
    assert code == 2 or line.startswith("study") or all(name in out for name in shipped_studies())
