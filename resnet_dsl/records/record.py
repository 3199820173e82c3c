"""run.json and env.json: what a run was asked for beside its spec and recipe, how it computes, and where its processes ran."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, ConfigDict, Field

from resnet_dsl.records.document import StoredDocument, Text, Texts, Whole
from resnet_dsl.records.leftout import LeftOut

Precision = Literal["fp32", "bf16"]
Placement = Literal["device", "host", "stream"]
Extent = Literal["no", "blocks", "whole"]
Wrapper = Literal["ddp", "fsdp"]


Threads = Annotated[int, Field(ge=1, le=4096)]


class ThreadChange(StoredDocument):
    """From `step` (from 0) on, a run computes with so many threads."""

    step: Whole
    threads: Threads


class PlanRecord(StoredDocument):
    """A device plan as it is stored. Runs from before there was a choice do not have the parts with a default.

    `threads` is their number at the first step, `changes` says when it was changed, and `seconds` what a step took when it was timed.
    """

    device: Text
    precision: Precision
    channels_last: bool
    threads: Threads
    reason: Text = ""
    compile: Extent = "no"
    fused: bool = True
    data: Placement = "device"
    changes: Annotated[tuple[ThreadChange, ...], Field(strict=False)] = ()
    seconds: Annotated[float, Field(gt=0, le=1e9)] | None = None


class Extension(StoredDocument):
    """How a run was made longer: its steps before and after, and the SHA-256 of its recipe before."""

    steps_before: Whole
    steps_after: Whole
    recipe_sha256: Text


class HeldOutRecord(StoredDocument):
    """What a run held out for the test of data that has no test part: the share of each class, and the seed that chose it."""

    share: Annotated[float, Field(gt=0, lt=1)]
    seed: Whole


class RunRecord(StoredDocument):
    """run.json. Runs of older versions do not have every key; what the newest ones add stays when the file is written again."""

    model_config = ConfigDict(extra="allow")

    format: Whole = 1
    data: Text
    test_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    held_out: HeldOutRecord | None = None
    left_out: Annotated[tuple[LeftOut, ...], Field(strict=False)] = ()
    limit_train: Whole | None = None
    limit_batches: Whole | None = None
    overfit_batch: bool = False
    weights: Text | None = None
    normalisation: Text | None = None
    mean: Text | None = None
    std: Text | None = None
    tensorboard: bool = False
    parallel: Wrapper = "ddp"
    checkpoint_activations: bool = False
    sync_batchnorm: bool = False
    freeze: Texts = ()
    logger: Annotated[Texts, Field(validation_alias=AliasChoices("logger", "loggers"))] = ()
    data_dir: Text | None = None
    origin: Text = ""
    data_sha256: Text | None = None
    classes: Texts | None = None
    class_counts: Annotated[tuple[Whole, ...], Field(strict=False)] | None = None
    frozen: Texts = ()
    plan: PlanRecord | None = None
    torch: Text | None = None
    extensions: Annotated[tuple[Extension, ...], Field(strict=False)] = ()


class Session(StoredDocument):
    """One process of a run: when, where and with what it computed."""

    from_step: Whole | None = None
    time: Text | None = None
    resnet_dsl: Text | None = None
    python: Text | None = None
    torch: Text | None = None
    numpy: Text | None = None
    platform: Text | None = None
    device: Text | None = None
    device_name: Text | None = None
    cores: Whole | None = None
    threads: Whole | None = None
    processes: Whole | None = None
    executable: Text | None = None
    folder: Text | None = None
    git: Text | None = None


class Environment(StoredDocument):
    """env.json: a run may be trained by several processes, one after the other."""

    sessions: Annotated[tuple[Session, ...], Field(strict=False)] = ()
