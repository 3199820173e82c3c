"""Runs as what they left behind: folders found, their files read, and whether somebody trains in one now. No torch here."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from resnet_dsl.analysis.inspect import Report, inspect
from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.language.recipes import recipe_named
from resnet_dsl.records.folder import LOCK, METRICS, RECIPE, REQUEST, RESULTS, SPEC, RunFolder
from resnet_dsl.records.log import read_rows

Metric = Literal["accuracy", "loss", "lr", "throughput"]

HOME = Path("runs")
"""Where runs lie unless `--out` said otherwise."""

EVALUATIONS = ("test", "validation")
"""The events of metrics.jsonl that say how good the network is; the others are steps."""


_OF_STEPS: Mapping[Metric, str] = {"lr": "lr", "throughput": "images_per_s"}
"""Metrics of steps, not of an evaluation, and their keys in the log."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric over a run. `of` is what it was measured on (test, validation, train), lr or throughput; points are (epoch, value)."""

    of: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Run:
    """A run's folder, read. `state` is finished, training or interrupted; `holder` says who trains in it.

    `rows` are the lines of metrics.jsonl, `results` is results.json (empty before the end), `recipe` its keys joined by dots.
    """

    path: Path
    state: str
    holder: str
    record: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    results: Mapping[str, Any]
    recipe: Mapping[str, Any]
    spec: str

    @property
    def name(self) -> str:
        """The network's name."""
        return str(self.results.get("name") or self._report.name)

    @property
    def params(self) -> int:
        """The network's trainable parameters."""
        return int(self.results.get("params") or self._report.params)

    @cached_property
    def graph(self) -> Graph:
        """The network. Raises SpecError (exit 2) where the spec is damaged."""
        return compile(load(str(self.path / SPEC)))

    @cached_property
    def _report(self) -> Report:
        return inspect(self.graph)

    @property
    def data(self) -> str:
        """The name of the data set."""
        return str(self.record.get("data", ""))

    @property
    def evaluations(self) -> list[Mapping[str, Any]]:
        """The rows that say how good the network was, in order."""
        return [r for r in self.rows if r["event"] in EVALUATIONS]

    @property
    def step(self) -> int:
        """The last step that is known of."""
        return int(max((r["step"] for r in self.rows), default=self.results.get("steps", 0)))

    @property
    def steps(self) -> int | None:
        """The length of the run; None where nothing has been logged that tells."""
        if (known := self.results.get("steps") or self.recipe.get("steps")) is not None:
            return int(known)
        last = next((r for r in reversed(self.rows) if r["epoch"] > 0), None)
        return None if last is None else round(self.recipe["epochs"] * last["step"] / last["epoch"])

    @property
    def seconds(self) -> float | None:
        """How long it has trained."""
        found = self.results.get("seconds", self.rows[-1].get("seconds") if self.rows else None)
        return None if found is None else float(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what a list of runs shows. Accuracies are top-1 shares on `on`, from the evaluations on the way."""
        shares = [r["top1"] for r in self.evaluations if r.get("top1") is not None]
        return {
            "run": str(self.path), "name": self.name, "data": self.data, "state": self.state, "holder": self.holder or None,
            "step": self.step, "steps": self.steps, "on": self.evaluations[-1]["event"] if self.evaluations else None,
            "best": max(shares, default=None), "last": shares[-1] if shares else None,
            "test": self.results.get("test", {}).get("top1"), "seconds": self.seconds, "params": self.params, "recipe": dict(self.recipe),
        }  # fmt: skip

    def curves(self, metric: Metric) -> list[Curve]:
        """What the log says of a metric. A row without the value, or whose value is not finite, is no point."""
        if metric in _OF_STEPS:
            return _curves(metric, _OF_STEPS[metric], [r for r in self.rows if r["event"] == "train"])
        on = self.evaluations
        judged = "top1" if metric == "accuracy" else "loss"
        return [*_curves(on[-1]["event"] if on else "test", judged, on), *_curves("train", f"train_{metric}", on)]


def _curves(of: str, key: str, rows: Sequence[Mapping[str, Any]]) -> list[Curve]:
    points = tuple((float(r["epoch"]), float(v)) for r in rows if isinstance(v := r.get(key), int | float) and math.isfinite(v))
    return [Curve(of, points)] if points else []


def find(folder: Path) -> Iterator[Path]:
    """The run folders in a folder, by name, and the folders in it that look like one and are not.

    Raises SpecError (exit 3) where it cannot be read.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError as e:
        help = "check the path; runs lie under runs/ unless --out said otherwise"
        raise refuse("run-missing", f"no folder of runs: {e.strerror}", help, at=folder, exit_code=3) from None
    for path in inside:
        if path.is_dir() and any((path / name).exists() for name in (SPEC, RECIPE, REQUEST, METRICS, RESULTS)):
            yield path


def read(path: Path) -> Run:
    """A run's folder. Raises SpecError (exit 2 or 3) where it is none or damaged; a last line of the log cut off by a kill is no damage."""
    folder = RunFolder.open(path)
    results = folder.read_json(RESULTS) if (path / RESULTS).is_file() else {}
    holder = _holder(path)
    state = "training" if holder else "finished" if results else "interrupted"
    # Read as `train --resume` reads it, so that keys which the run's version did not have yet show their defaults.
    recipe = recipe_named(str(path / RECIPE)).model_dump(mode="json", exclude={"description"})
    run = Run(path, state, holder, folder.read_json(REQUEST), read_rows(path), results, dict(_flat(recipe)), folder.read(SPEC))
    try:
        run.to_dict()
    except (TypeError, ValueError, AttributeError, KeyError):
        # Whole JSON whose values are of another kind: the files of some other program.
        raise refuse(
            "run-damaged", "its log or results hold what no run writes", "the run folder was edited or damaged", at=path, exit_code=3
        ) from None
    return run


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _holder(path: Path) -> str:
    """Who holds the run's lock; empty where nobody does."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        # Shared and at once given back: whoever trains holds it alone.
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.pread(lock, 200, 0).decode("ascii", "replace").strip() or "another process"
    finally:
        os.close(lock)
    return ""
