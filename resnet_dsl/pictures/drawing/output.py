"""What may go wrong with a picture, and the file that it ends in."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from resnet_dsl.diagnostics import SpecError, refuse


def write_whole(path: Path, content: bytes) -> None:
    """Replace the file at `path` in one step: a reader sees the old file or the new one, never a part.

    Raises SpecError: exit code 2 where the target is no regular file, 3 where it cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        if not stat.S_ISREG(target.stat().st_mode):
            raise refuse("output", "is there already and is no regular file", "name a file", at=str(path))
    except FileNotFoundError:
        pass
    except OSError as e:
        raise _failed(path, e) from None
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        try:
            with partial.open("xb") as f:
                f.write(content)
                f.flush()
                os.fsync(f.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as e:
        raise _failed(path, e) from None


def _failed(path: Path, e: OSError) -> SpecError:
    help = "name a file in a folder that is there and that you may write to"
    return refuse("output", f"the picture cannot be written: {e.strerror}", help, at=str(path), exit_code=3)
