"""The page of runs: their results, their curves together, what each makes of its test images, and the networks. Values are plain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from resnet_dsl.analysis.diff import diff
from resnet_dsl.diagnostics import inline
from resnet_dsl.graph import Graph
from resnet_dsl.pictures.drawing.lines import DARK, LIGHT
from resnet_dsl.pictures.drawing.theme import ThemeName
from resnet_dsl.pictures.page import network
from resnet_dsl.pictures.page.predictions import predictions
from resnet_dsl.pictures.page.shell import Section, render, text
from resnet_dsl.pictures.page.tables import folded, table_html
from resnet_dsl.pictures.runs import curves_svg
from resnet_dsl.records.assessment import Sampled
from resnet_dsl.records.summary import TITLES, Curve, Metric, Summary, curves_table, differences, differences_table
from resnet_dsl.table import Column, Table, count, duration, share

METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True, slots=True)
class Shown:
    """A run as its page shows it: its summary, its spec's text, its network, and its curves by metric.

    `predictions` is what was found of its test images, with samples; words say why there is nothing, None leaves it out.
    """

    summary: Summary
    spec: str
    graph: Graph
    curves: Mapping[Metric, Sequence[Curve]]
    predictions: Sampled | str | None = None

    @property
    def folder(self) -> str:
        """The run's folder."""
        return inline(self.summary.run)

    @property
    def network(self) -> str:
        """The network's name."""
        return inline(self.graph.name)


def page(runs: Sequence[Shown], theme: ThemeName = "light") -> str:
    """The page's HTML. Runs keep their order, and their numbers in all tables and charts."""
    names = _names(runs)
    title = f"{names[0]}: {runs[0].network}" if len(runs) == 1 else f"{len(runs):,} runs"
    sections = [_results(runs), _curves(runs, names, theme), *_predictions(runs, names), *_networks(runs, names)]
    return render(title, sections, theme, ", ".join(r.folder for r in runs))


def _names(runs: Sequence[Shown]) -> list[str]:
    """The last parts of the folders, where these tell the runs apart."""
    last = [r.folder.rstrip("/").rpartition("/")[2] for r in runs]
    return last if len(set(last)) == len(runs) else [r.folder for r in runs]


_STEPS = Column("step", "steps", count, right=True)
_RESULTS = (
    Column("number", "#", count, right=True),
    Column("run", "run"),
    Column("name", "network"),
    Column("data", "data"),
    Column("params", "params", count, right=True),
    Column("state", "state"),
    _STEPS,
    Column("steps", "of", count, right=True),
    Column("best", "best", share, right=True),
    Column("last", "last", share, right=True),
    Column("test", "test", share, right=True),
    Column("seconds", "time", duration, right=True),
)


def _results(runs: Sequence[Shown]) -> Section:
    numbered = list(enumerate((r.summary for r in runs), 1))
    table = Table(_RESULTS, [[number, *(getattr(row, c.key) for c in _RESULTS[1:])] for number, row in numbered])
    judged = sorted({row.on for _, row in numbered if row.on})
    about = [f"best, last: top-1 accuracy on {' or '.join(judged)} images, at the evaluations of the run."] if judged else []
    if any(row.test is not None for _, row in numbered):
        about.append("test: of the weights that the run ended with, on the test images.")
    about += [f"{number} is trained by {row.holder}." for number, row in numbered if row.holder]
    body = [table_html(table, "Results of the run" if len(runs) == 1 else "Results, one row per run")]
    body += [f'<p class="about">{text(" ".join(about))}</p>'] if about else []
    if apart := differences([r.summary for r in runs], [r.spec for r in runs]):
        body.append(table_html(differences_table(apart), "What sets the runs apart, by their number", sorts=False))
    body.append(folded("Recipe", table_html(_recipes([r.summary for r in runs]), "The recipe, every key")))
    return Section("results", "Results", "\n".join(body))


def _recipes(runs: Sequence[Summary]) -> Table:
    keys = dict.fromkeys(key for run in runs for key in run.recipe)
    heads = [Column(str(i), "value" if len(runs) == 1 else f"{i} {run.run}") for i, run in enumerate(runs, 1)]
    # None is a key that was left out; where it is all there is, the key says nothing.
    values = [[key, *(run.recipe.get(key) for run in runs)] for key in keys]
    return Table((Column("key", "key"), *heads), [row for row in values if any(v is not None for v in row[1:])])


def _curves(runs: Sequence[Shown], names: Sequence[str], theme: ThemeName) -> Section:
    body = []
    for metric in METRICS:
        curves = [r.curves[metric] for r in runs]
        if not any(c.points for of_run in curves for c in of_run):
            body.append(f'<div class="chart"><h3>{TITLES[metric]}</h3><p class="note">The log holds nothing of it.</p></div>')
            continue
        svg = curves_svg(curves, names, metric, DARK if theme == "dark" else LIGHT)
        # Rows are few enough to read, columns as many as there are runs: the table scrolls.
        values = table_html(curves_table(curves, names, metric, "markdown"), f"{TITLES[metric]} by epoch")
        body.append(
            f'<div class="chart"><h3>{TITLES[metric]}</h3>\n{svg[svg.index("<svg") :]}{folded(f"{TITLES[metric]} as a table", values)}</div>'
        )
    dashed = '<p class="about">Dashed: on training images, augmented, on the way.</p>'
    return Section("curves", "Curves", "\n".join([dashed, '<div class="charts">', *body, "</div>"]))


def _predictions(runs: Sequence[Shown], names: Sequence[str]) -> Iterator[Section]:
    for i, (run, name) in enumerate(zip(runs, names, strict=True), 1):
        if run.predictions is not None:
            title = "Predictions" if len(runs) == 1 else f"Predictions of {name}"
            yield predictions(f"predictions-{i}", title, run.predictions)


def _networks(runs: Sequence[Shown], names: Sequence[str]) -> Iterator[Section]:
    """Each network once: two side by side with what sets them apart, more one below the other."""
    distinct: dict[str, tuple[Shown, str]] = {}
    for run, name in zip(runs, names, strict=True):
        distinct.setdefault(run.graph.text(), (run, name))
    shown = list(distinct.values())
    if len(shown) == 2:
        (a, first), (b, second) = shown
        labels = (a.network, b.network) if a.network != b.network else (first, second)
        yield network.section([a.graph, b.graph], diff(a.graph, b.graph, labels))
        return
    for i, (run, _) in enumerate(shown, 1):
        yield network.section([run.graph], key="network" if len(shown) == 1 else f"network-{i}")
