"""What a study hands to an engine: runs as tasks, plain enough for another process or machine, and what comes back. No torch here.

An engine decides where tasks are carried out (`running.run_task`), never what they give: a task's numbers are a function of the
task. Its folder is the result. A finished task is not repeated, and one that was begun resumes from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, either, render
from resnet_dsl.lab.study.records import RunMeasures


@dataclass(frozen=True, slots=True)
class Task:
    """One run. Paths lead to files of the study's folder, which are there before the task begins.

    `spec`, `recipe` and `start` (initial weights; None: the spec's own, drawn from `seed`) are what `resnet-dsl train` takes; `lr`
    and `seed` go over the recipe's. `tail` is how many of the last batches the training error is taken over, `judged` how many
    training images are evaluated on at the end, `level` the loss that steps are counted to. `identity` is a digest of all that decides the numbers.
    """

    name: str
    arm: str
    lr: float
    seed: int
    folder: Path
    spec: Path
    recipe: Path
    start: Path | None
    data: str
    data_dir: Path | None
    limit_train: int | None
    tail: int
    judged: int
    level: float | None
    identity: str
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Event:
    """News of a task: it `began`, reached `step` of `total`, or was restarted (`again`) after its process had died; `text` says why."""

    kind: Literal["began", "step", "again"]
    task: Task
    step: int = 0
    total: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task: what was measured (of a run that diverged too), or a message and the exit code that it stands for."""

    task: Task
    measured: RunMeasures | None = None
    error: str = ""
    exit_code: int = 0

    @staticmethod
    def refused(task: Task, e: SpecError) -> TaskResult:
        """That of a task which cannot be carried out."""
        return TaskResult(task, error=told(e), exit_code=e.exit_code)


def told(e: SpecError) -> str:
    """An error as the text of another one's message, which still speaks to whoever reads it."""
    python, command_line = str(e), render(e.diagnostics, COMMAND_LINE)
    return python if python == command_line else either(python, command_line)


Listener = Callable[[Event], None]
"""Receives the events."""
Stop = Callable[[], bool]
"""Should the runs stop?"""


class Engine(Protocol):
    """Carries tasks out."""

    def run(self, tasks: Sequence[Task], tell: Listener, stop: Stop) -> Generator[TaskResult, None, None]:
        """The results as tasks end, in any order. Once `stop` says so, runs save their state and the iteration ends: tasks without
        a result are left for another time.

        A task whose process dies is restarted once, from its checkpoint; if that dies too, its result is an error.
        """
