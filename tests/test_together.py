"""Several trainings at once: what comes back from their processes, and that none is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.records.request import Request
from resnet_dsl.training.loop.progress import Snapshot
from resnet_dsl.verbs.reporting import PLAIN, RESIDUAL, demonstrate
from resnet_dsl.verbs.together import Training, train_together

pytestmark = pytest.mark.usefixtures("no_child_left")


class Kept:
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[Snapshot] = []
        self.closed = False

    def say(self, text: str) -> None:
        self.said.append(text)

    def show(self, now: Snapshot) -> None:
        self.shown.append(now)

    def close(self) -> None:
        self.closed = True


def tiny(out: Path, **asked: object) -> Training:
    request = Request(
        **{
            "overrides": ("params.n=1",),
            "data": "digits",
            "limit_train": 256,
            "batch": 64,
            "plan": "precision=fp32,compile=no,threads=1",
            "out": out,
            **asked,
        }
    )  # type: ignore[arg-type]
    return Training("resnet20-digits", request, ("test",))


def test_the_demonstration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Both networks, a thread each, and the picture of both; the runs are those of `train` on one thread."""
    monkeypatch.chdir(tmp_path)
    found = demonstrate(epochs=1)
    assert [run.results.name for run in found.runs if run.results] == [RESIDUAL, PLAIN]
    assert [run.plan.threads for run in found.runs] == [1, 1]
    assert "<svg" in found.picture.read_text()
    said = capsys.readouterr().err
    for name in (RESIDUAL, PLAIN):
        assert f"{name}: device plan: cpu, 1 thread" in said
        assert f"{name}  epoch 1/1  step 11/11" in said


def test_one_that_is_refused_ends_the_other(tmp_path: Path) -> None:
    watcher = Kept()
    with pytest.raises(SpecError) as e:
        train_together(
            [tiny(tmp_path / "long", steps=100_000), tiny(tmp_path / "bad", data="cifar10", data_dir=tmp_path)], watcher, lambda: False
        )
    assert (e.value.exit_code, e.value.diagnostics[0].code) == (3, "data-missing")
    assert watcher.closed


def test_a_wish_to_stop_stops_all(tmp_path: Path) -> None:
    watcher = Kept()
    with pytest.raises(Interrupted, match="interrupted after step"):
        train_together([tiny(tmp_path / "a", steps=100_000)], watcher, lambda: any(s.step > 3 for s in watcher.shown))
    assert {s.name for s in watcher.shown} == {"resnet20-digits"}
    assert list((tmp_path / "a/checkpoints").iterdir())
