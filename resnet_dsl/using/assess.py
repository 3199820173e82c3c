"""How good a trained network is on a part of a data set: scores, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from resnet_dsl.analysis.confusion import by_class
from resnet_dsl.diagnostics import refuse
from resnet_dsl.language import Spec
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.data.dataset import Dataset, Images, require_fit, split
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device.plan import choose
from resnet_dsl.training.loop.evaluate import score
from resnet_dsl.using.crops import score_scales, score_ten_crops
from resnet_dsl.using.trained import Trained, from_run, from_weights

PartName = Literal["test", "validation", "train"]


@dataclass(frozen=True, slots=True)
class Views:
    """What is seen of each picture: one middle crop, ten crops, or all of it with its shorter side scaled to each of `scales`.

    The last two are for pictures in files (see `crops`).
    """

    crops: Literal[1, 10] = 1
    scales: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For the result; nothing where it is the usual one."""
        return {"crops": self.crops} if self.crops > 1 else {"scales": list(self.scales)} if self.scales else {}


ONE = Views()

Watch = Callable[[torch.Tensor, torch.Tensor], None]
"""Is shown the outputs (N, classes) and labels (N,) of each batch, in the order of the images."""


def assess_run(
    path: Path, *, data: str | None, data_dir: Path | None, device: str, precision: str | None, part: PartName = "test", views: Views = ONE
) -> dict[str, Any]:
    """What is found of a run's weights, on its own data set unless `data` says otherwise. Raises SpecError (exit 2 or 3)."""
    trained, found, images = run_images(path, data=data, data_dir=data_dir, part=part, views=views)
    return assess_images(trained, found, images, part, device, precision, views)


def run_images(
    path: Path, *, data: str | None, data_dir: Path | None, part: PartName = "test", views: Views = ONE
) -> tuple[Trained, Dataset, Images]:
    """A run's network, the data set, and the images of a part of it. Raises SpecError (exit 2 or 3)."""
    trained = from_run(path)
    record = trained.record
    assert record is not None  # a run has one
    own = data is None or data == record.data
    where = data_dir or (Path(record.data_dir) if own and record.data_dir else None)
    found = open_dataset(data or record.data, trained.graph.input, where, crop=_crop(trained, views))
    return trained, found, _part(found, trained if own else None, part)


def assess_weights(
    spec: Spec,
    file: Path,
    *,
    data: str,
    data_dir: Path | None,
    device: str,
    precision: str | None,
    part: PartName = "test",
    views: Views = ONE,
) -> dict[str, Any]:
    """What is found of a file of weights in a network. A file that was not made here is used with the data's own mean and deviation.

    Raises SpecError (exit 2 or 3).
    """
    trained = from_weights(spec, file)
    found = open_dataset(data, trained.graph.input, data_dir, crop=_crop(trained, views))
    return assess_images(trained, found, _part(found, None, part), part, device, precision, views)


def _crop(trained: Trained, views: Views) -> int | None:
    """The side of the squares that are cut out of own pictures; None where they are taken as they are."""
    return trained.graph.input[-1] if trained.recipe.augment.crop is None and views != ONE else trained.recipe.augment.crop


def _part(data: Dataset, trained: Trained | None, part: PartName) -> Images:
    """The images of a part; training and validation images as the run split them. Raises SpecError (exit 2)."""
    if part == "test":
        return data.test
    if trained is None or trained.record is None:
        if part == "train":
            return data.train
        raise refuse("usage", "only a run knows which images it held out", "use --part test or train, or give the run", at="--part")
    train, held_out = split(data.train, trained.recipe.validation, trained.record.limit_train)
    chosen = train if part == "train" else held_out
    if chosen is None:
        raise refuse("usage", "the run held out no images for validation", "use --part test or train", at="--part")
    return chosen


def assess_images(
    trained: Trained,
    data: Dataset,
    images: Images,
    part: PartName,
    device: str,
    precision: str | None,
    views: Views = ONE,
    watch: Watch = lambda outputs, labels: None,
) -> dict[str, Any]:
    """What is found of a network on images of a data set; of weights that bring no mean and deviation, with the data's own.

    Raises SpecError (exit 2 or 3).
    """
    normalisation = trained.artifact.normalisation or measure(data.train, "channel")
    require_fit(data, trained.graph.input, trained.graph.classes, trained.graph.name)
    plan = choose(device, precision or trained.precision)
    model = trained.model(plan)
    confusion = Confusion(trained.graph.classes)

    def seen(outputs: torch.Tensor, labels: torch.Tensor) -> None:
        confusion(outputs, labels)
        watch(outputs, labels)

    if views.crops == 10:
        scores = score_ten_crops(model, images, normalisation, plan, trained.graph.input[-1], seen=seen)
    elif views.scales:
        scores = score_scales(model, images, normalisation, plan, views.scales, seen=seen)
    else:
        scores = score(model, images, normalisation, plan, flip=trained.recipe.test_flip, seen=seen)
    assert scores is not None  # nothing asked it to stop
    counts = confusion.counts.view(trained.graph.classes, -1).tolist()
    return {
        "name": trained.graph.name,
        "data": data.name,
        "part": part,
        **views.to_dict(),
        **scores.to_dict(),
        "device": plan.device,
        "precision": plan.precision,
        "classes": by_class(counts, data.classes),
        "confusion": counts,
    }


class Confusion:
    """Counts which classes are taken for which: `counts` is (classes * classes,), true class times `classes` plus first guess."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = torch.zeros(classes * classes, dtype=torch.int64)

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Outputs (N, classes) and labels (N,). The first guess is topk's, as in the scores, where two are equal."""
        first = outputs.topk(min(5, self.classes), dim=1).indices[:, 0]
        self.counts += torch.bincount(labels * self.classes + first, minlength=len(self.counts)).cpu()
