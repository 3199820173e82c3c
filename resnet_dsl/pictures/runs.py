"""Runs side by side: a list or a comparison, as tables and as a picture of their curves."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resnet_dsl.diagnostics import SpecError, call, refuse
from resnet_dsl.pictures.drawing.lines import LIGHT, Inks, Series, chart
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.run import Run, find
from resnet_dsl.records.seeds import SeedGroups, grouped
from resnet_dsl.records.summary import TITLES, WIDTH, Curve, Metric, curves_table, differences, differences_table, runs_table
from resnet_dsl.table import Answer, Layout, Table


@dataclass(frozen=True, repr=False)
class Runs(Answer):
    """Runs side by side. With a `metric` they are compared: its curves are shown with them. Iterating gives each `Run`."""

    runs: tuple[Run, ...]
    metric: Metric | None = None

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, place: int) -> Run:
        return self.runs[place]

    def compared(self, metric: Metric = "accuracy") -> Runs:
        """The same by their curves of `metric`: the best accuracy first."""
        return Runs(tuple(sorted(self.runs, key=lambda r: -(r.overview.best or -1.0))), metric)

    def grouped(self) -> SeedGroups:
        """Runs that differ by their seed alone, together: mean and deviation of each group, the best first."""
        return grouped(self.runs)

    @property
    def names(self) -> list[str]:
        """The folder of each run."""
        return [str(run.path) for run in self.runs]

    @property
    def differences(self) -> dict[str, list[Any]]:
        """What is not the same in all runs: recipe keys with the value of each run (None where it has none), then the first line of
        the spec that differs.
        """
        return dict(differences([run.overview for run in self.runs], [run.spec_text for run in self.runs]))

    def curves(self, metric: Metric = "accuracy") -> list[list[Curve]]:
        """The curves of each run, by epoch."""
        return [run.curves(metric) for run in self.runs]

    def table(self, format: Layout = "table", width: int = WIDTH) -> Table:
        """One row for each run. For a person, columns are left out until the rows fit `width`, and a note says which."""
        return runs_table([run.overview for run in self.runs], format, width)

    def tables(self, format: Layout = "table", width: int = WIDTH) -> Sequence[Table]:
        """The list, what sets the runs apart, and the curves where they are compared. CSV is one table, of the curves if there are any."""
        if format == "csv":
            return [self._curves_table(self.metric, format, width) if self.metric else self.table(format)]
        found = [self.table(format, width)]
        if apart := self.differences:
            found.append(differences_table(list(apart.items())))
        if self.metric is not None:
            found.append(self._curves_table(self.metric, format, width))
        return found

    def _curves_table(self, metric: Metric, format: Layout, width: int) -> Table:
        return curves_table(self.curves(metric), self.names, metric, format, width)

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = WIDTH, quiet: bool = False) -> str:
        """As every answer, the tables made to fit `width`."""
        shown = (replace(t, title="", notes=()) if quiet else t for t in self.tables(format, width))
        return "\n".join(t.render(format, bold=bold, width=width) for t in shown)

    def to_dict(self) -> dict[str, Any]:
        """As `runs` prints it: each run's summary, with its curves where they are compared."""
        rows = [run.to_dict() for run in self.runs]
        if self.metric is not None:
            for row, curves in zip(rows, self.curves(self.metric), strict=True):
                row["curves"] = {c.of: [list(p) for p in c.points] for c in curves}
        return {"metric": self.metric, "runs": rows, "differences": self.differences}

    def summary(self) -> str:
        """How many there are, and the best."""
        best = max(self.runs, key=lambda r: r.overview.best or -1.0)
        return f"{len(self.runs):,}, the best {best.summary()}"

    def svg(self, metric: Metric = "accuracy", inks: Inks = LIGHT) -> str | None:
        """The curves as an SVG; None where nothing has been measured yet."""
        curves = self.curves(metric)
        return curves_svg(curves, self.names, metric, inks) if any(curves) else None

    def _repr_svg_(self) -> str | None:
        return self.svg(self.metric or "accuracy")

    def _repr_html_(self) -> str:
        svg = self._repr_svg_() or ""
        return self.render("html") + svg[max(0, svg.find("<svg")) :]


def find_runs(given: Sequence[Path], warn: Callable[[str], None] = warnings.warn) -> Runs:
    """Every run in folders, and those that are named themselves. `warn` is told of each that cannot be read and is left out.

    Raises SpecError (exit 3) where none is left.
    """
    found: list[Run] = []
    for folder in given:
        for path in [folder] if RunFolder.is_run(folder) else list(find(folder)):
            try:
                found.append(Run.open(path).whole())
            except SpecError as e:
                warn(f"{path} is left out: {reason(e, path)}")
    if not found:
        raise refuse("run-missing", "no runs there", f"train one: {call('train', 'SPEC')}", at=" ".join(map(str, given)), exit_code=3)
    return Runs(tuple(found))


def reason(error: SpecError, path: Path) -> str:
    """Why a run is left out: the first mistake, with the file of the run that it is in."""
    first = error.diagnostics[0]
    file = first.location.source.name
    inside = file.removeprefix(f"{path}/")
    return f"{inside}: {first.message}" if inside != file else first.message


def curves_svg(curves: Sequence[Sequence[Curve]], names: Sequence[str], metric: Metric, inks: Inks = LIGHT) -> str:
    """The curves as an SVG. What was measured on training images is dashed."""
    lines = [
        Series(f"{name} ({c.of})" if metric in ("accuracy", "loss") else name, c.points, i, dashed=c.of == "train")
        for i, (name, of_run) in enumerate(zip(names, curves, strict=True))
        for c in of_run
    ]
    text = (lambda v: f"{100 * v:g}%") if metric == "accuracy" else (lambda v: f"{v:,.10g}")
    return chart(lines, x="epoch", y=TITLES[metric], y_text=text, inks=inks)
