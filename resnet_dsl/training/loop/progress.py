"""What is shown during a run: a live line on a terminal, a plain line every few seconds elsewhere, or nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import IO, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from resnet_dsl.diagnostics import Speech, clean, speak
from resnet_dsl.table import duration

PLAIN_INTERVAL = 5.0
"""Seconds between two plain lines."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a run is. `score` is the last evaluation's top-1 share on `scored_on`; None before the first. `name` tells runs apart that are
    shown together.
    """

    step: int
    total: int
    epoch: int
    epochs: int
    lr: float
    loss: float | None
    accuracy: float | None
    rate: float
    seconds_left: float
    score: float | None
    scored_on: str
    name: str = ""

    def __str__(self) -> str:
        parts = [*([self.name] if self.name else []), f"epoch {self.epoch}/{self.epochs}", f"step {self.step:,}/{self.total:,}"]
        if self.loss is not None and self.accuracy is not None:
            parts += [f"loss {self.loss:.4f}", f"train {self.accuracy:.2%}"]
        if self.score is not None:
            parts.append(f"{self.scored_on} {self.score:.2%}")
        return "  ".join([*parts, f"lr {self.lr:.4f}", f"{self.rate:,.0f} images/s", f"{duration(self.seconds_left)} left"])


class Watcher(Protocol):
    """Is shown each step of a run, and says things in between."""

    def say(self, text: str) -> None:
        """One line of news."""

    def show(self, now: Snapshot) -> None:
        """The state after a step or an evaluation."""

    def close(self) -> None:
        """The run is over, well or not."""


class Silent:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def show(self, now: Snapshot) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Lines:
    """A line every few seconds, for logs. Says nothing more once nobody reads; training continues."""

    def __init__(self, stream: IO[str], speech: Speech = "python") -> None:
        self._stream: IO[str] | None = stream
        self._speech = speech
        self._began = time.monotonic()
        self._last: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line."""
        if self._stream is None:
            return
        try:
            print(clean(speak(text, self._speech)), file=self._stream, flush=True)
        except (BrokenPipeError, ValueError):
            self._stream = None

    def show(self, now: Snapshot) -> None:
        """A line, if it is time for one."""
        if now.step == now.total or time.monotonic() - self._last.get(now.name, self._began) >= PLAIN_INTERVAL:
            self._last[now.name] = time.monotonic()
            self.say(str(now))

    def close(self) -> None:
        """Nothing is left open."""


class Bar:
    """One live line with a bar for each run, on a terminal."""

    def __init__(self, console: Console, speech: Speech = "python") -> None:
        self._console = console
        self._speech = speech
        self._live: Live | None = None
        self._shown = 0.0
        self._rows: dict[str, Snapshot] = {}

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._console.print(clean(speak(text, self._speech)), highlight=False, markup=False)

    def show(self, now: Snapshot) -> None:
        """Redraw, at most ten times a second."""
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        self._rows[now.name] = now
        if now.step == now.total or time.monotonic() - self._shown >= 0.1:
            self._shown = time.monotonic()
            rows = Table.grid(padding=(0, 2))
            for shown in self._rows.values():
                rows.add_row(ProgressBar(total=shown.total, completed=shown.step, width=24), str(shown))
            self._live.update(rows, refresh=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def watcher(stream: IO[str], quiet: bool, speech: Speech = "python") -> Watcher:
    """The right one for a stream; arguments in what it says are written for `speech`."""
    if quiet:
        return Silent()
    console = Console(file=stream)
    return Bar(console, speech) if console.is_terminal and not console.is_dumb_terminal else Lines(stream, speech)
