"""What training and evaluation found, as tables. The values are plain: nothing here knows torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_dsl.reports.table import Column, Table, count


def results_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """One row a run, from its results.json."""
    columns = (
        Column("name", "network"),
        Column("data", "data"),
        Column("params", "params", count, right=True),
        Column("epochs", "epochs", _number, right=True),
        Column("train_loss", "train loss", _loss, right=True),
        Column("train_accuracy", "train", _share, right=True),
        Column("test_top1", "test", _share, right=True),
        Column("seconds", "seconds", lambda v: f"{v:,.1f}", right=True),
        Column("folder", "run folder"),
    )
    rows = [
        (r["name"], r["data"], r["params"], r["epochs"], r["train_loss"], r["train_accuracy"], r["test"]["top1"], r["seconds"], r["folder"])
        for r in results
    ]
    return Table(columns, rows, upright=len(rows) == 1)


def scores_table(found: Mapping[str, Any]) -> Table:
    """One evaluation."""
    columns = (
        Column("name", "network"),
        Column("data", "data"),
        Column("part", "images of"),
        Column("images", "images", count, right=True),
        Column("top1", "top-1", _share, right=True),
        Column("top5", "top-5", _share, right=True),
        Column("loss", "loss", _loss, right=True),
    )
    return Table(columns, [[found[c.key] for c in columns]], upright=True)


def _share(value: float) -> str:
    return f"{value:.2%}"


def _loss(value: float) -> str:
    return f"{value:.4f}"


def _number(value: float) -> str:
    return f"{value:,.6g}"
