"""Loggers: CSV and TensorBoard hold what metrics.jsonl holds, also after a run was killed and went on; others cannot end a run."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import tiny

import resnet_dsl as rd
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.records.folder import METRICS, Metrics
from resnet_dsl.records.log import LogRow, read_rows
from resnet_dsl.records.record import RunRecord
from resnet_dsl.training.loop import loggers as logs
from resnet_dsl.training.loop.loggers import CsvLog, GuardedLogger, Logger, makers, open_loggers


def train(step: int) -> LogRow:
    return LogRow(event="train", step=step, epoch=step / 10, lr=0.1, train_loss=2 / step, train_accuracy=0.5, seconds=step / 4)


def evaluation(step: int) -> LogRow:
    return LogRow(event="test", step=step, epoch=step / 10, loss=1 / step, top1=step / 100, images=360, seconds=step / 4)


ROWS = [train(5), train(10), evaluation(10), train(15), train(20), evaluation(20), train(25)]


def attend(rows: Sequence[LogRow], loggers: list[Logger], metrics: Metrics) -> None:
    """Rows to the log first, then to all loggers, as a run does."""
    for row in rows:
        metrics.add(row.line())
        for logger in loggers:
            logger.log(row)


def killed_and_resumed(folder: Path, *, tensorboard: bool) -> None:
    """A run that was killed after `ROWS[:6]` and goes on from a checkpoint that held three rows."""
    metrics = Metrics(folder / METRICS, 0)
    loggers = open_loggers(folder, tensorboard=tensorboard, others={}, say=print)
    attend(ROWS[:3], loggers, metrics)
    kept = metrics.sync()
    attend(ROWS[3:6], loggers, metrics)
    metrics.close()  # and no logger's close: the process is dead
    metrics = Metrics(folder / METRICS, kept)
    loggers = open_loggers(folder, tensorboard=tensorboard, others={}, say=print)
    attend(ROWS[3:], loggers, metrics)
    for logger in loggers:
        logger.close()
    metrics.close()


def cells(text: str) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(text))]


def test_csv_is_the_log_after_a_kill(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, tensorboard=False)
    text = (tmp_path / "metrics.csv").read_text()
    assert text.splitlines()[0] == "event,step,epoch,lr,train_loss,train_accuracy,seconds,loss,top1,images"
    assert cells(text) == [{k: str(v) for k, v in row.to_dict().items()} for row in ROWS]
    assert [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()] == [row.to_dict() for row in ROWS]


def test_csv_is_written_when_it_opens_and_at_each_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    log = CsvLog(tmp_path, [])
    assert path.read_text() == ""
    lines = []
    for row in ROWS:
        log.log(row)
        lines.append(len(path.read_text().splitlines()))
    assert lines == [0, 0, 4, 4, 4, 7, 7]
    log.close()
    assert len(path.read_text().splitlines()) == 8
    CsvLog(tmp_path, ROWS[:2])
    assert len(path.read_text().splitlines()) == 3


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    return {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_each_step_once_after_a_kill(tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, tensorboard=True)
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in ROWS:
        for key in ("lr", "loss", "train_loss", "train_accuracy", "top1"):
            if (value := getattr(row, key)) is not None:
                expected.setdefault(f"{row.event}/{key}".replace("train/train_", "train/"), []).append((row.step, pytest.approx(value)))
    assert scalars(tmp_path) == expected
    # Relative time is the run's own: the pause between two processes is no part of it.
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    times = [e.wall_time for e in read.Scalars("train/loss")]
    assert [t - times[0] for t in times] == pytest.approx([0.0, 1.25, 2.5, 3.75, 5.0], abs=1e-3)


def test_tensorboard_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"pip install 'resnet-dsl\[tensorboard\]'") as e:
        open_loggers(tmp_path, tensorboard=True, others={}, say=print)
    assert e.value.exit_code == 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, 0),
        ("", 0),
        (b"".join(r.line() for r in ROWS), 7),
        (ROWS[0].line() + b'{"event": "tra', 1),
        (ROWS[0].line() + b'{"event": "tra\n' + ROWS[1].line(), "line 2 is damaged: it is no JSON document"),
        ('{"event": "train"}\n', "line 1 is damaged: `step` is missing"),
        ('{"event": "train", "step": "5", "epoch": 1}\n', "line 1 is damaged: `step` must be a whole number, not '5'"),
        ("[1]\n", "line 1 is damaged: it must be an object, not a list"),
        ("[" * 100_000 + "\n", "line 1 is damaged: it is no JSON document"),
        (b"\xff\xfe\n", "it is not text"),
    ],
    ids=["no file", "empty", "whole", "cut off", "damaged", "lacking", "wrong kind", "a list", "deep", "no text"],
)
def test_reading_rows(content: str | bytes | None, expected: int | str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / METRICS).write_bytes(content if isinstance(content, bytes) else content.encode())
    if isinstance(expected, int):
        assert read_rows(tmp_path) == tuple(ROWS[:expected])
    else:
        with pytest.raises(SpecError, match=expected):
            read_rows(tmp_path)


PLUGIN = """
from pathlib import Path
from types import ModuleType
from typing import Any

class Notes:
    def __init__(self, folder, rows):
        self.path = Path(folder) / "notes.txt"
        self.path.write_text("".join(f"seen {row['step']}\\n" for row in rows))

    def log(self, row):
        with self.path.open("a") as f:
            f.write(f"{row['event']} {row['step']}\\n")

    def close(self):
        with self.path.open("a") as f:
            f.write("closed\\n")

class Tired(Notes):
    def log(self, row):
        raise ValueError("too many rows")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that offers loggers."""
    home = tmp_path / "site"
    (home / "notes-1.dist-info").mkdir(parents=True)
    (home / "a_notes_logger.py").write_text(PLUGIN)
    (home / "notes-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: notes\nVersion: 1\n")
    offers = "notes = a_notes_logger:Notes\ntired = a_notes_logger:Tired\ngone = a_notes_logger:Gone\n"
    (home / "notes-1.dist-info/entry_points.txt").write_text(f"[{logs.GROUP}]\n{offers}")
    monkeypatch.syspath_prepend(str(home))
    yield
    sys.modules.pop("a_notes_logger", None)


@pytest.mark.usefixtures("package")
def test_loggers_of_other_packages(tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / METRICS).write_bytes(b"".join(r.line() for r in ROWS[:2]))
    loggers = open_loggers(tmp_path, tensorboard=False, others=makers(["notes"]), say=said.append)
    for row in ROWS[2:4]:
        for logger in loggers:
            logger.log(row)
    for logger in loggers:
        logger.close()
    assert (tmp_path / "notes.txt").read_text() == "seen 5\nseen 10\ntest 10\ntrain 15\nclosed\n"
    assert said == []


@pytest.mark.usefixtures("package")
def test_a_logger_that_fails_is_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    tired = GuardedLogger("tired", makers(["tired"])["tired"], tmp_path, [], said.append)
    for row in ROWS:
        tired.log(row)
    tired.close()
    assert said == ["warning: the logger tired failed and is left out: ValueError: too many rows"]
    assert (tmp_path / "notes.txt").read_text() == ""
    nowhere = GuardedLogger("notes", makers(["notes"])["notes"], tmp_path / "nowhere", [], said.append)
    nowhere.log(ROWS[0])
    assert said[1].startswith("warning: the logger notes failed and is left out: FileNotFoundError")


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("note", 2, "did you mean 'notes'?"), ("weights", 2, "logger is one of: "), ("gone", 3, "cannot be loaded: AttributeError")],
)
def test_loggers_that_cannot_be_had(name: str, code: int, message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("?", r"\?")) as e:
        makers([name])
    assert e.value.exit_code == code


def test_no_package_offers_any() -> None:
    with pytest.raises(SpecError, match=r"logger is one of: wandb; others come in packages with the entry point resnet_dsl\.loggers"):
        makers(["mine"])


class Mine:
    """A logger from Python, which has nothing to close."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def log(self, row: dict[str, object]) -> None:
        self.rows.append(row)


def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(tiny("steps: 4, batch: 64, lr: 0.1, augment: {flip: false}"))
    return path


def test_an_object_from_python_is_given_each_row(tmp_path: Path) -> None:
    mine, other = Mine(), Mine()
    run = rd.train(net(tmp_path), data="digits", limit_train=256, out=tmp_path / "run", quiet=True, logger=mine)
    assert mine.rows == [row.to_dict() for row in run.rows]
    assert run.record.logger == ()
    rd.train(run.path, resume=True, steps=6, quiet=True, logger=[other])
    # The checkpoint of the end holds the log up to it.
    assert [row["step"] for row in other.rows][-1] == 6
    for wrong in (3, object(), [mine, print]):
        with pytest.raises(SpecError, match="has no method `log`") as e:
            rd.train(net(tmp_path), data="digits", logger=wrong)
        assert e.value.exit_code == 2


class FakeRun:
    """What of wandb's run is used. `step` is the next one that it takes."""

    def __init__(self, seen: int) -> None:
        self.step, self.logged, self.finished = seen, [], False

    def log(self, figures: dict[str, float], step: int) -> None:
        self.logged.append((step, figures))

    def finish(self) -> None:
        self.finished = True


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the log, under the names that TensorBoard has, and the same run of wandb after a stop."""
    module: Any = ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    calls: list[tuple[dict[str, Any], FakeRun]] = []

    def init(**asked: Any) -> FakeRun:
        calls.append((asked, FakeRun(0 if not calls else 5)))
        return calls[-1][1]

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setenv("WANDB_PROJECT", "digits")
    run = rd.train(net(tmp_path), data="digits", limit_train=256, out=tmp_path / "run", quiet=True, logger="wandb")
    (asked, found) = calls[0]
    assert (asked["project"], asked["name"], asked["resume"]) == ("digits", "run", "allow")
    assert asked["config"]["lr"] == 0.1
    assert found.finished
    assert [(step, figures) for step, figures in found.logged] == [
        (r.step, {f"{r.event}/{k}": v for k, v in r.to_dict().items() if k not in ("event", "step")}) for r in run.rows
    ]
    rd.train(run.path, resume=True, steps=6, quiet=True)
    again, after = calls[1]
    assert again["id"] == asked["id"]
    assert {step for step, _ in after.logged} == {5, 6}


def test_wandb_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SpecError, match=r"the logger wandb needs the package wandb, which is not installed") as e:
        makers(["wandb"])
    assert (e.value.exit_code, e.value.diagnostics[0].help) == (3, "pip install 'resnet-dsl[wandb]'")


def test_old_records_name_their_loggers(tmp_path: Path) -> None:
    assert RunRecord.parse(b'{"data": "digits", "loggers": ["notes"]}', tmp_path).logger == ("notes",)
