"""A study's folder: the plan that its runs belong to, what was measured of each, the result. No torch here.

plan.json                   the digest of each run that was begun here, and of the rule that decides
specs/, recipes/, starts/   what the runs are made from: enough to repeat each with `resnet-dsl train`
runs/ARM-lrRATE-seedSEED/   run folders; measures.json in one says that it is finished
study.json                  the result
lock                        held while a process runs the study
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.files import write_atomic
from resnet_dsl.lab.study.engine import Task
from resnet_dsl.lab.study.records import RegisteredRuns, RunMeasures
from resnet_dsl.records.document import StoredDocument

MEASURES_FILE, PLAN, RESULT = "measures.json", "plan.json", "study.json"


_Kind = TypeVar("_Kind", bound=StoredDocument)


def measured(task: Task) -> RunMeasures | None:
    """What was measured of a finished task; None where it is not finished.

    Raises SpecError: exit 2 where the folder holds another run, 3 where the file is damaged.
    """
    found = read(RunMeasures, task.folder / MEASURES_FILE)
    if found is not None and found.identity != task.identity:
        raise _other(task)
    return found


def register(home: Path, tasks: Sequence[Task], rule: str) -> bool:
    """Note the tasks and the digest of the decision rule in the folder's plan. Was the rule the same when the first run was begun?

    Raises SpecError: exit 2 where runs of these names are others, 3 where the folder cannot be read or written.
    """
    held = read(RegisteredRuns, home / PLAN) or RegisteredRuns(rule=rule, runs={})
    for task in tasks:
        if held.runs.get(task.name, task.identity) != task.identity or (task.name not in held.runs and task.folder.exists()):
            raise _other(task)
    wanted = {**held.runs, **{t.name: t.identity for t in tasks}}
    if wanted != held.runs:
        write(home / PLAN, RegisteredRuns(rule=held.rule, runs=wanted))
    return held.rule == rule


def read(kind: type[_Kind], path: Path) -> _Kind | None:
    """A document of the folder; None where there is none. Raises SpecError (exit 3) where it is damaged."""
    if not os.path.lexists(path):
        return None
    try:
        return kind.read(path)
    except SpecError as e:
        help = "delete it; what it holds is made again"
        raise SpecError([replace(d, help=help) for d in e.diagnostics], e.exit_code) from None


def write(path: Path, document: StoredDocument) -> None:
    """A document, whole. Raises SpecError (exit 3)."""
    text = json.dumps(document.to_dict(), indent=1, allow_nan=False)
    # Numbers side by side: a curve on sixty lines is nothing to read.
    text = re.sub(r"\[\s+(-?\d[-+\d.,e\s]*?)\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text)
    write_atomic(path, f"{text}\n".encode())


def _other(task: Task) -> SpecError:
    return refuse(
        "run-differs",
        "holds a run of another network, recipe or data: the study was changed since, or is asked for with other options",
        f"choose another {Argument('out')}, or delete the folder",
        at=task.folder,
    )
