"""Reading files that may be cut short, damaged or something else altogether: every such case is one SpecError."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.files import open_regular

MAX_BYTES = 1 << 28
"""No file of the known data sets is near this size once unpacked."""

_CHUNK = 1 << 20


def damaged(path: Path | str, problem: str, help: str = "copy or download the file again") -> SpecError:
    """The error for a file that is not what it should be: `problem` says what was expected and what was found."""
    return refuse("data-damaged", problem, help, at=path, exit_code=3)


@contextmanager
def blame(path: Path | str) -> Iterator[None]:
    """Whatever goes wrong while `path` is read is said of `path`."""
    try:
        yield
    except EOFError:
        raise damaged(path, "ends too early: the compressed data is cut short") from None
    except (gzip.BadGzipFile, tarfile.TarError) as e:
        raise damaged(path, f"is not what its name says: {str(e)[:120]}", "check that the file is what its ending says") from None
    except (zlib.error, struct.error) as e:
        raise damaged(path, f"is damaged: {str(e)[:120]}") from None
    except PermissionError:
        raise refuse("data-unreadable", "may not be read", "change its permissions: chmod +r", at=path, exit_code=3) from None
    except OSError as e:
        if e.errno == errno.EINVAL and (e.strerror or "").endswith("not a regular file"):
            raise refuse("data-unreadable", (e.strerror or "").removeprefix("it "), "give a file", at=path, exit_code=3) from None
        raise refuse(
            "data-unreadable",
            f"cannot be read or written: {e.strerror or str(e)[:120]}",
            "check the disk and the path",
            at=path,
            exit_code=3,
        ) from None
    except MemoryError:
        raise refuse("memory", "does not fit into memory", "use a machine with more memory", at=path, exit_code=3) from None


class Bounded:
    """A stream of which at most `most` bytes are read: what is packed may be of any size. `at` is what to blame beyond that."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile, most: int, at: Path) -> None:
        self.stream, self.left, self.most, self.at = stream, most, most, at

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most `size`. Raises SpecError (exit 3)."""
        found = self.stream.read(max(0, min(size, self.left + 1)))
        self.left -= len(found)
        if self.left < 0:
            problem = f"holds over {self.most:,} bytes, more than this data set has"
            raise damaged(self.at, problem, "check that the file is the right one")
        return found


@contextmanager
def opened(path: Path, most: int = MAX_BYTES) -> Iterator[Bounded]:
    """A regular file, unpacked where it ends in .gz, of which at most `most` bytes are read. Raises SpecError (exit 3)."""
    with blame(path), os.fdopen(open_regular(path), "rb") as f:
        yield Bounded(gzip.GzipFile(fileobj=f) if path.suffix == ".gz" else f, most, path)


def read(path: Path) -> bytes:
    """A file's bytes, unpacked where it ends in .gz; at most `MAX_BYTES`. Raises SpecError (exit 3)."""
    with opened(path) as stream:
        return rest(stream)


def rest(stream: Bounded) -> bytes:
    """All that is left of a stream."""
    content = bytearray()
    while piece := stream.read(_CHUNK):
        content += piece
    return bytes(content)
