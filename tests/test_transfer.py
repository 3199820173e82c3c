"""Fine-tuning and logging from the command line: `train --weights`, `--freeze`, `--tensorboard`, `--logger`; killed and gone on with."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny
from safetensors.torch import load_file

from resnet_dsl.cli.app import main
from resnet_dsl.language import load
from resnet_dsl.records.log import LogRow
from resnet_dsl.runtime import weights
from resnet_dsl.training.loop.run_writer import FolderWriter
from resnet_dsl.verbs.modules import build
from resnet_dsl.verbs.training import train

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = tiny("epochs: 2, batch: 64, lr: 0.1, log_every: 5, checkpoint_every: 0.5, augment: {flip: false}, precision: fp32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    torch.set_num_threads(1)
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["train", str(folder / "tiny.yaml"), "--seed", "7", "--out", str(folder / "before"), "--quiet"]) == 0
    return folder


def tensors(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def log(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_s")} for r in rows]


def test_it_begins_where_the_other_ended(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "after"
    assert main(["train", str(home / "tiny.yaml"), "--weights", str(home / "before"), "--lr", "1e-6", "--out", str(run)]) == 0
    err = capsys.readouterr().err
    before, start, after = tensors(home / "before"), load_file(run / "initial.safetensors"), tensors(run)
    assert f"{home / 'before' / 'model.safetensors'}: all {len(before)} tensors taken; mean and deviation are kept" in err
    assert all(torch.equal(start[k], before[k]) for k in before)
    assert all((after[k] - before[k]).abs().max() < 1e-3 for k in before if "running" not in k and "num_batches" not in k)
    first, last = (json.loads((r / "results.json").read_text())["test"]["top1"] for r in (home / "before", run))
    assert last == pytest.approx(first, abs=0.1)


def test_a_new_head_on_frozen_layers(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A state_dict of torch.save of a network of three classes, onto the ten digits."""
    (tmp_path / "three.yaml").write_text(TINY.replace("classes: 10", "classes: 3"))
    three = build(load(str(tmp_path / "three.yaml")), seed=3).state_dict()
    torch.save(three, tmp_path / "three.pth")
    run = tmp_path / "run"
    args = ["train", str(home / "tiny.yaml"), "-w", str(tmp_path / "three.pth"), "--freeze", "conv1,bn1", "--freeze", "layer1"]
    assert main([*args, "--out", str(run)]) == 0
    err = capsys.readouterr().err
    assert f"three.pth: {len(three) - 2} tensors taken, the head (fc) is new; mean and deviation are measured on the new data" in err
    assert "9 parameter tensors are frozen: conv1.weight, ..." in err
    after = tensors(run)
    same = {k for k in after if k in three and after[k].shape == three[k].shape and torch.equal(after[k], three[k])}
    assert same == {k for k in three if k.startswith(("conv1.", "bn1.", "layer1."))}
    record = json.loads((run / "run.json").read_text())
    assert record["frozen"] == [k for k in three if k.startswith(("conv1.", "bn1.", "layer1.")) and k.endswith(("weight", "bias"))]
    # Every number of the results is of the whole network, and it is used like any other.
    assert json.loads((run / "results.json").read_text())["params"] == 1334
    assert main(["evaluate", str(run), "--quiet"]) == 0


@pytest.mark.parametrize("steps", [3, 11])
def test_killed_and_resumed_it_ends_the_same(
    steps: int, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before its first checkpoint and after it; the file that it began with is gone by then."""
    source = tmp_path / "source.safetensors"
    shutil.copy(home / "before/model.safetensors", source)
    args = ["train", str(home / "tiny.yaml"), "--weights", str(source), "--freeze", "layer1", "--quiet"]
    assert main([*args, "--out", str(tmp_path / "undisturbed")]) == 0

    class Killed(BaseException):
        pass

    def die(self: FolderWriter, step: int, state: dict[str, Any]) -> None:
        if step > steps:
            raise Killed
        save(self, step, state)

    save, run = FolderWriter.save, tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(FolderWriter, "save", die)
        with pytest.raises(Killed):
            main([*args, "--out", str(run)])
    assert len(list((run / "checkpoints").iterdir())) == (0 if steps == 3 else 1)
    source.unlink()
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert (run / "model.safetensors").read_bytes() == (tmp_path / "undisturbed/model.safetensors").read_bytes()
    assert log(run) == log(tmp_path / "undisturbed")
    frozen, before = tensors(run), tensors(home / "before")
    assert all(torch.equal(frozen[k], before[k]) for k in before if k.startswith("layer1."))
    capsys.readouterr()
    assert main(["train", *args[1:2], "--weights", "another", *args[4:], "--out", str(run), "--resume"]) == 2
    assert "another --weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--weights", "nowhere.pth"], 3, "nowhere.pth: error[weights-missing]"),
        (["--weights", "tiny.yaml"], 3, "tiny.yaml: error[not-weights]"),
        (
            ["--weights", "before", "--set", "stages.layer2.width=12"],
            2,
            "layer2.0.conv1.weight is (8, 4, 3, 3), in the network (12, 4, 3, 3)",
        ),
        (["--freeze", "layr1"], 2, "did you mean 'layer1'?"),
        (["--freeze", "*"], 2, "nothing is left to train"),
        (["--logger", "nothing"], 2, "'nothing' is not an installed logger"),
    ],
)
def test_refused_before_a_folder_is_made(
    args: list[str], code: int, message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    assert main(["train", "tiny.yaml", *args, "--out", "refused"]) == code
    assert message in capsys.readouterr().err
    assert not Path("refused").exists()
    assert main(["train", "--resume", "before", *args[:2]]) == 2
    assert "a resumed run keeps the settings that it began with" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_csv_and_tensorboard_hold_the_log(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run that was killed after rows that its last checkpoint did not hold, and went on."""

    class Killed(BaseException):
        pass

    def die(self: FolderWriter, row: LogRow) -> None:
        record(self, row)
        if row.step == 30:
            raise Killed

    record, run = FolderWriter.log, tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(FolderWriter, "log", die)
        with pytest.raises(Killed):
            main(["train", str(home / "tiny.yaml"), "--tensorboard", "--out", str(run), "--quiet"])
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    with (run / "metrics.csv").open() as f:
        assert [{k: v for k, v in r.items() if v} for r in csv.DictReader(f)] == [{k: str(v) for k, v in r.items()} for r in rows]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    for tag, event, key in (("train/loss", "train", "train_loss"), ("train/lr", "train", "lr"), ("test/top1", "test", "top1")):
        expected = [(r["step"], pytest.approx(r[key])) for r in rows if r["event"] == event]
        assert len(expected) > 1
        assert [(e.step, e.value) for e in read.Scalars(tag)] == expected


def test_from_python(home: Path, tmp_path: Path) -> None:
    run = train(str(home / "tiny.yaml"), out=tmp_path / "run", weights=home / "before", freeze=["layer1"], quiet=True)
    assert run.results is not None
    assert (run.state, run.record.freeze, run.results.to_dict()) == (
        "finished",
        ("layer1",),
        json.loads((run.path / "results.json").read_text()),
    )
    assert "freeze=('layer1',), quiet=True)" in (run.path / "command.txt").read_text()
    before, after = tensors(home / "before"), tensors(tmp_path / "run")
    moved = {k.partition(".")[0] for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"conv1", "bn1", "layer2", "fc"}
    assert weights.load(tmp_path / "run/initial.safetensors").classes == tuple("0123456789")
