"""The best evaluation of a run so far: what decides which weights are kept, and whether a run still gets better."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from resnet_dsl.language.recipe import Metric
from resnet_dsl.records.results import Scores


@dataclass(frozen=True, slots=True)
class Record:
    """The best of the evaluations by one metric: its step and scores (None before the first), and how many have come since."""

    metric: Metric
    step: int = -1
    scores: Scores | None = None
    waited: int = 0

    def after(self, step: int, scores: Scores) -> Record:
        """With one more evaluation. An equal one is no better, and a loss that is not finite is worse than any other."""
        if self.scores is None or _merit(scores, self.metric) > _merit(self.scores, self.metric):
            return Record(self.metric, step, scores)
        return replace(self, waited=self.waited + 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {**asdict(replace(self, scores=None)), "scores": self.scores.to_dict() if self.scores else None}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Record:
        """The inverse of `to_dict`."""
        return Record(**{**data, "scores": Scores.measured(**data["scores"]) if data["scores"] else None})


def _merit(scores: Scores, metric: Metric) -> float:
    value: float | None = getattr(scores, metric)
    if value is None:
        return -math.inf
    return -value if metric == "loss" else value
