"""Studies that are run: the null study end to end, runs that are stopped, killed, impossible or that diverge, and the numbers of each."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from studying import INVOCATION, TEXT, Instant, never, ready

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.runs.running import run_task
from resnet_dsl.lab.study.conduct import Execution, conduct
from resnet_dsl.lab.study.engine import Event, Task, TaskResult
from resnet_dsl.lab.study.local import LocalEngine
from resnet_dsl.lab.study.planning import Choice, command, plan
from resnet_dsl.lab.study.reading import read_study
from resnet_dsl.lab.study.records import RunMeasures
from resnet_dsl.records.errors import StudyInterrupted
from resnet_dsl.training.loop.faults import VARIABLE


def figures(found: RunMeasures | None) -> dict[str, Any]:
    """What does not depend on the clock."""
    assert found is not None
    return {**found.to_dict(), "measures": {k: v for k, v in found.measures.items() if k not in ("seconds", "step_ms")}}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The measures of the small study's runs, carried out one by one in this process."""
    _, tasks = ready(tmp_path_factory.mktemp("reference"))
    return {t.name: figures(run_task(t)) for t in tasks}


# --- one run -----------------------------------------------------------------------------------------------


def test_a_run_can_be_repeated_by_hand(reference: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p, _ = ready(tmp_path)
    monkeypatch.chdir(tmp_path)
    task = p.tasks(Path())[1]
    line = shlex.join([*command(task), "--out", "again", "--quiet"])
    assert main(shlex.split(line)[1:]) == 0
    results = json.loads((tmp_path / "again" / "results.json").read_text())
    assert results["weights_sha256"] == reference[task.name]["weights_sha256"]
    assert 100 * (1 - results["test"]["top1"]) == pytest.approx(reference[task.name]["measures"]["test_error"], abs=1e-3)


def test_measures_agree_with_the_run_and_with_evaluate(
    reference: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, (task, _) = ready(tmp_path, TEXT.replace("judged: 300", "judged: 100000"))
    found = run_task(task).measures
    capsys.readouterr()
    for part, measure in (("test", "test_error"), ("train", "train_error_eval")):
        assert main(["evaluate", str(task.folder), "--part", part, "--format", "json", "--device", "cpu"]) == 0
        assert 100 * (1 - json.loads(capsys.readouterr().out)["top1"]) == pytest.approx(found[measure], abs=1e-3)
    # The subset is a part of the same images: its error is near, and it is not the same number.
    assert abs(reference[task.name]["measures"]["train_error_eval"] - found["train_error_eval"]) < 15


def test_a_finished_run_is_read_and_not_repeated(tmp_path: Path) -> None:
    _, (task, _) = ready(tmp_path)
    first = run_task(task)
    times = {p: p.stat().st_mtime_ns for p in task.folder.rglob("*")}
    seen: list[int] = []
    assert run_task(task, lambda step, total: seen.append(step)) == first
    assert (seen, {p: p.stat().st_mtime_ns for p in task.folder.rglob("*")}) == ([], times)


def test_a_run_that_diverges_is_a_result(tmp_path: Path) -> None:
    text = TEXT.replace("[0.1]", "[100000.0]").replace("shortcut: A,", "shortcut: A, norm: none,")
    _, (task, _) = ready(tmp_path, text)
    found = run_task(task)
    assert found.diverged
    assert [found.measures[k] for k in ("train_error", "test_error", "loss")] == [90.0, 90.0, None]
    assert run_task(task) == found


# --- the local engine --------------------------------------------------------------------------------------


def carried_out(
    tasks: tuple[Task, ...], jobs: int = 1, report: Callable[[Event], None] = lambda e: None, stop: Callable[[], bool] = never
) -> dict[str, TaskResult]:
    return {o.task.name: o for o in LocalEngine(jobs).run(tasks, report, stop)}


def test_a_killed_worker_loses_nothing(reference: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    _, tasks = ready(tmp_path)
    events: list[Event] = []

    def killer(e: Event) -> None:
        events.append(e)
        if e.kind == "step" and not any(x.kind == "again" for x in events):
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    found = carried_out(tasks, report=killer)
    said = [(e.kind, e.task.name, e.text) for e in events if e.kind != "step"]
    assert said == [
        ("began", tasks[0].name, ""),
        ("again", tasks[0].name, "its process was killed by SIGKILL"),
        ("began", tasks[1].name, ""),
    ]
    # The same numbers as in this process, for the run that was killed and for the one that the next worker took up.
    assert {name: figures(o.measured) for name, o in found.items()} == reference
    assert multiprocessing.active_children() == []


def test_a_run_that_kills_its_worker_twice_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "kill@step=12")
    _, tasks = ready(tmp_path)
    found = carried_out(tasks[:1])[tasks[0].name]
    assert (found.measured, found.error, found.exit_code) == (None, "its process was killed by SIGKILL, 2 times", 1)
    # What it had done is kept, and gone on with.
    monkeypatch.delenv(VARIABLE)
    seen: list[int] = []
    run_task(tasks[0], lambda step, total: seen.append(step))
    assert sorted(set(seen)) == [20, 24]


def test_a_stop_saves_and_the_rest_is_done_later(reference: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    p, tasks = ready(tmp_path)
    engine, log = LocalEngine(1), tasks[0].folder / "metrics.jsonl"
    with pytest.raises(StudyInterrupted, match="0 of 2 runs"):
        conduct(p, tmp_path, Execution(engine, INVOCATION, sys.stderr, lambda: log.is_file() and log.stat().st_size > 0, quiet=True))
    assert list((tasks[0].folder / "checkpoints").iterdir())
    assert not tasks[1].folder.exists()
    found = conduct(p, tmp_path, Execution(engine, INVOCATION, sys.stderr, never, quiet=True))
    assert found.failures == ()
    assert {r.name: r.weights_sha256 for r in found.runs} == {n: f["weights_sha256"] for n, f in reference.items()}


def test_what_a_worker_cannot_do_is_told(tmp_path: Path) -> None:
    _, tasks = ready(tmp_path)
    tasks[0].recipe.write_text("lr: nonsense\n")
    # Nothing to take a mean over: no plan asks for that.
    bug = replace(tasks[0], recipe=tmp_path / "other.yaml", tail=0, name="bug", folder=tmp_path / "runs" / "bug")
    bug.recipe.write_text("steps: 4\nlog_every: 4\n")
    found = carried_out((tasks[0], bug))
    assert (found[tasks[0].name].measured, found[tasks[0].name].exit_code) == (None, 2)
    assert "'lr' must be a number" in found[tasks[0].name].error
    assert (found["bug"].error, found["bug"].exit_code) == ("a bug in resnet-dsl: ZeroDivisionError: division by zero", 70)


# --- the whole study ---------------------------------------------------------------------------------------


def test_a_folder_with_other_runs_is_refused(tmp_path: Path) -> None:
    p, _ = ready(tmp_path)
    conduct(p, tmp_path, Execution(Instant(), INVOCATION, sys.stderr, never, quiet=True))
    other = plan(read_study(str(tmp_path / "small.yaml")), Choice(steps=25))
    with pytest.raises(SpecError, match="holds a run of another network, recipe or data") as e:
        conduct(other, tmp_path, Execution(Instant(), INVOCATION, sys.stderr, never, quiet=True))
    assert e.value.exit_code == 2


def test_more_seeds_add_runs_and_a_changed_rule_is_noticed(tmp_path: Path) -> None:
    p, _ = ready(tmp_path)
    engine = Instant()
    conduct(p, tmp_path, Execution(engine, INVOCATION, sys.stderr, never, quiet=True))
    assert len(engine.done) == 2
    more = plan(read_study(str(tmp_path / "small.yaml")), Choice(seeds=2))
    found = conduct(more, tmp_path, Execution(engine, INVOCATION, sys.stderr, never, quiet=True))
    assert [t.seed for t in engine.done] == [0, 0, 1, 1]
    assert found.rule_fixed_beforehand
    (tmp_path / "small.yaml").write_text(TEXT.replace("rule: greater", "rule: greater, margin: 1"))
    changed = plan(read_study(str(tmp_path / "small.yaml")), Choice(seeds=2))
    found = conduct(changed, tmp_path, Execution(engine, INVOCATION, sys.stderr, never, quiet=True))
    assert (len(engine.done), found.rule_fixed_beforehand, found.failures) == (4, False, ())


def test_the_null_study_cannot_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = "study null --quick --steps 20 --jobs 1 -o dots.svg"
    assert main(line.split()) == 0
    out, err = capsys.readouterr()
    assert "CANNOT TELL AT THIS BUDGET: one trains worse than the other: the 95 % interval" in out
    assert max(map(len, out.splitlines())) <= 80
    assert err.count("train error") == 4
    home = tmp_path / "runs" / "studies" / "null-quick-20-steps"
    document = json.loads((home / "study.json").read_text())
    # Equal networks with equal seeds are the same run twice, to the bit.
    assert document["comparisons"][0]["pairs"] == [0.0, 0.0]
    assert document["made"]["command"] == "resnet-dsl study null --quick --steps 20"
    assert str(tmp_path) not in json.dumps(document)
    assert "<svg" in (tmp_path / "dots.svg").read_text()
    # Once more: nothing is run, nothing is changed, and torch is not even imported.
    before = {p: p.stat().st_mtime_ns for p in (home / "runs").rglob("*")}
    program = (
        "import sys\nfrom resnet_dsl.cli.app import main\n"
        f"code = main({[*line.split(), '--format', 'json']!r})\nassert 'torch' not in sys.modules\nsys.exit(code)"
    )
    again = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(again.stdout) == document
    assert again.stderr == ""
    assert {p: p.stat().st_mtime_ns for p in (home / "runs").rglob("*")} == before


def workers(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def blocks(pid: int, number: signal.Signals) -> bool:
    (mask,) = re.findall(r"^SigBlk:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(TEXT.replace("steps: 24", "steps: 4000"))
    line = [sys.executable, "-m", "resnet_dsl", "study", "./small.yaml", "--out", "d", "--jobs", "2"]
    study = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True)
    log = tmp_path / "d" / "runs" / "plain-lr0.1-seed0" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (log.is_file() and log.stat().st_size):
        assert study.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    # A terminal sends it to all processes of the group at once: not one of the workers takes it.
    if sys.platform == "linux":
        assert [blocks(pid, signal.SIGINT) for pid in workers(study.pid)] == [True, True]
    os.killpg(study.pid, signal.SIGINT)
    out, err = study.communicate(timeout=60)
    assert (study.returncode, out) == (75, "")
    assert "interrupted after 0 of 2 runs; what was begun is saved in d" in err
    assert "go on with the same command: resnet-dsl study ./small.yaml --out d --jobs 2" in err
    assert list((log.parent / "checkpoints").iterdir())


def test_a_study_that_lacks_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_dsl.lab.study.launch._engine", lambda *asked: Instant(failing="residual"))
    (tmp_path / "small.yaml").write_text(TEXT)
    assert main("study small.yaml --out d --quiet".split()) == 3
    out, err = capsys.readouterr()
    assert err == (
        "d: error[study-incomplete]: 1 of 2 runs could not be made: residual-lr0.1-seed0\nthe disk is full\n"
        "  help: fix that, and give the same command again: finished runs are kept\n"
    )
    assert out.count("?") == 1
    assert "CANNOT TELL AT THIS BUDGET: plain is worse: 1 of 1 pairs of runs is missing." in out
