"""Where the system lacks what Unix has: the commands run in a process from which it is hidden, with Windows' lock in its place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_dsl import system

HIDDEN = """
import fcntl, os, signal, stat, sys, types

msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.LK_UNLCK = 2, 0

def locking(fd, mode, count):
    # As Windows does: a region at the file's position, which ends with the descriptor.
    fcntl.lockf(fd, fcntl.LOCK_UN if mode == msvcrt.LK_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB, count, os.lseek(fd, 0, os.SEEK_CUR))

msvcrt.locking = locking
opened = os.open

def open_files(path, *args, **kwargs):
    if not args[0] & os.O_CREAT and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opened(path, *args, **kwargs)

def hide():
    # Python's own part that only Unix has; it is told so, since spawning goes through it here.
    import multiprocessing.resource_tracker as tracker

    tracker._HAVE_SIGMASK = False
    for module in ("fcntl", "resource", "termios", "pwd", "grp"):
        sys.modules[module] = None
    sys.modules["msvcrt"] = msvcrt
    for name in ("SIGHUP", "SIGKILL", "SIGUSR1", "pthread_sigmask"):
        delattr(signal, name)
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "fchmod", "pread", "preadv", "pwrite", "uname", "register_at_fork", "sched_getaffinity", "getuid", "geteuid"):
        delattr(os, name)
    os.open = open_files
"""

COMMANDS = """
check resnet20
inspect resnet20 --by net
compare resnet20 plain20
diff resnet20 resnet20
draw resnet20 -o a.svg
paths resnet20
lint resnet20
fit resnet20 --params 100K --over width
emit resnet20 -o a.py
new mine
fmt mine.yaml
list
schema -o s.json
doctor
export resnet20 -o a.safetensors
inspect a.safetensors --by net
weights resnet20 a.safetensors
train resnet20-digits --set params.n=1 --steps 3 -q -o runs/run
train --resume runs/run --steps 4 -q
evaluate runs/run
runs
report runs/run -o page.html
probe signals resnet20-digits --set params.n=1
study null --quick --steps 2 --out study
explain run-locked
"""

DRIVER = """
import sys
{hidden}
import torch
hide()
from resnet_dsl.cli.app import main
for line in open("lines.txt"):
    words = line.split()
    code = main(words)
    print("CODE", code, line, file=sys.stderr, flush=True)
"""


@pytest.mark.needs("torch")
def test_every_command_without_what_only_unix_has(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text(COMMANDS.strip() + "\n", encoding="utf-8")
    # torch is imported before: this one is built for Unix, and asks for what is hidden.
    program = DRIVER.format(hidden=HIDDEN)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    codes = [line.split()[1:3] for line in done.stderr.splitlines() if line.startswith("CODE ")]
    assert "this is a bug" not in done.stderr, done.stderr[-3000:]
    assert len(codes) == len(COMMANDS.strip().splitlines()), done.stderr[-3000:]
    bad = [f"{name} ended with {code}" for code, name in codes if code != "0"]
    assert bad == [], done.stderr[-3000:]


LOCKS = """
import os, sys, subprocess
{hidden}
hide()
from resnet_dsl import system
fd = os.open("lock", os.O_RDWR | os.O_CREAT)
system.lock(fd)
system.write_start(fd, b"process 1")
print(system.read_at(fd, 200, 0))
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.mark.parametrize("hidden", [True, False], ids=["msvcrt", "fcntl"])
def test_a_lock_is_held_and_ends_with_its_process(hidden: bool, tmp_path: Path) -> None:
    """Held by one process, seen by another, which reads who holds it."""
    holder = LOCKS.format(hidden=HIDDEN if hidden else "hide = lambda: None")
    look = (
        "import os\n"
        + (HIDDEN + "hide()\n" if hidden else "")
        + (
            "from resnet_dsl import system\nfd = os.open('lock', os.O_RDWR)\nprint(system.is_locked(fd), system.read_at(fd, 200, 0))\n"
            "try:\n    system.lock(fd)\n    print('taken')\nexcept OSError as e:\n    print('refused')\n"
        )
    )

    def looked() -> str:
        return subprocess.run([sys.executable, "-c", look], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout

    with subprocess.Popen(
        [sys.executable, "-c", holder], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "b'process 1'\n"
        assert looked() == "True b'process 1'\nrefused\n"
        process.kill()
    assert looked() == "False b'process 1'\ntaken\n"


def test_what_this_system_has() -> None:
    assert 1 <= system.cores() <= (os.cpu_count() or 1)
    assert {s.name for s in system.STOPPING} >= {"SIGINT", "SIGTERM"}


VARIABLES = {
    "TORCH_LOGS=zzz bench resnet20 --seconds 0.1": (3, "TORCH_LOGS: error[environment]: torch cannot be imported: ", "unset TORCH_LOGS"),
    "WORLD_SIZE=2 train resnet20-digits --steps 1": (
        3, "RANK: error[ranks-environment]: the environment describes several processes, but RANK is not set",
        "unset WORLD_SIZE, or start it with torchrun --nproc-per-node N -m resnet_dsl train ..."),
    "RANK=1 train resnet20-digits --steps 1": (
        3, "WORLD_SIZE: error[ranks-environment]: the environment describes several processes, but WORLD_SIZE is not set",
        "unset RANK, or start it with torchrun --nproc-per-node N -m resnet_dsl train ..."),
}  # fmt: skip


@pytest.mark.needs("torch")
@pytest.mark.parametrize("line", VARIABLES)
def test_variables_that_others_left(line: str, tmp_path: Path) -> None:
    variable, *words = line.split()
    name, _, value = variable.partition("=")
    code, said, help = VARIABLES[line]
    done = subprocess.run(
        [sys.executable, "-m", "resnet_dsl", *words],
        cwd=tmp_path,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code
    assert done.stderr.startswith(said) and done.stderr.endswith(f"\n  help: {help}\n")
    assert list(tmp_path.iterdir()) == []
