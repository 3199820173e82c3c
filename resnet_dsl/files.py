"""Files that are whole or absent: written beside, synced, renamed, the folder synced. Files are opened where they are regular."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from resnet_dsl.diagnostics import SpecError, refuse

PARTIAL = ".partial"
"""The ending of a file that is being written; one that stays behind is from a process that was killed."""


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """The descriptor of a regular file. A pipe is not waited for, and no device is read.

    Raises OSError, whose `strerror` says so where `path` is another kind of file.
    """
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    kind = "a directory" if stat.S_ISDIR(mode) else "a device, pipe or socket"
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def write_atomic(path: Path, content: bytes, reached: Callable[[str], None] = lambda _: None) -> None:
    """Replace `path` by `content`, or leave it as it was. Raises SpecError (exit 3) naming the path and the bytes needed.

    `reached` is told each phase: mid_write, after_tmp_write, after_rename.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        # A rename over a device, a pipe or a link would replace it.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise refuse("output", "is there already and is no regular file", "choose another path", at=path, exit_code=3)
    except FileNotFoundError:
        pass
    except OSError as e:
        raise write_error(path, len(content), e) from None
    try:
        with partial.open("wb") as f:
            half = len(content) // 2
            f.write(memoryview(content)[:half])
            f.flush()
            reached("mid_write")
            f.write(memoryview(content)[half:])
            f.flush()
            os.fsync(f.fileno())
        reached("after_tmp_write")
        partial.replace(path)
        reached("after_rename")
        sync_folder(path.parent)
    except OSError as e:
        discard(partial)
        raise write_error(path, len(content), e) from None


def write_error(path: Path, needed: int, e: OSError) -> SpecError:
    """The error for a file that could not be written."""
    return refuse(
        "disk",
        f"cannot write {needed:,} bytes: {e.strerror}; what was there is untouched",
        "free some space, or check the folder and its permissions",
        at=path,
        exit_code=3,
    )


def discard(path: Path) -> None:
    """Remove a file of ours if it is there and can be removed."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
