"""Checkpoints of a network that no rank holds whole: a folder to which every rank adds a file, through torch.distributed.checkpoint.

step-000000100.sharded/
  .metadata, __0_0.distcp, __1_0.distcp, ...   the tensors: each rank's parts of weights, optimizer and average
  rest.pt                                      what every rank knows, by rank 0
  manifest.json                                size and SHA-256 of each of these

It is written beside, and gets its name when all is there. Two are kept. They are read with another number of ranks as well, and
with one. torch reads .metadata as a pickle, which can run programs: resume only runs of people you trust.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from resnet_dsl.diagnostics import refuse
from resnet_dsl.files import PARTIAL, open_regular, write_atomic, write_error
from resnet_dsl.system import sync_folder
from resnet_dsl.training.loop import faults
from resnet_dsl.training.loop.checkpoint import KEEP, Damaged
from resnet_dsl.training.ranks.world import World

FORMAT = 1
_ENDING = ".sharded"
_MANIFEST, _REST = "manifest.json", "rest.pt"
_SPREAD = ("model", "optimizer", "average")
"""The parts of a state that lie on all ranks."""
_PLACE = "sharded"
"""Where `load_newest` notes the folder for `read`."""


def save(folder: Path, step: int, state: dict[str, Any], world: World) -> None:
    """Write the checkpoint of a step and drop all but the newest two; all ranks must call it. Raises SpecError (exit 3)."""
    reached = partial(faults.reach, step=step)
    reached("before_save")
    path = folder / f"step-{step:09d}{_ENDING}"
    draft = path.with_name(f".{path.name}{PARTIAL}")
    if world.main:
        _make(draft)
    world.barrier()
    spread, rest = _parted(state)
    try:
        _write(draft, spread, world)
        reached("mid_write")
        own = {p.name: _sum(p) for p in draft.glob(f"__{world.rank}_*.distcp")}
        every = world.gather(own)
        if world.main:
            buffer = io.BytesIO()
            torch.save(rest, buffer)
            write_atomic(draft / _REST, buffer.getvalue())
            files = {name: s for found in every for name, s in found.items()}
            files |= {name: _sum(draft / name) for name in (".metadata", _REST)}
            manifest = {"format": FORMAT, "step": step, "ranks": world.size, "files": dict(sorted(files.items()))}
            write_atomic(draft / _MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
            reached("after_tmp_write")
            # One of the same step that was damaged is in the way.
            shutil.rmtree(path, ignore_errors=True)
            draft.rename(path)
            reached("after_rename")
            sync_folder(folder)
            for old in _newest_first(folder)[KEEP:]:
                shutil.rmtree(old, ignore_errors=True)
            reached("after_prune")
    except OSError as e:
        raise write_error(path, 0, e) from None


def load_newest(folder: Path, world: World) -> tuple[dict[str, Any] | None, list[Damaged]]:
    """What every rank knows of the newest checkpoint that is whole for all, and the newer ones that are not; None where there is none.

    `read` takes the rest, when there is a network to put it into. All ranks must call it. Raises SpecError (exit 3) where there are
    some and all are damaged.
    """
    damaged: list[Damaged] = []
    for path in world.share(_newest_first(folder) if world.main else None):
        reasons = [r for r in world.gather(_complaint(path, world)) if r]
        if not reasons:
            return {**torch.load(path / _REST, map_location="cpu", weights_only=True), _PLACE: path}, damaged
        damaged.append(Damaged(path, reasons[0]))
    if damaged:
        every = "; ".join(f"{d.path.name}: {d.reason}" for d in damaged)
        raise refuse(
            "checkpoint-damaged", f"no checkpoint can be used: {every}", "delete them to start this run again", at=folder, exit_code=3
        )
    return None, []


def read(state: dict[str, Any], live: dict[str, Any], world: World) -> dict[str, Any]:
    """All of a state that `load_newest` has found. The tensors of `live`, the run's state as it is, are filled and become its own.

    All ranks must call it. Raises SpecError (exit 3).
    """
    from torch.distributed.checkpoint import state_dict_loader
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemReader

    path, spread = state[_PLACE], _parted(live)[0]
    try:
        with _quiet():
            state_dict_loader.load(spread, storage_reader=FileSystemReader(path), no_dist=world.size == 1)
    except (CheckpointException, RuntimeError, ValueError, KeyError, OSError) as e:
        reason = str(e).strip().splitlines()[-1][:120]
        raise refuse(
            "checkpoint-damaged", f"cannot be loaded ({reason})", "delete it to go on from the one before", at=path, exit_code=3
        ) from None
    return {**state, **spread}


def discard_drafts(folder: Path) -> None:
    """Remove what processes that were killed left half written."""
    for draft in folder.glob(f".*{_ENDING}{PARTIAL}"):
        shutil.rmtree(draft, ignore_errors=True)


def _parted(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    spread = {name: state[name] for name in _SPREAD if state.get(name) is not None}
    return spread, {name: value for name, value in state.items() if name not in spread}


def _make(draft: Path) -> None:
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
    except OSError as e:
        raise write_error(draft, 0, e) from None


def _newest_first(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob(f"step-*{_ENDING}")), key=lambda p: p.name, reverse=True)


def _sum(path: Path) -> list[Any]:
    """Bytes and SHA-256 of a file."""
    with os.fdopen(open_regular(path), "rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
        return [f.tell(), digest]


def _complaint(path: Path, world: World) -> str:
    """What is wrong with a checkpoint, as far as this rank looks: each takes every R-th file. Empty if nothing is."""
    try:
        found = json.loads((path / _MANIFEST).read_bytes())
        form, step, files = found["format"], found["step"], sorted(found["files"].items())
    except FileNotFoundError:
        return "has no manifest" if path.is_dir() else "cannot be seen by every rank: use storage that all machines share"
    except OSError as e:
        return f"cannot be read ({e.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "its manifest is damaged"
    if form != FORMAT:
        return f"has format {form}, this program reads {FORMAT}"
    if path.name != f"step-{step:09d}{_ENDING}" or not {".metadata", _REST} <= found["files"].keys():
        return "its manifest is damaged"
    for name, expected in files[world.rank :: world.size]:
        try:
            size, digest = _sum(path / name)
        except OSError as e:
            return f"{name} cannot be read ({e.strerror})"
        if [size, digest] != expected:
            return f"{name}: its {'SHA-256 is' if size == expected[0] else f'{size:,} bytes are'} not what it should be"
    return ""


def _write(path: Path, spread: dict[str, Any], world: World) -> None:
    from torch.distributed.checkpoint import state_dict_saver
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
    from torch.distributed.checkpoint.filesystem import FileSystemWriter

    # What every rank holds, such as batch norm's statistics, is rank 0's.
    planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
    try:
        with _quiet():
            state_dict_saver.save(spread, storage_writer=FileSystemWriter(path), planner=planner, no_dist=world.size == 1)
    except CheckpointException as e:
        # One error of each rank that has one; those of a full disk are OSErrors, wrapped for the journey.
        rank, (first, _) = next(iter(e.failures.items()))
        raise refuse(
            "disk",
            f"rank {rank} cannot write its part: {str(first).splitlines()[0][:120]}; what was there is untouched",
            "free some space, or check the folder and its permissions",
            at=path,
            exit_code=3,
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """torch warns that one process is one process, and of its own old tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield
