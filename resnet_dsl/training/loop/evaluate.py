"""How good a network is on a set of images."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch.nn import functional

from resnet_dsl.records.balance import balanced_accuracy, macro_f1
from resnet_dsl.records.results import Scores
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.ranks.world import World, alone

BATCH = 500


class ClassTally:
    """Counts of each class over an evaluation, on the device: its images, the guesses of it, and those that were right."""

    def __init__(self) -> None:
        self._counts: torch.Tensor | None = None

    def __call__(self, guesses: torch.Tensor, labels: torch.Tensor, classes: int) -> None:
        """First guesses (N,) and labels (N,) of a batch; N may be 0."""
        found = [torch.bincount(x, minlength=classes) for x in (labels, guesses, labels[guesses == labels])]
        self._counts = torch.stack(found) if self._counts is None else self._counts + torch.stack(found)

    def scores(self, world: World) -> dict[str, float]:
        """Balanced accuracy and macro F1 over the images of all ranks."""
        assert self._counts is not None  # every rank has seen a batch
        images, guesses, hits = world.sum(self._counts).tolist()
        return {"balanced_accuracy": balanced_accuracy(images, hits), "macro_f1": macro_f1(images, guesses, hits)}


def score(
    model: torch.nn.Module,
    part: Images,
    normalisation: Normalisation,
    plan: Plan,
    stop: Callable[[], bool] = lambda: False,
    *,
    flip: bool = False,
    world: World | None = None,
    seen: Callable[[torch.Tensor, torch.Tensor], None] = lambda logits, labels: None,
) -> Scores | None:
    """Scores of `model` on `part`, without augmentation; None if `stop` said so on the way. The model's mode is kept.

    `flip`: on each image and its mirror image, the two outputs averaged. Each rank of `world` takes its share of the images, and all
    must call it. `seen` is shown the logits (N, classes) and labels (N,) of each batch.
    """
    world = alone() if world is None else world
    was_training = model.training
    model.eval()
    moved = normalisation.to(plan.torch_device)
    sums, tally = torch.zeros(3, device=plan.torch_device), ClassTally()
    chunks = iter(part.chunks(BATCH))
    try:
        with torch.inference_mode(), plan.autocast(), plan.as_written():
            # One batch for each rank in turn, so that all are in step: in the last round some may have none.
            while group := list(islice(chunks, world.size)):
                if world.agree(stop()):
                    return None
                pixels, labels = group[world.rank] if world.rank < len(group) else (t[:0] for t in group[0])
                images, target = moved.apply(pixels.to(plan.torch_device), plan.memory_format), labels.to(plan.torch_device)
                logits = model(images).float()
                if flip:
                    logits = (logits + model(images.flip(3)).float()) / 2
                seen(logits, target)
                loss = functional.cross_entropy(logits, target, reduction="sum")
                guesses = logits.topk(min(5, logits.shape[1]), dim=1).indices
                tally(guesses[:, 0], target, logits.shape[1])
                hits = guesses == target[:, None]
                sums += torch.stack((loss, hits[:, 0].sum().to(loss.dtype), hits.sum().to(loss.dtype)))
    finally:
        model.train(was_training)
    n = len(part)
    loss, first, five = (value / n for value in world.sum(sums).tolist())
    return Scores.measured(loss, first, five, n, **tally.scores(world))
