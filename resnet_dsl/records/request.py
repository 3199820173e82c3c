"""THE table of what a training is asked: each field of `Request` says its option, its help, and what becomes of it when a run is resumed.

`train`'s options, the keywords of `rd.train`, the record in run.json, the refusal of changes to a run that is resumed, and the table in
docs/training.md are made of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from resnet_dsl.datasets.naming import DATA, METAVAR, Given, taken
from resnet_dsl.diagnostics import COMMAND_LINE, Argument, either, quote, refuse, speak
from resnet_dsl.records.log import ForeignLogger
from resnet_dsl.records.record import RunRecord, Wrapper
from resnet_dsl.records.stated import Stated, read_options

Place = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Flag:
    """A row of the table, beside the field's type and default.

    `option` is the option's name where it is not the field's, `short` its letter, `least` the lowest number. `in_recipe`: it sets the recipe's key of its name. `lasting`: it is recorded with the run, and the same is asked when the run is
    begun once more. `resumable`: a run that is resumed may be given another value. `otherwise` is what None means.
    """

    help: str
    option: str = ""
    short: str = ""
    metavar: str = ""
    least: int | None = None
    in_recipe: bool = False
    lasting: bool = False
    resumable: bool = False
    otherwise: object = None


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?\Z")


_RESUMING = either("rd.train(RUN, resume=True)", f"train {speak(str(Argument('resume', True)), COMMAND_LINE)} RUN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a training is asked beside its network. A field left out is None, no, or empty; its row says what that means."""

    data: Annotated[
        str | Given | None,
        Flag(f"{DATA}; default: the shipped one that fits the spec.", short="d", metavar=METAVAR, lasting=True, resumable=True),
    ] = field(default=None, kw_only=False)
    recipe: Annotated[
        str | None, Flag("A shipped recipe's name or a YAML file; default: the spec's own, else quick.", short="r", metavar="NAME|FILE")
    ] = None
    out: Annotated[
        Place | None,
        Flag("The run's folder, new or empty; default: the next number under runs/.", short="o", metavar="DIR", resumable=True),
    ] = None
    resume: Annotated[bool, Flag(f"Resume a run: {_RESUMING}, or with SPEC and {Argument('out')}.", resumable=True)] = False
    epochs: Annotated[int | None, Flag("Passes over the training set (train.epochs).", metavar="N", in_recipe=True, resumable=True)] = None
    steps: Annotated[int | None, Flag("Batches in all, in place of epochs (train.steps).", metavar="N", in_recipe=True, resumable=True)] = (
        None
    )
    batch: Annotated[int | None, Flag("Images in a batch (train.batch).", metavar="N", in_recipe=True)] = None
    lr: Annotated[float | None, Flag("Highest learning rate (train.lr).", metavar="X", in_recipe=True)] = None
    seed: Annotated[int | None, Flag("Decides everything that is random (train.seed).", metavar="N", in_recipe=True)] = None
    precision: Annotated[
        Literal["auto", "fp32", "bf16"] | None,
        Flag("Precision of the arithmetic (train.precision).", metavar="auto|fp32|bf16", in_recipe=True),
    ] = None
    overrides: Annotated[
        Mapping[str, str] | Sequence[str],
        Flag(
            "Set a key before validation (repeatable): shortcut=C, params.k=4, stages.layer3.depth=23.",
            option="set",
            metavar="KEY=VALUE",
        ),
    ] = ()
    device: Annotated[
        str | None, Flag("Where to compute; auto takes a GPU if there is one.", metavar="auto|cpu|cuda|mps", resumable=True)
    ] = None
    data_dir: Annotated[
        Place | None,
        Flag("Where the data is; default: $RESNET_DSL_DATA, the cache, /usr/share/datasets.", metavar="DIR", resumable=True),
    ] = None
    download: Annotated[bool, Flag(f"Fetch the data into the cache (or {Argument('data_dir')}) if it is missing.", resumable=True)] = False
    workers: Annotated[
        int | None,
        Flag("Processes that decode picture files; default: one for each core except one.", metavar="N", least=0, resumable=True),
    ] = None
    test_share: Annotated[
        float | None,
        Flag("The share of each class that is held out for the test of data without a test part; default: 0.2.", metavar="X", lasting=True),
    ] = None
    limit_train: Annotated[int | None, Flag("Use only N training images.", metavar="N", least=1, lasting=True)] = None
    limit_batches: Annotated[int | None, Flag("An epoch is at most N batches.", metavar="N", least=1, lasting=True)] = None
    overfit_batch: Annotated[
        bool, Flag("Train on one batch, not augmented, and evaluate on it: does the network learn at all?", lasting=True)
    ] = False
    max_time: Annotated[str | float | None, Flag("Save and stop (exit 75) after 90s, 10m or 1h30m.", metavar="TIME", resumable=True)] = None
    compile: Annotated[bool | None, Flag("Train with torch.compile, or not; default: where it saves time.")] = None
    plan: Annotated[
        str | None,
        Flag(
            "Fix parts of the device plan: precision=bf16,layout=channels_last,compile=no,fused=yes,data=device,threads=2; "
            "or take a run's whole plan.",
            metavar="PART=VALUE,...|RUN",
        ),
    ] = None
    weights: Annotated[
        Place | None,
        Flag(
            "Begin with these weights (.safetensors, a state_dict in .pth, a run); the head is new where the classes differ.",
            short="w",
            metavar="FILE|RUN",
            lasting=True,
        ),
    ] = None
    key: Annotated[str | None, Flag("Where in the file the weights are, of several state_dicts: state_dict_ema.", metavar="KEY")] = None
    prefix: Annotated[
        str | None,
        Flag("What stands before the network's names in the file of weights, where it holds several networks.", metavar="PREFIX"),
    ] = None
    head: Annotated[
        Literal["new"] | None, Flag("With given weights: the layer that gives the classes is new, whatever the file has.", metavar="new")
    ] = None
    first_conv: Annotated[
        Literal["sum"] | None,
        Flag(
            "With given weights of other input channels: the kernels that read the input are summed for one channel, or repeated and scaled.",
            metavar="sum",
        ),
    ] = None
    normalisation: Annotated[
        Literal["imagenet"] | None,
        Flag("Mean and deviation of the pixels; default: the weights', else measured.", metavar="imagenet", lasting=True),
    ] = None
    mean: Annotated[
        str | Sequence[float] | None,
        Flag("A mean for each channel: shares of 0 to 1, or pixels of 0 to 255 where one is above 1.", metavar="X,...", lasting=True),
    ] = None
    std: Annotated[str | Sequence[float] | None, Flag("A deviation for each channel, as the mean.", metavar="X,...", lasting=True)] = None
    classes: Annotated[
        str | os.PathLike[str] | Sequence[str] | None,
        Flag("Names of the classes, one a line, in place of the data's.", metavar="FILE"),
    ] = None
    freeze: Annotated[
        Sequence[str],
        Flag(
            "Modules that do not train (repeatable): layer1, 'layer*.0', conv1,bn1; their batch norms keep their statistics.",
            metavar="PATTERN",
            lasting=True,
        ),
    ] = ()
    tensorboard: Annotated[bool, Flag("Log for TensorBoard as well, into the run's folder.", lasting=True)] = False
    logger: Annotated[
        Sequence[str | ForeignLogger],
        Flag(
            f"Log to wandb, or to a logger of another package (repeatable){either('; or to an object with `log(row)`', '')}.",
            metavar="NAME",
            lasting=True,
        ),
    ] = ()
    parallel: Annotated[
        Wrapper | None,
        Flag(
            "Under torchrun: every process holds the whole network (ddp, the default), or a part of each tensor (fsdp).",
            metavar="ddp|fsdp",
            lasting=True,
            otherwise="ddp",
        ),
    ] = None
    checkpoint_activations: Annotated[
        bool, Flag("Compute each block twice instead of keeping its inner values: less memory.", lasting=True)
    ] = False
    sync_batchnorm: Annotated[bool, Flag("Under torchrun, on GPUs: batch norm sees the images of all processes.", lasting=True)] = False
    quiet: Annotated[bool, Flag("Only results and errors: no titles, notes or messages.", short="q", resumable=True)] = False

    def __post_init__(self) -> None:
        """Bring what Python may give into one form. Raises SpecError (exit 2) for a value that no option could have."""
        object.__setattr__(self, "data", taken(self.data))
        for name, flag in FLAGS.items():
            value = getattr(self, name)
            choices = get_args(KINDS[name]) if get_origin(KINDS[name]) is Literal else ()
            if KINDS[name] is list:
                object.__setattr__(self, name, _listed(value))
            elif name in ("mean", "std") and value is not None and not isinstance(value, str):
                object.__setattr__(self, name, ",".join(map(str, value)))
            elif name == "weights" and value is not None:
                object.__setattr__(self, name, os.fspath(value))
            elif value is not None and choices and value not in choices:
                raise refuse("usage", f"{quote(str(value))} is not one of {', '.join(choices)}", "choose one of them", at=argument(name))
            elif value is not None and flag.least is not None and value < flag.least:
                raise refuse("usage", f"{value} is below {flag.least}", f"use at least {flag.least}", at=argument(name))
        if self.test_share is not None and not 0 < self.test_share < 1:
            raise refuse("usage", f"{self.test_share} is no share of the images", "use one between 0 and 1", at=argument("test_share"))

    @property
    def stated(self) -> Stated:
        """What is said of the weights, the pixels and the classes. Raises SpecError (exit 2 or 3)."""
        names: tuple[Any, ...] = ("key", "prefix", "head", "first_conv", "normalisation", "mean", "std", "classes")
        options: Any = {name: value for name in names if (value := getattr(self, name)) is not None}
        found = read_options(options)
        if self.weights is None and (asked := next((n for n in names[:4] if n in options), None)) is not None:
            raise refuse("usage", f"{argument(asked)} is for given weights", f"add {argument('weights')}", at=argument(asked))
        return found

    @property
    def settings(self) -> list[str]:
        """What is set in the spec, `KEY=VALUE`: the overrides, then the recipe's keys that have fields of their own."""
        given = ((name, getattr(self, name)) for name, flag in FLAGS.items() if flag.in_recipe)
        return [*self.overrides, *(f"train.{key}={value}" for key, value in given if value is not None)]

    @property
    def named_loggers(self) -> tuple[str, ...]:
        """Loggers by their names. Objects are of one process: they are in no record, and may be given when a run is resumed."""
        return tuple(logger for logger in self.logger if isinstance(logger, str))

    @property
    def home(self) -> Path | None:
        """The folder `out`."""
        return None if self.out is None else Path(self.out)

    @property
    def data_home(self) -> Path | None:
        """The folder `data_dir`."""
        return None if self.data_dir is None else Path(self.data_dir)

    @property
    def seconds(self) -> float | None:
        """`max_time` in seconds. Raises SpecError (exit 2)."""
        if self.max_time is None or isinstance(self.max_time, int | float):
            return self.max_time
        try:
            return seconds(self.max_time)
        except ValueError:
            at = argument("max_time")
            raise refuse("usage", f"{quote(self.max_time)} is not a length of time", "write 90s, 10m or 1h30m", at=at) from None

    def lasting(self) -> dict[str, Any]:
        """What run.json holds of it, and what must be asked for again when the run is begun once more."""
        kept = {name: getattr(self, name) for name in RunRecord.model_fields if name in FLAGS and FLAGS[name].lasting}
        kept["data"] = None if self.data is None else str(self.data)
        kept["logger"] = self.named_loggers
        values = {name: FLAGS[name].otherwise if value is None else value for name, value in kept.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @staticmethod
    def of(held: RunRecord, **changed: Any) -> Request:
        """The request of a run, from its record. `changed` is what is asked for now."""
        where = changed.pop("data_dir", None) or held.data_dir
        return Request(data_dir=where, **{**{name: getattr(held, name) for name in LASTING}, **changed})

    def require_whole(self) -> None:
        """Refuse fields that exclude each other, and a time that is none. Raises SpecError (exit 2)."""
        if self.epochs is not None and self.steps is not None:
            raise refuse("recipe", "epochs and steps exclude each other", "keep one of the two", at=Argument("steps"))
        _ = self.seconds

    def require_resumable(self) -> None:
        """Refuse, with `resume`, what would change the run. Raises SpecError (exit 2)."""
        own = replace(self, logger=self.named_loggers)
        changed = [f.name for f in fields(self) if not FLAGS[f.name].resumable and getattr(own, f.name) != f.default]
        if changed:
            may = ", ".join(str(Argument(name)) for name in ("data", "data_dir", "device", "workers", "max_time"))
            raise refuse(
                "usage",
                "a resumed run keeps the settings that it began with",
                f"leave out all but {may}, and {Argument('epochs')} or {Argument('steps')} to make it longer; "
                f"or begin a new run without {Argument('resume', True)}",
                at=Argument("resume", True),
            )


def _listed(value: object) -> tuple[object, ...]:
    """What Python may give for a field that holds several: one, several, or a mapping of keys to values."""
    if isinstance(value, Mapping):
        return tuple(f"{k}={v}" for k, v in value.items())
    return (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def _kind(hint: Any) -> Any:
    kinds = [k for k in get_args(hint) or (hint,) if k is not NoneType]
    if get_origin(hint) is Literal:
        return hint
    if get_origin(hint) in (Mapping, Sequence):
        return list
    # One text stands for a sequence, where a text is taken too.
    return list if any(get_origin(k) in (Mapping, Sequence) for k in kinds) and str not in kinds else kinds[0]


_HINTS = get_type_hints(Request, include_extras=True)
FLAGS: Mapping[str, Flag] = {f.name: _HINTS[f.name].__metadata__[0] for f in fields(Request)}
"""The table, in the order of the help."""
TYPES: Mapping[str, Any] = {name: _HINTS[name].__origin__ for name in FLAGS}
"""The type of each field, without its row."""
KINDS: Mapping[str, Any] = {name: _kind(TYPES[name]) for name in FLAGS}
"""What the command line reads for each field: a type, a `Literal`, or `list` where an option may be repeated."""
LASTING = tuple(name for name, flag in FLAGS.items() if flag.lasting)


def argument(name: str) -> Argument:
    """A field of the table, in a message."""
    return Argument(name, option=FLAGS[name].option)


def seconds(text: str) -> int:
    """90s, 10m, 1h30m. Raises ValueError."""
    found = _DURATION.match(text)
    parts = [int(part) if part else 0 for part in found.groups()] if found else []
    if not any(parts) or len(text) > 20:
        raise ValueError(text)
    hours, minutes, rest = parts
    return 3600 * hours + 60 * minutes + rest
