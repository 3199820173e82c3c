"""Commands run as processes of their own, for tests that kill them: forked from one that has imported torch, so each begins at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, or minus the signal that killed it; and what it said on standard error."""

    code: int
    err: str


class Forks:
    """Forks one process after the other. `start`, then `wait`; or `run` for both."""

    def __init__(self, server: subprocess.Popen[str], scratch: Path) -> None:
        self.server, self.scratch = server, scratch

    def start(self, *args: str, env: Mapping[str, str] | None = None, limit: int | None = None, closed: bool = False) -> int:
        """Begin `resnet-dsl ARGS`; its process id. `limit`: the longest file in bytes that it may write. `closed`: nobody reads its output."""
        assert self.server.stdin is not None
        job = {"args": args, "env": dict(env or {}), "limit": limit, "err": str(self.scratch / "err"), "closed": closed}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        return self._answer()

    def wait(self) -> Ended:
        """The end of the process that was started last."""
        return Ended(self._answer(), (self.scratch / "err").read_text())

    def run(self, *args: str, env: Mapping[str, str] | None = None, limit: int | None = None, closed: bool = False) -> Ended:
        """A process from beginning to end."""
        self.start(*args, env=env, limit=limit, closed=closed)
        return self.wait()

    def _answer(self) -> int:
        assert self.server.stdout is not None
        return int(self.server.stdout.readline())


@contextmanager
def forks(scratch: Path) -> Iterator[Forks]:
    """A server for the time of `with`; its processes run in `scratch`."""
    one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=scratch, env={**os.environ, **one}
    ) as server:
        assert server.stdout is not None
        while server.stdout.readline() not in ("ready\n", ""):
            pass
        yield Forks(server, scratch)
        assert server.stdin is not None
        server.stdin.close()


def _serve() -> None:
    import resource
    import tempfile

    from resnet_dsl.cli.app import main

    # What a first run imports and builds is here then before the first fork.
    with tempfile.TemporaryDirectory() as folder:
        assert (
            main(
                ["train", "resnet20-digits", "--set", "params.n=1", "--steps", "1", "--quiet", "--format", "json", "--out", f"{folder}/run"]
            )
            == 0
        )
    print("ready", flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                err = os.open(job["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(err, 2)
                if job["closed"]:
                    read, write = os.pipe()
                    os.close(read)
                    os.dup2(write, 1)
                    os.dup2(write, 2)
                else:
                    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.environ.update(job["env"])
                if job["limit"] is not None:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
                code = main(list(job["args"]))
            finally:
                os._exit(code)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
