"""The devices: which there are, and the facts about one of them that a plan is made from."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from resnet_dsl.diagnostics import Argument, refuse

DEVICES = ("auto", "cpu", "cuda", "mps")

Units = Literal["matrix", "vector", "none"]
"""How a device multiplies bf16: by matrix units (AMX, tensor cores), by vector instructions alone, or no better than fp32."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One device. `device` is torch's name for it, `name` its maker's; `threads` are the CPU's that torch computes with.

    `no_compiler` says why torch.compile cannot be used here; it is empty where it can. `memory` is the device's whole
    memory in bytes, None where nothing tells.
    """

    device: str
    name: str
    bf16: Units
    no_compiler: str
    threads: int
    memory: int | None = None

    @property
    def kind(self) -> str:
        """cpu, cuda or mps."""
        return self.device.partition(":")[0]


def find(device: str) -> Facts:
    """The facts about a device; `auto` takes CUDA, then MPS, then the CPU.

    Raises SpecError: exit 2 for an unknown device, 3 for one that is not there.
    """
    kind = device.partition(":")[0]
    if kind not in DEVICES:
        raise refuse("unknown-name", f"{device} is not a device", f"use one of {', '.join(DEVICES)}", at=Argument("device"))
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        device = kind = next(k for k in ("cuda", "mps", "cpu") if here[k])
    if not here[kind]:
        raise refuse(
            "device-missing",
            f"this machine (or this build of torch, {torch.__version__}) has no {kind}",
            f"use {Argument('device', 'auto')}",
            at=Argument("device"),
            exit_code=3,
        )
    if kind == "cuda" and ":" in device and not (device[5:].isdecimal() and int(device[5:]) < torch.cuda.device_count()):
        raise refuse(
            "device-missing",
            f"there is no {device}: {torch.cuda.device_count()} CUDA devices are here",
            f"use {Argument('device', 'cuda')}",
            at=Argument("device"),
            exit_code=3,
        )
    threads = torch.get_num_threads()
    if kind == "cuda":
        matrix = torch.cuda.is_bf16_supported(including_emulation=False)
        return Facts(
            device, torch.cuda.get_device_name(device), "matrix" if matrix else "none", _no_triton(), threads,
            torch.cuda.get_device_properties(device).total_memory,
        )  # fmt: skip
    if kind == "mps":
        return Facts(device, "Apple GPU", "none", "torch.compile is not used on MPS", threads)
    found = _cpu()
    units: Units = "matrix" if found.get("amx_bf16") else "vector" if found.get("avx512_bf16") else "none"
    return Facts(device, str(found.get("cpu_name", "")), units, _no_cpp(), threads, _memory())


def wait(device: torch.device) -> None:
    """Until the device has done all that was asked of it, so that a clock can be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _cpu() -> Mapping[str, Any]:
    # Older builds of torch that are still supported cannot tell; they get the plan that is never slow.
    facts: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return facts


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _no_cpp() -> str:
    """Why torch's inductor can build nothing for the CPU. It calls $CXX, else the platform's own, and includes Python.h."""
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        return f"no C++ compiler ({compiler})"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "no Python.h for the C++ compiler (Debian: apt-get install python3-dev)"
    return ""


def _no_triton() -> str:
    """Why torch's inductor can build nothing for CUDA: Triton makes the kernels, a C compiler what starts them."""
    if importlib.util.find_spec("triton") is None:
        return "no Triton"
    if not any(map(shutil.which, filter(None, (os.environ.get("CC"), "clang", "gcc")))):
        return "no C compiler, which Triton needs"
    return ""


def described() -> list[str]:
    """One line for each device that torch can use."""
    processor = platform.processor() or platform.machine()
    lines = [f"cpu: {processor}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"]
    lines += [f"cuda:{i}: {torch.cuda.get_device_name(i)}, CUDA {torch.version.cuda}" for i in range(torch.cuda.device_count())]
    return [*lines, "mps"] if torch.backends.mps.is_available() else lines
