"""Runs that read pictures while they train: stopped, killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from streams import write_shards

from resnet_dsl.cli.app import main
from resnet_dsl.language.recipes import recipe_named
from resnet_dsl.training.loop.loop import Loop

SPEC = """
input: {channels: 3, height: 24, width: 24}
classes: 2
stem: cifar
block: basic
shortcut: A
stages: [{depth: 1, width: 4}, {depth: 1, width: 8, stride: 2}]
"""


@pytest.mark.usefixtures("one_thread", "no_child_left")
def test_what_is_held_out_stays_so(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder of classes alone: evaluation and a resumed run see the test part that the run began with, and run.json says which."""
    shutil.copytree(folder / "train", tmp_path / "photos")
    (tmp_path / "photos/cat/notes.txt").write_text("x")
    assert train(tmp_path, tmp_path / "photos", "run", "--steps", "3", "--test-share", "0.4", "--workers", "0") == 0
    held = json.loads((tmp_path / "run/run.json").read_text())
    assert (held["held_out"], held["left_out"]) == (
        {"share": 0.4, "seed": 0},
        [{"reason": "ending in .txt", "files": 1, "examples": ["cat/notes.txt"]}],
    )
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["images"] == 4
    assert "4 of 11 pictures are held out for it" in captured.err
    assert "1 file in" in captured.err
    assert main(["train", "--resume", str(tmp_path / "run"), "--steps", "4", "--workers", "0"]) == 0


def train(home: Path, folder: Path, name: str, *more: str) -> int:
    (home / "tiny.yaml").write_text(SPEC)
    small = [
        "train.augment.crop=24",
        "train.augment.shorter_side=[28, 40]",
        "train.batch=4",
        "train.log_every=1",
        "train.schedule=plateau",
        "train.patience=1",
    ]
    settings = [word for s in small for word in ("--set", s)]
    data = ["--data", "imagefolder", "--data-dir", str(folder), "--recipe", "he2015-imagenet"]
    return main(["train", str(home / "tiny.yaml"), *data, *settings, "--quiet", "--steps", "12", "--out", str(home / name), *more])


@pytest.mark.usefixtures("one_thread", "no_child_left")
def test_imagenets_recipe_on_a_folder_stopped_and_resumed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's keys, and the same weights after a stop in the middle of an epoch, whatever the number of workers."""
    paper = recipe_named("he2015-imagenet")
    assert (paper.optimizer, paper.lr, paper.momentum, paper.weight_decay, paper.batch, paper.steps) == (
        "sgd",
        0.1,
        0.9,
        1e-4,
        256,
        600_000,
    )
    assert (paper.schedule, paper.gamma, paper.warmup, paper.normalize) == ("plateau", 0.1, 0.0, "pixel_mean")
    how = paper.augment
    assert (how.shorter_side, how.crop, how.pad_crop, how.flip, how.color_pca) == ((256, 480), 224, 0, True, 0.1)
    assert (how.cutout, how.erase, how.mixup, how.cutmix, paper.label_smoothing, paper.drop_path) == (0, 0, 0, 0, 0, 0)

    assert train(tmp_path, folder, "whole", "--workers", "0") == 0
    rows = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    # Eleven pictures are two batches of four; the error on six pictures stops falling long before twelve steps are over.
    assert [r["step"] for r in rows if r["event"] == "test"] == [2, 4, 6, 8, 10, 12]
    rates = [r["lr"] for r in rows if r["event"] == "train"]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.1
    assert rates[-1] < 0.011

    with monkeypatch.context() as patch:
        step = Loop._train_one

        def stopped(self: Loop) -> None:
            step(self)
            if self.step == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        patch.setattr(Loop, "_train_one", stopped)
        assert train(tmp_path, folder, "parted", "--workers", "2") == 75
    assert main(["train", "--resume", str(tmp_path / "parted"), "--quiet", "--workers", "1"]) == 0
    assert (tmp_path / "parted/model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


@pytest.mark.usefixtures("one_thread")
def test_killed_it_can_be_taken_up_at_once(folder: Path, tmp_path: Path) -> None:
    """Workers outlive a parent that is killed for some seconds: they must not hold its lock on the run's folder."""
    (tmp_path / "tiny.yaml").write_text(SPEC)
    words = [
        "--data",
        "imagefolder",
        "--data-dir",
        str(folder),
        "--set",
        "train.augment.crop=24",
        "--batch",
        "4",
        "--steps",
        "8",
        "--quiet",
    ]
    command = ["train", str(tmp_path / "tiny.yaml"), *words, "--out", str(tmp_path / "run"), "--workers", "2"]
    fault = {**os.environ, "OMP_NUM_THREADS": "1", "RESNET_DSL_FAULT": "kill@step=5"}
    # Not through pipes: to read those to their end is to wait for the workers.
    with (tmp_path / "said").open("w") as said:
        code = subprocess.run([sys.executable, "-m", "resnet_dsl", *command], env=fault, stdout=said, stderr=said).returncode
    assert code == -signal.SIGKILL, (tmp_path / "said").read_text()
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--workers", "0"]) == 0
    assert json.loads((tmp_path / "run/results.json").read_text())["steps"] == 8


@pytest.mark.needs("webdataset")
@pytest.mark.usefixtures("one_thread", "no_child_left")
def test_a_run_from_shards_says_that_it_is_not_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tmp_path / "shards")
    (tmp_path / "tiny.yaml").write_text(SPEC)
    words = [
        "--data",
        "webdataset",
        "--data-dir",
        str(tmp_path / "shards"),
        "--set",
        "train.augment.crop=24",
        "--batch",
        "4",
        "--steps",
        "4",
    ]
    assert main(["train", str(tmp_path / "tiny.yaml"), *words, "--out", str(tmp_path / "run"), "--workers", "1"]) == 0
    assert "a resumed or repeated run sees other batches" in capsys.readouterr().err
    assert json.loads((tmp_path / "run/results.json").read_text())["steps"] == 4
