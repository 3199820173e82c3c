"""Files that are whole or absent: written beside, synced, renamed, the folder synced. Files are opened where they are regular."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.system import OPENING, give_mode, sync_folder

PARTIAL = ".partial"
"""The ending of a file that is being written; one that stays behind is from a process that was killed."""


def open_regular(path: Path | str, flags: int = os.O_RDONLY) -> int:
    """The descriptor of a regular file. A pipe is not waited for, and no device is read.

    Raises OSError, whose `strerror` says so where `path` is another kind of file.
    """
    fd = os.open(path, flags | OPENING, 0o644)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return fd
    os.close(fd)
    kind = "a directory" if stat.S_ISDIR(mode) else "a device, pipe or socket"
    raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))


def write_atomic(path: Path, content: bytes, reached: Callable[[str], None] = lambda _: None) -> None:
    """Replace a file of ours by `content`, or leave it as it was. Links are not followed.

    `reached` is told each phase: mid_write, after_tmp_write, after_rename. Raises SpecError (exit 3) naming the path and the
    bytes needed.
    """
    try:
        regular = stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        regular = True
    except OSError as e:
        raise write_error(path, len(content), e) from None
    if not regular:
        # A rename over a device, a pipe or a link would replace it.
        raise refuse("output", "already exists and is not a regular file", "choose another path", at=path, exit_code=3)
    try:
        _replace(path, content, reached)
    except OSError as e:
        raise write_error(path, len(content), e) from None


def write_output(path: str | os.PathLike[str], content: str | bytes, *, at: Argument | None = None, overwrite: bool = True) -> Path:
    """Write what a user asked for under the name that the user gave; gives the path. Links are followed.

    The file is whole or as it was before. Without `overwrite` an existing file is left alone. `at` is the argument that
    gave the name, where that is blamed and not the file.
    Raises SpecError: exit 2 for a file that already exists, and for what is not a regular file; 3 where the disk refuses.
    """
    target = Path(os.path.realpath(path))
    data = content.encode() if isinstance(content, str) else content
    try:
        # Opening a pipe would wait for a reader.
        mode = _mode(target)
        if mode is not None and not overwrite:
            raise FileExistsError
        if mode is not None and not stat.S_ISREG(mode):
            what = "already exists and is not a regular file"
            message = what if at is None else f"cannot write {path}: it {what}"
            raise refuse("output", message, "name a file", at=str(path) if at is None else at, exit_code=2 if at is None else 3)
        _replace(target, data, mode=mode, overwrite=overwrite)
    except FileExistsError:
        message = f"{path} already exists"
        raise refuse("file-exists", message, "choose another name, or delete it first", at=at or Argument("out")) from None
    except OSError as e:
        why, help = _reason(target.parent, e)
        message = f"cannot be written: {why}" if at is None else f"cannot write {path}: {why}"
        raise refuse("output", message, help, at=str(path) if at is None else at, exit_code=3) from None
    return Path(path)


def _reason(folder: Path, e: OSError) -> tuple[str, str]:
    """Why nothing could be written into a folder, and what helps."""
    if isinstance(e, FileNotFoundError) and not folder.exists():
        return f"there is no folder {folder}", f"make it first: mkdir -p {shlex.quote(str(folder))}"
    if isinstance(e, NotADirectoryError):
        return f"{folder} is no folder", "name a file in a folder"
    return e.strerror or str(e), "check the folder, the disk and the permissions"


def _mode(path: Path) -> int | None:
    """The kind and permissions of what is there; None where nothing is."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(
    path: Path, content: bytes, reached: Callable[[str], None] = lambda _: None, *, mode: int | None = None, overwrite: bool = True
) -> None:
    """Write beside, sync, rename, sync the folder; the file gets the permissions `mode`. Raises OSError, and leaves what was there."""
    # A short name, whatever the file's own: a file system takes 255 bytes.
    partial = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}{PARTIAL}")
    try:
        with partial.open("wb") as f:
            half = len(content) // 2
            f.write(memoryview(content)[:half])
            f.flush()
            reached("mid_write")
            f.write(memoryview(content)[half:])
            f.flush()
            if mode is not None:
                give_mode(f.fileno(), stat.S_IMODE(mode))
            os.fsync(f.fileno())
        reached("after_tmp_write")
        if overwrite:
            partial.replace(path)
        else:
            _move(partial, path)
        reached("after_rename")
        sync_folder(path.parent)
    except OSError:
        discard(partial)
        raise


def _move(partial: Path, path: Path) -> None:
    """Rename where nothing is there yet. A link of its own is made at once or not at all; not every file system has them."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError from None
        partial.replace(path)
    discard(partial)


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
