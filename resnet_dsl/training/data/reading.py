"""Reading files that may be cut short, damaged or something else altogether: every such case is one SpecError."""

from __future__ import annotations

import gzip
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.files import open_regular

MAX_BYTES = 1 << 30
"""No file of the known data sets is near this size once unpacked."""


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
        raise refuse(
            "data-unreadable",
            f"cannot be read or written: {e.strerror or str(e)[:120]}",
            "check the disk and the path",
            at=path,
            exit_code=3,
        ) from None
    except MemoryError:
        raise refuse("memory", "does not fit into memory", "use a machine with more memory", at=path, exit_code=3) from None


def read(path: Path) -> bytes:
    """A file's bytes, unpacked where it ends in .gz; at most `MAX_BYTES`. Raises SpecError (exit 3)."""
    with blame(path), os.fdopen(open_regular(path), "rb") as f:
        content = gzip.GzipFile(fileobj=f).read(MAX_BYTES + 1) if path.suffix == ".gz" else f.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise damaged(path, f"is over {MAX_BYTES:,} bytes, more than any file of this data set", "check that the file is the right one")
    return content
