"""How cost grows with what is asked: blocks that differ, variants, specs, sizes of one network; prints one table.

    python benchmarks/growth.py [--small]

Every row is a process of its own, the time is processor time (what else the machine does counts little), and memory is the peak of
the process. The start of the program is taken off where a row is told per block, per variant or per spec. `--small`: a tenth of everything.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

COMMAND = shutil.which("resnet-dsl", path=str(Path(sys.executable).parent)) or "resnet-dsl"

NET = """
input: {{channels: 3, height: 32, width: 32}}
classes: 10
stem: cifar
block: {{basic: {{drop_path: 0.2 * (position + 1) / total}}}}
shortcut: B
stages: [{{depth: {blocks}, width: 16}}]
head: classifier
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took: processor time in seconds and peak memory in MB."""

    seconds: float
    megabytes: float


def run(*words: str) -> Used:
    """Carries a command out, without its output. Raises SystemExit where it fails."""
    child = os.fork()
    if child == 0:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os.execv(COMMAND, [COMMAND, *words])
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{' '.join(words[:4])} ... ended with {os.waitstatus_to_exitcode(status)}")
    return Used(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def blocks(folder: Path, start: float, sizes: list[int]) -> list[tuple[str, str, str]]:
    """One row for each number of different blocks: the time per block must not grow with it."""
    rows = []
    for n in sizes:
        path = folder / f"blocks{n}.yaml"
        path.write_text(NET.format(blocks=n))
        for command in ("check", "inspect"):
            used = run(command, str(path))
            each = (used.seconds - start) / n * 1e6
            goal = "at most 4 s, 300 MB" if n == 100_000 else ""
            rows.append(
                (f"{command}, {n:,} different blocks", f"{used.seconds:.2f} s, {used.megabytes:.0f} MB, {each:.0f} us a block", goal)
            )
    return rows


def variants(start: float, part: int) -> tuple[str, str, str]:
    """One row: the networks of two keys' values."""
    n = 1_000 // part
    widths, depths = (",".join(str(step * i) for i in range(1, most + 1)) for step, most in ((8, n // 25), (1, 25)))
    used = run("compare", "resnet50", "--vary", f"stages.layer1.width={widths}", "--vary", f"stages.layer2.depth={depths}")
    return (
        f"compare, {n:,} variants of ResNet-50",
        f"{used.seconds:.2f} s, {(used.seconds - start) / n * 1e3:.2f} ms a variant",
        "at most 5 ms",
    )


def specs(folder: Path, start: float, n: int) -> tuple[str, str, str]:
    paths = [folder / f"{i}.yaml" for i in range(n)]
    for i, path in enumerate(paths):
        path.write_text(f"extends: resnet50\nname: net{i}\nstages: {{layer1: {{depth: {i % 7 + 1}}}}}\n")
    used = run("check", *map(str, paths))
    return f"check, {n:,} specs", f"{used.seconds:.2f} s, {(used.seconds - start) / n * 1e3:.2f} ms a spec", "at most 5 ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a tenth of everything")
    part = 10 if parser.parse_args().small else 1
    start = min(run("check", "resnet20").seconds for _ in range(3))
    rows = [("resnet-dsl check resnet20", f"{start:.2f} s", "")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        rows += blocks(folder, start, [n // part for n in (1_000, 10_000, 100_000)])
        rows += [variants(start, part), specs(folder, start, 5_000 // part)]
    for name in ("resnet50", "efficientnet-b0", "densenet201"):
        rows += [(f"inspect {name} --symbolic", f"{run('inspect', name, '--symbolic').seconds:.2f} s", "at most 0.6 s")]
        rows += [
            (
                f"fit {name} --over width,depth",
                f"{run('fit', name, '--params', '4M', '--over', 'width,depth').seconds:.2f} s",
                "at most 0.6 s",
            )
        ]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; load {load}")
    width = max(len(row[0]) for row in rows)
    for what, figure, goal in rows:
        print(f"{what:<{width}}  {figure:<36}  {goal}".rstrip())


if __name__ == "__main__":
    main()
