"""What ends a run before its end: SIGINT, SIGTERM and SIGHUP, and the time it was given, as a wish that the loop asks for between steps."""

from __future__ import annotations

import builtins
import signal
import sys
import threading
import time
from types import FrameType, TracebackType

from resnet_dsl.system import STOPPING


class StopWish:
    """Calling it says whether a signal has come inside `with`, or `limit` seconds have gone by since it was made.

    The second signal ends the process. Where a person works in it (a notebook, a prompt of Python), a second SIGINT raises KeyboardInterrupt
    instead, so that nothing else of theirs is lost.
    """

    def __init__(self, limit: float | None = None) -> None:
        self._end = None if limit is None else time.monotonic() + limit
        self._come = False
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        """Should the run stop?"""
        return self._come or self._late

    @property
    def why(self) -> str:
        """What to say of a run that was stopped."""
        return "time is up" if self._late and not self._come else "interrupted"

    @property
    def _late(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def __enter__(self) -> StopWish:
        """Take over the signals, except those that are ignored (nohup). Python gives none outside the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in STOPPING if signal.getsignal(s) != signal.SIG_IGN}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Give the signals back."""
        for s, handler in self._before.items():
            signal.signal(s, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._come = True
        for s in self._before:
            signal.signal(s, signal.default_int_handler if s == signal.SIGINT and _interactive() else signal.SIG_DFL)


def _interactive() -> bool:
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or hasattr(builtins, "__IPYTHON__")
