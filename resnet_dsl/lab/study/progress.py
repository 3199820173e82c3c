"""What is shown while a study runs: each run as it ends and, on a terminal, a live line. No torch here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import IO

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from resnet_dsl.diagnostics import speak
from resnet_dsl.lab.study.engine import Event, Task, TaskResult
from resnet_dsl.table import duration


class Board:
    """Follows the tasks of a study and says how long the rest takes. `work` is how much each task is, in any unit."""

    def __init__(self, stream: IO[str], quiet: bool, tasks: Sequence[Task], work: Mapping[str, float], done: int) -> None:
        self._console = Console(file=stream, quiet=quiet, highlight=False, markup=False, soft_wrap=True)
        self._live: Live | None = None
        self._total, self._done = len(tasks) + done, done
        self._left = {t.name: work[t.name] for t in tasks}
        self._work, self._all = work, sum(self._left.values())
        self._at: dict[str, str] = {}
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """One line of news."""
        self._console.print(text)

    def event(self, e: Event) -> None:
        """News of a run."""
        if e.kind == "again":
            self.say(f"{e.task.name}: {e.text}; it goes on from its checkpoint")
            return
        if e.kind == "step" and e.total:
            self._left[e.task.name] = self._work[e.task.name] * (1 - e.step / e.total)
            self._at[e.task.name] = f"{e.task.name} {e.step:,}/{e.total:,}"
        self._show()

    def ended(self, o: TaskResult) -> None:
        """A run has ended."""
        self._left.pop(o.task.name, None)
        self._at.pop(o.task.name, None)
        self._done += 1
        if o.measured is None:
            said = f"failed: {speak(o.error)}"
        elif o.measured.diverged:
            said = "diverged"
        else:
            m = o.measured.measures
            said = f"train error {m['train_error']:.1f} %, test error {m['test_error']:.1f} %, {duration(m['seconds'] or 0)}"
        rest = f"  ({duration(self._seconds())} left)" if self._left and self._live is None else ""
        self.say(f"[{self._done}/{self._total}] {o.task.name}: {said}{rest}")
        self._show()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _seconds(self) -> float:
        """What is left, at the pace so far."""
        left = sum(self._left.values())
        return (time.monotonic() - self._began) * left / max(1e-9, self._all - left)

    def _show(self) -> None:
        if not self._console.is_terminal or self._console.is_dumb_terminal or self._console.quiet:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        share = 1 - sum(self._left.values()) / max(1e-9, self._all)
        row = Table.grid(padding=(0, 2))
        left = f"{duration(self._seconds())} left" if share > 0.01 else ""
        row.add_row(ProgressBar(total=1, completed=share, width=20), f"{self._done}/{self._total} runs", left, ", ".join(self._at.values()))
        self._live.update(row, refresh=True)
