"""How good a network is on a set of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch.nn import functional

from resnet_dsl.training.batches import Normalisation
from resnet_dsl.training.data.dataset import Part
from resnet_dsl.training.device import Plan

BATCH = 500


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean cross-entropy (natural logarithm) and the shares of images whose class is the first guess, among the first five."""

    loss: float
    top1: float
    top5: float
    images: int

    def to_dict(self) -> dict[str, float | int]:
        """Plain values."""
        return asdict(self)

    def to_finite(self) -> dict[str, float | int | None]:
        """Plain values for JSON, which has no nan: the loss of a network whose running statistics blew up is None."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}


def score(
    model: torch.nn.Module, part: Part, normalisation: Normalisation, plan: Plan, stop: Callable[[], bool] = lambda: False
) -> Scores | None:
    """Scores of `model` on `part`, without augmentation; None if `stop` said so on the way. The model's mode is kept."""
    was_training = model.training
    model.eval()
    moved = normalisation.to(plan.torch_device)
    loss, first, five = (torch.zeros((), device=plan.torch_device) for _ in range(3))
    try:
        with torch.inference_mode(), plan.autocast():
            for pixels, labels in zip(torch.split(part.pixels, BATCH), torch.split(part.labels, BATCH), strict=True):
                if stop():
                    return None
                target = labels.to(plan.torch_device)
                logits = model(moved.apply(pixels.to(plan.torch_device), plan)).float()
                loss += functional.cross_entropy(logits, target, reduction="sum")
                hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == target[:, None]
                first += hits[:, 0].sum()
                five += hits.sum()
    finally:
        model.train(was_training)
    n = len(part)
    return Scores(float(loss) / n, float(first) / n, float(five) / n, n)
