"""Studies on Ray: every run is a task of a cluster, and its folder the result. Ray itself is imported when an engine runs.

Ray only decides where a run is carried out. The study's folder is seen by every machine under the same path, so a run that lost its
process resumes from its checkpoint wherever Ray restarts it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.extras import require
from resnet_dsl.lab.study.engine import Event, Listener, Stop, Task, TaskResult, told
from resnet_dsl.lab.study.folder import measured
from resnet_dsl.lab.study.records import RunMeasures

_POLL = 0.25
"""Seconds between two looks at the news of a cluster, and at whether to stop."""

_ATTEMPTS = 2

_STORE = 100_000_000
"""Bytes of shared memory for Ray's objects; ours are a few numbers, and Ray would take a third of the machine."""

_SYSTEM = {"worker_niceness": 0}
"""Ray's workers give way to everything else on a machine; runs shall take as long as they do with the local engine."""

_PACKAGES = ("resnet-dsl", "torch")
"""What must be the same on every machine for the numbers to be."""


@dataclass(frozen=True, slots=True)
class RayEngine:
    """Runs on the cluster at `address` (`auto` or HOST:PORT), or without one on a cluster of this machine that ends with the study.

    At most `jobs` runs go on at once; None is as many as the cluster has cores for.
    """

    jobs: int | None = None
    address: str | None = None

    def run(self, tasks: Sequence[Task], tell: Listener, stop: Stop) -> Generator[TaskResult, None, None]:
        """See `engine.Engine`. Raises SpecError (exit 3) where Ray is not installed or the cluster cannot be reached."""
        with _cluster(self.address, self.jobs):
            yield from _schedule(tasks, self.jobs, tell, stop)


@dataclass(frozen=True, slots=True)
class _Home:
    """What a worker has to have in common with the process that runs the study."""

    folder: Path
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error of a task as plain text: exceptions of ours do not travel."""

    text: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class _Lost:
    """A task whose process, or the machine of it, is gone."""

    why: str


class _News:
    """An actor that keeps events until they are asked for."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def add(self, event: Event) -> None:
        self._events.append(event)

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events


def _schedule(tasks: Sequence[Task], jobs: int | None, tell: Listener, stop: Stop) -> Iterator[TaskResult]:
    import ray

    if any(_gpus(t) for t in tasks) and not ray.cluster_resources().get("GPU"):  # type: ignore[no-untyped-call]
        raise refuse(
            "cluster-worker",
            "no machine of the cluster has a GPU",
            f"leave out {Argument('device')}, or choose another cluster",
            at=Argument("device"),
            exit_code=3,
        )
    home = _Home(Path.cwd(), _versions())
    news: Any = ray.remote(num_cpus=0)(_News).remote()
    # Deaths are counted here, so that a run that is begun again is reported; Ray would do it without a word.
    remote = ray.remote(max_retries=0)(_carry_out)
    waiting = list(reversed(tasks))
    running: dict[ray.ObjectRef[Any], Task] = {}
    deaths: Counter[str] = Counter()
    stopped = False
    while running or (waiting and not stopped):
        while waiting and not stopped and (jobs is None or len(running) < jobs):
            task = waiting.pop()
            running[remote.options(num_cpus=1, num_gpus=_gpus(task), name=task.name).remote(task, home, news)] = task
        done, _ = ray.wait(list(running), timeout=_POLL)
        for event in ray.get(news.take.remote()):
            tell(event)
        if stop() and not stopped:
            stopped = True
            for reference in running:
                ray.cancel(reference)
        for reference in done:
            task = running.pop(reference)
            found = _fetched(reference, task)
            if isinstance(found, _Failed):
                yield TaskResult(task, error=found.text, exit_code=found.exit_code)
            elif isinstance(found, RunMeasures):
                yield TaskResult(task, found)
            elif isinstance(found, _Lost) and not stopped:
                deaths[task.name] += 1
                if deaths[task.name] < _ATTEMPTS:
                    tell(Event("again", task, text=found.why))
                    waiting.append(task)
                else:
                    yield TaskResult(task, error=f"{found.why}, {_ATTEMPTS} times", exit_code=1)


def _fetched(reference: Any, task: Task) -> RunMeasures | _Failed | _Lost | None:
    """What became of a task that has ended; None where it was stopped."""
    import ray

    try:
        found: RunMeasures | _Failed | None = ray.get(reference)
    except ray.exceptions.TaskCancelledError:
        return None
    except ray.exceptions.RayTaskError as e:
        if "failed to import on the worker" not in str(e):
            raise e.as_instanceof_cause() from None  # type: ignore[no-untyped-call]
        return _Failed(_unfit(task, "a worker of the cluster has no resnet-dsl", "install it there, in this version"), 3)
    except ray.exceptions.WorkerCrashedError:
        return _Lost("its process died")
    except ray.exceptions.RayError as e:
        return _Lost(f"its process was lost ({_first_line(e)})")
    if isinstance(found, RunMeasures) and measured(task) is None:
        return _Failed(_unfit(task, "its result was written where this machine does not see it", _SHARE), 3)
    return found


_SHARE = "put the study's folder on a file system that every machine of the cluster mounts at the same path, and begin the study there"


def _carry_out(task: Task, home: _Home, news: Any) -> RunMeasures | _Failed | None:
    """A task in a process of Ray's: its measures, its error, or None where it was stopped with its state saved."""
    here, machine = _versions(), socket.gethostname()
    for name, wanted in home.versions.items():
        if here[name] != wanted:
            return _Failed(
                _unfit(task, f"{machine} has {name} {here[name]}, this machine {wanted}", "install the same versions on both"), 3
            )
    try:
        # Paths of a task may be relative, and a run's records hold them as they are.
        os.chdir(home.folder)
    except OSError as e:
        return _Failed(_unfit(task, f"{machine} cannot enter {home.folder}: {e.strerror}", _SHARE), 3)
    if not task.spec.is_file():
        return _Failed(_unfit(task, f"{machine} does not see {task.spec}", _SHARE), 3)

    from resnet_dsl.lab.runs.running import run_task
    from resnet_dsl.records.errors import Interrupted

    news.add.remote(Event("began", task))
    try:
        return run_task(task, lambda step, total: news.add.remote(Event("step", task, step, total)))
    except SpecError as e:
        return _Failed(told(e), e.exit_code)
    except Interrupted:
        return None


def _gpus(task: Task) -> int:
    return int(task.device == "cuda")


def _unfit(task: Task, message: str, help: str) -> str:
    return told(refuse("cluster-worker", message, help, at=task.name, exit_code=3))


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


class _Ours(io.TextIOBase):
    """Standard output without what threads of Ray print there: results go there, and events and results say the same."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._thread = stream, threading.current_thread()

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.current_thread() is self._thread else len(text)

    def flush(self) -> None:
        self._stream.flush()


@contextlib.contextmanager
def _cluster(address: str | None, jobs: int | None) -> Iterator[None]:
    """A connection to a cluster, for as long as it is needed."""
    # Ray reads it when it is imported, and hands it on to the processes of a cluster that it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    require("ray", "needs the package", at=Argument("engine", "ray"))
    import ray

    terminated = signal.getsignal(signal.SIGTERM)
    # Ray makes sockets in it, and a path to a socket must be short.
    scratch = tempfile.mkdtemp(prefix="ray-", dir="/tmp") if address is None else None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
    try:
        with contextlib.redirect_stdout(_Ours(sys.stdout)):
            if scratch is not None:
                ray.init(
                    address="local",
                    num_cpus=jobs,
                    include_dashboard=False,
                    object_store_memory=_STORE,
                    _system_config=_SYSTEM,
                    _temp_dir=scratch,
                    **quiet,
                )
            else:
                _connect(str(address), quiet)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, terminated)
            try:
                yield
            finally:
                # It prints what it has held back.
                with contextlib.redirect_stdout(io.StringIO()):
                    ray.shutdown()
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _connect(address: str, options: Mapping[str, Any]) -> None:
    import ray

    host, _, port = address.rpartition(":")
    if address != "auto" and not (host and port.isdecimal() and "/" not in host):
        raise refuse(
            "usage", f"{address!r} is no address of a cluster", "HOST:PORT as `ray start` prints it, or auto", at=Argument("address")
        )
    try:
        if address != "auto":
            # Ray itself tries for two minutes, and then ends the process.
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, **options)
    except (OSError, OverflowError, RuntimeError, ValueError) as e:
        help = (
            "check the address; RAY_AUTH_MODE=token where the cluster asks for its token; "
            f"or leave out {Argument('address')} for a cluster of this machine alone"
        )
        raise refuse(
            "cluster-connect", f"no Ray cluster there: {_first_line(e)}", help, at=Argument("address", address), exit_code=3
        ) from None


def _first_line(e: Exception) -> str:
    return str(e).strip().partition("\n")[0]
