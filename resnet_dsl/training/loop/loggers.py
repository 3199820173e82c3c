"""Where a run's log goes beside metrics.jsonl: metrics.csv always, TensorBoard and the loggers of other packages where asked for.

metrics.jsonl is the log. Everything here is made from its rows: a logger is given those that are there already when it
opens, and each further one after it was written. So a run that was killed and resumed has the same log everywhere.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol

from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.extras import require
from resnet_dsl.files import write_atomic
from resnet_dsl.records.log import Figures, ForeignLogger, LogRow, read_rows

GROUP = "resnet_dsl.loggers"
"""The entry points under which packages offer loggers: a name, and a `Maker`."""

CSV = "metrics.csv"

WANDB = "wandb"
"""The name of the one logger of another package that we bring."""


class Logger(Protocol):
    """Is given each row of the log."""

    def log(self, row: LogRow) -> None:
        """One more row."""

    def close(self) -> None:
        """The process ends; the run may go on in another."""


Maker = Callable[[Path, Sequence[Figures]], ForeignLogger]
"""Makes a logger from the run's folder and the rows that are there already, which it may have seen in a former process."""


class CsvLog:
    """metrics.csv: the log as one table, written whole when it opens, at each evaluation and at the end.

    Its columns are the keys of all rows in the order of their first appearance. A row without a key leaves the cell empty.
    """

    def __init__(self, folder: Path, rows: Sequence[LogRow]) -> None:
        self._path = folder / CSV
        self._rows = list(rows)
        self._write()

    def log(self, row: LogRow) -> None:
        """One more row. Raises SpecError (exit 3)."""
        self._rows.append(row)
        if row.event != "train":
            self._write()

    def close(self) -> None:
        """Write the rest. Raises SpecError (exit 3)."""
        self._write()

    def _write(self) -> None:
        write_atomic(self._path, table(self._rows).encode())


def table(rows: Iterable[LogRow]) -> str:
    """Rows as CSV."""
    kept = [row.to_dict() for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in kept for key in row)), lineterminator="\n")
    if kept:
        writer.writeheader()
        writer.writerows(kept)
    return out.getvalue()


class GuardedLogger:
    """A logger that is not ours. When it fails it is not called again, and the run continues: `say` is told once."""

    def __init__(self, name: str, make: Maker, folder: Path, rows: Sequence[LogRow], say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._logger: ForeignLogger | None = None
        self._try(lambda: setattr(self, "_logger", make(folder, [r.to_dict() for r in rows])))

    def log(self, row: LogRow) -> None:
        """One more row, if it still listens."""
        if (logger := self._logger) is not None:
            self._try(lambda: logger.log(row.to_dict()))

    def close(self) -> None:
        """Close it, if it still listens and has something to close."""
        if (close := getattr(self._logger, "close", None)) is not None:
            self._try(close)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as e:  # noqa: BLE001 - code that is not ours must not end a run
            self._logger = None
            self._say(f"warning: the logger {self._name} failed and is left out: {type(e).__name__}: {str(e)[:120]}")


def makers(asked: Sequence[str | ForeignLogger]) -> dict[str, Maker]:
    """What makes the loggers that are asked for: wandb, those that installed packages offer, and objects, which are made already.

    Raises SpecError: exit 2 for an unknown name and for what is no logger, 3 where one cannot be loaded.
    """
    offered: dict[str, EntryPoint] = {e.name: e for e in entry_points(group=GROUP)}
    found: dict[str, Maker] = {}
    for number, one in enumerate(asked, 1):
        if not isinstance(one, str):
            found[f"{type(one).__name__} {number}"] = _given(one)
        elif one in offered:
            found[one] = _loaded(offered[one])
        elif one == WANDB:
            found[one] = _wandb()
        else:
            help = f"{did_you_mean(one, (*offered, WANDB), what='a logger')}; others come in packages with the entry point {GROUP}"
            raise refuse("unknown-name", f"{quote(one)} is not an installed logger", help, at=Argument("logger"))
    return found


def _given(logger: ForeignLogger) -> Maker:
    if not callable(getattr(logger, "log", None)):
        message = f"{quote(type(logger).__name__)} has no method `log`, to which each row is given as a dict"
        raise refuse("usage", message, "give an object with log(row), or the name of a logger", at=Argument("logger"))
    return lambda folder, rows: logger


def _loaded(offer: EntryPoint) -> Maker:
    try:
        maker: Maker = offer.load()
    except Exception as e:  # noqa: BLE001 - code that is not ours must not end in a traceback
        raise refuse(
            "environment",
            f"the logger {offer.name} cannot be loaded: {type(e).__name__}: {str(e)[:120]}",
            "fix or remove its package",
            at=Argument("logger"),
            exit_code=3,
        ) from None
    return maker


def _wandb() -> Maker:
    require("wandb", "the logger wandb needs the package", at=Argument("logger"))
    from resnet_dsl.training.loop.wandb_log import WandbLog

    return WandbLog


def open_loggers(folder: Path, *, tensorboard: bool, others: Mapping[str, Maker], say: Callable[[str], None]) -> list[Logger]:
    """The loggers of a run, with all rows that its log holds. Raises SpecError (exit 3)."""
    rows = read_rows(folder)
    loggers: list[Logger] = [CsvLog(folder, rows)]
    if tensorboard:
        from resnet_dsl.training.loop.tensorboard import TensorBoard

        loggers.append(TensorBoard(folder, rows))
    return [*loggers, *(GuardedLogger(name, make, folder, rows, say) for name, make in others.items())]
