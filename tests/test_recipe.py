"""Recipes: what is refused, how layers join, and that what is written reads back as it was."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language import load
from resnet_dsl.language.recipe import Recipe, merge, write
from resnet_dsl.language.recipes import recipe_named, shipped_recipes


def test_quick_is_the_default() -> None:
    quick = recipe_named("quick")
    assert quick.model_copy(update={"description": "", "epochs": None}) == Recipe()
    assert quick.epochs == Recipe().epochs_or_default


def test_he2015_is_the_papers() -> None:
    r = recipe_named("he2015-cifar")
    assert (r.optimizer, r.lr, r.momentum, r.weight_decay, r.batch, r.steps) == ("sgd", 0.1, 0.9, 1e-4, 128, 64_000)
    assert [m * 64_000 for m in r.milestones] == [32_000, 48_000]
    assert (r.gamma, r.validation, r.augment.pad_crop, r.augment.flip, r.warmup) == (0.1, 5_000, 4, True, 0)
    assert r.slow_start is not None
    assert (r.slow_start.lr, r.slow_start.error, r.slow_start.depth) == (0.01, 0.8, 110)


def test_wrn_is_the_papers() -> None:
    r = recipe_named("wrn")
    assert (r.optimizer, r.lr, r.momentum, r.nesterov, r.weight_decay, r.batch, r.epochs) == ("sgd", 0.1, 0.9, True, 5e-4, 128, 200)
    assert [m * 200 for m in r.milestones] == [60, 120, 160]
    assert (r.gamma, r.augment.pad_crop, r.augment.fill, r.augment.flip, r.warmup) == (0.2, 4, "reflect", True, 0)


@pytest.mark.parametrize(
    "name",
    [
        *shipped_recipes(),
        {"optimizer": "adamw", "lr": 1e-7},
        {"steps": 5, "schedule": "step", "milestones": [0.1, 0.5], "warmup": 0.0},
        {"schedule": "plateau", "patience": 2, "slow_start": {}, "warmup": 0.0, "stop_early": {"metric": "loss"}, "best": "loss"},
        {"accumulate": 4, "clip_norm": 1.0, "ema": 0.99, "drop_path": 0.1, "resolution": {}, "test_flip": True, "decay_norm": False},
        {"augment": {"shorter_side": [256, 480], "crop": 224, "color_pca": 0.1}},
        {"augment": {"flip": "alternate", "fill": "reflect", "cutout": 8, "erase": 0.25, "mixup": 0.2, "cutmix": 1.0}},
    ],
)
def test_what_is_written_reads_back(name: str | dict[str, Any], tmp_path: Any) -> None:
    recipe = recipe_named(name) if isinstance(name, str) else Recipe.model_validate(name)
    path = tmp_path / "recipe.yaml"
    path.write_text(write(recipe))
    again = recipe_named(str(path))
    if recipe.steps is None:
        recipe = recipe.model_copy(update={"epochs": recipe.epochs_or_default})
    assert again == recipe
    assert write(again) == write(recipe)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 1, "steps": 1}, "exclude each other"),
        ({"nesterov": True, "momentum": 0.0}, "needs momentum"),
        ({"optimizer": "adamw", "momentum": 0.9}, "is for sgd"),
        ({"schedule": "step", "warmup": 0.0}, "step needs them"),
        ({"milestones": [0.5]}, "go with schedule: step"),
        ({"schedule": "step", "milestones": [0.5, 0.5], "warmup": 0.0}, "must rise"),
        ({"schedule": "step", "milestones": [0.1], "warmup": 0.2}, "within the warm-up"),
        ({"lr": 0}, "greater than 0"),
        ({"lr": "0.1"}, "valid number"),
        ({"lr": True}, "valid number"),
        ({"epochs": 1.5}, "valid integer"),
        ({"augment": {"flip": "yes"}}, "True, False or 'alternate'"),
        ({"augment": {"flip": 1}}, "not a number"),
        ({"augment": {"cut": 4}}, "not permitted"),
        ({"augment": {"crop": 8, "pad_crop": 2}}, "crop and pad_crop exclude each other"),
        ({"augment": {"shorter_side": [8, 9]}}, "shorter_side needs crop"),
        ({"augment": {"shorter_side": [9, 8], "crop": 8}}, "must not fall"),
        ({"augment": {"shorter_side": [8, 9], "crop": 9}}, "does not fit in a shorter side of 8"),
        ({"patience": 3}, "patience goes with schedule: plateau"),
        ({"batch": 96, "accumulate": 36}, "does not divide"),
        ({"slow_start": {}}, "slow_start and warmup exclude each other"),
        ({"slow_start": {}, "warmup": 0.0, "lr": 0.01}, "would be no slow start"),
        ({"slow_start": {"layers": 3}}, "not permitted"),
        ({"stop_early": {"metric": "accuracy"}}, "'loss', 'balanced_accuracy' or 'macro_f1'"),
        ({"resolution": {"start": 1.0}}, "less than 1"),
        ({"ema": 1.0}, "less than 1"),
        ({"drop_path": 1.0}, "less than 1"),
        ({"clip_norm": 0.0}, "greater than 0"),
        ({"learning_rate": 0.1}, "not permitted"),
        ({"label_smoothing": 1.0}, "less than 1"),
    ],
)
def test_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(values)


@pytest.mark.parametrize(
    ("below", "over", "joined"),
    [
        ({"epochs": 3, "lr": 0.1}, {"steps": 9}, {"lr": 0.1, "steps": 9}),
        ({"steps": 9}, {"epochs": 3}, {"epochs": 3}),
        ({"augment": {"flip": True, "pad_crop": 4}}, {"augment": {"flip": False}}, {"augment": {"flip": False, "pad_crop": 4}}),
        ({"schedule": "step", "milestones": [0.5], "gamma": 0.2}, {"schedule": "cosine"}, {"schedule": "cosine"}),
        ({"schedule": "step", "milestones": [0.5]}, {"milestones": [0.6]}, {"schedule": "step", "milestones": [0.6]}),
        ({"momentum": 0.9, "nesterov": True}, {"optimizer": "adamw"}, {"optimizer": "adamw"}),
        ({"schedule": "step", "milestones": [0.5], "gamma": 0.2}, {"schedule": "plateau"}, {"schedule": "plateau", "gamma": 0.2}),
        ({"schedule": "plateau", "patience": 2, "gamma": 0.2}, {"schedule": "constant"}, {"schedule": "constant"}),
        ({"warmup": 0.1}, {"slow_start": {"lr": 0.01}}, {"slow_start": {"lr": 0.01}, "warmup": 0.0}),
        ({"slow_start": {"lr": 0.01}, "warmup": 0.0}, {"warmup": 0.1}, {"warmup": 0.1}),
        ({"slow_start": {"lr": 0.01}, "warmup": 0.0}, {"slow_start": None}, {"slow_start": None, "warmup": 0.0}),
    ],
)
def test_merge(below: dict[str, Any], over: dict[str, Any], joined: dict[str, Any]) -> None:
    assert merge(below, over) == joined


@pytest.mark.parametrize(
    ("setting", "place", "help"),
    [
        ("train.learning_rate=0.1", "train.learning_rate", "lr"),
        ("train.lr=fast", "train.lr", "number"),
        ("train.schedule=cos", "train.schedule", "cosine"),
        ("train.augment.flip=yes", "train.augment.flip", "true"),
        ("train.augment.flip=alternat", "train.augment.flip", "alternate"),
        ("train.batch=0", "train.batch", "at least 1"),
        ("train.slow_start.layers=20", "train.slow_start.layers", "depth"),
        ("train.stop_early.metric=acc", "train.stop_early.metric", "top1"),
        ("train.augment.shorter_side=256", "train.augment.shorter_side", "list"),
    ],
)
def test_a_mistake_in_an_option_is_located_there(setting: str, place: str, help: str) -> None:
    with pytest.raises(SpecError) as refused:
        load("resnet20-digits", [setting])
    (found,) = refused.value.diagnostics
    assert place in f"{found.location} {found.location.source.text}"
    assert help in found.help
