"""A run's log for Weights & Biases (the extra `wandb`)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from resnet_dsl.records.folder import ENVIRONMENT
from resnet_dsl.records.log import Figures
from resnet_dsl.records.record import Environment
from resnet_dsl.records.run import Run

PROJECT = "resnet-dsl"
"""The project, unless WANDB_PROJECT names another."""

_NO_FIGURES = frozenset(("event", "step"))


class WandbLog:
    """Figures for wandb: `train/train_loss`, `test/top1`, ...: the row's event and the figure's name, at the step of the run.

    A run that is resumed continues in the same run of wandb, which is told apart by the folder and its first process; rows that wandb has
    seen are not sent again. Everything else (project, entity, mode) is wandb's own environment: WANDB_MODE=offline, say.
    """

    def __init__(self, folder: Path, rows: Sequence[Figures]) -> None:
        wandb: Any = import_module("wandb")
        run = Run.open(folder)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=_identity(folder),
            name=os.environ.get("WANDB_NAME", folder.resolve().name),
            dir=str(folder),
            resume="allow",
            config={"network": run.name, "data": run.record.data, "params": run.params, **run.overview.recipe},
        )
        seen = int(self._run.step)
        for row in rows:
            if int(row["step"] or 0) >= seen:
                self.log(row)

    def log(self, row: Figures) -> None:
        """One more row."""
        figures = {f"{row['event']}/{key}": value for key, value in row.items() if key not in _NO_FIGURES and value is not None}
        self._run.log(figures, step=row["step"])

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


def _identity(folder: Path) -> str:
    sessions = Environment.read(folder / ENVIRONMENT).sessions
    return hashlib.sha256(f"{folder.resolve()} {sessions[0].time if sessions else ''}".encode()).hexdigest()[:16]
