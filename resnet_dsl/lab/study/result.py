"""A study's result: what was measured, what is decided, and the value that holds it. No torch here."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from resnet_dsl.diagnostics import refuse
from resnet_dsl.lab.study import tables
from resnet_dsl.lab.study.engine import Task, TaskResult
from resnet_dsl.lab.study.form import Hypothesis
from resnet_dsl.lab.study.measures import MEASURES
from resnet_dsl.lab.study.planning import Arm, StudyPlan, command
from resnet_dsl.lab.study.records import (
    FORMAT,
    ArmMean,
    ArmResult,
    Citation,
    Judgement,
    Provenance,
    RunMeasures,
    StudyCost,
    StudyData,
    StudyDocument,
    StudyRun,
)
from resnet_dsl.lab.study.verdict import best_rate, estimate, judge, overall
from resnet_dsl.pictures.picture import Picture
from resnet_dsl.records.document import StoredDocument
from resnet_dsl.table import Answer, Layout, Table
from resnet_dsl.version import __version__

Found = Mapping[str, RunMeasures]
"""What was measured of each finished task, by its name."""


class Failure(StoredDocument):
    """A run that could not be made: why, and the exit code that it stands for."""

    run: str
    error: str
    exit_code: int


class StudyResult(Answer, StudyDocument):
    """What a study came to: its verdict, comparisons, arms and runs, all as study.json holds them.

    `folder` holds the runs; `failures` are the runs that could not be made this time. Without them all, `verdict` says that it
    cannot tell, and `require_complete` refuses the result.
    """

    folder: Annotated[Path, Field(exclude=True, strict=False)] = Path()
    failures: Annotated[tuple[Failure, ...], Field(exclude=True)] = ()

    def to_dict(self) -> dict[str, Any]:
        """The document that study.json holds."""
        return StudyDocument.to_dict(self)

    def require_complete(self) -> None:
        """Raises SpecError, with the exit code of the worst failure, where runs could not be made."""
        if self.failures:
            names = ", ".join(f.run for f in self.failures)
            raise refuse(
                "study-incomplete",
                f"{len(self.failures)} of {len(self.runs)} runs could not be made: {names}\n{self.failures[0].error}",
                "fix that, and give the same command again: finished runs are kept",
                at=self.folder,
                exit_code=max(f.exit_code for f in self.failures),
            )

    @property
    def dots(self) -> Picture:
        """Every run as a dot, with the mean of each arm and its interval."""
        return Picture(tables.dots_svg(self), f"{self.title}: {self.verdict}")

    @property
    def curves(self) -> Picture:
        """Training error over steps, the mean of each arm's runs."""
        return Picture(tables.curves_svg(self), f"{self.title}: training error over steps")

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """Runs, arms and comparisons; CSV is every run with all that was measured of it."""
        if format == "csv":
            return [tables.csv_table(self)]
        return [tables.runs_table(self), tables.arms_table(self), tables.comparisons_table(self)]

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The text that the command prints: the tables, and the verdict with its reason, claim, source and cost."""
        shown = super().render(format, bold=bold, width=width, quiet=quiet)
        if format == "csv":
            return shown
        return f"{shown}\n{tables.verdict_html(self) if format == 'html' else tables.verdict_text(self)}"

    def summary(self) -> str:
        """Study, verdict and cost."""
        setting = "" if self.setting == "usual" else f" ({self.setting})"
        return f"{self.study[:100]}{setting} on {self.data.name}: {self.verdict}; {self.cost.runs} of {len(self.runs)} runs"

    def _repr_svg_(self) -> str:
        return self.dots.svg

    def _repr_html_(self) -> str:
        # A notebook shows one form of a value, and this comes first: the pictures stand below the tables.
        return self.render("html") + self.dots.html() + self.curves.html()


@dataclass(frozen=True, slots=True)
class Invocation:
    """How a study is run: the command without the folders of this machine, runs side by side (None: as a cluster sees fit), the engine's
    name and the device.
    """

    command: str
    jobs: int | None
    engine: str
    device: str

    def provenance(self) -> Provenance:
        """The same with versions and cores: it is kept when a result is made again from finished runs."""
        versions = {
            "resnet_dsl": __version__, "python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy"),
            "machine": platform.machine(), "system": platform.system(),
        }  # fmt: skip
        return Provenance(
            command=self.command, jobs=self.jobs, engine=self.engine, device=self.device, cores=os.cpu_count(), versions=versions
        )


def result(
    plan: StudyPlan,
    tasks: Sequence[Task],
    found: Found,
    made: Provenance,
    *,
    rule_kept: bool = True,
    folder: Path = Path(),
    failed: Sequence[TaskResult] = (),
) -> StudyResult:
    """The result of a study. Runs that are missing in `found` leave the comparisons of their arms undecided.

    `rule_kept`: the decision rule is the one that stood when the first run was begun.
    """
    rates = {arm.name: _rate(arm.name, tasks, found) for arm in plan.arms}
    judgements = [_judge(h, plan, rates, tasks, found) for h in plan.study.says.decide]
    verdict, why = overall(judgements)
    says, budget = plan.study.says, plan.budget
    assert budget.seeds is not None and budget.tail is not None and budget.judged is not None
    return StudyResult(
        format=FORMAT,
        study=plan.study.name,
        title=says.title,
        claim=says.claim,
        source=Citation(note=says.source.note, paper=says.source.paper),
        setting=plan.choice.setting,
        data=StudyData(
            name=plan.data,
            classes=plan.classes,
            limit_train=budget.limit_train,
            sha256=next((f.data_sha256 for f in found.values()), None),
        ),
        seeds=budget.seeds,
        learning_rates=tuple(plan.recipes),
        steps=budget.steps,
        tail=budget.tail,
        judged=budget.judged,
        level=says.level,
        batch=plan.batch,
        verdict=verdict,
        why=why,
        comparisons=tuple(judgements),
        measures=tuple(says.measures),
        arms=tuple(_arm(arm, rates[arm.name], tasks, found) for arm in plan.arms),
        runs=tuple(_run(t, rates[t.arm], found.get(t.name)) for t in tasks),
        cost=StudyCost(runs=len(found), seconds=round(sum(f.measures.get("seconds") or 0.0 for f in found.values()), 1)),
        notes=tuple(says.notes),
        rule_fixed_beforehand=rule_kept,
        one_run=shlex.join(command(plan.tasks(Path())[0])),
        made=made,
        folder=folder,
        failures=tuple(Failure(run=f.task.name, error=f.error, exit_code=f.exit_code) for f in failed),
    )


def _rate(arm: str, tasks: Sequence[Task], found: Found) -> float | None:
    """The learning rate that an arm is judged at; None while runs of it are missing."""
    own = [t for t in tasks if t.arm == arm]
    if any(t.name not in found for t in own):
        return None
    losses: dict[float, list[float | None]] = {}
    for t in own:
        losses.setdefault(t.lr, []).append(found[t.name].measures.get("loss"))
    return best_rate(losses)


def _values(arm: str, measure: str, rate: float | None, tasks: Sequence[Task], found: Found) -> list[float | None]:
    """A measure of an arm's runs at a rate, by seed; None for each that is missing."""
    seeds = sorted({t.seed for t in tasks})
    by_seed = {t.seed: found.get(t.name) for t in tasks if t.arm == arm and t.lr == rate}
    return [None if (f := by_seed.get(s)) is None else f.measures.get(measure) for s in seeds]


def _judge(h: Hypothesis, plan: StudyPlan, rates: Mapping[str, float | None], tasks: Sequence[Task], found: Found) -> Judgement:
    if MEASURES[h.measure].static:
        exact = {arm.name: arm.static[h.measure] for arm in plan.arms}
        return judge(h, [exact[h.of]], [exact[h.other]])
    of, other = (_values(name, h.measure, rates[name], tasks, found) for name in (h.of, h.other))
    return judge(h, of, other)


def _arm(arm: Arm, rate: float | None, tasks: Sequence[Task], found: Found) -> ArmResult:
    trained = {}
    for name, measure in MEASURES.items():
        values = [] if measure.static else [v for v in _values(arm.name, name, rate, tasks, found) if v is not None]
        if values:
            e = estimate(values)
            assert e.mean is not None
            trained[name] = ArmMean(mean=e.mean, sd=e.sd, low=e.low, high=e.high)
    static = arm.static
    return ArmResult(
        name=arm.name,
        depth=arm.depth,
        params=static["params"],
        macs=static["macs"],
        block_params=static["block_params"],
        block_macs=static["block_macs"],
        lr=rate,
        measures=trained,
    )


def _run(task: Task, rate: float | None, found: RunMeasures | None) -> StudyRun:
    name, arm, lr, seed, chosen = task.name, task.arm, task.lr, task.seed, task.lr == rate
    if found is None:
        return StudyRun(name=name, arm=arm, lr=lr, seed=seed, chosen=chosen, missing=True)
    return StudyRun(
        name=name,
        arm=arm,
        lr=lr,
        seed=seed,
        chosen=chosen,
        diverged=found.diverged,
        measures=found.measures,
        curve=found.curve,
        weights_sha256=found.weights_sha256,
    )
