"""How fast a network trains and answers, against the plain module."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from resnet_dsl.table import Answer, Column, Layout, Table, count, size, times


@dataclass(frozen=True, slots=True)
class Timing:
    """One kind of work in interleaved pairs. `ratio` is the median of plan / plain in images per second, `low` and `high` its quartiles.

    Memory is in bytes, as `using.bench.peak` measures it; None where it cannot be measured.
    """

    images_per_s: float
    plain_images_per_s: float
    ratio: float
    low: float
    high: float
    pairs: int
    memory_bytes: int | None
    plain_memory_bytes: int | None


@dataclass(frozen=True, repr=False)
class Bench(Answer):
    """The times of training and inference with `batch` images at once. `plan` holds the parts of the device plan, `plan_text` says it."""

    name: str
    batch: int
    plan: dict[str, object]
    plan_text: str
    fold_bn: bool
    training: Timing
    inference: Timing

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One row for training, one for inference."""
        columns = (
            Column("work", ""),
            Column("images_per_s", "images/s", _rate, right=True),
            Column("plain_images_per_s", "plain", _rate, right=True),
            Column("ratio", "ratio", times, right=True),
            Column("low", "low", times, right=True),
            Column("high", "high", times, right=True),
            Column("pairs", "pairs", count, right=True),
            Column("memory_bytes", "memory", size, right=True),
            Column("plain_memory_bytes", "plain", size, right=True),
        )
        rows = [[what, *asdict(timing).values()] for what, timing in self._works()]
        notes = (
            *textwrap.wrap(f"plan: {self.plan_text}", 80, subsequent_indent="      "),
            "plain: the same network eager, in fp32, channels first, with torch's default",
            "optimizer. The ratio is the median over pairs of steps, one of each; low and",
            "high are its quartiles.",
            *(("Inference under the plan is with batch norms folded.",) if self.fold_bn else ()),
        )
        return [Table(columns, rows, title=f"{self.name}, {self.batch:,} images at once", notes=notes)]

    def to_dict(self) -> dict[str, Any]:
        """What `bench` prints as JSON."""
        return {
            "name": self.name,
            "batch": self.batch,
            "plan": dict(self.plan),
            "fold_bn": self.fold_bn,
            "training": asdict(self.training),
            "inference": asdict(self.inference),
        }

    def summary(self) -> str:
        """Images per second, and the ratio to the plain module."""
        found = (f"{what} {_rate(t.images_per_s)} images/s ({times(t.ratio)})" for what, t in self._works())
        return f"{self.name:.80}, {self.batch:,} images at once: {', '.join(found)}"

    def _works(self) -> tuple[tuple[str, Timing], ...]:
        return ("training", self.training), ("inference", self.inference)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
