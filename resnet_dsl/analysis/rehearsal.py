"""What `train --dry-run` and `train --find-lr` found, as tables. The values are plain: nothing here knows torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_dsl.table import Column, Table, count

ROWS = 12
"""Rows of a curve that are shown."""


def dry_run_table(found: Mapping[str, Any]) -> Table:
    """What a run would take."""
    columns = (
        Column("name", "network"),
        Column("data", "data"),
        Column("images", "images", count, right=True),
        Column("params", "params", count, right=True),
        Column("plan", "device plan"),
        Column("batch", "batch", count, right=True),
        Column("epochs", "epochs", lambda v: f"{v:,.6g}", right=True),
        Column("steps", "steps", count, right=True),
        Column("memory_bytes", "memory", lambda v: f"about {size(v)}", right=True),
        Column("free_bytes", "free", size, right=True),
        Column("seconds_per_step", "a step", lambda v: f"{v * 1000:,.1f} ms", right=True),
        Column("seconds", "training", duration, right=True),
    )
    notes = ("Nothing was written. Evaluation and checkpoints come on top of the training time.",)
    return Table(columns, [[found[c.key] for c in columns]], upright=True, notes=notes)


def rates_table(found: Mapping[str, Any]) -> Table:
    """A search for the learning rate: some points of its curve, and what it suggests."""
    columns = (
        Column("lr", "lr", lambda v: f"{v:.3g}", right=True),
        Column("loss", "loss", lambda v: f"{v:.4f}", right=True),
        Column("smoothed", "smoothed", lambda v: f"{v:.4f}", right=True),
    )
    curve = found["curve"]
    shown = sorted({round(i * (len(curve) - 1) / (ROWS - 1)) for i in range(ROWS)})
    notes = (
        f"suggested: --lr {found['suggested']:g} (a tenth of {found['lowest']:.3g}, where the smoothed loss is lowest;",
        f"it falls fastest at {found['steepest']:.3g}). Nothing was written.",
    )
    return Table(columns, [[curve[i][c.key] for c in columns] for i in shown], notes=notes)


def size(count: float) -> str:
    """Bytes as 12.3 MB."""
    units = ("bytes", "kB", "MB", "GB", "TB")
    power = min(len(units) - 1, next(i for i in range(99) if count < 1000 ** (i + 1)))
    number = count / 1000**power
    return f"{number:,.0f} {units[power]}" if number >= 100 or power == 0 else f"{number:,.1f} {units[power]}"


def duration(seconds: float) -> str:
    """12.3 s, 4:07 min, 1:02 h."""
    if seconds < 60:
        return f"{seconds:,.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60:,}:{minutes % 60:02d} h"
