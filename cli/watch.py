"""Doing something again whenever files change: by looking, several times a second, since that works on every disk."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from resnet_dsl.cli.output import note, show

INTERVAL = 0.2
"""Seconds from one look to the next."""

_CLEAR = "\x1b[2J\x1b[H"

Stamp = tuple[int, int, int]


def watch(files: Callable[[], Iterable[Path]], act: Callable[[], object], *, quiet: bool = False) -> None:
    """Call `act`, and again each time one of the files changes, appears or goes; Ctrl-C ends it.

    `files` is asked again after each change, so that what a changed file names is watched too.
    """
    try:
        while True:
            # Before acting: what changes meanwhile is a change.
            watched = sorted(set(files()))
            before = _stamps(watched)
            if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
                show(_CLEAR)
            act()
            note(f"watching {len(watched)} file{'s' if len(watched) > 1 else ''}; Ctrl-C ends", quiet=quiet)
            _wait(watched, before)
    except KeyboardInterrupt:
        return


def _wait(watched: list[Path], before: dict[Path, Stamp | None]) -> None:
    """Until the files are not what they were, and have stayed so for one look: an editor may write in several steps."""
    last = before
    while True:
        time.sleep(INTERVAL)
        now = _stamps(watched)
        if now == last and now != before:
            return
        last = now


def _stamps(files: list[Path]) -> dict[Path, Stamp | None]:
    return {path: _stamp(path) for path in files}


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
