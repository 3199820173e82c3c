"""How fast a network trains and answers under its plan, against the plain module in the same process.

The plain module is what everyone gets without a thought: eager, fp32, channels first, the default optimizer. Both have the same
weights and read the same images. They are timed in pairs, in alternating order, so that what disturbs one disturbs the other.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from resnet_dsl.graph import Graph
from resnet_dsl.records.timing import Bench, Timing
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.inference import ready
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.device.device import wait
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.device.trial import Clock

Work = Callable[[], object]

WARM_UP = 3
"""Steps before the first that is timed: they compile, allocate and choose algorithms."""
LEAST_PAIRS = 3


def bench(graph: Graph, plan: Plan, batch: int, seconds: float, clock: Clock = time.perf_counter, *, fold_bn: bool = False) -> Bench:
    """Time training and inference of a network, `seconds` for each but at least three pairs. `batch` images at once.

    `fold_bn`: inference under the plan is by the network that `runtime.inference` makes, in the plan's precision.

    Raises SpecError (exit 3) where a plan cannot be compiled.
    """
    plain = Plan(plan.device, "fp32", False, plan.threads)
    draws = generator(0, "bench")
    images = torch.randn(batch, *graph.input, generator=draws)
    labels = torch.randint(graph.classes, (batch,), generator=draws).to(plan.torch_device)
    times = []
    for make in (training, inference):
        pair = [make(build(graph, seed=0), p, images, labels) for p in (plan, plain)]
        if fold_bn and make is inference:
            pair[0] = prepared(graph, plan, images)
        times.append(compare(pair, batch, seconds, plan.torch_device, clock))
    return Bench(graph.name, batch, plan.record().to_dict(), str(plan), fold_bn, *times)


def training(model: nn.Module, plan: Plan, images: torch.Tensor, labels: torch.Tensor) -> Work:
    """A whole step under a plan: forward, backward, optimizer. It returns when the device is done."""
    model = plan.place(model).train()
    forward = plan.compiled(model)
    images = _laid_out(images, plan)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=plan.fused or None)

    def step() -> None:
        with plan.autocast():
            logits = forward(images)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        wait(plan.torch_device)

    return step


def inference(model: nn.Module, plan: Plan, images: torch.Tensor, labels: torch.Tensor) -> Work:
    """A forward pass as `evaluate` does it: under the plan, but not compiled."""
    model = plan.place(model).eval()
    images = _laid_out(images, plan)

    def answer() -> None:
        with torch.inference_mode(), plan.autocast():
            model(images)
        wait(plan.torch_device)

    return answer


def prepared(graph: Graph, plan: Plan, images: torch.Tensor) -> Work:
    """A forward pass of the network with its batch norms folded, in the type of the plan's precision."""
    tensors = {k: v.to(plan.torch_device) for k, v in build(graph, seed=0).state_dict().items()}
    model = ready(graph, tensors, dtype=torch.bfloat16 if plan.precision == "bf16" else torch.float32)
    images = images.to(plan.torch_device)

    def answer() -> None:
        model(images)
        wait(plan.torch_device)

    return answer


def compare(pair: Sequence[Work], batch: int, seconds: float, device: torch.device, clock: Clock) -> Timing:
    """Time two kinds of work on `batch` images each, the second being the one that the first is measured against."""
    for work in pair:
        for _ in range(WARM_UP):
            work()
    first, second = (peak(work, device) for work in pair)
    times: list[tuple[float, float]] = []
    began = clock()
    while len(times) < LEAST_PAIRS or clock() - began < seconds:
        taken = [0.0, 0.0]
        for i in (0, 1) if len(times) % 2 else (1, 0):
            start = clock()
            pair[i]()
            taken[i] = clock() - start
        times.append((taken[0], taken[1]))
    low, ratio, high = statistics.quantiles([b / a for a, b in times], method="inclusive")
    rate, plain = (batch / statistics.median(t[i] for t in times) for i in (0, 1))
    return Timing(rate, plain, ratio, low, high, len(times), first, second)


def peak(work: Work, device: torch.device) -> int | None:
    """The most bytes of memory that `work` takes at once: on CUDA all that torch holds, on Linux what the process grows by.

    The second leaves out what was there before, the weights of both networks. None where nothing tells.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device)
    try:
        # Memory that is free but kept by the allocator would hide what the work takes.
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
    except (OSError, AttributeError):
        return None
    work()
    return max(0, _status("VmHWM") - before)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _laid_out(images: torch.Tensor, plan: Plan) -> torch.Tensor:
    return images.to(plan.torch_device, memory_format=plan.memory_format if images.ndim == 4 else torch.preserve_format)
