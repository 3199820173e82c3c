"""A training recipe: its keys, their defaults and ranges. The defaults are the shipped recipe `quick`.

Plain data: no expressions. Which recipe wins over which is for the caller; `merge` says how two are joined.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

DEFAULT_EPOCHS = 4

_FORM = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

Fraction = Annotated[float, Field(gt=0, lt=1)]


def _complaint(message: str, help: str) -> PydanticCustomError:
    # Braces are pydantic's template syntax: the texts travel in the context instead.
    return PydanticCustomError("recipe", "{message}", {"message": message, "help": help})


class Augment(BaseModel):
    """What is done to a training image, drawn anew for each image in each epoch."""

    model_config = _FORM

    pad_crop: int = Field(
        2, ge=0, le=64, description="Pixels of padding on each side before a crop of the image's own size at random; 0: none.", examples=[4]
    )
    fill: Literal["black", "mean"] = Field(
        "black", description="What is padded: black, or the training set's mean colour.", examples=["mean"]
    )
    flip: bool = Field(True, description="Mirror left and right half of the time. Not for digits or text.", examples=[False])


class Recipe(BaseModel):
    """How a network is trained. Every key has a default; `epochs` and `steps` exclude each other."""

    model_config = _FORM

    description: str = Field("", description="One line on what the recipe is for.", examples=["ResNet-20 on CIFAR-10 as in the paper"])
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd, or adamw with betas 0.9 and 0.999.", examples=["sgd"])
    lr: float = Field(0.2, gt=0, le=1e6, description="The highest learning rate of the run.", examples=[0.1])
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.", examples=[0.9])
    nesterov: bool = Field(False, description="Nesterov's form of momentum (sgd).", examples=[True])
    weight_decay: float = Field(5e-4, ge=0, le=1e3, description="L2 penalty on every parameter (decoupled in adamw).", examples=[1e-4])
    schedule: Literal["constant", "step", "cosine", "onecycle"] = Field(
        "onecycle",
        description="How the learning rate goes on after the warm-up: constant; step, times gamma at each milestone; "
        "cosine, to 0; onecycle, a straight line to 0.",
        examples=["cosine"],
    )
    warmup: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="The part of the run in which the learning rate rises from 0 to lr in a straight line.",
        examples=[0.05],
    )
    milestones: tuple[Fraction, ...] = Field(
        (),
        strict=False,
        description="Where step multiplies the learning rate by gamma, as parts of the run, rising.",
        examples=[[0.5, 0.75]],
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="What step multiplies the learning rate by.", examples=[0.1])
    batch: int = Field(
        128,
        ge=1,
        le=65_536,
        description="Images in a step. An epoch's last images that fill no batch are left out of that epoch.",
        examples=[256],
    )
    epochs: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description=f"Passes over the training set; {DEFAULT_EPOCHS} where neither it nor steps is given.",
        examples=[30],
    )
    steps: int | None = Field(None, ge=1, le=1_000_000_000, description="Batches in all, in place of epochs.", examples=[64_000])
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each target that is spread over all classes.", examples=[0.1])
    augment: Augment = Field(Augment(), description="Augmentation of the training images.", examples=[{"pad_crop": 4, "flip": True}])
    normalize: Literal["channel", "pixel_mean"] = Field(
        "channel",
        description="channel: subtract each channel's mean and divide by its deviation; pixel_mean: subtract the mean image "
        "(He et al. 2015, section 4.2), then divide by the one overall deviation.",
        examples=["channel"],
    )
    validation: int = Field(
        0,
        ge=0,
        le=10_000_000,
        description="Training images held out and evaluated on during the run, in place of the test set.",
        examples=[5_000],
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto takes bf16 where the device has matrix units for it, else fp32.", examples=["fp32"]
    )
    seed: int = Field(
        0, ge=0, le=2**63 - 1, description="Decides initial weights, order of images, augmentation and dropout.", examples=[1]
    )
    eval_every: float = Field(
        1.0,
        gt=0,
        le=1e6,
        description="Epochs from one evaluation to the next; fractions are fine. The end of the run is always evaluated.",
        examples=[5],
    )
    checkpoint_every: float = Field(
        1.0, gt=0, le=1e6, description="Epochs from one checkpoint to the next; fractions are fine.", examples=[0.5]
    )
    log_every: int = Field(50, ge=1, le=1_000_000, description="Steps from one line of metrics.jsonl to the next.", examples=[10])

    @property
    def epochs_or_default(self) -> int:
        """Epochs where the run's length is not given in steps."""
        return DEFAULT_EPOCHS if self.epochs is None else self.epochs

    @model_validator(mode="after")
    def _agree(self) -> Recipe:
        if self.epochs is not None and self.steps is not None:
            raise _complaint("epochs and steps exclude each other", "keep one of the two")
        if self.nesterov and self.momentum == 0:
            raise _complaint("nesterov needs momentum above 0", "set momentum, 0.9 say, or nesterov: false")
        if self.optimizer != "sgd" and (given := self.model_fields_set & {"momentum", "nesterov"}):
            raise _complaint(f"{min(given)} is for sgd, not for {self.optimizer}", f"leave {min(given)} out, or set optimizer: sgd")
        if (self.schedule == "step") != bool(self.milestones):
            help = "add milestones: [0.5, 0.75], say" if self.schedule == "step" else "leave milestones out, or set schedule: step"
            raise _complaint("milestones go with schedule: step, and step needs them", help)
        if any(b <= a for a, b in zip(self.milestones, self.milestones[1:], strict=False)):
            raise _complaint("milestones must rise", "write them in order, such as [0.5, 0.75]")
        if self.milestones and self.milestones[0] < self.warmup:
            raise _complaint("the first milestone lies within the warm-up", f"use a milestone above {self.warmup:g}, or a shorter warmup")
        return self


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's mapping with another's laid over it, key by key.

    Where the upper one decides something, what the lower one said of the alternative goes: steps replace epochs,
    a schedule without milestones drops them, adamw drops sgd's own keys.
    """
    joined = dict(base)
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if one in over and other not in over:
            joined.pop(other, None)
    if over.get("schedule", "step") != "step":
        joined.pop("milestones", None)
        joined.pop("gamma", None)
    if over.get("optimizer", "sgd") != "sgd":
        joined.pop("momentum", None)
        joined.pop("nesterov", None)
    for key, value in over.items():
        below = joined.get(key)
        joined[key] = merge(below, value) if isinstance(value, Mapping) and isinstance(below, Mapping) else value
    return joined


def write(recipe: Recipe) -> str:
    """A recipe as YAML with every default filled in; what does not apply is left out, so that reading gives it back."""
    values = recipe.model_dump(exclude_none=True)
    if recipe.steps is None:
        values["epochs"] = recipe.epochs_or_default
    if recipe.optimizer != "sgd":
        del values["momentum"], values["nesterov"]
    if recipe.schedule != "step":
        del values["milestones"], values["gamma"]
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
