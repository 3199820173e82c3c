"""A study's result as tables and pictures, from its document alone. No torch here."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from html import escape

from resnet_dsl.lab.study.measures import MEASURES
from resnet_dsl.lab.study.planning import rate_text
from resnet_dsl.lab.study.records import ArmMean, Judgement, StudyDocument, StudyRun
from resnet_dsl.pictures.drawing.dots import DotGroup, Panel, dots
from resnet_dsl.pictures.drawing.lines import Series, chart, notice
from resnet_dsl.table import Column, Table, duration

WIDTH = 80
"""Columns of a terminal that prose is broken at."""

MARKS = {"*": "at the learning rate that its arm is judged at", "x": "diverged, and counts as guessing", "?": "missing"}
"""What may stand behind a run."""


def runs_table(d: StudyDocument) -> Table:
    """Every run, with the measures that the study shows."""
    shown = _trained(d)
    columns = (
        Column("arm", "arm"), Column("lr", "rate", rate_text, True), Column("seed", "seed", right=True),
        *(Column(m, _title(m), MEASURES[m].text, True) for m in shown),
        Column("seconds", "time", duration, True), Column("note", ""),
    )  # fmt: skip
    rows = [[r.arm, r.lr, r.seed, *(_of(r, m) for m in shown), _of(r, "seconds"), _note(r)] for r in d.runs]
    return Table(
        columns,
        rows,
        "Every run",
        notes=tuple(f"{mark}: {text}." for mark, text in MARKS.items() if any(mark in str(row[-1]) for row in rows)),
    )


def arms_table(d: StudyDocument) -> Table:
    """Mean and standard deviation over the seeds of each arm, at its rate."""
    shown = d.measures
    columns = (Column("arm", "arm"), Column("lr", "rate", rate_text, True), *(Column(m, _title(m), right=True) for m in shown))
    rows = [
        [a.name, a.lr, *(MEASURES[m].text(a.exact(m)) if MEASURES[m].static else _mean(a.measures.get(m), m) for m in shown)]
        for a in d.arms
    ]
    about = " ".join(f"{MEASURES[m].title}{_unit(m)}: {MEASURES[m].about}." for m in shown)
    notes = f"Mean and, in brackets, standard deviation; {_seeds(d)}, each arm at the rate of its lowest mean final training loss. {about}"
    return Table(columns, rows, "By arm", notes=tuple(textwrap.wrap(notes, WIDTH)))


def comparisons_table(d: StudyDocument) -> Table:
    """What is decided, and by which interval."""
    columns = (
        Column("that", "that", wrap=True), Column("compared", "compared", wrap=True), Column("interval", "95 % interval", right=True),
        Column("claimed", "claimed"), Column("verdict", "verdict"),
    )  # fmt: skip
    rows = [[c.that, _compared(c), _interval(c), _claimed(c), c.verdict.removesuffix(" at this budget")] for c in d.comparisons]
    return Table(columns, rows, "Comparisons")


def verdict_text(d: StudyDocument) -> str:
    """The verdict with its reason, the claim and the cost."""
    cost, runs = d.cost, f"{d.cost.runs} runs"
    side = f", {d.made.jobs} at a time" if (d.made.jobs or 1) > 1 else ""
    notes = [
        *d.notes,
        *([] if d.rule_fixed_beforehand else ["The rule was changed after runs had been made: this is no test of the claim."]),
    ]
    said = [
        ("claim", d.claim),
        ("source", _source(d)),
        ("cost", f"{runs}, {duration(cost.seconds)} of training{side}; {_setting(d)}"),
    ]
    lines = [textwrap.fill(f"{name:<8}{text}", WIDTH, subsequent_indent=" " * 8) for name, text in [*said, *(("note", n) for n in notes)]]
    return "\n".join([*lines, "", textwrap.fill(f"{d.verdict.upper()}: {d.why}", WIDTH)]) + "\n"


def verdict_html(d: StudyDocument) -> str:
    """The same for a notebook."""
    return f"<pre>{escape(verdict_text(d))}</pre>\n"


def csv_table(d: StudyDocument) -> Table:
    """Every run with all that was measured of it."""
    measured = [m for m in MEASURES if any(m in r.measures for r in d.runs)]
    columns = tuple(Column(k, k) for k in ("arm", "lr", "seed", "chosen", "diverged", *measured))
    return Table(columns, [[r.arm, r.lr, r.seed, r.chosen, r.diverged, *(_of(r, m) for m in measured)] for r in d.runs])


def dots_svg(d: StudyDocument) -> str:
    """Every run a dot, the mean and its interval for each arm, one panel per measure."""
    compared = [c.measure for c in d.comparisons if not MEASURES[c.measure].static]
    panels = [_panel(d, m) for m in dict.fromkeys([*_trained(d), *compared])]
    if not any(g.values or g.others for p in panels for g in p.groups):
        return notice(f"{d.title}: {_nothing(d.runs)}")
    return dots(panels, title=f"{d.title}: {d.verdict}", note=_legend(d))


def _panel(d: StudyDocument, measure: str) -> Panel:
    groups = []
    for arm in d.arms:
        own = [(r.chosen, v) for r in d.runs if r.arm == arm.name and (v := _of(r, measure)) is not None]
        found = arm.measures.get(measure)
        groups.append(
            DotGroup(
                arm.name,
                tuple(v for chosen, v in own if chosen),
                tuple(v for chosen, v in own if not chosen),
                None if found is None else found.mean,
                None if found is None else found.interval,
            )
        )
    return Panel(f"{MEASURES[measure].title}{_unit(measure)}", tuple(groups))


def curves_svg(d: StudyDocument) -> str:
    """Training error over steps: the mean of each arm's runs at its learning rate. An arm without a curve says why in the legend."""
    lines = []
    for number, arm in enumerate(d.arms):
        runs = [r for r in d.runs if r.arm == arm.name]
        own = [dict(r.curve) for r in runs if r.chosen and r.curve]
        # A run that diverged ends early; beyond, there is no mean of all.
        steps = sorted(set.intersection(*map(set, own))) if own else []
        name = arm.name if steps else f"{arm.name}: {_nothing(runs)}"
        lines.append(Series(name, [(s, statistics.fmean(c[s] for c in own)) for s in steps], number))
    if not any(line.points for line in lines):
        return notice(f"{d.title}: {_nothing(d.runs)}")
    return chart(lines, x="step", y=f"training error, %, mean of {_seeds(d)}")


def _nothing(runs: Sequence[StudyRun]) -> str:
    """Why there is nothing to draw."""
    return "runs are missing" if any(r.missing for r in runs) else "every run diverged"


def _trained(d: StudyDocument) -> list[str]:
    return [m for m in d.measures if not MEASURES[m].static]


def _of(run: StudyRun, measure: str) -> float | None:
    return run.measures.get(measure)


def _note(run: StudyRun) -> str:
    return "?" if run.missing else ("x" if run.diverged else "") + ("*" if run.chosen else "")


def _title(measure: str) -> str:
    return MEASURES[measure].title


def _unit(measure: str) -> str:
    unit = MEASURES[measure].unit
    return f", {unit}" if unit else ""


def _mean(found: ArmMean | None, measure: str) -> str | None:
    if found is None:
        return None
    text = MEASURES[measure].text
    return text(found.mean) + (f" ({text(found.sd)})" if found.sd is not None else "")


def _seeds(d: StudyDocument) -> str:
    return f"{d.seeds} seeds" if d.seeds > 1 else "one seed"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e3 else f"{value:,.0f}"


def _interval(c: Judgement) -> str | None:
    if c.interval is None:
        return None
    low, high = map(_number, c.interval)
    return low if MEASURES[c.measure].static else f"{low} to {high}"


def _compared(c: Judgement) -> str:
    sign = "/" if c.rule == "between" else "-"
    return f"{MEASURES[c.measure].title}: {c.of} {sign} {c.minus or c.over}"


def _claimed(c: Judgement) -> str:
    if c.rule in ("greater", "at_most"):
        return f"{'>' if c.rule == 'greater' else '<'} {c.margin:g}"
    return f"within {c.margin:g}" if c.rule == "equivalent" else f"{c.low:g} to {c.high:g}"


def _source(d: StudyDocument) -> str:
    s = d.source
    return "; ".join([*([f"note {s.note}"] if s.note else []), *([s.paper] if s.paper else [])])


def _setting(d: StudyDocument) -> str:
    length = f"{d.steps:,} steps of {d.batch}" if d.steps else f"the recipe's length, batches of {d.batch}"
    images = f" ({d.data.limit_train:,} training images)" if d.data.limit_train else ""
    return f"{d.data.name}{images}, {length}"


def _legend(d: StudyDocument) -> str:
    return f"A dot is a run, a small ring one at another learning rate; the bar is the 95 % interval of the mean ({_seeds(d)})."
