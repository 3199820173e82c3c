"""The log of a run, metrics.jsonl: its rows, read. The rows are what every other form of the log is made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnet_dsl.diagnostics import refuse
from resnet_dsl.records.folder import METRICS

Row = Mapping[str, Any]


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics.jsonl, none where there is no such file. A last line that was cut off by a kill is no row.

    Raises SpecError (exit 3) where a line is no row.
    """
    path = folder / METRICS
    try:
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is no text"
        raise refuse("run-damaged", f"cannot be read: {reason}", "the run folder is not complete", at=path, exit_code=3) from None
    return [_row(line, number, path) for number, line in enumerate(lines, 1)]


def _row(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        row: dict[str, Any] = json.loads(line)
        # What every reader of a row relies on.
        if isinstance(row["step"], int) and isinstance(row["epoch"], int | float) and isinstance(row["event"], str):
            return row
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise refuse("run-damaged", f"line {number:,} is no row of a log", "the file was edited or damaged", at=path, exit_code=3)
