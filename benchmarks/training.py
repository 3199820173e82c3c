"""How fast `resnet-dsl train` trains, beside two loops written by hand, in one process: `python benchmarks/training.py`.

    plain     eager, fp32, channels first, torch's default SGD: what one writes first
    tuned     channels_last, fused SGD, data on the device, and the fastest of fp32 and bf16, eager and compiled, here
    ours      training.loop.Loop under the plan that it chooses for a run of --run-steps steps

All read Fashion-MNIST (ResNet-20), or noise of 3x32x32 (ResNet-18), with the same random crops and mirror images. They take turns, a
few steps each; the table holds medians over the turns, and the quartiles of the ratios. Run it on an idle machine.

    python benchmarks/training.py --accuracy

trains with fp32 and with bf16, three seeds each, and says whether they differ by more than the seeds do.
"""

from __future__ import annotations

import argparse
import runpy
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from resnet_dsl.graph import compile as compile_spec
from resnet_dsl.language import load
from resnet_dsl.language.recipes import combine
from resnet_dsl.records.log import LogRow
from resnet_dsl.records.request import Request
from resnet_dsl.table import Column, Table
from resnet_dsl.training.data.dataset import Dataset, InMemory
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device.device import find
from resnet_dsl.training.device.plan import Pins, Plan, by_rule
from resnet_dsl.training.device.planning import planned
from resnet_dsl.training.job import Job
from resnet_dsl.training.loop.loop import Loop
from resnet_dsl.training.loop.progress import Silent
from resnet_dsl.training.ranks.world import alone
from resnet_dsl.training.session import begin

TWIN = runpy.run_path(str(Path(__file__).parent.parent / "tests" / "torch_twin.py"))

Steps = Callable[[int], object]
"""Takes so many steps."""


@dataclass(frozen=True)
class Case:
    """A network by its spec and by hand, and what it is trained on."""

    spec: str
    overrides: tuple[str, ...]
    twin: Callable[[], nn.Module]
    data: Callable[[], Dataset]


def resnet20() -> nn.Module:
    model: nn.Module = TWIN["ResNet"](TWIN["Basic"], (3, 3, 3), (16, 32, 64), classes=10, shortcut="A", stem="cifar")
    model.conv1 = nn.Conv2d(1, 16, 3, 1, 1, bias=False)
    return model


def resnet18() -> nn.Module:
    model: nn.Module = TWIN["ResNet"](TWIN["Basic"], (2, 2, 2, 2), (64, 128, 256, 512), classes=10, stem="cifar")
    return model


def noise() -> Dataset:
    """As many images as can be drawn in a moment, of CIFAR's size."""
    part = InMemory(torch.randint(256, (4096, 3, 32, 32), dtype=torch.uint8), torch.randint(10, (4096,)))
    return Dataset("noise", part, part, tuple(map(str, range(10))), "noise", "")


CASES = {
    "ResNet-20, Fashion-MNIST": Case(
        "resnet20-fmnist", (), resnet20, lambda: open_dataset("fashion-mnist", (1, 28, 28), None, False, lambda text: None)
    ),
    "ResNet-18, 3x32x32": Case("resnet18", ("input.height=32", "input.width=32", "classes=10", "stem=cifar"), resnet18, noise),
}


class Nowhere:
    """Keeps nothing."""

    def log(self, row: LogRow) -> None:
        pass

    def save(self, step: int, state: dict[str, Any]) -> None:
        pass

    def save_weights(self) -> None:
        pass

    def save_plan(self, plan: Plan) -> None:
        pass


def crop_and_flip(images: torch.Tensor) -> torch.Tensor:
    """Pad by 2, crop and mirror each image on its own, by hand."""
    n, c, h, w = images.shape
    top, left = torch.randint(5, (2, n, 1))
    columns = torch.arange(w).expand(n, w)
    columns = torch.where(torch.rand(n, 1) < 0.5, w - 1 - columns, columns) + left
    rows = torch.arange(h) + top
    index = (rows[:, :, None] * (w + 4) + columns[:, None, :]).view(n, 1, -1).expand(n, c, -1)
    return functional.pad(images, (2, 2, 2, 2)).view(n, c, -1).gather(2, index).view(n, c, h, w)


def by_hand(model: nn.Module, train: InMemory, batch: int, *, tuned: bool, bf16: bool = False, compiled: bool = False) -> Steps:
    """A training loop as one writes it in a script."""
    layout = torch.channels_last if tuned else torch.contiguous_format
    model.train().to(memory_format=layout)  # type: ignore[call-overload]
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=tuned or None)
    mean, std = train.pixels[:1000].float().mean(), train.pixels[:1000].float().std()

    def steps(count: int) -> None:
        for _ in range(count):
            chosen = torch.randint(len(train), (batch,))
            images = crop_and_flip(train.pixels[chosen]).float().sub_(mean).div_(std).contiguous(memory_format=layout)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = forward(images)
            loss = functional.cross_entropy(logits.float(), train.labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return steps


def best_by_hand(make_model: Callable[[], nn.Module], train: InMemory, batch: int, compile: bool) -> tuple[str, Steps]:
    """The fastest hand-written loop on this machine, found by trying."""
    tried = []
    for bf16 in (False, True):
        for compiled in (False, True) if compile else (False,):
            steps = by_hand(make_model(), train, batch, tuned=True, bf16=bf16, compiled=compiled)
            steps(2)
            seconds = min(taken(steps, 1) for _ in range(5))
            tried.append((seconds, f"{'bf16' if bf16 else 'fp32'} {'compiled' if compiled else 'eager'}", steps))
    _, name, steps = min(tried, key=lambda t: t[0])
    return name, steps


def our_job(case: Case, batch: int, run_steps: int, data: Dataset, compile: bool) -> Job:
    """A run as `train` makes it, under the plan that it takes for so many steps."""
    settings = {"batch": batch, "steps": run_steps, "eval_every": 1e6, "checkpoint_every": 1e6}
    spec = load(case.spec, [*case.overrides, *(f"train.{key}={value}" for key, value in settings.items())])
    recipe = combine(None, None, "quick", spec.train.overrides)
    pins = Pins(compile=None if compile else "no")
    return planned(Job("", "", compile_spec(spec), recipe, Request(data=data.name), by_rule(pins), data, pins=pins))


def ours(job: Job) -> tuple[Steps, Callable[[int], object]]:
    """The loop itself, which stops and goes on again; and its batches alone."""
    batches, evaluation = job.prepare()
    left = 0

    def enough() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    loop = Loop(job.network(), batches, evaluation, Nowhere(), Silent(), enough, depth=job.depth, world=alone())

    def steps(count: int) -> None:
        nonlocal left
        left = count
        with job.plan.computing():
            loop.run()

    def load_only(count: int) -> None:
        for step in range(count):
            batches(step)

    return steps, load_only


def taken(steps: Steps, count: int) -> float:
    start = time.perf_counter()
    steps(count)
    return time.perf_counter() - start


def side_by_side(name: str, batch: int, turns: int, count: int, run_steps: int, compile: bool) -> list[object]:
    """One row of the table."""
    case = CASES[name]
    data = case.data()
    assert isinstance(data.train, InMemory)
    job = our_job(case, batch, run_steps, data, compile)
    print(f"{name}: ours {job.plan}", flush=True)
    tuned_as, tuned = best_by_hand(case.twin, data.train, batch, compile)
    print(f"{name}: tuned by hand: {tuned_as}", flush=True)
    own, loading = ours(job)
    loops = [by_hand(case.twin(), data.train, batch, tuned=False), tuned, own]
    for steps in loops:
        steps(2)
    times: list[list[float]] = [[], [], []]
    for turn in range(turns):
        for place in range(3):
            which = (turn + place) % 3
            times[which].append(taken(loops[which], count))
    share = min(taken(loading, count) for _ in range(3)) / statistics.median(times[2])
    plain, hand = ([other / ours for other, ours in zip(times[i], times[2], strict=True)] for i in (0, 1))
    rates = [batch * count / statistics.median(t) for t in times]
    return [name, *rates, statistics.median(plain), quartiles(plain), statistics.median(hand), quartiles(hand), share]


def quartiles(values: Sequence[float]) -> str:
    low, _, high = statistics.quantiles(values, method="inclusive")
    return f"{low:.2f} to {high:.2f}"


def accuracy(limit: int | None, epochs: int, seeds: int) -> Table:
    """Test accuracy in fp32 and in bf16, the same seeds in turn."""
    found: dict[str, list[float]] = {"fp32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            for precision, scores in found.items():
                spec = load("resnet20-fmnist", [f"train.epochs={epochs}", f"train.seed={seed}", f"train.precision={precision}"])
                recipe = combine(None, None, "quick", spec.train.overrides)
                request = Request(data="fashion-mnist", limit_train=limit, out=Path(folder) / f"{precision}-{seed}")
                results = begin(spec, recipe, request, watcher=Silent()).results
                assert results is not None
                scores.append(100 * results.test.top1)
                print(f"seed {seed} {precision}: {scores[-1]:.2f} %", flush=True)
    return accuracy_table(found)


def accuracy_table(found: Mapping[str, Sequence[float]]) -> Table:
    """Means, spreads, and a verdict: do fp32 and bf16 differ by more than seeds do (Welch's t, 5 %, two-sided)?"""
    seeds = len(found["fp32"])
    means = {p: statistics.mean(s) for p, s in found.items()}
    spread = {p: statistics.stdev(s) for p, s in found.items()}
    difference = means["bf16"] - means["fp32"]
    noise = T_5_PERCENT[2 * seeds - 2] * (sum(s * s for s in spread.values()) / seeds) ** 0.5
    verdict = "within the noise" if abs(difference) <= noise else "NOT within the noise"
    columns = (
        Column("precision", "precision"),
        Column("mean", "test %", lambda v: f"{v:.2f}", right=True),
        Column("spread", "spread", lambda v: f"{v:.2f}", right=True),
    )
    notes = (
        f"bf16 - fp32 = {difference:+.2f} points: {verdict} ({noise:.2f} points)",
        f"{seeds} seeds each; spread: standard deviation",
    )
    return Table(columns, [(p, means[p], spread[p]) for p in found], notes=notes)


T_5_PERCENT = {2: 4.303, 4: 2.776, 6: 2.447, 8: 2.306}
"""Student's t, two-sided, by degrees of freedom."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15, help="turns of each loop")
    parser.add_argument("--steps", type=int, default=10, help="steps in a turn")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--run-steps", type=int, default=64_000, help="the length of run that our plan is made for")
    parser.add_argument("--only", choices=["resnet20", "resnet18"])
    parser.add_argument("--no-compile", action="store_true", help="leave compiled variants out on both sides")
    parser.add_argument("--accuracy", action="store_true", help="bf16 against fp32, in place of the timing")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3, choices=range(2, 6))
    parser.add_argument("--limit-train", type=int, default=None)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {find('cpu').name}, {torch.get_num_threads()} threads", flush=True)
    if options.accuracy:
        print(accuracy(options.limit_train, options.epochs, options.seeds).render("table"), end="")
        return
    columns = (
        Column("name", f"batch {options.batch}"), Column("plain", "plain", _rate, right=True), Column("tuned", "tuned", _rate, right=True),
        Column("ours", "ours", _rate, right=True), Column("ratio_plain", "/plain", _ratio, right=True), Column("spread_plain", ""),
        Column("ratio_tuned", "/tuned", _ratio, right=True), Column("spread_tuned", ""),
        Column("loading", "data", lambda v: f"{v:.1%}", right=True),
    )  # fmt: skip
    rows = [
        side_by_side(name, options.batch, options.turns, options.steps, options.run_steps, not options.no_compile)
        for name in CASES
        if options.only is None or options.only in name.lower().replace("-", "")
    ]
    notes = ("Images a second, medians; ratios of ours, with quartiles; data: share of our step.",)
    print(Table(columns, rows, notes=notes).render("table"), end="")


def _rate(value: float) -> str:
    return f"{value:,.0f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}x"


if __name__ == "__main__":
    main()
