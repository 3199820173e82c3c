"""What it costs to compile through networkx, beside importing torch; prints one table.

    python benchmarks/strict.py [--repeat N]

Imports are those of new processes with a warm page cache, less an empty process; times are medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

from resnet_dsl.analysis.paths import paths_of
from resnet_dsl.graph import compile
from resnet_dsl.graph.network import checked
from resnet_dsl.graph.verify import verify
from resnet_dsl.language import load

NETWORKS = ("resnet50", "densenet121", "resnet110", "resnet1202")


def seconds(task: Callable[[], object], repeat: int) -> float:
    """Median time of a call, after one that fills caches."""
    task()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def imports(module: str, repeat: int) -> float:
    """What a process that imports a module takes more than one that does nothing."""

    def process(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    return seconds(process(f"import {module}"), repeat) - seconds(process("pass"), repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=10, metavar="N", help="runs that a median is taken of (10)")
    repeat = parser.parse_args().repeat
    print(
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}, networkx {version('networkx')}; medians of {repeat}"
    )
    rows = [(f"import {module}", f"{imports(module, max(1, repeat // 2)):.3f} s", "") for module in ("torch", "networkx")]
    for name in NETWORKS:
        graph = compile(load(name))
        goal = "at most 0.5 s" if name == "resnet1202" else ""
        rows.append((f"{name}: verify", f"{seconds(lambda: verify(graph), repeat):.4f} s", ""))  # noqa: B023
        rows.append((f"{name}: through networkx", f"{seconds(lambda: checked(graph), repeat):.4f} s", goal))  # noqa: B023
        rows.append((f"{name}: paths", f"{seconds(lambda: paths_of(graph), repeat):.4f} s", ""))  # noqa: B023
    width = max(len(row[0]) for row in rows)
    for what, figure, goal in rows:
        print(f"{what:<{width}}  {figure:<10}  {goal}".rstrip())


if __name__ == "__main__":
    main()
