"""A training recipe: its keys, their defaults and ranges. The defaults are the shipped recipe `quick`.

Plain data: no expressions. The caller decides which recipe goes over which; `merge` joins two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic.fields import FieldInfo

from resnet_dsl.language.augment import FORM, Augment, complaint

DEFAULT_EPOCHS = 4
SCHEDULE_KEYS: Mapping[str, frozenset[str]] = {
    "milestones": frozenset({"step"}),
    "gamma": frozenset({"step", "plateau"}),
    "patience": frozenset({"plateau"}),
}
"""The schedules that a key belongs to."""

Fraction = Annotated[float, Field(gt=0, lt=1)]
Metric = Literal["top1", "top5", "loss", "balanced_accuracy", "macro_f1"]
_METRICS = "top1, top5, loss, balanced_accuracy or macro_f1"


def _weights(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(value) < 2 or not all(type(v) in (int, float) and 0 < v <= 1e6 for v in value):
            raise complaint("class_weights are numbers above 0 and up to 1e6, one for each class", "write a list such as [1, 2.5, 1]")
        return tuple(map(float, value))
    if value not in ("none", "balanced"):
        raise complaint("class_weights is none, balanced, or a list with one number for each class", "write class_weights: balanced")
    return value


ClassWeights = Annotated[Literal["none", "balanced"] | tuple[float, ...], BeforeValidator(_weights)]


class SlowStart(BaseModel):
    """He et al. 2015, section 4.2: a low learning rate until a deep network begins to learn."""

    model_config = FORM

    lr: float = Field(0.01, gt=0, le=1e6, description="The learning rate until then.", examples=[0.01])
    error: float = Field(
        0.8,
        gt=0,
        lt=1,
        description="It ends where the training error since the last line of the log is below this share.",
        examples=[0.8],
    )
    depth: int = Field(
        110, ge=1, le=100_000, description="Networks of fewer layers (depth as inspect counts it) begin with lr at once.", examples=[110]
    )


class StopEarly(BaseModel):
    """Ends a run that no longer improves."""

    model_config = FORM

    metric: Metric = Field("top1", description=f"What is compared from evaluation to evaluation: {_METRICS}.", examples=["loss"])
    patience: int = Field(
        10, ge=1, le=1_000_000, description="The run ends after this many evaluations in a row without a new best.", examples=[5]
    )


class Resolution(BaseModel):
    """Progressive resizing: small images first."""

    model_config = FORM

    start: float = Field(0.5, ge=0.1, lt=1, description="The side of the images at the beginning, as a share of their own.", examples=[0.6])
    until: float = Field(0.6, gt=0, le=1, description="The part of the run after which images have their own size.", examples=[0.8])


class Recipe(BaseModel):
    """How a network is trained. Every key has a default; `epochs` and `steps` exclude each other."""

    model_config = FORM

    description: str = Field("", description="One line on what the recipe is for.", examples=["ResNet-20 on CIFAR-10 as in the paper"])
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd, or adamw with betas 0.9 and 0.999.", examples=["sgd"])
    lr: float = Field(0.2, gt=0, le=1e6, description="The highest learning rate of the run.", examples=[0.1])
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.", examples=[0.9])
    nesterov: bool = Field(False, description="Nesterov's form of momentum (sgd).", examples=[True])
    weight_decay: float = Field(5e-4, ge=0, le=1e3, description="L2 penalty on the parameters (decoupled in adamw).", examples=[1e-4])
    decay_norm: bool = Field(
        True, description="Weight decay also on biases and on the parameters of norms and scales (all that are vectors).", examples=[False]
    )
    clip_norm: float | None = Field(
        None, gt=0, le=1e6, description="The largest norm of a step's whole gradient; a longer gradient is scaled down.", examples=[1.0]
    )
    schedule: Literal["constant", "step", "plateau", "cosine", "onecycle"] = Field(
        "onecycle",
        description="The learning rate after the warm-up: constant; step, times gamma at each milestone; "
        "plateau, times gamma where the evaluated error stops falling; cosine, to 0; onecycle, a straight line to 0.",
        examples=["cosine"],
    )
    warmup: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="The part of the run in which the learning rate rises linearly from 0 to lr.",
        examples=[0.05],
    )
    milestones: tuple[Fraction, ...] = Field(
        (),
        strict=False,
        description="Where step multiplies the learning rate by gamma, as parts of the run, rising.",
        examples=[[0.5, 0.75]],
    )
    gamma: float = Field(0.1, gt=0, lt=1, description="What step and plateau multiply the learning rate by.", examples=[0.2])
    patience: int = Field(
        5, ge=1, le=1_000_000, description="plateau: evaluations in a row without a lower top-1 error before each drop.", examples=[3]
    )
    slow_start: SlowStart | None = Field(
        None,
        description="He et al. 2015, section 4.2: deep networks begin at a low learning rate. Default: none do.",
        examples=[{"lr": 0.01, "error": 0.8, "depth": 110}],
    )
    batch: int = Field(
        128,
        ge=1,
        le=65_536,
        description="Images in a step. An epoch's last images that fill no batch are left out of that epoch.",
        examples=[256],
    )
    accumulate: int = Field(
        1,
        ge=1,
        le=65_536,
        description="A batch is computed in this many equal parts, one after the other, to save memory. Batch norm sees one part at a time.",
        examples=[4],
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
    class_weights: ClassWeights = Field(
        "none",
        description="What an image's loss counts, by its class: none, all the same; balanced, the less the more images its class has, so that "
        "all classes count the same; or one number for each class, in their order.",
        examples=["balanced"],
    )
    sampling: Literal["none", "balanced"] = Field(
        "none",
        description="none: an epoch takes each training image once; balanced: as many images of each class, those of small classes several "
        "times. An epoch stays as long.",
        examples=["balanced"],
    )
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Stochastic depth (Huang et al. 2016): the last block's share of dropped images; the share rises linearly from block to "
        "block. For blocks that take drop_path.",
        examples=[0.1],
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The share that a running average of the weights keeps at each step; the average is evaluated and saved.",
        examples=[0.999],
    )
    resolution: Resolution | None = Field(
        None,
        description="Progressive resizing: training images begin small and grow. Default: they always have their own size.",
        examples=[{"start": 0.5, "until": 0.6}],
    )
    augment: Augment = Field(Augment(), description="Augmentation of the training images.", examples=[{"pad_crop": 4, "flip": True}])
    normalize: Literal["channel", "pixel_mean"] = Field(
        "channel",
        description="channel: subtract each channel's mean and divide by its deviation; pixel_mean: subtract the mean image and divide by "
        "nothing (He et al. 2015, section 4.2), pixels counting from 0 to 1.",
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
    test_flip: bool = Field(
        False, description="Evaluate on each image and its mirror image, the two outputs averaged. Not for digits or text.", examples=[True]
    )
    best: Metric | None = Field(
        None,
        description=f"Keep the weights of the best evaluation by {_METRICS} as the run's weights; default: those of the end.",
        examples=["top1"],
    )
    stop_early: StopEarly | None = Field(
        None,
        description="End a run that gets no better. Default: it runs to its end.",
        examples=[{"metric": "top1", "patience": 10}],
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
            raise complaint("epochs and steps exclude each other", "keep one of the two")
        if self.nesterov and self.momentum == 0:
            raise complaint("nesterov needs momentum above 0", "set momentum, 0.9 say, or nesterov: false")
        if self.optimizer != "sgd" and (given := self.model_fields_set & {"momentum", "nesterov"}):
            raise complaint(f"{min(given)} is for sgd, not for {self.optimizer}", f"leave {min(given)} out, or set optimizer: sgd")
        if self.schedule != "plateau" and "patience" in self.model_fields_set:
            raise complaint("patience goes with schedule: plateau", "leave patience out, or set schedule: plateau")
        if (self.schedule == "step") != bool(self.milestones):
            help = "add milestones: [0.5, 0.75], say" if self.schedule == "step" else "leave milestones out, or set schedule: step"
            raise complaint("milestones go with schedule: step, and step needs them", help)
        if any(b <= a for a, b in zip(self.milestones, self.milestones[1:], strict=False)):
            raise complaint("milestones must rise", "write them in order, such as [0.5, 0.75]")
        if self.milestones and self.milestones[0] < self.warmup:
            raise complaint("the first milestone lies within the warm-up", f"use a milestone above {self.warmup:g}, or a shorter warmup")
        if self.batch % self.accumulate:
            parts = max(n for n in range(1, self.accumulate) if self.batch % n == 0)
            raise complaint(
                f"accumulate: {self.accumulate} does not divide batch: {self.batch}", f"use accumulate: {parts}, or another batch"
            )
        if self.class_weights == "balanced" and self.sampling == "balanced":
            raise complaint("class_weights: balanced and sampling: balanced correct the same twice", "keep one of the two")
        if self.slow_start is not None and self.warmup > 0:
            raise complaint("slow_start and warmup exclude each other", "set warmup: 0, or slow_start: null")
        if self.slow_start is not None and self.slow_start.lr >= self.lr:
            raise complaint(
                f"slow_start.lr is {self.slow_start.lr:g}, and lr is {self.lr:g}: it would be no slow start",
                f"set slow_start.lr below {self.lr:g}, or slow_start: null",
            )
        return self


def keys(form: type[BaseModel] = Recipe, prefix: str = "") -> dict[str, FieldInfo]:
    """Every key that a value can be given to, by its dotted name; a part such as `augment` is followed by its own keys."""
    found: dict[str, FieldInfo] = {}
    for name, field in form.model_fields.items():
        found[prefix + name] = field
        if (part := part_of(field)) is not None:
            found |= keys(part, f"{prefix}{name}.")
    return found


def part_of(field: FieldInfo) -> type[BaseModel] | None:
    """The form of a key that holds a mapping, such as `slow_start`; None for any other."""
    choices = (field.annotation, *get_args(field.annotation))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's mapping with another's laid over it, key by key.

    Where the upper one decides something, what the lower one said of the alternative goes: steps replace epochs,
    a schedule drops the keys that are another's, a warm-up drops a slow start and the other way round (so slow_start alone means no
    warm-up), adamw drops sgd's own keys, balanced weights drop balanced sampling and the other way round.
    """
    joined = dict(base)
    for one, other in (("epochs", "steps"), ("steps", "epochs")):
        if one in over and other not in over:
            joined.pop(other, None)
    if "schedule" in over:
        for key, schedules in SCHEDULE_KEYS.items():
            if over["schedule"] not in schedules:
                joined.pop(key, None)
    if over.get("warmup"):
        joined.pop("slow_start", None)
    for one, other in (("class_weights", "sampling"), ("sampling", "class_weights")):
        if over.get(one) == "balanced" and other not in over and joined.get(other) == "balanced":
            joined.pop(other)
    if over.get("slow_start") is not None:
        joined["warmup"] = 0.0
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
    for key, schedules in SCHEDULE_KEYS.items():
        if recipe.schedule not in schedules:
            del values[key]
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())
