"""What is measured of a run: one table, and how each figure comes out of the run's log. Errors are in percent.

A run that diverged (its loss was not finite) counts as guessing: the error of chance, the loss of equal odds, a level never reached.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph import Graph
from resnet_dsl.records.folder import METRICS
from resnet_dsl.records.log import LogRow
from resnet_dsl.table import short


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure: its title, its unit, what it is. `static`: known exactly without training."""

    title: str
    unit: str
    about: str
    static: bool = False

    def text(self, value: float) -> str:
        """For people."""
        if self.static:
            return f"{value:,.0f}" if abs(value) < 1e6 else short(value)
        return f"{value:,.0f}" if self.unit == "steps" else f"{value:.2f}" if abs(value) < 1000 else f"{value:,.0f}"


MeasureName = Literal[
    "train_error", "train_error_eval", "test_error", "gap", "loss", "auc", "steps_to", "step_ms", "seconds",
    "params", "macs", "block_params", "block_macs",
]  # fmt: skip

MEASURES: Mapping[str, Measure] = {
    "train_error": Measure("train error", "%", "on the training images as they came by, over the last batches (`tail`), in training mode"),
    "train_error_eval": Measure("train, eval", "%", "of the final weights on a fixed part of the training images (`judged`), in evaluation mode"),
    "test_error": Measure("test error", "%", "of the final weights on all test images"),
    "gap": Measure("gap", "points", "`test_error` less `train_error_eval`: both in evaluation mode"),
    "loss": Measure("final loss", "", "mean training loss over the last batches (`tail`)"),
    "auc": Measure("mean loss", "", "mean training loss over the whole run: the area under its curve, divided by its length"),
    "steps_to": Measure("steps", "steps", "until the training loss of a logged interval is at `level` or below; the run's length where it never is"),
    "step_ms": Measure("step time", "ms", "of training; evaluation and saving are left out"),
    "seconds": Measure("time", "s", "of the whole run"),
    "params": Measure("parameters", "", "trainable", static=True),
    "macs": Measure("MACs", "", "multiply-accumulates for one input", static=True),
    "block_params": Measure("parameters of a block", "", "of the last block", static=True),
    "block_macs": Measure("MACs of a block", "", "of the last block, for one input", static=True),
}  # fmt: skip
"""Everything that can be measured, by name."""

CURVE = 60
"""Points that are kept of a run's curve, at most."""


def static(graph: Graph) -> dict[str, int]:
    """The measures that need no training."""
    costs = Costs(graph)
    whole = costs.network
    block = next(n for n in reversed(graph.stages[-1].callee.nodes) if n.role == "block").callee
    last = costs.scope(block)
    return {"params": whole.params, "macs": whole.macs, "block_params": last.params, "block_macs": last.macs}


def of_log(rows: Sequence[LogRow], *, tail: int, level: float | None, batch: int) -> dict[str, float | None]:
    """The measures that a run's log alone gives; none of them where no step was logged."""
    logged = [r for r in rows if r.event == "train"]
    if not logged:
        return {}
    end = logged[-1].step
    spans = [now.step - before for now, before in zip(logged, [0, *(r.step for r in logged)], strict=False)]
    last = [(r, n) for r, n in zip(logged, spans, strict=True) if r.step > end - tail]
    reached = next((r.step for r in logged if level is not None and _held(r.train_loss) <= level), end)
    found: dict[str, float | None] = {
        "train_error": 100 * (1 - _mean([(_held(r.train_accuracy), n) for r, n in last])),
        "loss": _mean([(_held(r.train_loss), n) for r, n in last]),
        "auc": _mean([(_held(r.train_loss), n) for r, n in zip(logged, spans, strict=True)]),
        "seconds": _held(logged[-1].seconds),
        "step_ms": 1000 * batch / max(1e-9, _held(logged[-1].images_per_s)),
    }
    return found | ({} if level is None else {"steps_to": float(reached)})


def curve(rows: Sequence[LogRow]) -> list[tuple[int, float]]:
    """Training error in percent over steps, thinned evenly; its last point is the log's."""
    logged = [(r.step, round(100 * (1 - _held(r.train_accuracy)), 3)) for r in rows if r.event == "train"]
    every = -(-len(logged) // CURVE)
    return [p for i, p in enumerate(reversed(logged)) if i % every == 0][::-1] if logged else []


def _held(value: float | None) -> float:
    """A figure that every row of training has. Raises SpecError (exit 3) where a damaged log has none."""
    if value is None:
        raise refuse("run-damaged", "a row of training lacks its figures", "start the run again", at=METRICS, exit_code=3)
    return value


def diverged(classes: int, steps: int, level: float | None) -> dict[str, float | None]:
    """What a run counts as whose loss was not finite. Its own loss is None: there is no number for it."""
    chance = 100 * (1 - 1 / classes)
    found: dict[str, float | None] = {
        "train_error": chance, "train_error_eval": chance, "test_error": chance, "gap": 0.0, "loss": None, "auc": math.log(classes),
    }  # fmt: skip
    return found | ({} if level is None else {"steps_to": float(steps)})


def _mean(weighted: Sequence[tuple[float, int]]) -> float:
    return sum(v * n for v, n in weighted) / sum(n for _, n in weighted)
