"""Where a step's pixels come from: memory, an array elsewhere, a Dataset, picture files, or shards. One class for each; all answer for any step and part."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from resnet_dsl.diagnostics import Argument, refuse, setting
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.training.batches.augment import Draws, draw
from resnet_dsl.training.batches.order import Order, Share, require_batch
from resnet_dsl.training.data.arrayrows import ArrayRows
from resnet_dsl.training.data.dataset import Images, InMemory
from resnet_dsl.training.data.items import Items, drawn
from resnet_dsl.training.data.pictures import PictureRequest, Pictures, stream
from resnet_dsl.training.data.shards import Shards
from resnet_dsl.training.data.views import AsItIs, RandomCrop, View, evaluation_side
from resnet_dsl.training.device.plan import Plan


class Raw(NamedTuple):
    """Pixels (N, C, H, W), or features (N, F), uint8 or float32, labels (N,) int64 and draws, on the device."""

    pixels: torch.Tensor
    labels: torch.Tensor
    draws: Draws


class Feed(Protocol):
    """What a step is made of, before augmentation. `per_epoch` counts the batches of an epoch."""

    per_epoch: int

    def __call__(self, step: int, part: int) -> Raw:
        """The images of one part of this rank's share of a step. Raises SpecError where they cannot be read."""

    def labels(self, step: int) -> torch.Tensor | None:
        """Labels of a whole step, of all ranks and parts, on the device; None where they are not known before it."""

    def close(self) -> None:
        """End what was begun for the steps to come."""


def feed(train: Images, recipe: Recipe, share: Share, plan: Plan) -> Feed:
    """The feed for a training set. Raises SpecError (exit 2) where recipe and data do not fit."""
    if isinstance(train, InMemory):
        return FromMemory(train, recipe, share, plan)
    if isinstance(train, ArrayRows):
        return FromArray(train, recipe, share, plan)
    if isinstance(train, Items):
        return FromItems(train, recipe, share, plan)
    if isinstance(train, Pictures):
        return FromFiles(train, recipe, share, plan)
    assert isinstance(train, Shards)
    return FromShards(train, recipe, share, plan)


class FromMemory:
    """Images that are held in memory: the device's own, or the host's where the plan says so."""

    def __init__(self, train: InMemory, recipe: Recipe, share: Share, plan: Plan) -> None:
        self.device = plan.torch_device
        held = torch.device("cpu") if plan.data == "host" else self.device
        self.pinned = held != self.device and self.device.type == "cuda"
        self.train, self.order = train.to(held), Order(train.labels, recipe, share, held)
        self.per_epoch = self.order.per_epoch

    def __call__(self, step: int, part: int) -> Raw:
        """The images of a part of a step."""
        rows = self.order(step, part)
        pixels, labels = self.train.pixels[rows.index], self.train.labels[rows.index]
        return Raw(self._moved(pixels), self._moved(labels), {k: self._moved(v) for k, v in rows.draws.items()})

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        return (tensor.pin_memory() if self.pinned else tensor).to(self.device, non_blocking=True)

    def labels(self, step: int) -> torch.Tensor:
        """Labels of a whole step."""
        return self.order.labels_of(step).to(self.device)

    def close(self) -> None:
        """Nothing was begun."""


class FromArray:
    """Rows of an array that is not copied: each step reads its own."""

    def __init__(self, train: ArrayRows, recipe: Recipe, share: Share, plan: Plan) -> None:
        self.train, self.device = train, plan.torch_device
        self.order = Order(train.labels, recipe, share, torch.device("cpu"))
        self.per_epoch = self.order.per_epoch

    def __call__(self, step: int, part: int) -> Raw:
        """The rows of a part of a step. Raises SpecError (exit 3) for numbers that are not finite."""
        rows = self.order(step, part)
        moved = {k: v.to(self.device) for k, v in rows.draws.items()}
        return Raw(self.train.rows(rows.index.numpy()).to(self.device), self.train.labels[rows.index].to(self.device), moved)

    def labels(self, step: int) -> torch.Tensor:
        """Labels of a whole step."""
        return self.order.labels_of(step).to(self.device)

    def close(self) -> None:
        """Nothing was begun."""


class FromItems:
    """Items of a Dataset, read ahead along the steps by workers, if there are some; what an item draws is seeded by its own draws."""

    def __init__(self, train: Items, recipe: Recipe, share: Share, plan: Plan) -> None:
        self.train, self.device, self.parts = train, plan.torch_device, recipe.accumulate
        self.order = Order(train.labels, recipe, share, torch.device("cpu"))
        self.per_epoch = self.order.per_epoch
        self._next = -1
        self._pixels: Iterator[torch.Tensor] = iter(())

    def __call__(self, step: int, part: int) -> Raw:
        """The items of a part of a step. Raises SpecError (exit 3) where the Dataset raises, or a worker died."""
        place = step * self.parts + part
        if place != self._next:
            self.close()
            self._pixels = self.train.stream(self._requests(place), pin=self.device.type == "cuda")
        self._next = -1  # where the next line fails, nothing can go on from here
        pixels = next(self._pixels)
        self._next = place + 1
        rows = self.order(step, part)
        moved = {k: v.to(self.device, non_blocking=True) for k, v in rows.draws.items()}
        return Raw(pixels.to(self.device, non_blocking=True), self.train.labels[rows.index].to(self.device), moved)

    def labels(self, step: int) -> torch.Tensor:
        """Labels of a whole step."""
        return self.order.labels_of(step).to(self.device)

    def _requests(self, place: int) -> Iterator[tuple[torch.Tensor, npt.NDArray[np.int64]]]:
        while True:
            rows = self.order(*divmod(place, self.parts))
            yield rows.index, drawn(rows.draws["augment"])
            place += 1

    def close(self) -> None:
        """End the workers."""
        _close(self._pixels)


class FromFiles:
    """Pictures in files. Workers read ahead along the steps; a step that is not the next one starts them again from there."""

    def __init__(self, train: Pictures, recipe: Recipe, share: Share, plan: Plan) -> None:
        self.train, self.device, self.parts = train, plan.torch_device, recipe.accumulate
        self.order = Order(train.labels, recipe, share, torch.device("cpu"))
        self.per_epoch = self.order.per_epoch
        self.view = training_view(train.view, recipe, share)
        self._next = -1
        self._pixels: Iterator[torch.Tensor] = iter(())

    def __call__(self, step: int, part: int) -> Raw:
        """The images of a part of a step. Raises SpecError (exit 3) where a picture is damaged or a worker died."""
        place = step * self.parts + part
        if place != self._next:
            self.close()
            self._pixels = stream(self.train, self.view, self._requests(place), pin=self.device.type == "cuda")
        self._next = -1  # where the next line fails, nothing can go on from here
        pixels = next(self._pixels)
        self._next = place + 1
        rows = self.order(step, part)
        moved = {k: v.to(self.device, non_blocking=True) for k, v in rows.draws.items() if k != "view"}
        labels = self.train.labels[rows.index].to(self.device, non_blocking=True)
        return Raw(pixels.to(self.device, non_blocking=True), labels, moved)

    def labels(self, step: int) -> torch.Tensor:
        """Labels of a whole step."""
        return self.order.labels_of(step).to(self.device)

    def _requests(self, place: int) -> Iterator[PictureRequest]:
        while True:
            rows = self.order(*divmod(place, self.parts))
            views = rows.draws["view"] if "view" in rows.draws else torch.zeros(len(rows.index), 0)
            yield PictureRequest(rows.index.numpy(), views.numpy())
            place += 1

    def close(self) -> None:
        """End the workers."""
        _close(self._pixels)


class FromShards:
    """Images from shards, as they come. A step that is not the next one starts again, with other images: nothing here is repeated to the bit."""

    def __init__(self, train: Shards, recipe: Recipe, share: Share, plan: Plan) -> None:
        require_batch(len(train), recipe, share)
        if recipe.sampling == "balanced":
            raise refuse(
                "data-fit",
                "shards are read as they come: sampling: balanced needs to know the label of each image before",
                f"use {setting('train.class_weights', '[1, ...]')} with a number for each class, or {Argument('data', 'imagefolder')}",
                at="recipe",
            )
        if share.overfit or recipe.augment.flip == "alternate":
            raise refuse(
                "data-fit",
                f"shards are read as they come: no image is known again, as {Argument('overfit_batch')} and flip: alternate need it",
                f"leave out {Argument('overfit_batch')}, and use {setting('train.augment.flip', 'true')}",
                at="recipe",
            )
        self.train, self.recipe, self.share, self.device = train, recipe, share, plan.torch_device
        whole = len(train) // recipe.batch
        self.per_epoch = whole if share.limit is None else min(whole, share.limit)
        self.size = recipe.batch // (share.ranks * recipe.accumulate)
        self.view = training_view(train.view, recipe, share)
        self._next = -1
        self._found: Iterator[tuple[torch.Tensor, torch.Tensor]] = iter(())

    def __call__(self, step: int, part: int) -> Raw:
        """The next images, whatever the step. Raises SpecError (exit 3)."""
        pixels, labels = self._read(step, part)
        draws = draw(self.recipe.augment, self.size, self.recipe.seed, "step", step, part, self.share.rank)
        moved = {k: v.to(self.device, non_blocking=True) for k, v in draws.items()}
        return Raw(pixels.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True), moved)

    def labels(self, step: int) -> None:
        """They are known when they come."""

    def _read(self, step: int, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        place = step * self.recipe.accumulate + part
        if place != self._next:
            self.close()
            purpose = ("shards", self.recipe.seed, self.share.rank, place)
            self._found = self.train.endless(self.size, self.view, self.device.type == "cuda", *purpose)
        self._next = -1
        found = next(self._found)
        self._next = place + 1
        return found

    def close(self) -> None:
        """End the workers."""
        _close(self._found)


def _close(found: Iterator[object]) -> None:
    if isinstance(found, Generator):
        found.close()


def training_view(view: View, recipe: Recipe, share: Share) -> View:
    """How a picture is looked at in training, where `view` is how it is evaluated: so, too, where one batch is learnt by heart."""
    how = recipe.augment
    if isinstance(view, AsItIs) or how.crop is None or share.overfit:
        return view
    low, high = how.shorter_side or (evaluation_side(how.crop),) * 2
    return RandomCrop(how.crop, low, high)
