"""The run folder: everything that repeats a run, resumes it and uses its result. Never overwritten.

spec.yaml, recipe.yaml   resolved, with every default and override filled in
run.json                 what else was asked for: data, device plan
command.txt, env.json    how and where it ran
model.py                 the network as plain PyTorch
metrics.jsonl            one line a logging interval and an evaluation; metrics.csv: the same as a table
tensorboard/             the same for TensorBoard, where asked for
initial.safetensors      what the run began with, where it was given weights
checkpoints/             state for --resume, the newest two
model.safetensors        the weights, with spec, class names and normalisation in its metadata
results.json             written when the run has ended
lock                     held while a process trains in it
"""

from __future__ import annotations

import errno
import json
import os
import re
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from resnet_dsl.diagnostics import Argument, call, refuse
from resnet_dsl.files import PARTIAL, discard, open_regular, write_atomic, write_error
from resnet_dsl.system import in_each_fork, lock, machine, read_at, sync_folder, write_start

if TYPE_CHECKING:
    from resnet_dsl.records.document import StoredDocument

SPEC, RECIPE, REQUEST, WEIGHTS, RESULTS = "spec.yaml", "recipe.yaml", "run.json", "model.safetensors", "results.json"
METRICS, INITIAL = "metrics.jsonl", "initial.safetensors"
CHECKPOINTS = "checkpoints"
COMMAND, SOURCE, ENVIRONMENT, LOCK = "command.txt", "model.py", "env.json", "lock"
_COMPLETE = (SPEC, RECIPE, REQUEST)
_BEGINNING = frozenset((*_COMPLETE, INITIAL, COMMAND, SOURCE, ENVIRONMENT, LOCK))


def resuming(run: Path | str) -> str:
    """The command that resumes a run, in a message."""
    return call("train", Argument("resume", True), run)


def weights_file(given: Path) -> Path:
    """The file of weights that a path names: itself, or that of the run in a folder. Raises SpecError (exit 3) for a folder without one."""
    if not given.is_dir():
        return given
    if not (given / WEIGHTS).exists():
        missing = f"is a folder, and has no {WEIGHTS}"
        raise refuse(
            "weights-missing", missing, "give a file of weights, or the folder of a run that has written some", at=given, exit_code=3
        )
    return given / WEIGHTS


class RunFolder:
    """A run's folder, locked from `with` to its end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @staticmethod
    def create(out: Path | None, name: str, *, again: bool = False) -> RunFolder:
        """A new folder: `out`, or `runs/<name>-<NNN>` with the next free number.

        `again`: what a run left that was killed before it was under way may be in `out`.
        Raises SpecError: exit 2 where `out` holds something, 3 where no folder can be made.
        """
        try:
            if out is None:
                return RunFolder(_next_free(Path("runs"), name))
            out.mkdir(parents=True, exist_ok=True)
            RunFolder.require_new(out, again=again)
            return RunFolder(out)
        except OSError as e:
            raise refuse(
                "disk", f"cannot make the run's folder: {e.strerror}", f"choose another {Argument('out')}", at=out or "runs", exit_code=3
            ) from None

    @staticmethod
    def require_new(out: Path | None, *, again: bool = False) -> None:
        """Refuse a folder that holds something else than what `create` allows. Raises SpecError (exit 2)."""
        if out is None or not out.is_dir():
            return
        if any(not (again and (p.name in _BEGINNING or p.name.endswith(PARTIAL))) for p in out.iterdir()):
            raise refuse(
                "run-exists",
                "is not empty, and runs are never overwritten",
                f"choose another {Argument('out')}, or continue it: {resuming(out)}",
                at=out,
            )

    @staticmethod
    def open(path: Path) -> RunFolder:
        """A folder that a run has begun. Raises SpecError (exit 3) where it is none."""
        if not path.is_dir():
            raise refuse(
                "run-missing",
                "no such run folder",
                f"check the path; runs are under runs/ unless {Argument('out')} named another folder",
                at=path,
                exit_code=3,
            )
        for name in _COMPLETE:
            if not (path / name).is_file():
                raise refuse(
                    "run-missing", f"is not a run folder: it has no {name}", "start the run again in another folder", at=path, exit_code=3
                )
        return RunFolder(path)

    @staticmethod
    def is_run(path: Path) -> bool:
        """Does a folder hold a run that can be resumed?"""
        return all((path / name).is_file() for name in _COMPLETE)

    @staticmethod
    def was_run(path: Path) -> bool:
        """Does a folder hold a run, or a part of one?"""
        return any((path / name).exists() for name in (*_COMPLETE, METRICS, RESULTS))

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints lie."""
        return self.path / CHECKPOINTS

    def __enter__(self) -> RunFolder:
        """Take the lock, which the kernel drops however the process ends. Raises SpecError (exit 3) where it is taken."""
        path = self.path / LOCK
        try:
            self._lock = open_regular(path, os.O_RDWR | os.O_CREAT)
            lock(self._lock)
        except OSError as e:
            if e.errno in (errno.EWOULDBLOCK, errno.EACCES) and self._lock is not None:
                holder = read_at(self._lock, 200, 0).decode("ascii", "replace").strip()
                os.close(self._lock)
                raise refuse(
                    "run-locked", f"another process trains in it ({holder})", "wait for it, or stop it first", at=self.path, exit_code=3
                ) from None
            raise refuse(
                "disk", f"cannot lock it: {e.strerror}", "use a folder on a local disk that may be written", at=path, exit_code=3
            ) from None
        write_start(self._lock, f"process {os.getpid()} on {machine()}".encode())
        # A process that reads pictures for this one may outlive it for some seconds, and must not hold the lock then.
        in_each_fork(self._unlock)
        for folder in (self.path, self.checkpoints):
            for leftover in folder.glob(f".*{PARTIAL}"):
                discard(leftover)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Give the lock back."""
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def make(self, name: str) -> None:
        """Make a folder in it, if it is not there. Raises SpecError (exit 3)."""
        try:
            (self.path / name).mkdir(exist_ok=True)
        except OSError as e:
            raise write_error(self.path / name, 0, e) from None

    def write(self, name: str, text: str) -> None:
        """Write one of the folder's files whole."""
        write_atomic(self.path / name, text.encode())

    def write_document(self, name: str, document: StoredDocument) -> None:
        """Write one of the folder's JSON files whole."""
        self.write(name, json.dumps(document.to_dict(), indent=1, allow_nan=False) + "\n")

    def remove(self, name: str) -> None:
        """Remove one of the folder's files. Raises SpecError (exit 3)."""
        try:
            (self.path / name).unlink(missing_ok=True)
            sync_folder(self.path)
        except OSError as e:
            raise write_error(self.path / name, 0, e) from None


class Metrics:
    """metrics.jsonl, appended line by line."""

    def __init__(self, path: Path, keep: int) -> None:
        """Open it and cut off what was written after the state that the run is resumed from: `keep` bytes stay."""
        self.path = path
        try:
            self._file = os.fdopen(open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), "ab")
            self._file.truncate(min(keep, self._file.tell()))
            self._file.seek(0, os.SEEK_END)
        except OSError as e:
            raise write_error(path, 0, e) from None

    def add(self, line: bytes) -> None:
        """Append one row. Raises SpecError (exit 3)."""
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as e:
            raise write_error(self.path, len(line), e) from None

    def sync(self) -> int:
        """Make it last, and its size in bytes: what a checkpoint of this moment keeps."""
        try:
            os.fsync(self._file.fileno())
            return self._file.tell()
        except OSError as e:
            raise write_error(self.path, 0, e) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _next_free(root: Path, name: str) -> Path:
    """Make `root/name-NNN` with a number above every one there; mkdir decides between two processes."""
    root.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(re.escape(name) + r"-(\d{3,9})\Z")
    number = max((int(m[1]) for p in root.iterdir() if (m := pattern.match(p.name))), default=0)
    while True:
        number += 1
        path = root / f"{name}-{number:03d}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
