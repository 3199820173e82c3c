"""What training and evaluation found, as tables. The values are plain: nothing here knows torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_dsl.table import Column, Layout, Table, count, share


def scores_table(found: Mapping[str, Any]) -> Table:
    """One evaluation."""
    columns = (
        Column("name", "network"),
        Column("data", "data"),
        Column("part", "images of"),
        Column("images", "images", count, right=True),
        Column("top1", "top-1", share, right=True),
        Column("top5", "top-5", share, right=True),
        Column("loss", "loss", _loss, right=True),
    )
    return Table(columns, [[found[c.key] for c in columns]], upright=True)


def predictions_table(found: Sequence[Mapping[str, Any]], format: Layout) -> Table:
    """One row a picture. CSV has a pair of columns for each of the likeliest classes, a person one line of those after the first."""
    first = (Column("file", "picture"), Column("class", "class"), Column("probability", "probability", share, right=True))
    ranks = range(1, max((len(p["top"]) for p in found), default=1))
    if format == "csv":
        further = [Column(f"{key}{i + 1}", "") for i in ranks for key in ("class", "probability")]
        rows = [[p["file"], *(t[key] for t in p["top"] for key in ("class", "probability"))] for p in found]
        return Table((*first, *further), rows)
    if not ranks:
        return Table(first, [[p[c.key] for c in first] for p in found])
    rest = [", ".join(f"{t['class']} {share(t['probability'])}" for t in p["top"][1:]) for p in found]
    rows = [[*(p[c.key] for c in first), text] for p, text in zip(found, rest, strict=True)]
    return Table((*first, Column("next", "then", wrap=True)), rows)


def _loss(value: float) -> str:
    return f"{value:.4f}"
