"""Testing on more of a picture than its middle: ten crops, or the whole picture at several scales. For pictures in files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import torch

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.records.results import Scores
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.data.pictures import PictureRequest, Pictures, stream
from resnet_dsl.training.data.views import Whole, evaluation_side
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.loop.evaluate import ClassTally
from resnet_dsl.training.ranks.world import alone

HE_SCALES = (224, 256, 384, 480, 640)
"""The shorter sides of He et al. 2015, section 3.4."""

_TOGETHER = 32
"""Pictures whose crops go through the network at once."""


def ten_crops(picture: torch.Tensor, crop: int) -> torch.Tensor:
    """(10, C, crop, crop) of a picture (C, H, W): the four corners and the middle, then the mirror image of each.

    Krizhevsky et al. 2012, section 4.1.
    """
    h, w = picture.shape[1:]
    corners = [(0, 0), (0, w - crop), (h - crop, 0), (h - crop, w - crop), ((h - crop) // 2, (w - crop) // 2)]
    five = torch.stack([picture[:, y : y + crop, x : x + crop] for y, x in corners])
    return torch.cat((five, five.flip(3)))


def score_ten_crops(
    model: torch.nn.Module,
    part: Images,
    normalisation: Normalisation,
    plan: Plan,
    crop: int,
    stop: Callable[[], bool] = lambda: False,
    seen: Callable[[torch.Tensor, torch.Tensor], None] = lambda probabilities, labels: None,
) -> Scores | None:
    """Scores on ten crops of each picture, whose shorter side is scaled to 256 for a `crop` of 224 and in that proportion.

    The ten outputs of softmax are averaged (Krizhevsky et al. 2012); the loss is that of the average. None if `stop` said so.
    `seen` is shown the averages (N, classes) and the labels (N,).
    Raises SpecError: exit 2 where the images are no picture files, 3 where one is damaged.
    """
    pictures, moved = _files(part, "crops"), normalisation.to(plan.torch_device)
    with _evaluating(model), contextlib.closing(_whole(pictures, evaluation_side(crop))) as found:
        rows: list[torch.Tensor] = []
        waiting: list[torch.Tensor] = []
        for i, picture in enumerate(found, 1):
            if stop():
                return None
            waiting.append(ten_crops(picture, crop))
            if len(waiting) == _TOGETHER or i == len(pictures):
                images = moved.apply(torch.cat(waiting).to(plan.torch_device), plan.memory_format)
                rows.append(_probabilities(model, images, plan).view(len(waiting), 10, -1).mean(1))
                waiting = []
    return _scores(torch.cat(rows), pictures.labels, seen)


def score_scales(
    model: torch.nn.Module,
    part: Images,
    normalisation: Normalisation,
    plan: Plan,
    sides: Sequence[int] = HE_SCALES,
    stop: Callable[[], bool] = lambda: False,
    seen: Callable[[torch.Tensor, torch.Tensor], None] = lambda probabilities, labels: None,
) -> Scores | None:
    """Scores of the network applied to whole pictures and their mirror images, the shorter side scaled to each of `sides`.

    A network that ends in global pooling is fully convolutional as it is: it averages over all places of a picture. The outputs of softmax
    are averaged over mirror images and sides (He et al. 2015, section 3.4, after Simonyan & Zisserman 2015, section 3.2). Of a mean image
    the mean colour is subtracted. None if `stop` said so. `seen` as in `score_ten_crops`.
    Raises SpecError: exit 2 where the images are no picture files, or the network takes no images of their sizes; 3 where one is damaged.
    """
    pictures, moved = _files(part, "scales"), normalisation.everywhere().to(plan.torch_device)
    total = torch.zeros(())
    for side in sides:
        with _evaluating(model), contextlib.closing(_whole(pictures, side)) as found:
            rows = []
            for picture in found:
                if stop():
                    return None
                image = moved.apply(picture[None].to(plan.torch_device), plan.memory_format)
                rows.append(_probabilities(model, torch.cat((image, image.flip(3))), plan).mean(0))
            total = total + torch.stack(rows)
    return _scores(total / len(sides), pictures.labels, seen)


def _files(part: Images, argument: str) -> Pictures:
    if isinstance(part, Pictures):
        return part
    raise refuse(
        "data-fit",
        "its images are held in memory or in shards: more crops and scales are cut out of picture files",
        f"leave it out, or use {Argument('data', 'imagefolder')} with a recipe that has augment.crop",
        at=Argument(argument),
    )


def _whole(pictures: Pictures, side: int) -> Generator[torch.Tensor]:
    """Each picture (C, H, W), its shorter side scaled to `side`."""
    one = np.zeros((1, 0), np.float32)
    for batch in stream(pictures, Whole(side), (PictureRequest(np.array([i]), one) for i in range(len(pictures)))):
        yield batch[0]


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def _probabilities(model: torch.nn.Module, images: torch.Tensor, plan: Plan) -> torch.Tensor:
    try:
        with plan.autocast():
            return model(images).float().softmax(1)  # type: ignore[no-any-return]
    except RuntimeError as e:
        if "out of memory" in str(e):
            raise
        h, w = images.shape[2:]
        raise refuse(
            "data-fit",
            f"the network takes no images of {h}x{w}: {str(e).splitlines()[0][:120]}",
            "only a network that ends in global pooling takes images of any size",
            at=Argument("scales"),
        ) from None


def _scores(probabilities: torch.Tensor, labels: torch.Tensor, seen: Callable[[torch.Tensor, torch.Tensor], None]) -> Scores:
    n, target = len(labels), labels.to(probabilities.device)
    seen(probabilities, target)
    guesses, tally = probabilities.topk(min(5, probabilities.shape[1]), dim=1).indices, ClassTally()
    tally(guesses[:, 0], target, probabilities.shape[1])
    hits = guesses == target[:, None]
    loss = -probabilities.gather(1, target[:, None]).log().mean()
    return Scores.measured(float(loss), float(hits[:, 0].sum()) / n, float(hits.sum()) / n, n, **tally.scores(alone()))
