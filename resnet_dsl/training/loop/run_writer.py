"""What a run leaves in its folder: log, checkpoints, weights, and the record of what it was asked for and where it ran."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from resnet_dsl.diagnostics import refuse
from resnet_dsl.records.folder import CHECKPOINTS, ENVIRONMENT, REQUEST, WEIGHTS, Metrics, RunFolder
from resnet_dsl.records.log import LogRow
from resnet_dsl.records.record import Environment, HeldOutRecord, RunRecord, Session
from resnet_dsl.records.run import Run
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.data.views import evaluation_side
from resnet_dsl.training.device.device import find
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.job import Job
from resnet_dsl.training.loop import checkpoint
from resnet_dsl.training.loop.loggers import Logger
from resnet_dsl.training.loop.progress import Watcher
from resnet_dsl.training.ranks import sharded
from resnet_dsl.training.ranks.parallel import full_state
from resnet_dsl.training.ranks.world import World
from resnet_dsl.version import __version__


@dataclass(frozen=True, slots=True)
class FolderWriter:
    """Puts a loop's log, checkpoints and weights into the run's folder. Of several ranks the first alone has `metrics` and loggers."""

    job: Job
    folder: RunFolder
    metrics: Metrics | None
    model: torch.nn.Module
    normalisation: Normalisation
    loggers: Sequence[Logger]
    world: World

    def log(self, row: LogRow) -> None:
        """One line of metrics.jsonl, and then of whatever is made from it."""
        if self.metrics is not None:
            self.metrics.add(row.line())
        for logger in self.loggers:
            logger.log(row)

    def save(self, step: int, state: dict[str, Any]) -> None:
        """A checkpoint, with the length of the log and what it belongs to."""
        length = self.metrics.sync() if self.metrics is not None else 0
        state = {**state, "metrics": length, "identity": self.job.identity, "ranks": self.world.size}
        if self.job.layout.parallel == "fsdp":
            sharded.save(self.folder.checkpoints, step, state, self.world)
        elif self.world.main:
            checkpoint.save(self.folder.checkpoints, step, state)

    def save_plan(self, plan: Plan) -> None:
        """The plan in run.json, so that a step that is done again after a stop is done on as many threads."""
        if self.world.main:
            held = Run.open(self.folder.path).record
            self.folder.write_document(REQUEST, held.model_copy(update={"plan": plan.record()}))

    def save_weights(self) -> None:
        """The model's weights of this moment as model.safetensors."""
        tensors = full_state(self.model.state_dict())
        if self.world.main:
            write_weights(self.folder.path / WEIGHTS, tensors, self.job, self.normalisation)


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], job: Job, normalisation: Normalisation) -> None:
    """The weights of a job's network, with all that it takes to use them. Raises SpecError (exit 3)."""
    told = weights.about(
        spec=job.spec_text, classes=job.data.classes, normalisation=normalisation, resize=_shorter(job), data=job.data.name
    )
    weights.save(path, tensors, told)


def _shorter(job: Job) -> int | None:
    """The shorter side that pictures are scaled to in evaluation, where the recipe cuts squares of the network's size out of them."""
    crop = job.recipe.augment.crop
    return None if crop is None or job.graph.input[1:] != (crop, crop) else evaluation_side(crop)


def newest_state(job: Job, folder: RunFolder, watcher: Watcher, world: World) -> dict[str, Any] | None:
    """The state to go on from; `renewed` in it says that it is from before the run was made longer.

    All ranks must call it; rank 0 reads for all, except what is sharded (`sharded.read`). Raises SpecError (exit 3) where it belongs to another spec, recipe or data.
    """
    if world.main:
        folder.make(CHECKPOINTS)
        sharded.discard_drafts(folder.checkpoints)
    if job.layout.parallel == "fsdp":
        state, damaged = sharded.load_newest(folder.checkpoints, world)
    else:
        state, damaged = world.share(checkpoint.load_newest(folder.checkpoints, torch.device("cpu")) if world.main else None)
    for d in damaged:
        watcher.say(f"warning: {d.path} is not used: {d.reason}")
    if state is None:
        return None
    if state["ranks"] != world.size:
        watcher.say(f"note: {_ranks(world.size)} now, the run had {_ranks(state['ranks'])}: the result will not be the same to the bit")
    former = [e.recipe_sha256 for e in Run.open(folder.path).record.extensions]
    renewed = state["identity"]["recipe"] in former and state["identity"]["recipe"] != job.identity["recipe"]
    for name, now in job.identity.items():
        if (then := state["identity"][name]) != now and not (name == "recipe" and renewed):
            raise refuse(
                "checkpoint-fit",
                f"its checkpoints are of another {name}: SHA-256 {then[:16]}..., now {now[:16]}...",
                f"put the {name} back as it was, or begin a new run",
                at=folder.path,
                exit_code=3,
            )
    return {**state, "renewed": renewed}


def _ranks(number: int) -> str:
    return "1 process" if number == 1 else f"{number} processes"


def record(job: Job, train: Images) -> RunRecord:
    """What run.json holds of a job and the images that it trains on."""
    return RunRecord(
        format=1,
        **{
            **job.request.lasting(),
            "data_dir": str(job.request.data_dir) if job.request.data_dir else None,
            "origin": job.data.origin,
            "data_sha256": job.data.sha256,
            "held_out": None if (part := job.data.held_out) is None else HeldOutRecord(share=part.share, seed=part.seed),
            "left_out": job.data.left_out,
            "classes": job.data.classes,
            "class_counts": job.class_counts(train),
            "frozen": job.frozen,
            "plan": job.plan.record(),
            "torch": torch.__version__,
        },
    )


def note_session(job: Job, folder: RunFolder, step: int, world: World) -> None:
    """Add this process to env.json: a run may be trained by several, one after the other."""
    path = folder.path / ENVIRONMENT
    before = Environment.read(path).sessions if path.is_file() else ()
    here = Session(
        from_step=step,
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        resnet_dsl=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=numpy.__version__,
        platform=platform.platform(),
        device=job.plan.device,
        device_name=find(job.plan.device).name,
        cores=os.cpu_count(),
        threads=job.plan.threads,
        processes=world.size,
        executable=sys.executable,
        folder=os.getcwd(),
        git=_git_commit(),
    )
    folder.write_document(ENVIRONMENT, Environment(sessions=(*before, here)))


def _git_commit() -> str | None:
    """The commit of the folder that the run was started in, with + where files differ from it."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True).stdout.strip()
        changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")
