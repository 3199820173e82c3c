"""How fast a question about a network is answered, beside what it costs to ask torch; prints one table.

    python benchmarks/start.py [--repeat N]

"Cold" is a new process with a warm page cache; times are medians. Starts are measured in turns with `python -c pass`, so that
what else the machine does is shared out among them, and told as multiples of it. The twin of `inspect` is the least that a Python process
can do for the same figures: import torch, make the same module on the meta device, run it once under hooks and sum.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import compile
from resnet_dsl.language import load

COMMAND = shutil.which("resnet-dsl", path=str(Path(sys.executable).parent)) or "resnet-dsl"

TWIN = """
import torch
from torch import nn
with torch.device("meta"):
    net = {make}().eval()
    image = torch.empty(1, 3, 224, 224)
macs = 0
def count(module, inputs, out):
    global macs
    macs += out[0].numel() * module.weight[0].numel()
for module in net.modules():
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        module.register_forward_hook(count)
net(image)
assert (sum(p.numel() for p in net.parameters()), macs) == ({params}, {macs})
"""

BIG = """
input: {{channels: 3, height: 32, width: 32}}
classes: 10
stem: cifar
block: {block}
shortcut: A
stages: [{{depth: 50000, width: 16}}, {{depth: 50000, width: 32, stride: 2}}]
"""


STARTS = (
    ("--version", None), ("--help", 4), ("inspect --help", None), ("list data", None), ("explain merge-shape", None),
    ("check resnet50", None), ("inspect resnet50", 5),
)  # fmt: skip
"""Command lines, and at most how many times as long as `python -c pass` they are to take."""


def starts(repeat: int) -> list[tuple[str, str, str]]:
    """Each command's time beside that of Python alone, and of completion in the shell."""
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    commands |= {f"resnet-dsl {line}": [COMMAND, *line.split()] for line, _ in STARTS}
    asked = {**os.environ, "_RESNET_DSL_COMPLETE": "complete_bash", "COMP_WORDS": "resnet-dsl inspect resnet10", "COMP_CWORD": "2"}
    commands["completion of a spec's name"] = [COMMAND]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for run in range(repeat + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=asked if name.startswith("completion") else None)
            if run:
                times[name].append(time.perf_counter() - start)
    goals = {f"resnet-dsl {line}": goal for line, goal in STARTS} | {"completion of a spec's name": 4}
    alone, *_ = middles = {name: statistics.median(found) for name, found in times.items()}
    rows = []
    for name, middle in middles.items():
        goal = goals.get(name)
        rows.append((name, f"{1000 * middle:.0f} ms, {middle / middles[alone]:.1f} x", f"at most {goal} x" if goal else ""))
    return rows


def process(arguments: list[str], repeat: int) -> tuple[float, float]:
    """Median seconds and largest peak memory in MB of `repeat` new processes, after one that warms the page cache."""
    seconds, peak = [], 0
    for run in range(repeat + 1):
        start = time.perf_counter()
        child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            sys.exit(f"{' '.join(arguments)}: exit {child.returncode}")
        if run or repeat == 1:
            seconds.append(took)
        peak = max(peak, usage.ru_maxrss)
    return statistics.median(seconds), peak / (2**20 if sys.platform == "darwin" else 2**10)


def milliseconds(task: Callable[[], object], repeat: int) -> float:
    """Median time of a call in this process, after one that fills caches."""
    task()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def costs(name: str) -> Callable[[], object]:
    """Load, check and count a shipped network."""
    return lambda: Costs(compile(load(name))).network


def twin(folder: Path) -> list[str]:
    """The command that asks torch for the parameters and multiply-accumulates of ResNet-50."""
    graph = compile(load("resnet50"))
    network = Costs(graph).network
    path = folder / "twin.py"
    path.write_text(emit(graph) + TWIN.format(make=class_name(graph), params=network.params, macs=network.macs))
    return [sys.executable, str(path)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=20, metavar="N", help="processes or calls a median is taken of (20)")
    repeat = parser.parse_args().repeat
    rows = starts(repeat)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        few = max(1, repeat // 4)
        ours, _ = process([COMMAND, "inspect", "resnet50"], repeat)
        theirs, _ = process(twin(folder), few)
        rows += [
            ("resnet-dsl inspect resnet50, cold", f"{ours:.3f} s", "at most 0.30 s"),
            ("torch: import, make, count ResNet-50, cold", f"{theirs:.3f} s", ""),
            ("ratio", f"{ours / theirs:.3f}", "at most 0.25"),
            ("ResNet-50 load to costs, in process", f"{milliseconds(costs('resnet50'), repeat):.1f} ms", "at most 10 ms"),
        ]
        small, large = (milliseconds(costs(name), repeat) for name in ("resnet110", "resnet1202"))
        rows += [("ResNet-1202 / ResNet-110, load to costs", f"{large:.1f} / {small:.1f} ms = {large / small:.2f}", "at most 3")]
        for what, block in (("equal", "basic"), ("each different", "{basic: {drop_path: 0.2 * position / total}}")):
            path = folder / "big.yaml"
            path.write_text(BIG.format(block=block))
            seconds, peak = process([COMMAND, "inspect", str(path), "--by", "stage"], 1)
            rows += [(f"inspect --by stage, 100,000 blocks, {what}", f"{seconds:.2f} s, {peak:.0f} MB", "at most 5 s, 300 MB")]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, Python {platform.python_version()}, torch {version('torch')}; medians of {repeat}, for torch of {few}")
    width = max(len(row[0]) for row in rows)
    for what, figure, goal in rows:
        print(f"{what:<{width}}  {figure:<22}  {goal}".rstrip())


if __name__ == "__main__":
    main()
