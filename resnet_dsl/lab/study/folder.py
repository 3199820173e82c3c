"""A study's folder: the plan that its runs belong to, what was measured of each, the result. No torch here.

plan.json                   the digest of each run that was begun here, and of the rule that decides
specs/, recipes/, starts/   what the runs are made from: enough to repeat each with `resnet-dsl train`
runs/ARM-lrRATE-seedSEED/   run folders; measures.json in one says that it is finished
study.json                  the result
lock                        held while a process runs the study
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.files import write_atomic
from resnet_dsl.lab.study.engine import Task

MEASURES_FILE, PLAN, RESULT = "measures.json", "plan.json", "study.json"


def measured(task: Task) -> dict[str, Any] | None:
    """What was measured of a finished task; None where it is not finished. Raises SpecError (exit 3) where the file is damaged."""
    path = task.folder / MEASURES_FILE
    found = read_json(path)
    if found is not None and found.get("identity") != task.identity:
        raise _other(task)
    return found


def register(home: Path, tasks: Sequence[Task], rule: str) -> bool:
    """Note the tasks and the digest of the decision rule in the folder's plan. Was the rule the same when the first run was begun?

    Raises SpecError: exit 2 where runs of these names are others, 3 where the folder cannot be read or written.
    """
    held = read_json(home / PLAN) or {"rule": rule, "runs": {}}
    known = held["runs"]
    for task in tasks:
        if known.get(task.name, task.identity) != task.identity or (task.name not in known and task.folder.exists()):
            raise _other(task)
    wanted = held | {"runs": known | {t.name: t.identity for t in tasks}}
    if wanted["runs"] != known:
        write_json(home / PLAN, wanted)
    return bool(held["rule"] == rule)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file of ours; None where there is none. Raises SpecError (exit 3)."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is no JSON"
        raise refuse("run-damaged", f"cannot be read: {reason}", "delete it; what it holds is made again", at=path, exit_code=3) from None
    if not isinstance(found, dict):
        raise refuse("run-damaged", "is no document of a study", "delete it; what it holds is made again", at=path, exit_code=3)
    return found


def write_json(path: Path, document: object) -> None:
    """A JSON file, whole. Raises SpecError (exit 3)."""
    text = json.dumps(document, indent=1, allow_nan=False)
    # Numbers side by side: a curve on sixty lines is nothing to read.
    text = re.sub(r"\[\s+(-?\d[-+\d.,e\s]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    write_atomic(path, f"{text}\n".encode())


def _other(task: Task) -> SpecError:
    return refuse(
        "run-differs",
        "holds a run of another network, recipe or data: the study was changed since, or is asked for with other options",
        "choose another --out, or delete the folder",
        at=task.folder,
    )
