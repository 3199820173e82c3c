"""How long `resnet-dsl demo` takes on this machine, with all cores free and with one kept busy by another program.

    python benchmarks/demo.py [--epochs N] [--goals]

The busy program is a loop of this script's own, a process that never waits; it ends with the script. The times are of the command
from its start to its end, and `user` is the CPU time of all its processes. The load before each run is printed: where other programs
compute, the first time is not that of free cores. `--goals` ends with 1 where a time is above its goal: 30 s and 60 s on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence

BESIDE = "one core busy"
GOALS = {"all cores free": 30.0, BESIDE: 60.0}
BUSY = "while True: pass"


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Inside `with`, one core is kept busy."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def demo(epochs: int) -> tuple[float, float]:
    """Seconds from start to end, and of CPU time."""
    environ = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "resnet_dsl", "demo", "--epochs", str(epochs), "--quiet"],
            cwd=folder, env=environ, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        taken = time.perf_counter() - start
    return taken, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main(arguments: Sequence[str]) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15, help="of each network; the goals are for 15")
    parser.add_argument("--goals", action="store_true", help="end with 1 where a time is above its goal")
    asked = parser.parse_args(arguments)
    missed = False
    print(f"{os.cpu_count()} cores")
    for what, goal in GOALS.items():
        load = os.getloadavg()[0]
        with busy() if what == BESIDE else contextlib.nullcontext():
            taken, user = demo(asked.epochs)
        print(f"{what}: {taken:.1f} s (goal {goal:.0f} s), user {user:.1f} s, load before {load:.1f}", flush=True)
        missed = missed or taken > goal
    return int(asked.goals and missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
