"""What a study hands to an engine: runs as tasks, plain enough for another process or machine, and what comes back. No torch here.

An engine decides where tasks are carried out (`running.run_task`), never what they give: a task's numbers are a function of the
task. Its folder is the result; whoever finds it finished has nothing to do, and whoever finds it begun goes on from its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol


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
    """News of a task: it `began`, reached `step` of `total`, or was begun once more (`again`) after its process had died; `text` says why."""

    kind: Literal["began", "step", "again"]
    task: Task
    step: int = 0
    total: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: its measures (a run that diverged has some too), or a message and the exit code it stands for."""

    task: Task
    measures: Mapping[str, Any] | None = None
    error: str = ""
    exit_code: int = 0


Report = Callable[[Event], None]
Stop = Callable[[], bool]


class Engine(Protocol):
    """Carries tasks out."""

    def run(self, tasks: Sequence[Task], report: Report, stop: Stop) -> Generator[Outcome, None, None]:
        """Outcomes as tasks end, in any order. Once `stop` says so, runs save their state and the iteration ends: tasks without
        an outcome are left for another time.

        A task whose process dies is begun once more, from its checkpoint; if that dies too, its outcome is an error.
        """
