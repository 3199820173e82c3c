"""The device plan: where a run computes, in which precision and memory layout, decided once and recorded with the run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from resnet_dsl.training.errors import RunError

Precision = Literal["fp32", "bf16"]
DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Plan:
    """`device` is torch's name for it; `precision` bf16 means autocast, weights stay fp32; `threads` counts the CPU's."""

    device: str
    precision: Precision
    channels_last: bool
    threads: int
    reason: str

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

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """What a forward pass runs under."""
        return torch.autocast(self.torch_device.type, torch.bfloat16) if self.precision == "bf16" else contextlib.nullcontext()

    def to_dict(self) -> dict[str, Any]:
        """For the run's record."""
        return asdict(self)

    def __str__(self) -> str:
        layout = "channels_last" if self.channels_last else "channels_first"
        threads = f", {self.threads} threads" if self.device == "cpu" else ""
        return f"{self.device}{threads}, {self.precision}, {layout} ({self.reason})"


def choose(device: str, precision: str) -> Plan:
    """The plan for a device (`auto` takes CUDA, then MPS, then the CPU) and a precision as in a recipe.

    Raises RunError: exit 2 for an unknown device, 3 for one that is not there.
    """
    kind = device.split(":")[0]
    if kind not in DEVICES:
        raise RunError("unknown-name", f"{device} is no device", f"use one of {', '.join(DEVICES)}", at="--device", exit_code=2)
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        device = kind = next(k for k in ("cuda", "mps", "cpu") if here[k])
    if not here[kind]:
        raise RunError(
            "device-missing",
            f"this machine (or this build of torch, {torch.__version__}) has no {kind}",
            "use --device auto",
            at="--device",
        )
    if kind == "cuda" and ":" in device and not (device[5:].isdecimal() and int(device[5:]) < torch.cuda.device_count()):
        raise RunError(
            "device-missing", f"there is no {device}: {torch.cuda.device_count()} CUDA devices are here", "use --device cuda", at="--device"
        )
    fast, why = _matrix_units(kind)
    chosen: Precision = "bf16" if precision == "bf16" or (precision == "auto" and fast) else "fp32"
    return Plan(device, chosen, kind != "mps", torch.get_num_threads(), why if precision == "auto" else "as asked")


def _matrix_units(kind: str) -> tuple[bool, str]:
    """Does the device multiply bf16 matrices faster than fp32 ones? And why."""
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False), "bf16 where the GPU has it"
    if kind == "mps":
        return False, "fp32 on MPS"
    # Without AMX oneDNN converts bf16 back and forth, which costs more than it saves.
    amx = bool(_cpu_facts().get("amx_bf16", False))
    return amx, "the CPU has amx_bf16" if amx else "the CPU has no amx_bf16"


def _cpu_facts() -> Mapping[str, Any]:
    # Older builds of torch that are still supported cannot tell; they get the plan that is never slow.
    facts: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return facts


def describe(plan: Plan) -> dict[str, Any]:
    """The hardware as torch names it, for env.json."""
    kind = plan.torch_device.type
    name = (
        torch.cuda.get_device_name(plan.torch_device)
        if kind == "cuda"
        else str(_cpu_facts().get("cpu_name", ""))
        if kind == "cpu"
        else "Apple GPU"
    )
    return {"device": plan.device, "device_name": name, "cores": os.cpu_count(), "threads": plan.threads}
