"""Studies on Ray: the numbers of the local engine, whatever happens to workers; and what is said where Ray cannot be used."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.lab.runs.preparing import prepare
from resnet_dsl.lab.runs.running import run_task
from resnet_dsl.lab.study.engine import Event, Task, TaskResult
from resnet_dsl.lab.study.folder import measured
from resnet_dsl.lab.study.local import LocalEngine
from resnet_dsl.lab.study.planning import Choice, plan
from resnet_dsl.lab.study.ray_engine import RayEngine, _carry_out, _Failed, _Home, _versions
from resnet_dsl.lab.study.reading import read_study
from resnet_dsl.records.folder import RunFolder

STUDY = """
title: Two small networks
claim: none
source: {note: none}
data: digits
network:
  input: {channels: 1, height: 8, width: 8}
  classes: 10
  stem: [{conv: {out: 4, kernel: 3}}, norm, act]
  block: basic
  stages: [{depth: 1, width: 4}]
arms:
  plain: {shortcut: none}
  residual: {shortcut: A}
recipe: {batch: 64, schedule: constant, warmup: 0, augment: {pad_crop: 0, flip: false}, log_every: 5, checkpoint_every: 0.1}
seeds: 2
learning_rates: [0.1]
steps: 40
decide:
  - {that: none, measure: train_error, of: plain, minus: residual, rule: greater}
"""
TIMES = {"seconds", "step_ms"}


def never() -> bool:
    return False


def quiet(event: Event) -> None: ...


def numbers(outcomes: Sequence[TaskResult]) -> dict[str, Any]:
    """All that was measured, without times, by the run's name."""
    assert [o.error for o in outcomes if o.measured is None] == []
    return {
        o.task.name: o.measured.to_dict() | {"measures": {k: v for k, v in o.measured.measures.items() if k not in TIMES}}
        for o in outcomes
        if o.measured is not None
    }


def ready(home: Path, **choice: Any) -> Sequence[Task]:
    """The four runs of the small study, ready to be carried out in a folder."""
    file = home.parent / "mini.yaml"
    file.write_text(STUDY)
    planned = plan(read_study(str(file)), Choice(**choice))
    tasks = planned.tasks(home)
    prepare(planned, home, tasks, download=False, say=lambda text: None)
    return tasks


@pytest.fixture(scope="module", autouse=True)
def token() -> Iterator[None]:
    """Clusters of these tests listen to nobody else; without one given, Ray would write a token into the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the local engine measures."""
    return numbers(list(LocalEngine(1).run(ready(tmp_path_factory.mktemp("local") / "study"), quiet, never)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster that somebody else has started."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    program = Path(sys.executable).with_name("ray")
    options = [
        "--num-cpus=2",
        "--port=0",
        "--include-dashboard=false",
        "--disable-usage-stats",
        '--system-config={"worker_niceness": 0}',
        "--object-store-memory=100000000",
    ]
    head = subprocess.Popen(
        [program, "start", "--head", "--block", *options, f"--temp-dir={folder}"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    said = []
    assert head.stdout is not None
    for line in head.stdout:
        said.append(line)
        if "--block" in line:
            break
    address = Path(folder, "ray_current_cluster")
    assert address.is_file(), "".join(said)
    yield address.read_text().strip()
    head.terminate()
    head.communicate(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.needs("ray")
def test_a_cluster_gives_the_local_engine_s_numbers(
    cluster: str, local: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    terminated = signal.getsignal(signal.SIGTERM)
    tasks = ready(Path("study"))
    events: list[Event] = []
    assert numbers(list(RayEngine(None, cluster).run(tasks, events.append, never))) == local
    assert sorted(e.task.name for e in events if e.kind == "began") == sorted(t.name for t in tasks)
    assert {(e.step, e.total) for e in events if e.kind == "step"} == {(step, 40) for step in (10, 20, 30, 40)}
    assert capsys.readouterr().out == ""
    assert signal.getsignal(signal.SIGTERM) is terminated


@pytest.mark.needs("ray")
def test_a_study_that_is_stopped_goes_on_elsewhere(cluster: str, tmp_path: Path) -> None:
    come: list[Event] = []

    def note(event: Event) -> None:
        if event.kind == "step":
            come.append(event)

    task = ready(tmp_path / "stopped", steps=400)[0]
    assert list(RayEngine(1, cluster).run([task], note, lambda: bool(come))) == []
    assert RunFolder.is_run(task.folder) and measured(task) is None
    assert any((task.folder / "checkpoints").iterdir())
    undisturbed = ready(tmp_path / "undisturbed", steps=400)[0]
    assert numbers([TaskResult(task, run_task(task))]) == numbers([TaskResult(task, run_task(undisturbed))])


@pytest.mark.needs("ray")
def test_killed_workers_lose_nothing(
    local: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every run's process is killed once, after its checkpoint of step 22."""
    monkeypatch.chdir(tmp_path)
    Path("mini.yaml").write_text(STUDY)
    monkeypatch.setenv("RESNET_DSL_FAULT", "kill@step=22,phase=after_rename")
    assert main(["study", "mini.yaml", "--seeds", "1", "--engine", "ray", "--jobs", "2", "--out", "study", "--format", "json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    for name in ("plain-lr0.1-seed0", "residual-lr0.1-seed0"):
        assert f"\n{name}: its process died; it goes on from its checkpoint\n" in f"\n{said.err}"
    assert {r["name"]: (r["weights_sha256"], r["curve"]) for r in found["runs"]} == {
        name: (m["weights_sha256"], m["curve"]) for name, m in local.items() if name.endswith("seed0")
    }
    assert found["made"]["engine"] == "ray"
    # What is finished needs no cluster any more.
    assert main(["study", "mini.yaml", "--seeds", "1", "--engine", "ray", "--address", "nowhere:1", "--out", "study", "--quiet"]) == 0


@pytest.mark.needs("ray")
def test_a_run_whose_process_dies_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_DSL_FAULT", "kill@step=22")
    tasks = ready(tmp_path / "study")[:1]
    events: list[Event] = []
    (outcome,) = RayEngine(1).run(tasks, events.append, never)
    assert (outcome.task, outcome.measured, outcome.exit_code) == (tasks[0], None, 1)
    assert outcome.error == "its process died, 2 times"
    assert [e.kind for e in events if e.kind != "step"] == ["began", "again", "began"]


def refusal(task: Task, home: _Home) -> str:
    failed = _carry_out(task, home, None)
    assert isinstance(failed, _Failed) and failed.exit_code == 3
    return failed.text.replace(socket.gethostname(), "HOST")


def test_a_worker_that_cannot_take_part_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task = ready(Path("study"))[0]
    here = Path.cwd()
    assert refusal(task, _Home(Path("/gone"), _versions())) == (
        "plain-lr0.1-seed0: error[cluster-worker]: HOST cannot enter /gone: No such file or directory\n"
        "  help: put the study's folder on a file system that every machine of the cluster mounts at the same path, "
        "and begin the study there"
    )
    assert refusal(replace(task, spec=Path("study/specs/other.yaml")), _Home(here, _versions())).startswith(
        "plain-lr0.1-seed0: error[cluster-worker]: HOST does not see study/specs/other.yaml\n"
    )
    wanted = _versions() | {"torch": "1.0"}
    assert refusal(task, _Home(here, wanted)).startswith(
        f"plain-lr0.1-seed0: error[cluster-worker]: HOST has torch {_versions()['torch']}, this machine 1.0\n  help: install the same versions"
    )


@pytest.mark.parametrize(
    ("address", "exit_code", "said"),
    [
        ("here", 2, "--address: error[usage]: 'here' is no address of a cluster"),
        ("ray://localhost:10001", 2, "--address: error[usage]: 'ray://localhost:10001' is no address of a cluster"),
        ("127.0.0.1:1", 3, "--address 127.0.0.1:1: error[cluster-connect]: no Ray cluster there: [Errno 111] Connection refused"),
        ("localhost:99999", 3, "--address localhost:99999: error[cluster-connect]: no Ray cluster there: "),
    ],
)
@pytest.mark.needs("ray")
def test_an_address_without_a_cluster(address: str, exit_code: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as e:
        list(RayEngine(None, address).run([], quiet, never))
    assert e.value.exit_code == exit_code
    assert render(e.value.diagnostics, COMMAND_LINE).startswith(said)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SpecError) as e:
        list(RayEngine(1).run([], quiet, never))
    assert e.value.exit_code == 3
    assert str(e.value) == (
        "engine='ray': error[extra-missing]: needs the package ray, which is not installed\n  help: pip install 'resnet-dsl[ray]'"
    )
