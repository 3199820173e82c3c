"""Classes of unequal size: scores that weigh each class the same, weights in the loss, and balanced epochs."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

import resnet_dsl as rd
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language.augment import Augment
from resnet_dsl.language.recipe import Recipe, merge
from resnet_dsl.records.assessment import Assessment, by_class
from resnet_dsl.records.balance import balanced_weights, unequal
from resnet_dsl.records.results import Scores
from resnet_dsl.training.batches.batches import Batches
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.batches.mixing import Targets, mix
from resnet_dsl.training.batches.order import Order, Share
from resnet_dsl.training.batches.sampling import balanced
from resnet_dsl.training.classes import class_weights
from resnet_dsl.training.data.dataset import InMemory
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.evaluate import ClassTally
from resnet_dsl.training.loop.records import Record
from resnet_dsl.training.ranks.world import alone

PLAN = Plan("cpu", "fp32", False, 1, "", compile="no")


def twin(confusion: list[list[int]]) -> tuple[float, float]:
    """Balanced accuracy and macro F1 by hand, from the list of all (true, guess) pairs."""
    pairs = [(i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) for _ in range(n)]
    recalls, f1s = [], []
    for c in range(len(confusion)):
        true, guessed = [p for p in pairs if p[0] == c], [p for p in pairs if p[1] == c]
        right = sum(t == g for t, g in true)
        if true:
            recalls.append(right / len(true))
        if true or guessed:
            r, p = (right / len(x) if x else 0.0 for x in (true, guessed))
            f1s.append(2 * r * p / (r + p) if r + p else 0.0)
    return sum(recalls) / len(recalls), sum(f1s) / len(f1s)


def assessed(confusion: list[list[int]]) -> Assessment:
    classes = by_class(confusion, [str(i) for i in range(len(confusion))])
    return Assessment("n", "d", "test", 0.1, 0.5, 0.9, sum(map(sum, confusion)), "cpu", "fp32", classes, tuple(map(tuple, confusion)))


@pytest.mark.parametrize("seed", range(40))
def test_scores_by_class_are_those_of_a_twin(seed: int) -> None:
    chance = random.Random(seed)
    k = chance.randint(2, 7)
    confusion = [[chance.choice((0, 0, 1, 3, 20)) for _ in range(k)] for _ in range(k)]
    for empty in range(seed % 3):
        # Classes without images; every other time nothing is taken for them either.
        confusion[empty] = [0] * k
        if seed % 2:
            for row in confusion:
                row[empty] = 0
    confusion[-1][-1] += 1
    found = assessed(confusion)
    expected = twin(confusion)
    assert (found.balanced_accuracy, found.macro_f1) == pytest.approx(expected)
    # The same from guesses and labels, batch by batch.
    labels, guesses = torch.tensor([(i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) for _ in range(n)]).T
    tally = ClassTally()
    for part in torch.arange(len(labels)).split(7):
        tally(guesses[part], labels[part], k)
    assert tally.scores(alone()) == pytest.approx({"balanced_accuracy": expected[0], "macro_f1": expected[1]})


def test_a_class_without_images() -> None:
    found = assessed([[4, 0, 0], [1, 1, 2], [0, 0, 0]])
    # Class 2 has no recall; it was guessed twice, so its F1 is 0.
    assert found.balanced_accuracy == (1 + 1 / 4) / 2
    assert found.macro_f1 == pytest.approx((8 / 9 + 2 / 5 + 0) / 3)
    assert [c.recall for c in found.classes][2] is None


def test_balanced_weights() -> None:
    counts = (240, 12, 0, 48)
    weights = balanced_weights(counts)
    assert weights == (300 / 3 / 240, 300 / 3 / 12, 0.0, 300 / 3 / 48)
    assert sum(w * n for w, n in zip(weights, counts, strict=True)) == pytest.approx(300)
    assert class_weights(Recipe(class_weights="balanced"), counts, 4).tolist() == pytest.approx(weights)  # type: ignore[union-attr]
    assert class_weights(Recipe(), counts, 4) is None
    with pytest.raises(SpecError, match="class_weights has 2 numbers, the data 4 classes"):
        class_weights(Recipe(class_weights=(1.0, 2.0)), counts, 4)
    with pytest.raises(SpecError, match="needs to know how many images each class has"):
        class_weights(Recipe(class_weights="balanced"), None, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("balance", "none, balanced, or a list"),
        ([1], "one for each class"),
        ([1, 0], "above 0"),
        ([1, -2.5], "above 0"),
        ([1, True], "above 0"),
        ([1, "2"], "above 0"),
        ([1, [2]], "above 0"),
        (2, "none, balanced, or a list"),
        (None, "none, balanced, or a list"),
        ({"a": 1}, "none, balanced, or a list"),
    ],
)
def test_weights_that_are_none(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({"class_weights": given})


def test_weights_and_sampling_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="correct the same twice"):
        Recipe(class_weights="balanced", sampling="balanced")
    assert merge({"class_weights": "balanced"}, {"sampling": "balanced"}) == {"sampling": "balanced"}
    assert merge({"sampling": "balanced"}, {"class_weights": "balanced"}) == {"class_weights": "balanced"}
    assert Recipe.model_validate({"class_weights": [1, 2.5]}).class_weights == (1.0, 2.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_weighted_loss_is_torchs(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(12, 4), torch.randint(0, 4, (12,)), torch.tensor([0.5, 1.0, 4.0, 2.0])
    expected = functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    assert Targets(labels, weights=weights).loss(logits, smoothing) == pytest.approx(expected)
    # Part by part, the mean over the parts is that of the whole.
    parts = [Targets(labels[i::3], weights=weights, whole=weights[labels].sum() / 3).loss(logits[i::3], smoothing) for i in range(3)]
    assert torch.stack(parts).mean() == pytest.approx(expected)


def test_weights_of_mixed_images_are_those_of_both_labels() -> None:
    torch.manual_seed(1)
    images, labels, weights = torch.rand(8, 1, 4, 4), torch.randint(0, 3, (8,)), torch.tensor([0.5, 1.0, 4.0])
    _, targets = mix(images, labels, Augment(mixup=0.4), 0, 0)
    logits = torch.randn(8, 3)
    found = Targets(targets.labels, targets.others, targets.share, weights).loss(logits, 0.1)
    # As soft targets: share of the label, the rest of the partner, and of both a tenth spread over all classes.
    soft = targets.share * functional.one_hot(labels, 3) + (1 - targets.share) * functional.one_hot(labels.roll(-4, 0), 3)
    soft = 0.9 * soft + 0.1 / 3
    # torch divides the loss of soft targets by the number of images, that of labels by their weights.
    expected = functional.cross_entropy(logits, soft, weights) * 8 / weights[labels].sum()
    assert found == pytest.approx(expected)


def data(counts: tuple[int, ...]) -> InMemory:
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    torch.manual_seed(0)
    return InMemory(torch.randint(0, 256, (len(labels), 1, 8, 8), dtype=torch.uint8), labels)


def test_a_step_weighs_the_same_in_any_number_of_parts() -> None:
    train = data((40, 4, 12))
    weights = torch.tensor(balanced_weights((40, 4, 12)))
    normal = measure(train, "channel")
    logits = torch.randn(16, 3, generator=torch.Generator().manual_seed(3))
    whole = Batches(train, Recipe(batch=16, class_weights="balanced"), normal, PLAN, weights=weights)
    for step in (0, 5):
        expected = whole(step).targets.loss(logits)
        assert expected == pytest.approx(functional.cross_entropy(logits, whole(step).targets.labels, weights))
        cut = Recipe(batch=16, accumulate=2, class_weights="balanced")
        ranks = [Batches(train, cut, normal, PLAN, Share(r, 2), weights) for r in range(2)]
        parts = [feed(step, p).targets.loss(logits[r + 2 * p :: 4]) for r, feed in enumerate(ranks) for p in range(2)]
        assert torch.stack(parts).mean() == pytest.approx(expected)


@pytest.mark.parametrize("counts", [(40, 4, 12), (1, 1, 1), (1, 99), (300, 0, 7, 1), (5, 5), (2000, 1500)])
def test_a_balanced_epoch(counts: tuple[int, ...]) -> None:
    labels, present = data(counts).labels, sum(n > 0 for n in counts)
    n, times = len(labels), torch.zeros(len(labels), dtype=torch.int64)
    orders = []
    for epoch in range(6):
        images, before = balanced(labels, 7, epoch)
        assert len(images) == n
        seen = torch.bincount(labels[images], minlength=len(counts)).tolist()
        assert all(c in (n // present, n // present + 1) if counts[i] else c == 0 for i, c in enumerate(seen))
        # `before` counts the turns of each image up to now, in whichever order the epoch has them.
        for i in images.unique().tolist():
            here = (images == i).nonzero()[:, 0]
            assert sorted(before[here].tolist()) == list(range(int(times[i]), int(times[i]) + len(here)))
        times += torch.bincount(images, minlength=n)
        again = balanced(labels, 7, epoch)
        assert torch.equal(images, again.images)
        orders.append(images)
    for c, count in enumerate(counts):
        # All images of a class equally often.
        assert count == 0 or int(times[labels == c].max() - times[labels == c].min()) <= 1
    if n > 10:
        assert not torch.equal(orders[0], orders[1]) and not torch.equal(orders[0], balanced(labels, 8, 0).images)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_balanced_steps_are_the_same_for_any_number_of_ranks_and_in_any_order(ranks: int) -> None:
    train = data((40, 4, 12))
    recipe = Recipe(batch=16, sampling="balanced", augment=Augment(flip="alternate"))
    normal = measure(train, "channel")
    whole = Batches(train, recipe, normal, PLAN)
    assert whole.per_epoch == Order(train.labels, Recipe(batch=16), Share(), torch.device("cpu")).per_epoch == 3
    feeds = [Batches(train, recipe, normal, PLAN, Share(r, ranks)) for r in range(ranks)]
    for step in (7, 0, 2):
        for r, feed in enumerate(feeds):
            assert torch.equal(feed(step).images, whole(step).images[r::ranks])
            assert torch.equal(feed(step).targets.labels, whole(step).targets.labels[r::ranks])


def test_an_image_that_comes_twice_in_an_epoch_is_augmented_twice() -> None:
    train = data((60, 1))
    shown = Batches(train, Recipe(batch=61, sampling="balanced", augment=Augment(pad_crop=4)), measure(train, "channel"), PLAN)(0)
    copies = shown.images[shown.targets.labels == 1]
    assert len(copies) >= 30
    assert len({tuple(c.flatten().tolist()) for c in copies}) > 10


def test_the_best_by_macro_f1() -> None:
    record = Record("macro_f1")
    for step, value in enumerate((0.2, 0.5, 0.4)):
        record = record.after(step, Scores.measured(1.0, 0.9 - value, 1.0, 10, balanced_accuracy=0.1, macro_f1=value))
    assert (record.step, record.waited) == (1, 1)
    assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    # A checkpoint of an older version has no such score.
    assert record.after(3, Scores.measured(1.0, 0.9, 1.0, 10)).step == 1


def test_words() -> None:
    assert unequal((10, 12, 11), "abc") is None
    assert unequal((240, 12, 0), "abc") == "classes are unequal, 1:20 (a 240, b 12 images)"
    many = unequal((100, *[10] * 19), [f"c{i}" for i in range(20)])
    assert many == "classes are unequal, 1:10 (largest and smallest: c0 100, c19 10 images)"


@pytest.mark.parametrize(
    "how", [{"class_weights": "balanced"}, {"sampling": "balanced"}, {"class_weights": [1, 2, 1, 1, 1, 1, 1, 1, 1, 3]}]
)
def test_a_run_and_the_same_run_resumed(tmp_path: Path, how: dict[str, Any]) -> None:
    overrides = {"params.n": "1", **{f"train.{k}": json.dumps(v) for k, v in how.items()}, "train.best": "macro_f1"}
    overrides["train.checkpoint_every"] = "0.75"
    whole = rd.train(
        "resnet20-digits", overrides=overrides, recipe="digits", steps=6, batch=64, plan="precision=fp32,threads=1", limit_train=256,
        out=tmp_path / "whole", quiet=True,
    )  # fmt: skip
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    (tmp_path / "parts/results.json").unlink()
    # As if it had been killed after step 3, whose checkpoint is left.
    (tmp_path / "parts/checkpoints/step-000000006.ckpt").unlink()
    parts = rd.train(tmp_path / "parts", resume=True, quiet=True)
    assert whole.results is not None and parts.results is not None
    assert whole.results.weights_sha256 == parts.results.weights_sha256
    assert sum(whole.record.class_counts or ()) == 256
    assert whole.evaluations[-1].macro_f1 is not None
    assert whole.results.test.balanced_accuracy == rd.evaluate(whole.path, precision="fp32").balanced_accuracy


@pytest.mark.parametrize(
    ("act", "words"),
    [("softmax", "applies a softmax by itself"), ("sigmoid", "takes plain scores"), ("relu", "takes plain scores"), ("", "")],
)
def test_an_activation_before_the_loss_is_said(tmp_path: Path, act: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    head = "[globalpool, flatten, linear: {out: classes, as: fc}" + (f", act: {act}]" if act else "]")
    (tmp_path / "net.yaml").write_text(f"extends: resnet20-digits\nparams: {{n: 1}}\nhead: {head}\n")
    rd.train(tmp_path / "net.yaml", steps=1, batch=8, limit_train=16, out=tmp_path / "run", plan="precision=fp32,threads=1")
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning")]
    assert len(said) == bool(act)
    assert not act or (f"act2 ({act}" in said[0].lower() and words in said[0])
