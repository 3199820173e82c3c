"""SIGINT, SIGTERM and SIGHUP as a wish that the loop asks for between steps; the second one ends the process at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopWish:
    """Inside `with`, calling it says whether a signal has come."""

    def __init__(self) -> None:
        self._come = False
        self._before: dict[signal.Signals, object] = {}

    def __call__(self) -> bool:
        """Has a signal come?"""
        return self._come

    def __enter__(self) -> StopWish:
        """Take over the signals, but for those that are ignored (nohup). Outside the main thread Python has none to give."""
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in _SIGNALS if signal.getsignal(s) != signal.SIG_IGN}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """Give the signals back."""
        for s, handler in self._before.items():
            signal.signal(s, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._come = True
        for s in self._before:
            signal.signal(s, signal.SIG_DFL)
