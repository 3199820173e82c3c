"""How good a trained network is on a part of a data set: scores, and which classes it takes for which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from resnet_dsl.datasets.naming import Data, in_files, named, recorded
from resnet_dsl.diagnostics import Argument, either, refuse
from resnet_dsl.records.assessment import Assessment, Part, by_class
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.data.dataset import Dataset, Images, require_fit, split
from resnet_dsl.training.data.joined import whole
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.split import HeldOut
from resnet_dsl.training.data.views import CentreCrop
from resnet_dsl.training.device.threads import choose
from resnet_dsl.training.loop.evaluate import BATCH, score
from resnet_dsl.using.crops import score_scales, score_ten_crops
from resnet_dsl.using.trained import LoadedNetwork, from_run, require_scale


@dataclass(frozen=True, slots=True)
class Views:
    """What is seen of each picture: one middle crop, ten crops, or all of it with its shorter side scaled to each of `scales`.

    The last two are for pictures in files (see `crops`).
    """

    crops: Literal[1, 10] = 1
    scales: tuple[int, ...] = ()


ONE = Views()

_OTHERS = either("part='test' or 'train'", "--part test or train")

Watch = Callable[[torch.Tensor, torch.Tensor], None]
"""Is shown the outputs (N, classes) and labels (N,) of each batch, in the order of the images."""


def assess(
    trained: LoadedNetwork,
    *,
    data: Data | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    precision: str | None = None,
    part: Part = "test",
    views: Views = ONE,
) -> Assessment:
    """What is found of a network on a part of a data set: its run's own unless `data` names another.

    Weights that bring no mean and deviation are used with those of the data. Raises SpecError (exit 2 or 3).
    """
    found, images = images_of(trained, data=data, data_dir=data_dir, part=part, views=views)
    return assess_images(trained, found, images, part, device, precision, views)


def images_of(
    trained: LoadedNetwork, *, data: Data | None, data_dir: Path | None, part: Part = "test", views: Views = ONE
) -> tuple[Dataset, Images]:
    """A data set, and the images of a part of it, as the run that trained the network split them.

    Data without a test part that is not the run's is taken whole. Raises SpecError (exit 2 or 3).
    """
    record = trained.record
    if isinstance(data, str):
        data = named(data).absolute
    own = record is not None and data in (None, record.data)
    where = data_dir or (Path(record.data_dir) if record is not None and own and record.data_dir else None)
    name = recorded(record.data) if record is not None and data is None else data
    assert name is not None  # weights without a run are evaluated on data that is named
    held = HeldOut.of(None if record is None else record.held_out)
    classes = trained.artifact.classes or tuple(map(str, range(trained.graph.classes)))
    found = open_dataset(name, trained.graph.input, where, crop=_crop(trained, views, name), held_out=held, names=classes,
                         classes=trained.graph.classes)  # fmt: skip
    own = own or (record is not None and record.data_sha256 == found.sha256)
    if not own and part != "validation" and (everything := whole(found)) is not None:
        # A run says what it held out; a file cannot, and its network may have seen these images.
        seen = "" if record is not None else "; if the network was trained on some of them, evaluate its run, which knows what it held out"
        return replace(found, notes=(f"{found.name} has no test part: all its {len(everything):,} images are scored{seen}",)), everything
    return found, _part(found, trained if own else None, part)


def run_images(path: Path, *, data: Data | None, data_dir: Path | None, part: Part = "test") -> tuple[LoadedNetwork, Dataset, Images]:
    """A run's network, its data set, and the images of a part of it. Raises SpecError (exit 2 or 3)."""
    trained = from_run(path)
    return trained, *images_of(trained, data=data, data_dir=data_dir, part=part)


def _crop(trained: LoadedNetwork, views: Views, data: Data) -> int | CentreCrop | None:
    """What is cut out of own pictures; None where they are taken as they are."""
    if views != ONE:
        return trained.recipe.augment.crop or trained.graph.input[-1]
    # A recipe's crop was meant for its own data; what goes with weights is for pictures in files alone.
    return trained.middle or trained.recipe.augment.crop if in_files(data) else trained.recipe.augment.crop


def _part(data: Dataset, trained: LoadedNetwork | None, part: Part) -> Images:
    """The images of a part; training and validation images as the run split them. Raises SpecError (exit 2)."""
    if part == "test":
        return data.test
    if trained is None or trained.record is None:
        if part == "train":
            return data.train
        raise refuse("usage", "only a run knows which images it held out", f"use {_OTHERS}, or give the run", at=Argument("part"))
    train, held_out = split(data.train, trained.recipe.validation, trained.record.limit_train)
    chosen = train if part == "train" else held_out
    if chosen is None:
        raise refuse("usage", "the run held out no images for validation", f"use {_OTHERS}", at=Argument("part"))
    return chosen


def assess_images(
    trained: LoadedNetwork,
    data: Dataset,
    images: Images,
    part: Part,
    device: str,
    precision: str | None,
    views: Views = ONE,
    watch: Watch = lambda outputs, labels: None,
) -> Assessment:
    """What is found of a network on images of a data set; of weights that bring no mean and deviation, with the data's own.

    Raises SpecError (exit 2 or 3).
    """
    own = trained.artifact.normalisation
    normalisation = own or measure(data.train, "channel")
    measured = f"{trained.file} does not say its mean and deviation: those of the training images of {data.name} are used"
    require_fit(data, trained.graph.input, trained.graph.classes, trained.graph.name)
    require_scale(trained, data.scale, data.origin)
    seen_of_each = (views.crops if views.crops > 1 else len(views.scales) or 1) * (2 if trained.recipe.test_flip else 1)
    plan = choose(device, precision or trained.precision, trained.graph, min(BATCH, len(images)), len(images) * seen_of_each)
    model = trained.model(plan)
    confusion = Confusion(trained.graph.classes)

    def seen(outputs: torch.Tensor, labels: torch.Tensor) -> None:
        confusion(outputs, labels)
        watch(outputs, labels)

    with plan.computing():
        if views.crops == 10:
            scores = score_ten_crops(model, images, normalisation, plan, trained.graph.input[-1], seen=seen)
        elif views.scales:
            scores = score_scales(model, images, normalisation, plan, views.scales, seen=seen)
        else:
            scores = score(model, images, normalisation, plan, flip=trained.recipe.test_flip, seen=seen)
    assert scores is not None  # nothing asked it to stop
    counts = confusion.counts.view(trained.graph.classes, -1).tolist()
    return Assessment(
        name=trained.graph.name, data=data.name, part=part, loss=scores.loss,
        top1=scores.top1, top5=scores.top5, images=scores.images, device=plan.device, precision=trained.computed_in(plan),
        classes=by_class(counts, data.classes), confusion=tuple(map(tuple, counts)), crops=views.crops, scales=views.scales,
        notes=(*([] if own is not None else [measured]), *data.lines),
    )  # fmt: skip


class Confusion:
    """Counts which classes are taken for which: `counts` is (classes * classes,), true class times `classes` plus first guess."""

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.counts = torch.zeros(classes * classes, dtype=torch.int64)

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Outputs (N, classes) and labels (N,). The first guess is topk's, as in the scores, where two are equal."""
        first = outputs.topk(min(5, self.classes), dim=1).indices[:, 0]
        self.counts += torch.bincount(labels * self.classes + first, minlength=len(self.counts)).cpu()
