"""The engine of one machine: worker processes that stay, one run each at a time. A worker that dies takes only itself along."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.lab.study.engine import Event, Listener, Stop, Task, TaskResult
from resnet_dsl.workers import hired, how_it_ended

_POLL = 0.2
"""Seconds between two looks at whether to stop."""

_ATTEMPTS = 2


@dataclass(slots=True)
class _Worker:
    """A process and the task that it carries out."""

    process: SpawnProcess
    connection: Connection
    task: Task | None = None


class LocalEngine:
    """Up to `jobs` runs at a time, on one thread each where they run on the CPU."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def run(self, tasks: Sequence[Task], tell: Listener, stop: Stop) -> Generator[TaskResult, None, None]:
        """As `Engine.run`."""
        waiting = list(reversed(tasks))
        attempts: dict[str, int] = {}
        workers: list[_Worker] = []
        try:
            while waiting or any(w.task for w in workers):
                if stop():
                    return
                while waiting and (free := next((w for w in workers if w.task is None), None) or self._hired(workers)):
                    task = free.task = waiting.pop()
                    attempts[task.name] = attempts.get(task.name, 0) + 1
                    if attempts[task.name] == 1:
                        tell(Event("began", task))
                    with contextlib.suppress(OSError):
                        # One that has died meanwhile is found out below.
                        free.connection.send(task)
                for ready in wait([w.connection for w in workers if w.task], _POLL):
                    worker = next(w for w in workers if w.connection is ready)
                    result = self._heard(worker, tell)
                    if isinstance(result, str):
                        workers.remove(worker)
                        assert worker.task is not None
                        if attempts[worker.task.name] < _ATTEMPTS:
                            tell(Event("again", worker.task, text=result))
                            waiting.append(worker.task)
                        else:
                            yield TaskResult(worker.task, error=f"{result}, {_ATTEMPTS} times", exit_code=1)
                    elif result is not None:
                        yield result
        finally:
            _dismiss(workers)

    def _hired(self, workers: list[_Worker]) -> _Worker | None:
        if len(workers) >= self.jobs:
            return None
        process, ours = hired(_work)
        workers.append(_Worker(process, ours))
        return workers[-1]

    def _heard(self, worker: _Worker, tell: Listener) -> TaskResult | str | None:
        """What a worker says: a result, nothing yet, or how it died."""
        assert worker.task is not None
        try:
            said = worker.connection.recv()
        except (EOFError, OSError):
            return how_it_ended(worker.process)
        if isinstance(said, TaskResult):
            worker.task = None
            return said
        if isinstance(said, tuple):
            tell(Event("step", worker.task, *said))
        return None


def _dismiss(workers: Sequence[_Worker]) -> None:
    """End all workers; those in the middle of a run save its state first."""
    for w in workers:
        if w.task is None:
            w.connection.close()
        else:
            w.process.terminate()
    for w in workers:
        with contextlib.suppress(EOFError, OSError):
            # What it still says would fill the pipe, and it would wait for a reader.
            while w.task is not None:
                w.connection.recv()
        w.connection.close()
        w.process.join()


def _work(connection: Connection) -> None:
    """A worker: tasks come, results go, until nobody is there any more."""
    from resnet_dsl.lab.runs.running import run_task
    from resnet_dsl.records.errors import Interrupted

    with contextlib.suppress(EOFError, OSError, Interrupted):
        while True:
            task: Task = connection.recv()
            shown = 0.0

            def progress(step: int, total: int) -> None:
                nonlocal shown
                if (now := time.monotonic()) - shown >= _POLL or step == total:
                    shown = now
                    # Where nobody listens any more the run is about to be stopped, and must save its state.
                    with contextlib.suppress(OSError):
                        connection.send((step, total))

            try:
                result = TaskResult(task, run_task(task, progress))
            except Interrupted:
                raise
            except SpecError as e:
                result = TaskResult.refused(task, e)
            except OSError as e:
                result = TaskResult(task, error=f"the system refused something: {e}", exit_code=3)
            except Exception as e:  # noqa: BLE001 - a bug in one run is no reason to lose the others
                result = TaskResult(task, error=f"a bug in resnet-dsl: {type(e).__name__}: {e}", exit_code=70)
            connection.send(result)
