"""What the device plan is worth on a GPU, in one command of under 8 minutes: `python benchmarks/gpu.py`. One table.

    ResNet-50, 224     noise, batch 256: ours beside a hand-tuned loop in the style of torchvision's references (bf16, channels_last,
                       compiled, fused SGD, with CUDA graphs where they are faster), and the share of the card's bf16 peak
    ResNet-18, 32      ours beside the usual script: a DataLoader with workers, fp32, channels first, eager
    no waiting         steps under torch.cuda.set_sync_debug_mode("error"): whatever waits for the card within a step raises
    --fast             the time to 94 % on Fashion-MNIST with the recipe `fast`
    --wrn              the accuracy of WRN-40-4 on Fashion-MNIST with the recipe `wrn`

The last two train for at most --box seconds each. Loops take turns, a few steps each; ratios are medians over the turns. What the time
does not allow is left out and said. It exits with 3 where there is no CUDA device. `--device cpu --tiny` runs every part on a CPU in
tiny sizes, to see that it works: it measures nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import runpy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hand_loops import Steps, tuned_steps, usual_steps

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile as compile_spec
from resnet_dsl.language import load
from resnet_dsl.language.recipes import combine
from resnet_dsl.records.errors import Interrupted
from resnet_dsl.records.request import Request
from resnet_dsl.table import Column, Table
from resnet_dsl.training.data.dataset import Dataset, InMemory
from resnet_dsl.training.device.device import find, wait
from resnet_dsl.training.device.plan import Pins, by_rule
from resnet_dsl.training.device.planning import planned
from resnet_dsl.training.job import Job
from resnet_dsl.training.loop.progress import Silent
from resnet_dsl.training.loop.step import Stepper
from resnet_dsl.training.ranks.world import alone
from resnet_dsl.training.session import begin

TWIN = runpy.run_path(str(Path(__file__).parent.parent / "tests" / "torch_twin.py"))

PEAKS: Mapping[str, float] = {
    "B200": 2250, "GH200": 989, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "A30": 165, "A10G": 70,
    "L40S": 362, "L40": 181, "L4": 121, "RTX 5090": 209.5, "RTX 4090": 165.2, "RTX 3090": 71, "RTX A6000": 154.8, "RTX 6000 Ada": 364.2,
}  # fmt: skip
"""TFLOP/s of dense bf16 products with fp32 sums, from NVIDIA's data sheets, by a part of the card's name; the first that fits."""

TOTAL_SECONDS = 450.0
"""All of it, in under 8 minutes."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large everything is: for a card, or tiny, for a test of this program."""

    batch50: int
    side: int
    images50: int
    depths50: tuple[int, ...]
    depths18: tuple[int, ...]
    widths: tuple[int, ...]
    batch18: int
    images18: int
    turns: int
    steps: int
    compile: bool
    matrix: int


FULL = Sizes(256, 224, 1024, (3, 4, 6, 3), (2, 2, 2, 2), (64, 128, 256, 512), 128, 20_480, 8, 20, True, 8192)
TINY = Sizes(2, 32, 8, (1, 1), (1, 1), (8, 16), 4, 64, 3, 1, False, 64)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: images a second of ours and of the other loop, the ratio over turns, and what is to be said."""

    what: str
    ours: float | None = None
    other: float | None = None
    ratio: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """What is left of the time."""

    end: float

    def left(self) -> float:
        return self.end - time.monotonic()


def noise(count: int, shape: tuple[int, int, int], classes: int) -> Dataset:
    """Images that nobody has to read."""
    part = InMemory(torch.randint(256, (count, *shape), dtype=torch.uint8), torch.randint(classes, (count,)))
    return Dataset("noise", part, part, tuple(map(str, range(classes))), "noise", "")


def stages(depths: Sequence[int], widths: Sequence[int]) -> str:
    """As a setting for a spec."""
    rows = (f"{{depth: {d}, width: {w}, stride: {2 if i else 1}}}" for i, (d, w) in enumerate(zip(depths, widths, strict=True)))
    return f"stages=[{', '.join(rows)}]"


def our_job(spec_name: str, overrides: Sequence[str], batch: int, data: Dataset, device: str, asked: Pins) -> Job:
    """A long run as `train` makes it."""
    spec = load(spec_name, [*overrides, f"train.batch={batch}", "train.steps=200000"])
    recipe = combine(None, None, "quick", spec.train.overrides)
    pins = replace(asked, device=device)
    return planned(Job("", "", compile_spec(spec), recipe, Request(data=data.name, device=device), by_rule(pins), data, pins=pins))


def our_steps(job: Job) -> Steps:
    """Batches and steps of a job, as the loop takes them between two lines of its log."""
    batches, _ = job.prepare()
    network = job.network()
    network.model.train()
    stepper = Stepper(network, job.recipe, job.plan, alone())
    done = 0

    def steps(count: int) -> None:
        nonlocal done
        for _ in range(count):
            stepper(batches, done, 1e-3)
            done += 1
        wait(job.plan.torch_device)

    return steps


def take_turns(loops: Sequence[Steps], turns: int, count: int) -> list[list[float]]:
    """Seconds of each turn of each loop, after one that compiles and allocates."""
    for steps in loops:
        steps(count)
    times: list[list[float]] = [[] for _ in loops]
    for turn in range(turns):
        for place in range(len(loops)):
            which = (turn + place) % len(loops)
            start = time.perf_counter()
            loops[which](count)
            times[which].append(time.perf_counter() - start)
    return times


def line(what: str, ours: list[float], other: list[float], images: int, note: str) -> Line:
    ratio = statistics.median(b / a for a, b in zip(ours, other, strict=True))
    return Line(what, images / statistics.median(ours), images / statistics.median(other), ratio, note)


def peak(name: str, device: torch.device, size: int) -> tuple[float, str]:
    """The card's bf16 TFLOP/s, by its name or by a large product, and how it is known."""
    known = next((value for part, value in PEAKS.items() if part in name), None)
    if known is not None:
        return known, "data sheet"
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        a @ b
        wait(device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e12, f"product of {size} x {size}"


def resnet50(sizes: Sizes, device: torch.device, clock: Clock) -> Iterator[Line]:
    """Ours against the best loop by hand."""
    classes = 1000
    data = noise(sizes.images50, (3, sizes.side, sizes.side), classes)
    overrides = [
        f"input={{channels: 3, height: {sizes.side}, width: {sizes.side}}}",
        stages(sizes.depths50, sizes.widths),
        "train.augment.pad_crop=0",
    ]
    images = sizes.batch50 * sizes.steps

    def by_hand(mode: str | None) -> Steps:
        model = TWIN["ResNet"](TWIN["Bottleneck"], sizes.depths50, sizes.widths)
        return tuned_steps(model, sizes.batch50, sizes.side, classes, device, mode)

    tried: dict[str, Steps] = {"compiled": by_hand("default"), "with CUDA graphs": by_hand("reduce-overhead")} if sizes.compile else {
        "eager": by_hand(None)
    }  # fmt: skip
    times = take_turns(list(tried.values()), 3, sizes.steps)
    best = min(range(len(tried)), key=lambda i: min(times[i]))
    name, hand = list(tried.items())[best]
    tried.clear()
    job = our_job("resnet50", overrides, sizes.batch50, data, str(device), Pins(compile=None if sizes.compile else "no"))
    flops = 6 * Costs(job.graph).network.macs
    most, source = peak(find(str(device)).name, device, sizes.matrix)

    def row(job: Job) -> Line:
        own, other = take_turns([our_steps(job), hand], sizes.turns, sizes.steps)
        share = flops * images / statistics.median(own) / (most * 1e12)
        return line(
            f"ResNet-50, {sizes.side}", own, other, images, f"{share:.1%} of {most:,.3g} TFLOP/s ({source}); by hand {name}; {job.plan}"
        )

    yield row(job)
    if sizes.compile and clock.left() > 150:
        other = "whole" if job.plan.compile != "whole" else "blocks"
        yield row(our_job("resnet50", overrides, sizes.batch50, data, str(device), Pins(compile=other)))  # type: ignore[arg-type]


def resnet18(sizes: Sizes, device: torch.device) -> Iterator[Line]:
    """Ours against the usual script, on as many workers as there are cores, up to 8."""
    data = noise(sizes.images18, (3, 32, 32), 10)
    overrides = ["input={channels: 3, height: 32, width: 32}", "classes=10", "stem=cifar", stages(sizes.depths18, sizes.widths)]
    job = our_job("resnet18", overrides, sizes.batch18, data, str(device), Pins(compile=None if sizes.compile else "no"))
    workers = min(8, os.cpu_count() or 1) if sizes.compile else 0
    model = TWIN["ResNet"](TWIN["Basic"], sizes.depths18, sizes.widths, classes=10, stem="cifar")
    with usual_steps(model, data, sizes.batch18, device, workers) as usual:
        own, other = take_turns([our_steps(job), usual], sizes.turns, sizes.steps)
    yield line("ResNet-18, 32", own, other, sizes.batch18 * sizes.steps, f"target 5x; script with {workers} workers; {job.plan}")


def no_waiting(sizes: Sizes, device: torch.device) -> Iterator[Line]:
    """Steps within which nothing may wait for the card."""
    data = noise(sizes.images18, (3, 32, 32), 10)
    overrides = ["input={channels: 3, height: 32, width: 32}", "classes=10", "stem=cifar", stages(sizes.depths18, sizes.widths)]
    job = our_job("resnet18", overrides, sizes.batch18, data, str(device), Pins(compile="no"))
    batches, _ = job.prepare()
    network = job.network()
    network.model.train()
    stepper = Stepper(network, job.recipe, job.plan, alone())
    stepper(batches, 0, 1e-3)
    count = min(10, batches.per_epoch - 1)
    with waiting_is_an_error(device):
        try:
            for step in range(1, 1 + count):
                stepper(batches, step, 1e-3)
        except RuntimeError as e:
            yield Line("no waiting in a step", note=f"FAILED: {str(e).splitlines()[0]}")
            return
    yield Line("no waiting in a step", note=f"{count} steps, none waited" if device.type == "cuda" else "not checked: no CUDA")


@contextlib.contextmanager
def waiting_is_an_error(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def trained(
    what: str,
    spec_name: str,
    overrides: Sequence[str],
    recipe_name: str,
    target: float,
    device: str,
    box: float,
    data: str = "fashion-mnist",
) -> Iterator[Line]:
    """A run of at most `box` seconds, and when an evaluation of it first reached the target."""
    try:
        spec = load(spec_name, overrides)
        recipe = combine(None, None, recipe_name, spec.train.overrides)
    except SpecError as e:
        yield Line(what, note=f"left out: {e.diagnostics[0].message}")
        return
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        stopped = ""
        try:
            begin(spec, recipe, Request(data=data, device=device, out=out, max_time=box), watcher=Silent())
        except Interrupted as e:
            stopped = f"; stopped after {box:,.0f} s, at step {e.step:,} of {e.total:,}"
        rows = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    scores = [(row["seconds"], row["top1"]) for row in rows if row["event"] == "test"]
    reached = next((seconds for seconds, top1 in scores if top1 >= target), None)
    last = f"{scores[-1][1]:.2%} at last" if scores else "never evaluated"
    when = f"{target:.1%} after {reached:,.0f} s" if reached is not None else f"{target:.1%} not reached"
    yield Line(what, note=f"{when}; {last}{stopped}")


def table(lines: Sequence[Line], title: str) -> Table:
    columns = (
        Column("what", ""), Column("ours", "ours", _rate, right=True), Column("other", "other", _rate, right=True),
        Column("ratio", "ratio", lambda v: f"{v:.2f}x", right=True), Column("note", "", wrap=True),
    )  # fmt: skip
    return Table(
        columns, [(x.what, x.ours, x.other, x.ratio, x.note) for x in lines], title=title, notes=("Images a second, medians over turns.",)
    )


def _rate(value: float) -> str:
    return f"{value:,.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: a test of this program")
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--wrn", action="store_true")
    parser.add_argument("--box", type=float, default=120.0, metavar="SECONDS")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("benchmarks/gpu.py: no CUDA device here (or this build of torch has none): nothing was measured", file=sys.stderr)
        return 3
    sizes = TINY if options.tiny else FULL
    if options.tiny:
        print("--tiny: this tests the program and measures nothing")
    clock = Clock(time.monotonic() + TOTAL_SECONDS)
    parts: list[tuple[str, float, Callable[[], Iterator[Line]]]] = [
        ("no waiting in a step", 0, lambda: no_waiting(sizes, device)),
        ("ResNet-18, 32", 60, lambda: resnet18(sizes, device)),
        ("ResNet-50, 224", 120, lambda: resnet50(sizes, device, clock)),
    ]
    if options.fast:
        parts.append(("Fashion-MNIST, fast", options.box, lambda: trained(
            "Fashion-MNIST, fast", "resnet20-fmnist", [], "fast", 0.94, options.device, options.box)))  # fmt: skip
    if options.wrn:
        parts.append(("WRN-40-4", options.box, lambda: trained(
            "WRN-40-4", "wrn-40-4-fmnist", [], "wrn", 0.967, options.device, options.box)))  # fmt: skip
    lines: list[Line] = []
    for name, needed, part in parts:
        if clock.left() < needed:
            lines.append(Line(name, note=f"left out: {clock.left():.0f} s are left, it needs {needed:.0f}"))
            continue
        for found in part():
            print(f"{found.what}: {found.note}", file=sys.stderr, flush=True)
            lines.append(found)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    title = f"{find(options.device).name}, torch {torch.__version__}, {TOTAL_SECONDS - clock.left():.0f} s in all"
    print(table(lines, title).render("table", width=120), end="")
    return 1 if any("FAILED" in x.note for x in lines) else 0


if __name__ == "__main__":
    raise SystemExit(main())
