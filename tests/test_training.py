"""Runs from the command line: what a run folder holds, and that stopping one anywhere changes nothing.

The network is tiny and has dropout and stochastic depth, so that masks are part of what must come out equal.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import tiny

from resnet_dsl.cli.app import main
from resnet_dsl.language import load
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.request import Request
from resnet_dsl.runtime import weights
from resnet_dsl.training import session
from resnet_dsl.training.loop import checkpoint, run_writer
from resnet_dsl.training.loop.progress import Silent

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = tiny(
    "epochs: 6, batch: 64, lr: 0.2, log_every: 5, checkpoint_every: 0.5, augment: {flip: false}, validation: 200",
    block="{basic: {drop_path: 0.1}}", head="{classifier: {dropout: 0.1}}",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.fixture(scope="module")
def undisturbed(home: Path) -> Path:
    torch.set_num_threads(1)
    assert main(["train", str(home / "tiny.yaml"), "--out", str(home / "undisturbed"), "--quiet"]) == 0
    return home / "undisturbed"


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def assert_same(run: Path, other: Path) -> None:
    """Weights and optimizer to the bit, the log without its times."""
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    times = {"seconds", "images_per_s"}
    assert [{k: v for k, v in r.items() if k not in times} for r in rows(run)] == [
        {k: v for k, v in r.items() if k not in times} for r in rows(other)
    ]
    states = [checkpoint.load_newest(x / "checkpoints", torch.device("cpu"))[0] for x in (run, other)]
    momenta = [[v["momentum_buffer"] for v in s["optimizer"]["state"].values()] for s in states if s is not None]
    assert len(momenta[0]) > 10
    assert all(torch.equal(a, b) for a, b in zip(*momenta, strict=True))


def test_the_folder_holds_everything(undisturbed: Path) -> None:
    files = {
        "spec.yaml",
        "recipe.yaml",
        "run.json",
        "command.txt",
        "env.json",
        "model.py",
        "metrics.jsonl",
        "metrics.csv",
        "checkpoints",
        "model.safetensors",
        "results.json",
        "lock",
    }
    assert {p.name for p in undisturbed.iterdir()} == files
    results = json.loads((undisturbed / "results.json").read_text())
    # 1,237 images without the 200 for validation are 19 batches of 64 an epoch.
    assert (results["steps"], results["epochs"], results["test"]["images"], results["validation"]["images"]) == (114, 6.0, 360, 200)
    assert results["test"]["top1"] > 0.3
    log = rows(undisturbed)
    assert [r["step"] for r in log if r["event"] == "train"] == [*range(5, 115, 5), 114]
    assert [r["step"] for r in log if r["event"] == "validation"] == list(range(19, 115, 19))
    assert sorted(p.name for p in (undisturbed / "checkpoints").iterdir()) == ["step-000000110.ckpt", "step-000000114.ckpt"]
    (one,) = json.loads((undisturbed / "env.json").read_text())["sessions"]
    assert one["torch"] == torch.__version__
    # The source stands alone: torch is all it needs.
    program = "import torch, model; print(model.Tiny()(torch.zeros(2, 1, 8, 8)).shape)"
    assert (
        subprocess.run([sys.executable, "-c", program], cwd=undisturbed, capture_output=True, text=True).stdout == "torch.Size([2, 10])\n"
    )


def test_the_same_command_gives_the_same_bits(undisturbed: Path, home: Path) -> None:
    torch.manual_seed(99)
    assert main(["train", str(home / "tiny.yaml"), "--out", str(home / "again"), "--quiet"]) == 0
    assert_same(home / "again", undisturbed)
    assert main(["train", str(home / "tiny.yaml"), "--out", str(home / "seed"), "--quiet", "--seed", "1"]) == 0
    assert (home / "seed/model.safetensors").read_bytes() != (undisturbed / "model.safetensors").read_bytes()


def test_sigterm_while_it_evaluates(
    undisturbed: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signal that comes in the middle of an evaluation: the evaluation is taken up again."""
    whole = session.Loop._evaluate

    def disturbed(self: session.Loop) -> bool:
        if self.step == 38:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self)

    run = home / "evaluating"
    with monkeypatch.context() as patch:
        patch.setattr(session.Loop, "_evaluate", disturbed)
        assert main(["train", str(home / "tiny.yaml"), "--out", str(run), "--quiet"]) == 75
    assert [r["step"] for r in rows(run) if r["event"] == "validation"] == [19]
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert_same(run, undisturbed)
    capsys.readouterr()
    assert main(["train", "--resume", str(run)]) == 0
    assert "has ended already" in capsys.readouterr().err


@pytest.mark.parametrize("phase", ["before the rename", "before the weights", "after the weights"])
def test_killed_while_it_saves(phase: str, undisturbed: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    run = home / phase.replace(" ", "-")
    with monkeypatch.context() as patch:
        if phase == "before the rename":
            real = Path.replace
            patch.setattr(Path, "replace", lambda self, target: die() if target.name == "step-000000040.ckpt" else real(self, target))
        else:
            keep = run_writer.FolderWriter.save_weights

            def dying(self: run_writer.FolderWriter) -> None:
                if "step-000000040.ckpt" in os.listdir(self.folder.checkpoints):
                    if phase == "after the weights":
                        keep(self)
                    die()
                keep(self)

            patch.setattr(run_writer.FolderWriter, "save_weights", dying)
        with pytest.raises(Killed):
            main(["train", str(home / "tiny.yaml"), "--out", str(run), "--quiet"])
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(b'{"event": "train", "st')  # a line that was cut off
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert_same(run, undisturbed)
    assert not list(run.glob("**/*.partial"))


def test_damaged_checkpoints_are_skipped_by_name(undisturbed: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "damaged"
    shutil.copytree(undisturbed, run)
    (run / "results.json").unlink()
    newest = run / "checkpoints/step-000000114.ckpt"
    whole = newest.read_bytes()
    newest.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(["train", "--resume", str(run)]) == 0
    err = capsys.readouterr().err
    assert f"warning: {newest} is not used: its SHA-256" in err
    assert "resuming" in err
    assert "at step 110 of 114" in err
    assert_same(run, undisturbed)
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    (run / "results.json").unlink()
    assert main(["train", "--resume", str(run)]) == 3
    assert "no checkpoint can be used" in capsys.readouterr().err


def test_a_run_that_changed_is_not_resumed(undisturbed: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "changed"
    shutil.copytree(undisturbed, run)
    (run / "results.json").unlink()
    recipe = (run / "recipe.yaml").read_text()
    for file, old, new, message in (
        ("recipe.yaml", "lr: 0.2", "lr: 0.3", "of another recipe"),
        ("spec.yaml", "dropout: 0.1", "dropout: 0.2", "of another spec"),
        ("run.json", '"data_sha256": "', '"data_sha256": "0', "is not what the run began with"),
        ("run.json", '"plan"', '"plans"', "`plan` is missing"),
    ):
        text = (run / file).read_text()
        assert text.count(old) == 1
        (run / file).write_text(text.replace(old, new))
        assert main(["train", "--resume", str(run)]) == 3
        assert message in capsys.readouterr().err
        (run / file).write_text(text)
    assert main(["train", str(home / "tiny.yaml"), "--lr", "0.3", "--out", str(run), "--resume"]) == 2
    assert "it has lr: 0.2, asked for is lr: 0.3" in capsys.readouterr().err
    assert (run / "recipe.yaml").read_text() == recipe


def test_one_process_a_folder(undisturbed: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "locked"
    shutil.copytree(undisturbed, run)
    (run / "results.json").unlink()
    with RunFolder.open(run):
        assert main(["train", "--resume", str(run)]) == 3
        assert f"another process trains in it (process {os.getpid()}" in capsys.readouterr().err
    assert main(["train", "--resume", str(run), "--quiet"]) == 0


@pytest.mark.parametrize("more", [[], ["train.best=loss", "train.eval_every=0.1"], ["train.ema=0.5", "train.accumulate=2"]])
def test_a_loss_that_is_not_finite_stops_the_run(more: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / f"nan-{len(more)}-{'ema' in str(more)}"
    settings = ["norm=none", "train.lr=1e6", "train.warmup=0.9", "train.checkpoint_every=0.05", *more]
    assert main(["train", str(home / "tiny.yaml"), "--out", str(run), *(f"--set={s}" for s in settings)]) == 1
    err = capsys.readouterr().err
    # The step after the one whose checkpoint is the last: nothing was trained on what is not finite.
    found = re.search(r"error\[not-finite\]: the output of [\w.]+ holds (?:inf|nan), at step (\d+) \(learning rate", err)
    assert found
    state, _ = checkpoint.load_newest(run / "checkpoints", torch.device("cpu"))
    assert state is not None
    assert state["step"] == int(found[1]) - 1
    for tensors in (state["model"], state["average"] or {}, weights.load(run / "model.safetensors").tensors):
        assert all(v.isfinite().all() for v in tensors.values())
    assert not (run / "results.json").exists()
    # Gone on with, it stops at the same place and leaves the same state.
    assert main(["train", "--resume", str(run)]) == 1
    assert found[0] in capsys.readouterr().err


def test_evaluate_needs_the_folder_alone(
    undisturbed: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(undisturbed, moved)
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "moved", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    results = json.loads((undisturbed / "results.json").read_text())
    assert {k: found[k] for k in results["test"]} == results["test"]
    assert main(["evaluate", str(home / "tiny.yaml"), "--weights", "moved/model.safetensors", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == results["test"]["top1"]
    assert main(["evaluate", "resnet20-digits", "--weights", "moved/model.safetensors"]) == 2
    assert "does not fit resnet20-digits: conv1.weight is (4, 1, 3, 3), in the network (16, 1, 3, 3)" in capsys.readouterr().err
    (moved / "model.safetensors").unlink()
    assert main(["evaluate", "moved"]) == 3
    assert "train --resume moved" in capsys.readouterr().err


def test_runs_are_numbered_and_never_overwritten(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(home / "tiny.yaml", tmp_path)
    for _ in range(2):
        assert main(["train", "tiny.yaml", "--steps", "1", "--quiet"]) == 0
    assert sorted(p.name for p in Path("runs").iterdir()) == ["tiny-digits-001", "tiny-digits-002"]
    assert main(["train", "tiny.yaml", "--steps", "1", "--out", "runs/tiny-digits-001"]) == 2
    assert "never overwritten" in capsys.readouterr().err
    Path("empty").mkdir()
    assert main(["train", "tiny.yaml", "--steps", "1", "--out", "empty", "--quiet"]) == 0
    # What a process left that was killed before it had begun is begun again.
    Path("early").mkdir()
    Path("early/spec.yaml").write_text("half")
    assert main(["train", "tiny.yaml", "--steps", "1", "--out", "early", "--quiet"]) == 2
    assert main(["train", "tiny.yaml", "--steps", "1", "--out", "early", "--resume", "--quiet"]) == 0


def test_a_few_epochs_teach_the_digits(tmp_path: Path) -> None:
    spec = load("resnet20-digits", ["params.n=1", "train.epochs=8"])
    recipe = recipe_of(spec, "digits")
    run = session.begin(spec, recipe, Request(data="digits", out=tmp_path / "run"), watcher=Silent())
    assert run.results is not None
    assert run.results.test.top1 > 0.93
    assert run.state == "finished"


def test_bf16_on_the_cpu(home: Path) -> None:
    assert main(["train", str(home / "tiny.yaml"), "--out", str(home / "bf16"), "--precision", "bf16", "--quiet"]) == 0
    results = json.loads((home / "bf16/results.json").read_text())
    assert results["precision"] == "bf16"
    assert results["test"]["top1"] > 0.3
