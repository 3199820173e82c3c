"""A run as what it left behind: the one reader of its folder. Each file is read when it is asked for, and validated then. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, get_args

from resnet_dsl.analysis.inspect import Report, inspect
from resnet_dsl.datasets.naming import short
from resnet_dsl.diagnostics import Argument, did_you_mean, inline, quote, refuse
from resnet_dsl.files import open_regular
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec, load
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.recipes import recipe_named
from resnet_dsl.records.document import damaged, read_text
from resnet_dsl.records.folder import LOCK, METRICS, RECIPE, REQUEST, RESULTS, SPEC, WEIGHTS, RunFolder, resuming
from resnet_dsl.records.log import LogRow, read_rows
from resnet_dsl.records.record import PlanRecord, RunRecord
from resnet_dsl.records.results import Results
from resnet_dsl.records.summary import Curve, Metric, State, Summary, runs_table
from resnet_dsl.system import is_locked, read_at
from resnet_dsl.table import Answer, Layout, Table, share

T = TypeVar("T")

HOME = Path("runs")
"""Where runs lie unless they were put elsewhere."""

EVALUATIONS = ("test", "validation")
"""The events of the log that say how good the network is; the others are steps."""

_OF_STEPS: Mapping[Metric, str] = {"lr": "lr", "throughput": "images_per_s"}
"""Metrics of steps, not of an evaluation, and their keys in the log."""


@dataclass(frozen=True, repr=False)
class Run(Answer):
    """A run's folder. `state` is finished, training or interrupted at the moment it was opened; `holder` says who trains in it.

    What is in the folder is read once, when it is first asked for. Raises SpecError there (exit 2 or 3) where it is damaged.
    """

    path: Path
    state: State
    holder: str = ""

    @staticmethod
    def open(path: str | os.PathLike[str]) -> Run:
        """The run in a folder. Raises SpecError (exit 3) where it is none."""
        folder = RunFolder.open(Path(path)).path
        holder = _holder(folder)
        return Run(folder, "training" if holder else "finished" if (folder / RESULTS).is_file() else "interrupted", holder)

    def __fspath__(self) -> str:
        """Its folder: a run stands wherever a network is named."""
        return str(self.path)

    def whole(self) -> Run:
        """The run itself, once all of its files are read. Raises SpecError where one is damaged."""
        if not self.spec_text.strip():
            raise damaged(self.path / SPEC, "it is empty")
        self.to_dict()
        return self

    @cached_property
    def record(self) -> RunRecord:
        """run.json: what the run was asked for beside its spec and recipe."""
        return RunRecord.read(self.path / REQUEST)

    @cached_property
    def rows(self) -> tuple[LogRow, ...]:
        """The log, metrics.jsonl. A last line that was cut off by a kill is no row."""
        return read_rows(self.path)

    @cached_property
    def results(self) -> Results | None:
        """results.json; None before the end."""
        path = self.path / RESULTS
        return Results.read(path) if path.is_file() else None

    @cached_property
    def spec_text(self) -> str:
        """spec.yaml."""
        return read_text(self.path / SPEC)

    @cached_property
    def recipe_text(self) -> str:
        """recipe.yaml."""
        return read_text(self.path / RECIPE)

    @cached_property
    def spec(self) -> Spec:
        """The spec."""
        return load(str(self.path / SPEC))

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe; keys which the run's version did not have yet have their defaults."""
        return recipe_named(str(self.path / RECIPE))

    @cached_property
    def graph(self) -> Graph:
        """The network."""
        return compile(self.spec)

    @cached_property
    def _report(self) -> Report:
        return inspect(self.graph)

    @property
    def weights(self) -> Path:
        """The file of its weights. Raises SpecError (exit 3) where it has none yet."""
        file = self.path / WEIGHTS
        if not file.is_file():
            help = f"train it first: {resuming(self.path)}"
            raise refuse("weights-missing", "the run has no weights yet", help, at=self.path, exit_code=3)
        return file

    @property
    def plan(self) -> PlanRecord:
        """The device plan in run.json."""
        return self._recorded(self.record.plan, "plan")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes in run.json."""
        return self._recorded(self.record.classes, "classes")

    @property
    def data_sha256(self) -> str:
        """The SHA-256 of the data in run.json."""
        return self._recorded(self.record.data_sha256, "data_sha256")

    def _recorded(self, value: T | None, key: str) -> T:
        """A value that runs of the oldest versions do not have."""
        if value is None:
            raise damaged(self.path / REQUEST, f"`{key}` is missing")
        return value

    @property
    def name(self) -> str:
        """The network's name."""
        return self.results.name if self.results is not None else self._report.name

    @property
    def params(self) -> int:
        """The network's trainable parameters."""
        return self.results.params if self.results is not None else self._report.params

    @property
    def evaluations(self) -> list[LogRow]:
        """The rows that say how good the network was, in order."""
        return [r for r in self.rows if r.event in EVALUATIONS]

    @property
    def step(self) -> int:
        """The last step that is known of."""
        return max((r.step for r in self.rows), default=self.results.steps if self.results is not None else 0)

    @property
    def steps(self) -> int | None:
        """The length of the run; None where nothing has been logged that tells."""
        known = self.results.steps if self.results is not None else self.recipe.steps
        if known is not None:
            return known
        # Epochs have four decimals in the log.
        last = next((r for r in reversed(self.rows) if r.epoch >= 1e-4), None)
        return None if last is None else round(self.recipe.epochs_or_default * last.step / last.epoch)

    @property
    def seconds(self) -> float | None:
        """How long it has trained."""
        if self.results is not None:
            return self.results.seconds
        return self.rows[-1].seconds if self.rows else None

    @cached_property
    def overview(self) -> Summary:
        """What a list of runs shows of it."""
        shares = [r.top1 for r in self.evaluations if r.top1 is not None]
        return Summary(
            str(self.path), self.name, short(self.record.data), self.state, self.holder or None, self.step, self.steps,
            on=self.evaluations[-1].event if self.evaluations else None, best=max(shares, default=None), last=shares[-1] if shares else None,
            test=self.results.test.top1 if self.results is not None else None, seconds=self.seconds, params=self.params,
            recipe=dict(_flat(self.recipe.model_dump(mode="json", exclude={"description"}))),
        )  # fmt: skip

    def curves(self, metric: Metric = "accuracy") -> list[Curve]:
        """What the log says of a metric: accuracy, loss, lr or throughput (images a second). A row without the value is no point."""
        if metric not in get_args(Metric):
            known = get_args(Metric)
            raise refuse(
                "unknown-name",
                f"no such metric: {quote(str(metric))}",
                did_you_mean(str(metric), known, what="a metric"),
                at=Argument("metric"),
            )
        if metric in _OF_STEPS:
            return _curves(metric, _OF_STEPS[metric], [r for r in self.rows if r.event == "train"])
        on = self.evaluations
        judged = "top1" if metric == "accuracy" else "loss"
        return [*_curves(on[-1].event if on else "test", judged, on), *_curves("train", f"train_{metric}", on)]

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """Its row in a list of runs."""
        return [runs_table([self.overview], format)]

    def to_dict(self) -> dict[str, Any]:
        """What a list of runs shows of it, as `runs` prints it."""
        return self.overview.to_dict()

    def summary(self) -> str:
        """Folder, network, data, how far it is and how good."""
        o = self.overview
        at = f"{o.step:,} steps" if o.steps in (None, o.step) else f"{o.step:,} of {o.steps:,} steps"
        good = f", test {share(o.test)}" if o.test is not None else f", {o.on} {share(o.last)}" if o.last is not None else ""
        return f"{shorten(o.run, 120)}: {shorten(o.name, 60)} on {shorten(o.data, 30)}, {o.state}, {at}{good}"


def shorten(text: str, length: int) -> str:
    """A text for a line: its end where it is long."""
    shown = inline(text)
    return shown if len(shown) <= length else f"...{shown[3 - length :]}"


def _curves(of: str, key: str, rows: Sequence[LogRow]) -> list[Curve]:
    points = tuple((r.epoch, v) for r in rows if (v := getattr(r, key)) is not None)
    return [Curve(of, points)] if points else []


def find(folder: Path) -> Iterator[Path]:
    """The run folders in a folder, by name, those of a series of seeds in it, and the folders in it that look like one and are not.

    Raises SpecError (exit 3) where it cannot be read.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError as e:
        help = f"check the path; runs are under runs/ unless {Argument('out')} named another folder"
        raise refuse("run-missing", f"no folder of runs: {e.strerror}", help, at=folder, exit_code=3) from None
    for path in inside:
        if _looks_like_a_run(path):
            yield path
        elif path.is_dir():
            yield from (seed for seed in sorted(path.glob("seed-*")) if _looks_like_a_run(seed))


def _looks_like_a_run(path: Path) -> bool:
    return path.is_dir() and any((path / name).exists() for name in (SPEC, RECIPE, REQUEST, METRICS, RESULTS))


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _holder(path: Path) -> str:
    """Who holds the run's lock; empty where nobody does."""
    try:
        lock = open_regular(path / LOCK)
    except OSError:
        return ""
    try:
        return (read_at(lock, 200, 0).decode("ascii", "replace").strip() or "another process") if is_locked(lock) else ""
    finally:
        os.close(lock)
