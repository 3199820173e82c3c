"""A study from its plan to its result: what is finished is read, the rest is handed to an engine, and the numbers are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from resnet_dsl.diagnostics import refuse
from resnet_dsl.lab.study.engine import Engine, Outcome, Stop, Task
from resnet_dsl.lab.study.folder import RESULT, measured, read_json, register, write_json
from resnet_dsl.lab.study.planning import Plan
from resnet_dsl.lab.study.progress import Board
from resnet_dsl.lab.study.result import Facts, made, result
from resnet_dsl.records.folder import RunFolder


class Halted(Exception):
    """A signal came; `done` of `total` runs are finished, and the others are saved."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__(f"interrupted after {done} of {total} runs; what was begun is saved")


@dataclass(frozen=True, slots=True)
class Means:
    """What a study is carried out with."""

    engine: Engine
    facts: Facts
    stop: Stop
    stream: IO[str]
    quiet: bool = False
    download: bool = False


def conduct(plan: Plan, home: Path, means: Means) -> tuple[dict[str, Any], tuple[Outcome, ...]]:
    """The result of a study whose runs lie in the folder `home`, and the outcomes of runs that failed.

    Finished runs are read, begun ones go on. Raises SpecError: exit 2 where the
    folder holds another study's runs, 3 for data and disk; Halted where a signal came.
    """
    tasks = plan.tasks(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise refuse("disk", f"cannot make the study's folder: {e.strerror}", "choose another --out", at=home, exit_code=3) from None
    # The lock of a run's folder, whose rules are the same: one process at a time.
    with RunFolder(home):
        kept = register(home, tasks, plan.rule)
        found = {t.name: m for t in tasks if (m := measured(t)) is not None}
        left = [t for t in tasks if t.name not in found]
        failed = _carry_out(plan, home, left, found, means) if left else ()
        _require_one_data(found, home)
        before = None if left else read_json(home / RESULT)
        document = result(plan, tasks, found, made(means.facts) if before is None else before["made"], rule_kept=kept)
        write_json(home / RESULT, document)
    return document, failed


def _carry_out(plan: Plan, home: Path, left: Sequence[Task], found: dict[str, dict[str, Any]], means: Means) -> tuple[Outcome, ...]:
    """Run what is left; what is measured goes into `found`. The longest runs come first, so that none is alone at the end."""
    from resnet_dsl.lab.runs.preparing import prepare

    work = _work(plan, left)
    board = Board(means.stream, means.quiet, left, work, len(found))
    total = len(found) + len(left)
    if found:
        board.say(f"{len(found)} of {total} runs are finished already")
    prepare(plan, home, left, download=means.download, say=board.say)
    failed = []
    ordered = sorted(left, key=lambda t: -work[t.name])
    try:
        with closing(means.engine.run(ordered, board.event, means.stop)) as outcomes:
            for o in outcomes:
                board.outcome(o)
                if o.measures is not None:
                    found[o.task.name] = dict(o.measures)
                else:
                    failed.append(o)
    finally:
        board.close()
    if len(found) + len(failed) < total:
        raise Halted(len(found), total)
    return tuple(failed)


def _work(plan: Plan, tasks: Sequence[Task]) -> Mapping[str, float]:
    """What each run is expected to take, in steps times what a layer costs beyond its arithmetic, which on small maps is most of it."""
    arms = {arm.name: arm.depth + arm.static["macs"] / 1e6 for arm in plan.arms}
    return {t.name: arms[t.arm] for t in tasks}


def _require_one_data(found: Mapping[str, Mapping[str, Any]], home: Path) -> None:
    if len({f["data_sha256"] for f in found.values()}) > 1:
        raise refuse(
            "data-changed",
            "its runs were trained on different data of the same name",
            "begin the study anew in another --out",
            at=home,
            exit_code=3,
        )
