"""A run says what it did, and a key of its log means one thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import tiny

import resnet_dsl as rd
from resnet_dsl.records.log import LogRow, read_rows
from resnet_dsl.records.run import Run

pytestmark = [pytest.mark.needs("torch"), pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A rate of nothing: no evaluation is better than the first, and the third says so for the second time."""
    folder = tmp_path_factory.mktemp("stopped")
    spec = folder / "net.yaml"
    recipe = (
        "epochs: 9, batch: 64, lr: 1.0e-12, augment: {flip: false}, best: top5, stop_early: {metric: top5, patience: 2}, validation: 100"
    )
    spec.write_text(tiny(recipe))
    return rd.train(spec, data="digits", out=folder / "run", limit_train=384, quiet=True)


def test_a_run_that_is_stopped_early_says_so(stopped: Run) -> None:
    assert stopped.results is not None
    first = stopped.evaluations[0]
    assert stopped.results.said == (
        "stopped early at epoch 3 of 9: 2 evaluations in a row without a better top5",
        f"the weights of epoch 1 are kept, the best by top5 (validation top5 {first.top5:.2%})",
    )
    assert (stopped.results.best_epoch, stopped.results.best_step) == (1.0, first.step)
    assert all(line in stopped.results.to_text() for line in stopped.results.said)


def test_its_log_ends_with_the_last_batches(stopped: Run) -> None:
    assert [(r.event, r.step) for r in stopped.rows if r.event == "train"][-1] == ("train", stopped.step)


def test_best_of_another_metric_than_the_rule(tmp_path: Path) -> None:
    """Nothing is kept where nobody asks for it, and the run says which epoch would have been."""
    spec = tmp_path / "net.yaml"
    spec.write_text(tiny("epochs: 4, batch: 64, lr: 1.0e-12, augment: {flip: false}, stop_early: {metric: loss, patience: 1}"))
    results = rd.train(spec, data="digits", out=tmp_path / "run", limit_train=192, quiet=True).results
    assert results is not None
    assert results.best_epoch is None
    assert results.said is not None
    assert results.said[0].startswith("stopped early at epoch ")
    assert "the weights of the end are kept; epoch " in results.said[1]
    assert results.said[1].endswith("had the best loss (`best: loss` keeps it)")


def test_a_run_to_its_end_has_nothing_to_say(tmp_path: Path) -> None:
    """And a run that is shorter than the interval of the log has rows of training all the same."""
    spec = tmp_path / "net.yaml"
    spec.write_text(tiny("steps: 12, batch: 64, lr: 0.1, augment: {flip: false}, log_every: 50"))
    run = rd.train(spec, data="digits", out=tmp_path / "run", limit_train=384, quiet=True)
    assert run.results is not None
    assert run.results.said is None
    assert [r.step for r in run.rows if r.event == "train"] == list(range(1, 13))
    evaluated = {"loss", "top1", "top5", "images"}
    for row in run.rows:
        held = set(row.to_dict())
        assert {"train_loss", "train_accuracy"} <= held
        assert evaluated <= held if row.event == "test" else not evaluated & held


OLD = [
    {"event": "train", "step": 5, "epoch": 0.5, "lr": 0.1, "loss": 2.0, "accuracy": 0.25, "images_per_s": 100.0, "seconds": 1.0},
    {"event": "test", "step": 5, "epoch": 0.5, "loss": 3.0, "top1": 0.5, "top5": 0.75, "images": 9, "train_loss": 2.5, "train_accuracy": 0.125, "seconds": 2.0},
]  # fmt: skip


def test_old_logs_are_read_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in OLD))
    train, test = read_rows(tmp_path)
    assert (train.train_loss, train.train_accuracy, train.loss) == (2.0, 0.25, None)
    assert (test.train_loss, test.train_accuracy, test.loss, test.top1) == (2.5, 0.125, 3.0, 0.5)
    assert LogRow.parse(train.line(), tmp_path) == train
    assert b'"train_loss": 2.0' in train.line()
