"""What each class counts in a run: how many images it has, its weight in the loss, and what is said of both."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from resnet_dsl.diagnostics import refuse, setting
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.records.balance import balanced_weights, unequal
from resnet_dsl.training.data.dataset import Images


def class_counts(images: Images, classes: int) -> tuple[int, ...] | None:
    """The number of images of each class, in order; None where only reading the images tells."""
    return None if images.labels is None else tuple(torch.bincount(images.labels.cpu(), minlength=classes).tolist())


def class_weights(recipe: Recipe, counts: Sequence[int] | None, classes: int) -> torch.Tensor | None:
    """What each class counts in the loss (classes,) float32; None where all count the same. Raises SpecError (exit 2)."""
    asked = recipe.class_weights
    if asked == "none":
        return None
    if asked == "balanced":
        if counts is None:
            raise refuse(
                "data-fit",
                "shards are read as they come: class_weights: balanced needs to know how many images each class has",
                f"write a number for each class: {setting('train.class_weights', '[1, ...]')}",
                at="recipe",
            )
        return torch.tensor(balanced_weights(counts))
    if len(asked) != classes:
        raise refuse(
            "data-fit",
            f"class_weights has {len(asked):,} numbers, the data {classes:,} classes",
            f"write one number for each class, or {setting('train.class_weights', 'balanced')}",
            at="recipe",
        )
    return torch.tensor(asked)


def announcement(recipe: Recipe, counts: Sequence[int] | None, names: Sequence[str]) -> str | None:
    """One line on classes of unequal size, and what the run does about it; None where they are about equal or not known."""
    found = None if counts is None else unequal(counts, names)
    if found is None:
        return None
    if recipe.sampling == "balanced":
        return f"{found}; an epoch takes as many images of each (sampling: balanced)"
    if recipe.class_weights == "balanced":
        return f"{found}; the loss weighs them alike (class_weights: balanced)"
    if recipe.class_weights != "none":
        return f"{found}; the loss weighs them by class_weights"
    return f"{found}; top-1 goes by the large ones, balanced accuracy by all alike: {setting('train.class_weights', 'balanced')} trains for that"
