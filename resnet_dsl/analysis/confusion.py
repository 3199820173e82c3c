"""Which classes a network takes for which. The values are plain: nothing here knows torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from resnet_dsl.table import Column, Layout, Table, count, share

SHOWN = 20
"""Rows of a table for a person; CSV and JSON hold everything."""

WIDTH = 80

Matrix = Sequence[Sequence[int]]


def by_class(confusion: Matrix, names: Sequence[str]) -> list[dict[str, Any]]:
    """One entry a class, in order. `confusion` counts images, rows are true classes and columns predicted ones.

    recall: the share of the class's images that were found; precision: of the images taken for it, the share that are of it;
    f1: their harmonic mean; None where there is nothing to divide by. `confused_with` is the class that most of its other
    images were taken for, `confused` how many.
    """
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    found = []
    for i, row in enumerate(confusion):
        images, hits = sum(row), row[i]
        wrong = max((j for j in range(len(row)) if j != i), key=lambda j: row[j], default=i)
        confused = row[wrong] if wrong != i else 0
        found.append(
            {
                "class": names[i],
                "images": images,
                "recall": _ratio(hits, images),
                "precision": _ratio(hits, predicted[i]),
                "f1": _ratio(2 * hits, images + predicted[i]),
                "confused_with": names[wrong] if confused else None,
                "confused": confused,
            }
        )
    return found


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def confusion_table(confusion: Matrix, names: Sequence[str], format: Layout) -> Table:
    """The matrix: a row a true class, a column a predicted one. For a person, where 80 columns do not hold it, the most
    frequent confusions instead.
    """
    if format == "csv":
        return Table((Column("true", "true"), *(Column(n, n) for n in names)), [[n, *row] for n, row in zip(names, confusion, strict=True)])
    # Numbers head the columns where the names would not fit; the rows then say which is which.
    numbered = [f"{i} {n}" for i, n in enumerate(names)]
    for heads, rows in ((names, names), ([str(i) for i in range(len(names))], numbered)):
        table = _matrix(confusion, heads, rows)
        if len(names) <= SHOWN and (format != "table" or table.width <= WIDTH):
            return table
    return _pairs(confusion, names)


def _matrix(confusion: Matrix, heads: Sequence[str], names: Sequence[str]) -> Table:
    columns = (Column("true", "true"), *(Column(h, h, _cell, right=True) for h in heads))
    rows = [[name, *row] for name, row in zip(names, confusion, strict=True)]
    return Table(columns, rows, notes=("Rows are true classes, columns predicted ones; counts of images (. is none).",))


def _cell(value: int) -> str:
    return count(value) if value else "."


def _pairs(confusion: Matrix, names: Sequence[str]) -> Table:
    wrong = [(n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j]
    # Counts fall, classes rise: equal counts stand in the order of the classes.
    worst = sorted(wrong, key=lambda x: (-x[0], x[1:]))[:SHOWN]
    columns = (
        Column("true", "true", wrap=True),
        Column("predicted", "predicted", wrap=True),
        Column("images", "images", count, right=True),
        Column("share", "of the class", share, right=True),
    )
    rows = [[names[i], names[j], n, n / sum(confusion[i])] for n, i, j in worst]
    note = f"The most frequent confusions, {len(worst)} of {len(wrong):,}; --format csv holds the whole matrix of {len(names):,} classes."
    return Table(columns, rows, notes=(note,))


def classes_table(classes: Sequence[Mapping[str, Any]], format: Layout) -> Table:
    """One row a class. For a person, the 20 with the lowest F1 where there are more."""
    columns = (
        Column("class", "class", wrap=True),
        Column("images", "images", count, right=True),
        Column("recall", "recall", share, right=True),
        Column("precision", "precision", share, right=True),
        Column("f1", "F1", share, right=True),
        Column("confused_with", "most taken for", wrap=True),
        Column("confused", "times", _cell, right=True),
    )
    chosen: Sequence[Mapping[str, Any]] = classes
    notes: tuple[str, ...] = ()
    if format != "csv" and len(classes) > SHOWN:
        # A class without images and without guesses has no F1, and is no finding.
        chosen = sorted((c for c in classes if c["f1"] is not None), key=lambda c: c["f1"])[:SHOWN]
        notes = (f"The {len(chosen)} of {len(classes):,} classes with the lowest F1; --format csv holds all.",)
    return Table(columns, [[c[k.key] for k in columns] for c in chosen], notes=notes)
