"""Several trainings at once, each in a process of its own. This process only shows them: it needs no torch."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.records.request import Request
from resnet_dsl.records.run import Run
from resnet_dsl.verbs.training import carry_out
from resnet_dsl.workers import hired, how_it_ended

if TYPE_CHECKING:
    from resnet_dsl.training.loop.progress import Snapshot, Watcher

_POLL = 0.2
"""Seconds between two looks at whether to stop, and between two reports of a run."""


@dataclass(frozen=True, slots=True)
class Training:
    """A network by its name, what is asked of its training, and what its folder keeps of how it was started."""

    name: str
    request: Request
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """A line of news from a training."""

    text: str


def train_together(trainings: Sequence[Training], watcher: Watcher, stop: Callable[[], bool]) -> list[Run]:
    """The runs, in the order of the trainings. Where `stop` says so, or one fails, the others save their state and end.

    Raises what a training raises; SpecError (exit 3) where its process dies.
    """
    workers: list[tuple[SpawnProcess, Connection]] = []
    ended: dict[Connection, Path] = {}
    try:
        workers.extend(hired(_train, training) for training in trainings)
        names = {connection: training.name for (_, connection), training in zip(workers, trainings, strict=True)}
        asked = False
        while left := [w for w in workers if w[1] not in ended]:
            if stop() and not asked:
                asked = True
                for process, _ in left:
                    process.terminate()
            ready = wait([connection for _, connection in left], _POLL)
            for process, connection in left:
                if connection in ready and (path := _heard(process, connection, names[connection], watcher)) is not None:
                    ended[connection] = path
    finally:
        watcher.close()
        _dismiss(workers)
    return [Run.open(ended[connection]) for _, connection in workers]


def _heard(process: SpawnProcess, connection: Connection, name: str, watcher: Watcher) -> Path | None:
    """The folder of a run that has ended; None while it goes on. Raises what it says that it raised."""
    try:
        said = connection.recv()
    except (EOFError, OSError):
        help = "free some memory, and begin again"
        raise refuse("environment", f"{how_it_ended(process)}, before its run was done", help, at=name, exit_code=3) from None
    match said:
        case Path():
            return said
        case BaseException():
            raise said
        case _Said():
            watcher.say(f"{name}: {said.text}")
        case _:
            watcher.show(replace(said, name=name))
    return None


def _dismiss(workers: Sequence[tuple[SpawnProcess, Connection]]) -> None:
    """End what still trains; it saves its state first."""
    for process, _ in workers:
        process.terminate()
    for process, connection in workers:
        with contextlib.suppress(EOFError, OSError):
            # What it still says would fill the pipe, and it would wait for a reader.
            while True:
                connection.recv()
        connection.close()
        process.join()


class _Reporter:
    """Tells the other process how a run goes. Where nobody listens any more the run is about to be stopped, and must save its state."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._shown = connection, 0.0

    def say(self, text: str) -> None:
        """One line."""
        self._send(_Said(text))

    def show(self, now: Snapshot) -> None:
        """Where the run is, a few times a second."""
        if now.step == now.total or time.monotonic() - self._shown >= _POLL:
            self._shown = time.monotonic()
            self._send(now)

    def close(self) -> None:
        """Nothing is left open."""

    def _send(self, what: object) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(what)


def _train(connection: Connection, training: Training) -> None:
    """In the process of its own."""
    try:
        found: object = carry_out(training.name, training.request, command=training.command, watcher=_Reporter(connection)).path
    except (SpecError, Interrupted) as e:
        found = e
    with contextlib.suppress(OSError):
        connection.send(found)
