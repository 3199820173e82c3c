"""A study from its plan to its result: finished runs are read, an engine makes the rest, and the numbers are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.extras import require
from resnet_dsl.lab.study.engine import Engine, Stop, Task, TaskResult
from resnet_dsl.lab.study.folder import RESULT, measured, read, register, write
from resnet_dsl.lab.study.planning import StudyPlan
from resnet_dsl.lab.study.progress import Board
from resnet_dsl.lab.study.records import RunMeasures, StudyDocument
from resnet_dsl.lab.study.result import Invocation, StudyResult, result
from resnet_dsl.records.errors import StudyInterrupted
from resnet_dsl.records.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Execution:
    """How a study is carried out. `stop` left out: SIGINT, SIGTERM and SIGHUP stop it. News go to `stream` unless `quiet`."""

    engine: Engine
    invocation: Invocation
    stream: IO[str]
    stop: Stop | None = None
    quiet: bool = False
    download: bool = False


def conduct(plan: StudyPlan, home: Path, execution: Execution) -> StudyResult:
    """The result of a study whose runs lie in the folder `home`; study.json there holds it too.

    Finished runs are read, and those that were begun resume from their checkpoints. Raises SpecError: exit 2 where the
    folder holds another study's runs, 3 for data and disk; StudyInterrupted where a signal came.
    """
    tasks = plan.tasks(home)
    if any(measured(t) is None for t in tasks):
        # Said before there is a folder.
        require("torch", "this needs")
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        help = f"choose another {Argument('out')}"
        raise refuse("disk", f"cannot make the study's folder: {e.strerror}", help, at=home, exit_code=3) from None
    # The lock of a run's folder, whose rules are the same: one process at a time.
    with RunFolder(home):
        kept = register(home, tasks, plan.rule)
        found = {t.name: m for t in tasks if (m := measured(t)) is not None}
        left = [t for t in tasks if t.name not in found]
        failed = _carry_out(plan, home, left, found, execution) if left else ()
        _require_one_data(found, home)
        before = None if left else read(StudyDocument, home / RESULT)
        made = execution.invocation.provenance() if before is None else before.made
        document = result(plan, tasks, found, made, rule_kept=kept, folder=home, failed=failed)
        write(home / RESULT, document)
    return document


def _carry_out(
    plan: StudyPlan, home: Path, left: Sequence[Task], found: dict[str, RunMeasures], execution: Execution
) -> tuple[TaskResult, ...]:
    """Run what is left; what is measured goes into `found`. Returns what failed."""
    # Preparing and training need torch; a study whose runs are finished is read without it.
    from resnet_dsl.lab.runs.preparing import prepare
    from resnet_dsl.training.loop.stop import StopWish

    work = _work(plan, left)
    board = Board(execution.stream, execution.quiet, left, work, len(found))
    total = len(found) + len(left)
    if found:
        board.say(f"{len(found)} of {total} runs are finished already")
    failed = []
    # The longest runs come first, so that none is alone at the end.
    ordered = sorted(left, key=lambda t: -work[t.name])
    with StopWish() as signalled:
        prepare(plan, home, left, download=execution.download, say=board.say)
        try:
            with closing(execution.engine.run(ordered, board.event, execution.stop or signalled)) as results:
                for r in results:
                    board.ended(r)
                    if r.measured is not None:
                        found[r.task.name] = r.measured
                    else:
                        failed.append(r)
        finally:
            board.close()
    if len(found) + len(failed) < total:
        raise StudyInterrupted(home, len(found), total)
    return tuple(failed)


def _work(plan: StudyPlan, tasks: Sequence[Task]) -> Mapping[str, float]:
    """What each run is expected to take, in steps times what a layer costs beyond its arithmetic, which on small maps is most of it."""
    arms = {arm.name: arm.depth + arm.static["macs"] / 1e6 for arm in plan.arms}
    return {t.name: arms[t.arm] for t in tasks}


def _require_one_data(found: Mapping[str, RunMeasures], home: Path) -> None:
    if len({f.data_sha256 for f in found.values()}) > 1:
        raise refuse(
            "data-changed",
            "its runs were trained on different data of the same name",
            f"start the study again in another {Argument('out')}",
            at=home,
            exit_code=3,
        )
