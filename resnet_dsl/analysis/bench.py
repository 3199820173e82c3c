"""What `bench` found, as a table. The values are plain: nothing here knows torch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from resnet_dsl.table import Column, Table, count, size, times


def bench_table(found: Mapping[str, Any], plan: str) -> Table:
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
    rows = [[what, *(found[what][c.key] for c in columns[1:])] for what in ("training", "inference")]
    notes = (
        *textwrap.wrap(f"plan: {plan}", 80, subsequent_indent="      "),
        "plain: the same network eager, in fp32, channels first, with torch's default",
        "optimizer. The ratio is the median over pairs of steps, one of each; low and",
        "high are its quartiles.",
        *(("Inference under the plan is with batch norms folded.",) if found["fold_bn"] else ()),
    )
    return Table(columns, rows, title=f"{found['name']}, {found['batch']:,} images at once", notes=notes)


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
