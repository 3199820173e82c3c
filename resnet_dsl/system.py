"""What operating systems do not have in common, each thing once. Windows has no `fcntl`, fewer signals, and opens no folders."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OPENING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags for every file that is opened by number: a pipe is not waited for, a child does not inherit it, its bytes are not translated."""

STOPPING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""The signals by which a user, a shell or a batch system asks a process to end."""

_BYTE = 1 << 30
"""Where Windows locks one byte: past the end of the file, since a locked byte cannot be read."""


def lock(fd: int) -> None:
    """Take a lock that ends with this process. Raises OSError (EWOULDBLOCK or EACCES) where another has it."""
    fcntl, msvcrt = _module("fcntl"), _module("msvcrt")
    if fcntl is not None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    os.lseek(fd, _BYTE, os.SEEK_SET)
    msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)


def is_locked(fd: int) -> bool:
    """Does another process have the lock? A file that cannot be locked at all is not."""
    fcntl, msvcrt = _module("fcntl"), _module("msvcrt")
    try:
        if fcntl is not None:
            # Shared and at once given back with the descriptor: whoever trains holds it alone.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        os.lseek(fd, _BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    except OSError:
        return True
    os.lseek(fd, _BYTE, os.SEEK_SET)
    msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
    return False


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def read_at(fd: int, size: int, at: int) -> bytes:
    """Up to `size` bytes of a file from an offset. Other threads must not read it meanwhile: Windows moves the one position of a file."""
    if hasattr(os, "pread"):
        return os.pread(fd, size, at)
    os.lseek(fd, at, os.SEEK_SET)
    return os.read(fd, size)


def read_into(fd: int, view: memoryview, at: int) -> int:
    """Fill a buffer from an offset, without a copy where the system can; gives the bytes read, which may be fewer."""
    if hasattr(os, "preadv"):
        return os.preadv(fd, [view], at)
    found = read_at(fd, min(len(view), 1 << 20), at)
    view[: len(found)] = found
    return len(found)


def write_start(fd: int, content: bytes) -> None:
    """Make these bytes the whole of a file."""
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, content)


def machine() -> str:
    """The machine's name in its network."""
    return platform.node() or "this machine"


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last; Windows opens no folders, and needs none of it."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def give_mode(fd: int, mode: int) -> None:
    """Give an open file permissions, where files have them."""
    if hasattr(os, "fchmod"):
        os.fchmod(fd, mode)


def in_each_fork(forget: Any) -> None:
    """Have a function called in each child process that is forked; there are none on Windows."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forget)


def ready_to_spawn() -> None:
    """Start what Python starts beside the first process that it spawns; only on Unix is there such a thing."""
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Signals of the terminal come late, and what is started meanwhile never gets them. Where signals cannot be held they come as ever."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [s for s in STOPPING if s != signal.SIGTERM])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
