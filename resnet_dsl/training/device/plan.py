"""The device plan: how a run computes, decided once, said in one line and kept in the run.

Rules give the plans that can be right for a device (`candidates`), best first where nothing is timed. `trial.decide` times
them where a run is long enough for that to pay. What a person has decided (`Pins`) is in every candidate, so a plan of
which all is decided is never timed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch

from resnet_dsl.diagnostics import Argument, SpecError, did_you_mean, refuse
from resnet_dsl.records.document import StoredDocument
from resnet_dsl.records.record import Extent, Placement, PlanRecord, Precision, ThreadChange
from resnet_dsl.records.run import Run
from resnet_dsl.training.device.device import Facts, find
from resnet_dsl.training.device.regional import NOT_COMPILED, Compiled, eager, extent

DEVICE_SHARE = 0.4
"""Of a device's memory, what a data set may take there; the rest is for the network, its maps and everyone else."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`device` is torch's name for it; `precision` bf16 means autocast, weights stay fp32; `threads` counts the CPU's.

    `changes` are those of the number of threads on the way (`threads.StepWatch`), and `seconds` what a step took when the number was last timed: None
    where it was not, and then it never changes.

    `compile`: how much of the network training takes through torch.compile at once. `fused`: the optimizer is one kernel. `data` lies on the
    device as bytes, in the host's memory, or is streamed from files. `reason` says why.

    Equal plans (whatever their `reason`) give equal bits on the CPU, for the same torch build, C++ compiler and processor.
    """

    device: str
    precision: Precision
    channels_last: bool
    threads: int
    reason: str = dataclasses.field(default="", compare=False)
    compile: Extent = "no"
    fused: bool = True
    data: Placement = "device"
    changes: tuple[ThreadChange, ...] = ()
    seconds: float | None = dataclasses.field(default=None, compare=False)

    @property
    def torch_device(self) -> torch.device:
        """The device itself."""
        return torch.device(self.device)

    @property
    def memory_format(self) -> torch.memory_format:
        """How maps lie in memory."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model itself, moved to the device and laid out as planned."""
        return model.to(self.torch_device, memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def computing(self) -> contextlib.AbstractContextManager[None]:
        """Inside `with`, torch computes with the planned number of the CPU's threads."""
        return on_threads(self.threads)

    def threads_at(self, step: int) -> int:
        """The threads that compute a step of a run (from 0)."""
        return next((c.threads for c in reversed(self.changes) if c.step <= step), self.threads)

    def because(self, why: str, **changed: Any) -> Plan:
        """The plan with other values, and one more reason."""
        return replace(self, reason="; ".join(filter(None, (self.reason, why))), **changed)

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """What a forward pass runs under."""
        return torch.autocast(self.torch_device.type, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()

    def compiled(self, model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        """What a training step calls in place of the model, whose parameters, buffers, keys and pickle stay as they are.

        Evaluation runs under `as_written`. The first call raises SpecError (exit 3) where torch.compile fails.
        """
        return model if self.compile == "no" else Compiled(model, self.compile)

    def as_written(self) -> contextlib.AbstractContextManager[Any]:
        """Inside `with`, a network that is compiled for training runs as it is written.

        Evaluation does: its batches have other sizes, and its figures should be those that anyone gets from the weights.
        """
        return contextlib.nullcontext() if self.compile == "no" else eager()

    def record(self) -> PlanRecord:
        """What run.json holds of it."""
        return PlanRecord(**{f.name: getattr(self, f.name) for f in fields(self)})

    @staticmethod
    def of(record: PlanRecord) -> Plan:
        """The plan that a run was begun with."""
        return Plan(**{f.name: getattr(record, f.name) for f in fields(Plan)})

    def text(self) -> str:
        """Everything but the device, as `--plan` reads it."""
        return ",".join(f"{key}={part.write(getattr(self, part.field))}" for key, part in PLAN_PARTS.items())

    def __str__(self) -> str:
        words = [
            self.device, self.precision, PLAN_PARTS["layout"].write(self.channels_last), _COMPILED[self.compile],
            f"{'fused' if self.fused else 'plain'} optimizer", _WHERE[self.data],
        ]  # fmt: skip
        if self.device == "cpu":
            words.insert(1, "1 thread" if self.threads == 1 else f"{self.threads} threads")
        return ", ".join(words) + (f" ({self.reason})" if self.reason else "")


@contextlib.contextmanager
def on_threads(threads: int) -> Iterator[None]:
    """Inside `with`, torch computes with so many of the CPU's threads."""
    before = torch.get_num_threads()
    take_threads(threads)
    try:
        yield
    finally:
        take_threads(before)


def take_threads(threads: int) -> None:
    """Make torch compute with so many of the CPU's threads from now on."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


_COMPILED: Mapping[str, str] = {"no": "eager", "blocks": "compiled block by block", "whole": "compiled whole"}
_WHERE: Mapping[str, str] = {"device": "data on the device", "host": "data in the host's memory", "stream": "data streamed"}


@dataclass(frozen=True, slots=True)
class PlanPart:
    """One part of a plan as text: the field it sets and its values; a whole number of at least 1 where there are none."""

    field: str
    values: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def read(self, word: str) -> object:
        """The value. Raises ValueError, with the help line."""
        if self.values:
            if word in self.values:
                return self.values[word]
            raise ValueError(did_you_mean(word, self.values, what="a value"))
        if word.isascii() and word.isdecimal() and 1 <= int(word) <= 4096:
            return int(word)
        raise ValueError("write a whole number from 1 to 4096")

    def write(self, value: object) -> str:
        """The inverse of `read`."""
        return next((word for word, v in self.values.items() if v == value), str(value))


_YES_NO: Mapping[str, object] = {"yes": True, "no": False}

PLAN_PARTS: Mapping[str, PlanPart] = {
    "precision": PlanPart("precision", {"fp32": "fp32", "bf16": "bf16"}),
    "layout": PlanPart("channels_last", {"channels_last": True, "channels_first": False}),
    "compile": PlanPart("compile", {"no": "no", "blocks": "blocks", "whole": "whole"}),
    "fused": PlanPart("fused", _YES_NO),
    "data": PlanPart("data", {"device": "device", "host": "host", "stream": "stream"}),
    "threads": PlanPart("threads"),
}
"""What can be decided by hand, in the order in which it is written."""


@dataclass(frozen=True, slots=True)
class Pins:
    """The parts of a plan that a person, or the run that is resumed, has decided; None is open."""

    device: str | None = None
    precision: Precision | None = None
    channels_last: bool | None = None
    compile: Extent | None = None
    fused: bool | None = None
    data: Placement | None = None
    threads: int | None = None
    changes: tuple[ThreadChange, ...] | None = None

    @staticmethod
    def read(text: str) -> Pins:
        """From `precision=bf16,compile=no`, or from a file: a run's run.json, its folder, or a plan's own JSON.

        Raises SpecError: exit 2 for a mistake in the text, 3 where a file cannot be read.
        """
        at = Argument("plan")
        path = Path(text)
        if "=" not in text and (text.endswith(".json") or os.sep in text or path.exists()):
            return _stored(path)
        found: dict[str, Any] = {}
        for item in filter(None, map(str.strip, text.split(","))):
            key, equals, word = (x.strip() for x in item.partition("="))
            if key not in PLAN_PARTS:
                raise refuse("unknown-name", f"a plan has no {key!r}", did_you_mean(key, PLAN_PARTS, what="a part"), at=at)
            if not equals:
                values = "|".join(PLAN_PARTS[key].values) or "N"
                raise refuse("usage", f"{key} has no value", f"write {key}={values}", at=at)
            if PLAN_PARTS[key].field in found:
                raise refuse("usage", f"{key} is there twice", "say it once", at=at)
            try:
                found[PLAN_PARTS[key].field] = PLAN_PARTS[key].read(word)
            except ValueError as e:
                raise refuse("unknown-name", f"{key} cannot be {word!r}", str(e), at=at) from None
        if not found:
            raise refuse("usage", "a plan without parts", f"write {next(iter(PLAN_PARTS))}=bf16, say, or a run's folder", at=at)
        return Pins(**found)

    @staticmethod
    def of(plan: Plan) -> Pins:
        """All of a plan that was decided before."""
        return Pins(**{f.name: getattr(plan, f.name) for f in fields(Pins)})

    def over(self, other: Pins) -> Pins:
        """These, and where they are open the other's."""
        return Pins(**{f.name: _first(getattr(self, f.name), getattr(other, f.name)) for f in fields(Pins)})


def _first(a: object, b: object) -> Any:
    return a if a is not None else b


def _stored(path: Path) -> Pins:
    try:
        return Pins.of(Plan.of(Run.open(path).plan if path.is_dir() else _HeldPlan.read(path).plan or PlanRecord.read(path)))
    except SpecError as e:
        if e.diagnostics[0].code == "run-damaged":
            raise refuse("run-damaged", "holds no plan", "give the run.json of a run, or its folder", at=path, exit_code=3) from None
        raise


class _HeldPlan(StoredDocument):
    """The part of run.json that a plan is read from."""

    plan: PlanRecord | None = None


def candidates(facts: Facts, pins: Pins, *, data_bytes: int | None = 0) -> tuple[Plan, ...]:
    """The plans that can be right for a device, the one that is right unless timing says otherwise first.

    `data_bytes` is what the training set takes as pixels; None where it is streamed. A compiled plan stands right
    after the eager one that it compiles. Raises SpecError (exit 3) where compilation is asked for and there is none.
    """
    if pins.compile not in (None, "no") and facts.no_compiler:
        raise refuse("compile-missing", f"cannot compile: {facts.no_compiler}", f"use {NOT_COMPILED}", at=Argument("compile"), exit_code=3)
    precisions, why = _precisions(facts) if pins.precision is None else ((pins.precision,), f"{pins.precision} as asked")
    compiles: tuple[Extent, ...] = ("no",) if facts.no_compiler else ("no", extent(facts.kind))
    if pins.compile is not None:
        compiles = (pins.compile,)
    reasons = [why]
    if pins.compile is None and facts.no_compiler:
        reasons.append(f"eager, {facts.no_compiler}")
    room = facts.memory is None or facts.kind == "cpu"
    placement: Placement = pins.data or (
        "stream" if data_bytes is None else "device" if room or data_bytes <= DEVICE_SHARE * (facts.memory or 0) else "host"
    )
    return tuple(
        Plan(
            facts.device, precision, _first(pins.channels_last, facts.kind != "mps"), pins.threads or facts.threads,
            "; ".join(reasons), compiled, _first(pins.fused, facts.kind != "mps"), placement, pins.changes or (),
        )
        for precision in precisions for compiled in compiles
    )  # fmt: skip


def _precisions(facts: Facts) -> tuple[tuple[Precision, ...], str]:
    """Precisions worth a try, and why."""
    if facts.kind == "cuda":
        return (("bf16",), "bf16 on tensor cores") if facts.bf16 == "matrix" else (("fp32",), "the GPU has no bf16")
    if facts.kind == "mps":
        return ("fp32",), "fp32 on MPS"
    if facts.bf16 == "matrix":
        return ("bf16",), "the CPU has amx_bf16"
    if facts.bf16 == "vector":
        # Twice the multiplications an instruction, and conversions around them: either may win.
        return ("fp32", "bf16"), "the CPU has avx512_bf16 but no amx_bf16"
    # Without either, oneDNN converts bf16 back and forth, which costs more than it saves.
    return ("fp32",), "the CPU has no amx_bf16"


def pins_of(device: str, precision: str | None, compiled: bool | None, plan: str | None) -> Pins:
    """What options ask for: `--plan`, and the options that name one part, which must not say otherwise.

    `precision` auto, like None, is open; `compiled` as `--compile` or `--no-compile`. Raises SpecError (exit 2 or 3).
    """
    pinned = Pins() if plan is None else Pins.read(plan)
    if device != "auto" and pinned.device is None:
        pinned = replace(pinned, device=device)
    facts = find(_first(pinned.device, device))
    single: Pins = Pins(
        device=None if device == "auto" else device,
        precision="fp32" if precision == "fp32" else "bf16" if precision == "bf16" else None,
        compile=None if compiled is None else extent(facts.kind) if compiled else "no",
    )
    for part in fields(Pins):
        one, other = getattr(single, part.name), getattr(pinned, part.name)
        same = one == other or (part.name == "compile" and "no" not in (one, other))
        if one is not None and other is not None and not same:
            raise refuse(
                "usage",
                f"{Argument('plan')} says {part.name} {other}, {Argument(part.name)} says otherwise",
                "say it once",
                at=Argument(part.name),
            )
    return pinned.over(single)


def by_rule(asked: Pins, *, data_bytes: int | None = 0) -> Plan:
    """The plan by the rules and what was asked for, eager unless it was asked for otherwise. Raises SpecError as `candidates`."""
    return candidates(find(asked.device or "auto"), asked.over(Pins(compile="no")), data_bytes=data_bytes)[0]


def resumed_plan(plan: Plan, device: str | None) -> Plan:
    """The plan of a run that is resumed, on the device that it had or on another. Raises SpecError as `device.find`.

    On another kind of device only the precision stays.
    """
    facts = find(device or plan.device)
    if facts.kind != plan.torch_device.type:
        return replace(by_rule(Pins(device=facts.device, precision=plan.precision)), reason="as it began, on another device")
    return usable_here(replace(plan, device=facts.device, reason="as it began"), facts)


def usable_here(plan: Plan, facts: Facts) -> Plan:
    """A stored plan on the device that is here: without compilation, and saying so, where there is no compiler any more."""
    if plan.compile != "no" and facts.no_compiler:
        return replace(plan, compile="no", reason=f"{plan.reason}, but eager: {facts.no_compiler}")
    return plan
