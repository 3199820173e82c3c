"""A study's result: what was measured, what is decided, and the document that holds it. No torch here."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from resnet_dsl.lab.study.engine import Task
from resnet_dsl.lab.study.form import Comparison
from resnet_dsl.lab.study.measures import MEASURES
from resnet_dsl.lab.study.planning import Arm, Plan, command
from resnet_dsl.lab.study.verdict import Decision, best_rate, estimate, judge, overall
from resnet_dsl.version import __version__

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """How a study is run: the command without the folders of this machine, runs side by side (None: as a cluster sees fit), the engine's
    name."""

    command: str
    jobs: int | None
    engine: str
    device: str


def made(facts: Facts) -> dict[str, Any]:
    """How and with what a result comes about: what the document keeps when it is made once more from finished runs."""
    return {
        "command": facts.command, "jobs": facts.jobs, "engine": facts.engine, "device": facts.device, "cores": os.cpu_count(),
        "versions": {
            "resnet_dsl": __version__, "python": platform.python_version(), "torch": version("torch"), "numpy": version("numpy"),
            "machine": platform.machine(), "system": platform.system(),
        },
    }  # fmt: skip


def result(
    plan: Plan, tasks: Sequence[Task], found: Mapping[str, Mapping[str, Any]], made: Mapping[str, Any], *, rule_kept: bool = True
) -> dict[str, Any]:
    """The result of a study as the document that study.json holds. `found` has what was measured of each task, by its name.

    `rule_kept`: the decision rule is the one that stood when the first run was begun.
    Runs that are missing leave the comparisons of their arms undecided.
    """
    rates = {arm.name: _rate(arm.name, tasks, found) for arm in plan.arms}
    decisions = [_decide(c, plan, rates, tasks, found) for c in plan.study.says.decide]
    verdict, why = overall(decisions)
    says, lengths = plan.study.says, plan.lengths
    return {
        "format": FORMAT,
        "study": plan.study.name,
        "title": says.title,
        "claim": says.claim,
        "source": says.source.model_dump(),
        "setting": plan.choice.setting,
        "data": {"name": plan.data, "classes": plan.classes, "limit_train": lengths.limit_train, "sha256": next((f["data_sha256"] for f in found.values()), None)},
        "seeds": lengths.seeds, "learning_rates": list(plan.recipes), "steps": lengths.steps, "tail": lengths.tail, "judged": lengths.judged,
        "level": says.level, "batch": plan.batch,
        "verdict": verdict,
        "why": why,
        "comparisons": [d.to_dict() for d in decisions],
        "measures": list(says.measures),
        "arms": [_arm(arm, rates[arm.name], tasks, found) for arm in plan.arms],
        "runs": [_run(t, rates[t.arm], found.get(t.name)) for t in tasks],
        "cost": {"runs": len(found), "seconds": round(sum(f["measures"].get("seconds") or 0.0 for f in found.values()), 1)},
        "notes": list(says.notes),
        "rule_fixed_beforehand": rule_kept,
        "one_run": shlex.join(command(plan.tasks(Path())[0])),
        "made": dict(made),
    }  # fmt: skip


def _rate(arm: str, tasks: Sequence[Task], found: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The learning rate that an arm is judged at; None while runs of it are missing."""
    own = [t for t in tasks if t.arm == arm]
    if any(t.name not in found for t in own):
        return None
    losses: dict[float, list[float | None]] = {}
    for t in own:
        losses.setdefault(t.lr, []).append(found[t.name]["measures"].get("loss"))
    return best_rate(losses)


def _values(
    arm: str, measure: str, rate: float | None, tasks: Sequence[Task], found: Mapping[str, Mapping[str, Any]]
) -> list[float | None]:
    """A measure of an arm's runs at a rate, by seed; None for each that is missing."""
    seeds = sorted({t.seed for t in tasks})
    by_seed = {t.seed: found.get(t.name) for t in tasks if t.arm == arm and t.lr == rate}
    return [None if (f := by_seed.get(s)) is None else f["measures"].get(measure) for s in seeds]


def _decide(
    c: Comparison, plan: Plan, rates: Mapping[str, float | None], tasks: Sequence[Task], found: Mapping[str, Mapping[str, Any]]
) -> Decision:
    if MEASURES[c.measure].static:
        exact = {arm.name: arm.static[c.measure] for arm in plan.arms}
        return judge(c, [exact[c.of]], [exact[c.other]])
    of, other = (_values(name, c.measure, rates[name], tasks, found) for name in (c.of, c.other))
    return judge(c, of, other)


def _arm(arm: Arm, rate: float | None, tasks: Sequence[Task], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    trained = {}
    for name, measure in MEASURES.items():
        values = [] if measure.static else [v for v in _values(arm.name, name, rate, tasks, found) if v is not None]
        if values:
            e = estimate(values)
            trained[name] = {"mean": e.mean, "sd": e.sd, "low": e.low, "high": e.high}
    return {"name": arm.name, "depth": arm.depth, **arm.static, "lr": rate, "measures": trained}


def _run(task: Task, rate: float | None, found: Mapping[str, Any] | None) -> dict[str, Any]:
    return {
        "name": task.name, "arm": task.arm, "lr": task.lr, "seed": task.seed, "chosen": task.lr == rate,
        **({"missing": True} if found is None else {k: found[k] for k in ("diverged", "measures", "curve", "weights_sha256")}),
    }  # fmt: skip
