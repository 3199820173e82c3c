"""What a step costs on many ranks: a model of three terms, and the same measured with 1 and 2 processes on this machine.

    python benchmarks/scale.py            model against measurement (about a minute, on an idle machine)
    python benchmarks/scale.py --table    the model alone for ResNet-50, as in docs/scale.md; imports no torch

The model: compute is 3 x 2 x MACs FLOPs an image (forward once, backward twice); a ring all-reduce sends 2(R-1)/R x 4 bytes a
parameter and rank, in 2(R-1) messages (Patarasu & Yuan 2009), while the backward pass, two thirds of compute, goes on; an image
comes in as one byte a pixel and channel.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import resnet_dsl as rd
from resnet_dsl.analysis.cost import Costs

if TYPE_CHECKING:
    from resnet_dsl.training.ranks.world import World

SPEC = "resnet20-fmnist"
REPEATS = 30
LARGE = 4_000_000


@dataclass(frozen=True, slots=True)
class Machine:
    """What a rank reaches: FLOP/s in training, bytes/s to its neighbour in the ring, seconds a message takes at least."""

    flops: float
    bandwidth: float
    latency: float


@dataclass(frozen=True, slots=True)
class Work:
    """A network and a rank's images of a step: parameters, MACs and bytes an image, images."""

    params: int
    macs: int
    image_bytes: int
    images: int

    @staticmethod
    def of(spec: str, images: int) -> Work:
        """From a spec."""
        graph = rd.compile(rd.load(spec))
        costs = Costs(graph).network
        return Work(costs.params, costs.macs, prod(graph.input), images)


@dataclass(frozen=True, slots=True)
class Cost:
    """A step on one rank: seconds, and bytes that it sends and that it reads."""

    compute: float
    reduce: float
    reduce_bytes: float
    input_bytes: int

    @property
    def step(self) -> float:
        """With what of the all-reduce does not fit into the backward pass."""
        return self.compute + max(0.0, self.reduce - self.compute * 2 / 3)


def cost(work: Work, ranks: int, machine: Machine) -> Cost:
    """The model."""
    sent = 2 * (ranks - 1) / ranks * 4 * work.params
    return Cost(
        compute=6 * work.macs * work.images / machine.flops,
        reduce=sent / machine.bandwidth + 2 * (ranks - 1) * machine.latency,
        reduce_bytes=sent,
        input_bytes=work.image_bytes * work.images,
    )


# Assumed, not measured: 100 TFLOP/s in bf16, a tenth of an H100's peak, since ResNet-50 waits for memory most of the time; 8 GPUs of one
# machine exchange 200 GB/s over NVLink, more of them 40 GB/s over one 400 Gb/s adapter each.
ASSUMED = {1: Machine(1e14, 1e30, 0.0), 8: Machine(1e14, 2e11, 5e-6), 800: Machine(1e14, 4e10, 5e-6)}


def table() -> str:
    """The model for ResNet-50 at 224, as Markdown."""
    rows = ["| GPUs | images per GPU | compute | all-reduce | sent per step | read per second, all | step | efficiency |", "|--:" * 8 + "|"]
    for images in (32, 256):
        work = Work.of("resnet50", images)
        for ranks, machine in ASSUMED.items():
            c = cost(work, ranks, machine)
            rows.append(
                f"| {ranks} | {images} | {c.compute * 1e3:.1f} ms | {c.reduce * 1e3:.1f} ms | {c.reduce_bytes / 1e6:.0f} MB | "
                f"{c.input_bytes * ranks / c.step / 1e9:.1f} GB | {c.step * 1e3:.1f} ms | {c.compute / c.step:.0%} |"
            )
    return "\n".join(rows) + "\n"


def median_seconds(work: Callable[[], object], world: World) -> float:
    """Of one call, the ranks together."""
    for _ in range(3):
        work()
    found = []
    for _ in range(REPEATS):
        world.barrier()
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def rank(spec: str, images: int) -> None:
    """One process of a measurement; the first prints what it found."""
    from resnet_dsl.training.ranks.world import joined

    with joined("cpu") as world:
        found = measure(spec, images, world)
        if world.main:
            print(json.dumps(found))


def measure(spec: str, images: int, world: World) -> dict[str, float]:
    """Seconds of a training step on `images` images, and of all-reduces: of all gradients, of 16 MB, of one number."""
    import torch

    from resnet_dsl.runtime.build import build
    from resnet_dsl.training.device.plan import Plan
    from resnet_dsl.training.ranks.parallel import Layout, block_paths, parallelize

    graph = rd.compile(rd.load(spec))
    plan = Plan("cpu", "fp32", True, torch.get_num_threads())
    shape = torch.Size((images, *graph.input))
    network = parallelize(plan.place(build(graph, seed=0)), block_paths(graph), shape, plan, world, Layout())
    optimizer = torch.optim.SGD(network.model.parameters(), lr=0.01, momentum=0.9, fused=True)
    batch = torch.rand(shape).to(memory_format=plan.memory_format)
    labels = torch.zeros(images, dtype=torch.int64)

    def step() -> None:
        loss = torch.nn.functional.cross_entropy(network.forward(batch), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    found = {"step": median_seconds(step, world)}
    if world.size > 1:
        for name, size in (("gradients", Costs(graph).network.params), ("large", LARGE), ("empty", 1)):
            numbers = torch.zeros(size)
            found[name] = median_seconds(partial(world.sum, numbers), world)
    return found


def launch(ranks: int, spec: str, images: int) -> dict[str, float]:
    """`measure` in processes of their own, of one thread each."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *start, __file__, "--rank", "--spec", spec, "--images", str(images)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--spec", default=SPEC)
    parser.add_argument("--images", type=int, default=64, help="of a rank in a step")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        print(table(), end="")
        return
    if args.rank:
        rank(args.spec, args.images)
        return
    work = Work.of(args.spec, args.images)
    one, two = launch(1, args.spec, args.images), launch(2, args.spec, args.images)
    # Two ranks: half of the bytes travel each way, in two messages.
    latency = two["empty"] / 2
    machine = Machine(6 * work.macs * work.images / one["step"], LARGE * 4 / (two["large"] - two["empty"]), latency)
    model = cost(work, 2, machine)
    print(f"{args.spec}, {args.images} images a rank, 1 thread a rank, gloo on this machine")
    print(
        f"one rank computes {machine.flops / 1e9:,.1f} GFLOP/s; two exchange {machine.bandwidth / 1e9:,.2f} GB/s, {latency * 1e6:,.0f} us a message"
    )
    print(f"a rank sends {model.reduce_bytes / 1e6:,.2f} MB and reads {model.input_bytes / 1e6:,.2f} MB a step\n")
    print(f"{'':24}{'model':>10}{'measured':>10}{'ratio':>8}")
    for name, said, seen in (("all-reduce of gradients", model.reduce, two["gradients"]), ("step of 2 ranks", model.step, two["step"])):
        print(f"{name:24}{said * 1e3:>7,.2f} ms{seen * 1e3:>7,.2f} ms{seen / said:>8.2f}")
    print(f"{'efficiency':24}{model.compute / model.step:>10.0%}{one['step'] / two['step']:>10.0%}")


if __name__ == "__main__":
    main()
