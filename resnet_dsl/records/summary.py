"""Runs side by side: what a list of them shows, what sets their recipes apart, and their curves as a table. Nothing here opens a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any, Literal

from resnet_dsl.diagnostics import Argument
from resnet_dsl.table import Column, Layout, Table, count, duration, share, short

Metric = Literal["accuracy", "loss", "lr", "throughput"]
State = Literal["finished", "training", "interrupted"]

WIDTH = 80
ROWS = 24
"""Epochs of a table for a person; CSV holds all."""

VALUES = 8
"""Values of one recipe key that are shown."""

TITLES: Mapping[Metric, str] = {"accuracy": "Top-1 accuracy", "loss": "Loss", "lr": "Learning rate", "throughput": "Images per second"}


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric over a run. `of` is what it was measured on (test, validation, train), lr or throughput; points are (epoch, value)."""

    of: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in a list. Accuracies are top-1 shares: `best` and `last` of the evaluations during the run, on `on`; `test` of its results.

    `steps` is its length (None where nothing tells), `step` the last one known; `recipe` has its keys joined by dots.
    """

    run: str
    name: str
    data: str
    state: State
    holder: str | None
    step: int
    steps: int | None
    on: str | None
    best: float | None
    last: float | None
    test: float | None
    seconds: float | None
    params: int
    recipe: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Every field by its name."""
        return asdict(self)


_COLUMNS = (
    Column("number", "#", count, right=True),
    Column("run", "run"),
    Column("name", "network"),
    Column("data", "data"),
    Column("params", "params", short, right=True),
    Column("state", "state"),
    Column("steps", "steps", right=True),
    Column("best", "best", share, right=True),
    Column("last", "last", share, right=True),
    Column("seconds", "time", duration, right=True),
)
# The first of these goes first where a terminal is too narrow: what the run's folder or `csv` says as well.
_DISPENSABLE = ("name", "params", "data", "seconds")
_IN_CSV = ("run", "name", "data", "params", "state", "step", "steps", "on", "best", "last", "test", "seconds")
_CSV = Argument("format", "csv")


def runs_table(runs: Sequence[Summary], format: Layout, width: int = WIDTH) -> Table:
    """One row a run. For a person, columns are left out until the rows fit `width`, and a note says which."""
    if format == "csv":
        return Table(tuple(Column(k, k) for k in _IN_CSV), [[getattr(r, k) for k in _IN_CSV] for r in runs])
    home, names = _home([r.run for r in runs])
    rows = [{**r.to_dict(), "number": i, "run": name, "steps": _steps(r)} for i, (r, name) in enumerate(zip(runs, names, strict=True), 1)]
    given = [c for c in _COLUMNS if not _said(c.key, runs)]
    left: list[str] = []
    while True:
        columns = tuple(c for c in given if c.key not in left)
        table = Table(columns, [[r[c.key] for c in columns] for r in rows])
        more = [key for key in _DISPENSABLE if any(c.key == key for c in columns)]
        if format != "table" or table.width <= width or not more:
            break
        left.append(more[0])
    judged = sorted({r.on for r in runs if r.on})
    notes = [f"best, last: top-1 accuracy on {' or '.join(judged)} images, at the evaluations of the run."] if judged else []
    notes += [f"{i} is trained by {r.holder}." for i, r in enumerate(runs, 1) if r.holder]
    if left:
        titles = {c.key: c.title for c in _COLUMNS}
        notes.append(f"Left out for lack of space: {', '.join(titles[k] for k in left)}; {_CSV} holds them.")
    return Table(columns, table.rows, f"in {home}" if home else "", notes=tuple(notes))


def _said(key: str, runs: Sequence[Summary]) -> bool:
    """Do the names of the runs say it already? They are made of the network's and the data's, unless --out said otherwise."""
    if key == "name":
        return all(r.run.rpartition("/")[2].startswith(r.name) for r in runs)
    return key == "data" and all(r.data in f"{r.run} {r.name}" for r in runs)


def _home(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all paths share, and what is left of each; none where that leaves nothing shorter."""
    heads = [p.rpartition("/")[0] for p in paths]
    if len(set(heads)) == 1 and heads[0]:
        return heads[0], [p.rpartition("/")[2] for p in paths]
    return "", list(paths)


def _steps(run: Summary) -> str:
    if run.state == "finished" or run.steps is None:
        return count(run.step)
    return f"{run.step:,}/{run.steps:,}"


_NAMES = ("name:", "description:")
"""Lines of a spec that say nothing of the network."""


def differences(runs: Sequence[Summary], specs: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """What is not the same in all runs: recipe keys with each run's value (None where it has none), then the first line of
    the spec that differs.
    """
    keys = dict.fromkeys(key for run in runs for key in run.recipe)
    found = [(key, [run.recipe.get(key) for run in runs]) for key in keys]
    found.append(("data", [run.data for run in runs]))
    for number, lines in enumerate(zip_longest(*(s.splitlines() for s in specs)), 1):
        if len(set(lines)) > 1 and not all(line is not None and line.startswith(_NAMES) for line in lines):
            found.append((f"spec, line {number}", [None if line is None else line.strip() for line in lines]))
            break
    return [(key, values) for key, values in found if any(v != values[0] for v in values)]


def differences_table(found: Sequence[tuple[str, Sequence[Any]]]) -> Table:
    """One row a value: which runs, by their number in the list, have it."""
    rows: list[list[object]] = []
    for key, values in found:
        runs_of: dict[str, list[int]] = {}
        for number, value in enumerate(values, 1):
            runs_of.setdefault("none" if value is None else str(value), []).append(number)
        for i, (text, numbers) in enumerate(list(runs_of.items())[:VALUES]):
            rows.append(["" if i else key, text, ", ".join(map(str, numbers))])
        if len(runs_of) > VALUES:
            rows.append(["", f"and {len(runs_of) - VALUES:,} more values", ""])
    columns = (Column("key", "differs in"), Column("value", "value", wrap=True), Column("runs", "runs", wrap=True))
    return Table(columns, rows)


def curves_table(curves: Sequence[Sequence[Curve]], names: Sequence[str], metric: Metric, format: Layout, width: int = WIDTH) -> Table:
    """One row an epoch at which something was measured, rising. `curves` holds each run's, `names` the runs.

    For a person: runs by their number, at most 24 epochs, and only what was judged on where all do not fit.
    """
    every = [(i, c) for i, of_run in enumerate(curves) for c in of_run]
    if format == "csv":
        return _by_epoch(every, [f"{names[i]} {c.of}" for i, c in every], metric, full=True)
    notes: tuple[str, ...] = ()
    table = _by_epoch(every, [f"{i + 1} {c.of}" for i, c in every], metric)
    if format == "table" and table.width > width:
        every = [(i, c) for i, c in every if c.of != "train"]
        notes = (f"On training images: {_CSV}.",)
        shown = len(every)
        while (table := _by_epoch(every[:shown], [f"{i + 1} {c.of}" for i, c in every[:shown]], metric)).width > width and shown > 1:
            shown -= 1
        if shown < len(every):
            notes = (f"The first {shown} of {len(every):,} runs, without training images; {_CSV} holds all.",)
    epochs = len({e for _, c in every for e, _ in c.points})
    if epochs > ROWS:
        notes = (*notes, f"{len(table.rows)} of {epochs:,} epochs at which it was measured; {_CSV} holds all.")
    return Table(table.columns, table.rows, f"{TITLES[metric]} by epoch", notes=notes)


def _by_epoch(curves: Sequence[tuple[int, Curve]], heads: Sequence[str], metric: Metric, *, full: bool = False) -> Table:
    values = [dict(c.points) for _, c in curves]
    epochs = sorted({e for points in values for e in points})
    if not full and len(epochs) > ROWS:
        epochs = [epochs[round(i * (len(epochs) - 1) / (ROWS - 1))] for i in range(ROWS)]
    columns = (Column("epoch", "epoch", lambda v: f"{v:g}", right=True), *(Column(h, h, _TEXTS[metric], right=True) for h in heads))
    return Table(columns, [[e, *(points.get(e) for points in values)] for e in epochs])


_TEXTS: Mapping[Metric, Callable[[float], str]] = {
    "accuracy": share,
    "loss": lambda v: f"{v:.4f}",
    "lr": lambda v: f"{v:.4g}",
    "throughput": lambda v: f"{v:,.1f}",
}
