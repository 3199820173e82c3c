"""Pages and demonstrations: `report` on runs, and the paper's point in a minute."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, SpecError, call, either, refuse, speak
from resnet_dsl.files import write_output
from resnet_dsl.graph import compile
from resnet_dsl.pictures.draw import draw
from resnet_dsl.pictures.drawing.theme import ThemeName
from resnet_dsl.pictures.page.run import METRICS, Shown, page
from resnet_dsl.pictures.runs import Runs, find_runs, reason
from resnet_dsl.records.assessment import Sampled
from resnet_dsl.records.request import Place, Request
from resnet_dsl.records.results import results_table
from resnet_dsl.table import Answer, Column, Layout, Table
from resnet_dsl.verbs.targets import load
from resnet_dsl.verbs.together import Training, train_together

_NO_PREDICTIONS = either("predictions=False", speak(str(Argument("no_predictions", True)), COMMAND_LINE))

RESIDUAL, PLAIN = "resnet56-digits", "plain56-digits"
"""What the demonstration compares: the two differ in one word of the spec, the shortcut."""


@dataclass(frozen=True, slots=True)
class RunsPage:
    """A page about runs: one HTML file that loads nothing."""

    title: str
    html: str = field(repr=False)

    def save(self, path: Place) -> Path:
        """Write it; gives the path. Raises SpecError: exit 2 for what is no regular file, 3 where the disk refuses."""
        return write_output(path, self.html)

    def __str__(self) -> str:
        return self.html


def report(
    *runs: Place,
    predictions: bool = True,
    data_dir: Place | None = None,
    theme: ThemeName = "light",
    warn: Callable[[str], None] = warnings.warn,
) -> RunsPage:
    """A page about runs, or about those in folders: results, curves, confusion matrix, samples, networks.

    `predictions` runs the networks on their test images, which needs torch. `warn` is told what cannot be read and is left out.
    Raises SpecError: exit 2 for the request, 3 where nothing is left.
    """
    if data_dir is not None and not predictions:
        help = f"leave out {Argument('data_dir')} or {_NO_PREDICTIONS}"
        raise refuse("usage", "without predictions no data is read", help, at=Argument("data_dir"))
    given, home = [Path(run) for run in runs], None if data_dir is None else Path(data_dir)
    shown = []
    for run in find_runs(given, warn):
        try:
            graph = run.graph
        except SpecError as e:
            warn(f"{run.path} is left out: {reason(e, run.path)}")
            continue
        found = _predictions(run.path, home, warn) if predictions else None
        shown.append(Shown(run.overview, run.spec_text, graph, {m: run.curves(m) for m in METRICS}, found))
    if not shown:
        raise refuse("run-missing", "no runs there", f"train one: {call('train', 'SPEC')}", at=" ".join(map(str, given)), exit_code=3)
    return RunsPage(", ".join(run.folder for run in shown), page(shown, theme))


def _predictions(path: Path, data_dir: Path | None, warn: Callable[[str], None]) -> Sampled | str:
    """What a run makes of its test images, or why that is not known."""
    from resnet_dsl.using import samples

    try:
        return samples.predictions(path, data_dir)
    except SpecError as e:
        first = e.diagnostics[0]
        warn(f"{path}: no predictions: {first.message}")
        return f"{first.location}: {first.message}; {first.help}"


@dataclass(frozen=True, slots=True, repr=False)
class Demonstration(Answer):
    """The runs of a residual network and its plain twin, and the picture of both."""

    runs: Runs
    picture: Path

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """The results, and where to go on."""
        folder = self.runs[0].path
        rows = (("picture", self.picture), ("next", f"resnet-dsl evaluate {folder}"), ("", f"resnet-dsl compare {PLAIN} {RESIDUAL}"))
        results = [r.results for r in self.runs if r.results is not None]
        return [results_table(results), Table((Column("what", ""), Column("where", "")), rows)]

    def to_dict(self) -> dict[str, Any]:
        """The runs, and the path of the picture."""
        return {"runs": self.runs.to_dict()["runs"], "picture": str(self.picture)}

    def summary(self) -> str:
        """The runs."""
        return self.runs.summary()


def demonstrate(epochs: int = 15, *, quiet: bool = False) -> Demonstration:
    """Train a 56-layer residual network and its plain twin on 8x8 digits, side by side on a thread each, with the same recipe and seed.

    Raises as `train`.
    """
    from resnet_dsl.training.loop.progress import watcher
    from resnet_dsl.training.loop.stop import StopWish

    request = Request(data="digits", recipe="digits", epochs=epochs, plan="threads=1")
    trainings = [Training(name, request, ("resnet-dsl", "demo")) for name in (RESIDUAL, PLAIN)]
    with StopWish() as stop:
        runs = train_together(trainings, watcher(sys.stderr, quiet), stop)
    picture = runs[0].path / "networks.svg"
    draw([compile(load(name)) for name in (RESIDUAL, PLAIN)]).save(picture)
    return Demonstration(Runs(tuple(runs)), picture)
