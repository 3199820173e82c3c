"""Time of the emitted network against the same network written by hand: `python benchmarks/forward.py`.

For each network the median ratio over interleaved pairs, emitted / by hand (1.00 is equal, below is faster), and the
quarter and three-quarter points of the ratios. A pair is one run of each, in alternating order.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

import resnet_dsl as rd

TWIN = runpy.run_path(str(Path(__file__).parent.parent / "tests" / "torch_twin.py"))

CASES: dict[str, tuple[str, dict[str, str], Callable[[], nn.Module], tuple[int, ...]]] = {
    "ResNet-18, 64x64, batch 8": (
        "resnet18", {"input.height": "64", "input.width": "64"},
        lambda: TWIN["ResNet"](TWIN["Basic"], (2, 2, 2, 2), (64, 128, 256, 512)), (8, 3, 64, 64),
    ),
    "ResNet-20, 32x32, batch 32": (
        "resnet20", {},
        lambda: TWIN["ResNet"](TWIN["Basic"], (3, 3, 3), (16, 32, 64), classes=10, shortcut="A", stem="cifar"), (32, 3, 32, 32),
    ),
}  # fmt: skip


def forward(model: nn.Module, x: torch.Tensor) -> None:
    with torch.no_grad():
        model(x)


def step(model: nn.Module, x: torch.Tensor) -> None:
    model(x).sum().backward()


def seconds(work: Callable[[nn.Module, torch.Tensor], None], model: nn.Module, x: torch.Tensor) -> float:
    start = time.perf_counter()
    work(model, x)
    return time.perf_counter() - start


def ratios(work: Callable[[nn.Module, torch.Tensor], None], ours: nn.Module, twin: nn.Module, x: torch.Tensor, pairs: int) -> list[float]:
    for model in (ours, twin) * 3:
        work(model, x)
    found = []
    for i in range(pairs):
        if i % 2:
            theirs, own = seconds(work, twin, x), seconds(work, ours, x)
        else:
            own, theirs = seconds(work, ours, x), seconds(work, twin, x)
        found.append(own / theirs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=30)
    pairs = parser.parse_args().pairs
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {pairs} pairs, ratio emitted / by hand")
    for name, (spec, overrides, twin_of, shape) in CASES.items():
        ours, twin = rd.build(rd.compile(rd.load(spec, overrides))), twin_of()
        twin.load_state_dict(ours.state_dict())
        x = torch.randn(shape)
        for what, work in (("forward", forward), ("forward and backward", step)):
            found = ratios(work, ours.train(), twin.train(), x, pairs)
            low, _, high = statistics.quantiles(found)
            print(f"{name:28} {what:22} median {statistics.median(found):.3f}   quartiles {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
