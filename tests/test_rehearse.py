"""What `train` does beside training to the end: rehearsals that write nothing, one batch, short epochs, early ends, the best weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import tiny

from resnet_dsl.cli.app import main
from resnet_dsl.language import load
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.training import rehearse

TINY = tiny("epochs: 3, batch: 64, lr: 0.2, log_every: 4, augment: {flip: false}")


@pytest.fixture(autouse=True)
def _at_home(one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)


def asked(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main(["train", "tiny.yaml", "--format", "json", *args]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def rows(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def test_a_dry_run_says_what_a_run_takes_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "--dry-run", "--out", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]
    assert (found["images"], found["batch"], found["steps"], found["epochs"]) == (1437, 64, 66, 3.0)
    assert found["params"] == asked(capsys, "--steps", "1", "--out", "one")["params"]
    assert found["seconds"] == pytest.approx(66 * found["seconds_per_step"])
    assert found["free_bytes"] > found["memory_bytes"]
    # Twice the batch needs twice the activations; half of it at a time needs half of them.
    half, whole, parts = (
        asked(capsys, "--dry-run", "--batch", str(b), "--set", f"train.accumulate={a}")["memory_bytes"]
        for b, a in ((128, 1), (256, 1), (256, 2))
    )
    fixed = 4 * 3 * found["params"]
    assert (whole - fixed) / (half - fixed) == pytest.approx(2)
    assert parts == half
    # Of this network at least each convolution's input and output in fp32 are kept.
    assert half > fixed + 128 * 4 * (64 + 64 * 4 * 3 + 16 * 8 * 2)


def test_a_dry_run_that_does_not_fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(rehearse, "_free_memory", lambda device: 1_000)
    assert main(["train", "tiny.yaml", "--dry-run"]) == 3
    err = capsys.readouterr().err
    assert "error[memory]: a step of 64 images needs about" in err
    assert "train.accumulate=2" in err


def test_the_learning_rate_that_is_found_is_a_good_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "--find-lr")
    assert [p.name for p in tmp_path.iterdir()] == ["tiny.yaml"]
    assert 0.005 < found["suggested"] < 1
    assert found["suggested"] == pytest.approx(found["lowest"] / 10, rel=0.1)
    assert asked(capsys, "--find-lr") == found
    assert main(["train", "tiny.yaml", "--find-lr"]) == 0
    assert f"suggested: --lr {found['suggested']:g} " in capsys.readouterr().out


def test_one_batch_is_learnt_by_heart(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "--overfit-batch", "--out", "one", "--epochs", "6", "--batch", "32", "--set", "train.validation=100")
    assert found["overfit_batch"]
    assert (found["test"]["images"], found["test"]["top1"]) == (32, 1.0)
    assert [r["event"] for r in rows("one") if r["event"] != "train"] == ["batch"] * 6
    assert "flip: false" in Path("one/recipe.yaml").read_text().replace('"', "")
    assert main(["train", "tiny.yaml", "--overfit-batch", "--steps", "1", "--quiet"]) == 0
    assert "the batch " in capsys.readouterr().out
    # Resumed it is the same batch again.
    Path("one/results.json").unlink()
    assert main(["train", "--resume", "one", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["test"] == found["test"]
    assert main(["train", "tiny.yaml", "--resume", "--out", "one", "--epochs", "6", "--batch", "32", "--set", "train.validation=100"]) == 2
    assert "another --overfit-batch" in capsys.readouterr().err


def test_a_short_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked(capsys, "--limit-batches", "5", "--out", "short")
    assert (found["steps"], found["epochs"]) == (15, 3.0)
    assert [r["step"] for r in rows("short") if r["event"] == "test"] == [5, 10, 15]


def test_a_run_that_gets_no_better_ends_and_keeps_its_best(capsys: pytest.CaptureFixture[str]) -> None:
    # A rate at which nothing is learnt: the first evaluations decide.
    settings = [
        "lr=1e-9",
        "warmup=0",
        "schedule=constant",
        "best=top1",
        "stop_early={metric: top1, patience: 3}",
        "epochs=50",
        "validation=200",
    ]
    found = asked(capsys, *(f"--set=train.{s}" for s in settings), "--out", "early")
    log = [r for r in rows("early") if r["event"] == "validation"]
    best = max(log, key=lambda r: (r["top1"], -r["step"]))
    assert found["stopped_early"]
    assert found["best_step"] == best["step"] < found["steps"] == log[-1]["step"] == best["step"] + 3 * 19
    assert found["validation"]["top1"] == best["top1"]
    capsys.readouterr()
    assert main(["evaluate", "early", "--format", "json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert {k: scores[k] for k in found["test"]} == pytest.approx(found["test"])
    # Made longer, it is given as many evaluations again.
    assert main(["train", "--resume", "early", "--epochs", "60", "--format", "json"]) == 0
    longer = json.loads(capsys.readouterr().out)
    assert longer["steps"] == max(found["steps"], longer["best_step"]) + 3 * 19


def test_choosing_by_the_test_set_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tiny.yaml", "--steps", "1", "--set", "train.best=loss"]) == 0
    assert "note: best goes by the test set, which flatters the result" in capsys.readouterr().err
    assert main(["train", "tiny.yaml", "--steps", "1", "--set", "train.best=loss", "--set", "train.validation=100"]) == 0
    assert "flatters" not in capsys.readouterr().err


def test_stochastic_depth_is_in_the_runs_own_spec(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["train", "tiny.yaml", "--steps", "2", "--set", "train.drop_path=0.3", "--out", "deep", "--quiet"]
    assert main(args) == 0
    assert "drop_path: 0.3 * (position + 1) / total" in Path("deep/spec.yaml").read_text()
    source = Path("deep/model.py").read_text()
    assert [f"DropPath({rate})" in source for rate in (0.15, 0.3)] == [True, True]
    assert load("deep/spec.yaml").name == "tiny"
    Path("deep/results.json").unlink()
    assert main([*args, "--resume"]) == 0
    assert RunFolder.is_run(Path("deep"))
