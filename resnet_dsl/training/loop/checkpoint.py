"""Checkpoints: a line of JSON (format, step, size, SHA-256 of what follows), then what torch.save wrote.

Neither torch.load nor safetensors notices damaged tensor bytes, so the sum is ours. Two are kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from resnet_dsl.diagnostics import refuse
from resnet_dsl.files import discard, open_regular, write_atomic
from resnet_dsl.training.loop import faults

FORMAT = 2
KEEP = 2
_ENDING = ".ckpt"
_HEADER_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Damaged:
    """A checkpoint that is not to be used, and why."""

    path: Path
    reason: str


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write the checkpoint of a step and drop all but the newest two. Raises SpecError (exit 3); older ones stay then."""
    reached = partial(faults.reach, step=step)
    reached("before_save")
    # Serialised in memory first: torch.save to a path leaves half a file behind, and hides why.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    header = json.dumps({"format": FORMAT, "step": step, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    path = folder / f"step-{step:09d}{_ENDING}"
    write_atomic(path, header.encode() + b"\n" + content, reached)
    for old in _newest_first(folder)[KEEP:]:
        discard(old)
    reached("after_prune")
    return path


def load_newest(folder: Path, device: torch.device) -> tuple[dict[str, Any] | None, list[Damaged]]:
    """The newest checkpoint that is whole, and the newer ones that are not; None where there is none at all.

    Raises SpecError (exit 3) where there are some and all are damaged.
    """
    damaged: list[Damaged] = []
    for path in _newest_first(folder):
        found = _load(path, device)
        if not isinstance(found, Damaged):
            return found, damaged
        damaged.append(found)
    if damaged:
        every = "; ".join(f"{d.path.name}: {d.reason}" for d in damaged)
        raise refuse(
            "checkpoint-damaged", f"no checkpoint can be used: {every}", "delete them to start this run again", at=folder, exit_code=3
        )
    return None, []


def _newest_first(folder: Path) -> list[Path]:
    # By step, never by time: clocks jump. The step has a fixed number of digits in the name.
    return sorted((p for p in folder.glob(f"step-*{_ENDING}")), key=lambda p: p.name, reverse=True)


def _load(path: Path, device: torch.device) -> dict[str, Any] | Damaged:
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            content = file.read()
    except OSError as e:
        return Damaged(path, f"cannot be read ({e.strerror})")
    end = content.find(b"\n", 0, _HEADER_LIMIT)
    try:
        header = json.loads(content[: max(0, end)])
        form, size, expected = header["format"], header["bytes"], header["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return Damaged(path, "has no header")
    if form != FORMAT:
        return Damaged(path, f"has format {form}, this program reads {FORMAT}")
    body = memoryview(content)[end + 1 :]
    if len(body) != size:
        return Damaged(path, f"expected {size:,} bytes, found {len(body):,}")
    if hashlib.sha256(body).hexdigest() != expected:
        return Damaged(path, "its SHA-256 is not what it should be")
    try:
        state = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as e:
        return Damaged(path, f"cannot be loaded ({str(e)[:80]})")
    return state if isinstance(state, dict) else Damaged(path, "is not the state of a run")
