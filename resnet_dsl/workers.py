"""Processes that work for this one: begun with a pipe, stopped by this process alone, ended with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import ModuleType
from typing import Any

from resnet_dsl.system import ready_to_spawn, signals_held


def hired(target: Callable[..., None], *args: Any) -> tuple[SpawnProcess, Connection]:
    """A process that runs `target(connection, *args)`, and our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(target, theirs, *args))
    # Begun by the first spawn otherwise, which then unblocks SIGINT, and that worker is stopped twice: by the terminal and by this process.
    ready_to_spawn()
    # A terminal sends its signals to all of its processes: this one decides for its workers, and sends them SIGTERM.
    with signals_held(), _no_main():
        process.start()
    theirs.close()
    return process, ours


def how_it_ended(process: SpawnProcess) -> str:
    """Of a process that has closed its pipe before it was done."""
    process.join()
    code = process.exitcode or 0
    return f"its process was killed by {signal.Signals(-code).name}" if code < 0 else f"its process ended with exit code {code}"


def _work(target: Callable[..., None], connection: Connection, *args: Any) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    target(connection, *args)


def _end_with_the_parent() -> None:
    """Save and end where the process that hands out the work is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """Processes started inside `with` do not run the main module: a worker needs nothing of it.

    A script that calls `rd.study` outside of `if __name__ == "__main__"` would begin the study again in every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
