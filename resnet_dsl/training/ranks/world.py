"""The processes of a run as torchrun starts them: who this one is, and the few things that they do together.

A process on its own is `alone()`: the same class, and nothing of torch.distributed is imported or called.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.records.errors import Interrupted

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

TIMEOUT = "RESNET_DSL_TIMEOUT"
"""The environment's name for the seconds that a rank waits for the others before it gives them up."""
_PATIENCE = 600.0
_ATTEMPTS = 3
_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
_FAILED, _BUG, _RESUMABLE = 3, 70, 75
LAUNCH = "torchrun --nproc-per-node N -m resnet_dsl train ..."


@dataclass(frozen=True, slots=True)
class World:
    """The `size` processes of a run. This one is `rank` (from 0), on its own machine `local_rank`.

    `restarts`: how often torchrun starts the processes again when one dies.
    Every method but `device` must be called by all ranks, in the same order; with one process each is free.
    """

    rank: int
    size: int
    local_rank: int
    restarts: int = 0

    @property
    def main(self) -> bool:
        """Is this the rank that speaks and writes?"""
        return self.rank == 0

    @property
    def stride(self) -> int:
        """Steps from one question of all ranks whether to stop to the next: many take longer to ask than a step takes."""
        return max(1, self.size // 8)

    def device(self, name: str) -> str:
        """A device's name for this rank: of a machine's GPUs each rank has its own. Raises SpecError (exit 3) where there are too few."""
        kind = name.split(":")[0]
        if self.size == 1 or kind not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        if self.local_rank >= torch.cuda.device_count():
            raise refuse(
                "device-missing",
                f"process {self.local_rank + 1} of this machine has no GPU: {torch.cuda.device_count()} are here",
                f"start no more processes than GPUs, or use {Argument('device', 'cpu')}",
                at=Argument("device"),
                exit_code=3,
            )
        return f"cuda:{self.local_rank}"

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up the ranks' tensors, in place, and give it back: every rank holds the same bits then."""
        if self.size > 1:
            from torch import distributed

            distributed.all_reduce(tensor)
        return tensor

    def most(self, number: int) -> int:
        """The largest of the ranks' whole numbers."""
        if self.size == 1:
            return number
        from torch import distributed

        box = torch.tensor(number)
        distributed.all_reduce(box, distributed.ReduceOp.MAX)
        return int(box)

    def agree(self, flag: bool) -> bool:
        """Does any rank say so?"""
        return bool(self.most(int(flag)))

    def barrier(self) -> None:
        """Wait until every rank is here."""
        self.agree(False)

    def share(self, value: Any) -> Any:
        """Rank 0's value, a plain one, on every rank."""
        if self.size == 1:
            return value
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, plain ones, in the order of the ranks."""
        if self.size == 1:
            return [value]
        from torch import distributed

        every: list[Any] = [None] * self.size
        distributed.all_gather_object(every, value)
        return every

    def same(self, text: str, what: str) -> None:
        """Refuse to begin where a rank's `text` is not that of rank 0. Raises SpecError (exit 2), on every rank."""
        every = self.gather(hashlib.sha256(text.encode()).hexdigest()[:16])
        others = [rank for rank, found in enumerate(every) if found != every[0]]
        if others:
            shown = ", ".join(map(str, others[:8])) + (", ..." if len(others) > 8 else "")
            raise refuse(
                "ranks-differ",
                f"the {what} of {'rank' if len(others) == 1 else 'ranks'} {shown} is not that of rank 0: SHA-256 {every[others[0]]}..., on rank 0 {every[0]}...",
                f"give every machine the same command and the same {what}",
                at=what,
            )


def alone() -> World:
    """One process."""
    return World(0, 1, 0)


@contextlib.contextmanager
def joined(device: str = "auto", environ: Mapping[str, str] | None = None) -> Iterator[World]:
    """The ranks that torchrun's environment describes, connected until the end of `with`; without it, `alone()`.

    Collectives of CPU tensors go over gloo; with CUDA (`device` is `auto` or `cuda` and there is one) those of CUDA tensors go over NCCL.
    An error inside leaves on one rank only, the first to fail; the others end without a word, with its exit code (SystemExit).
    Raises SpecError (exit 3): the environment is incomplete, the ranks do not find each other, or one of them is lost.
    """
    environ = os.environ if environ is None else environ
    world = _described(environ)
    if world.size == 1:
        yield world
        return

    cuda = device.split(":")[0] in ("auto", "cuda") and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(world.device("cuda"))
    patience = timedelta(seconds=_seconds(environ))
    store = _connect(world, environ, patience, "cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield world
        world.barrier()
    except Interrupted:
        world.barrier()
        _part()
        if world.main:
            raise
        raise SystemExit(_RESUMABLE) from None
    except Exception as e:
        error = _as_lost(e, patience)
        code = _claim(store, error)
        if not cuda:
            # NCCL would wait here for the ranks that are gone.
            _part()
        if code is not None:
            raise SystemExit(code) from None
        _record(error, environ)
        if error is e:
            raise
        raise error from e
    _part()


def _part() -> None:
    """Close the connections.

    A wrapped network holds on to them, in circles; threads that live on in there end Python with SIGABRT when it ends itself.
    """
    from torch import distributed

    gc.collect()
    distributed.destroy_process_group()


def _described(environ: Mapping[str, str]) -> World:
    """The world of torchrun's variables. Raises SpecError (exit 3)."""
    if "WORLD_SIZE" not in environ and "RANK" not in environ:
        return alone()
    wanted = ["RANK", "WORLD_SIZE"]
    if environ.get("WORLD_SIZE") != "1":
        wanted += ["MASTER_ADDR", "MASTER_PORT"]
    left = " ".join(name for name in ("WORLD_SIZE", "RANK") if name in environ)
    for name in wanted:
        if not environ.get(name):
            raise refuse(
                "ranks-environment",
                f"the environment describes several processes, but {name} is not set",
                f"unset {left}, or start it with {LAUNCH}",
                at=name,
                exit_code=3,
            )
    numbers = {}
    for name, default in (("RANK", ""), ("WORLD_SIZE", ""), ("LOCAL_RANK", environ["RANK"]), ("TORCHELASTIC_MAX_RESTARTS", "0")):
        text = environ.get(name, default)
        if not text.isdecimal():
            raise refuse(
                "ranks-environment",
                f"{name} is {text!r}, which is not a number",
                f"unset {name}, or start it with {LAUNCH}",
                at=name,
                exit_code=3,
            )
        numbers[name] = int(text)
    world = World(*numbers.values())
    if world.rank >= world.size:
        raise refuse(
            "ranks-environment", f"RANK is {world.rank}, but WORLD_SIZE is {world.size}", f"start it with {LAUNCH}", at="RANK", exit_code=3
        )
    return world


def _seconds(environ: Mapping[str, str]) -> float:
    text = environ.get(TIMEOUT, str(_PATIENCE))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise refuse(
            "ranks-environment",
            f"{TIMEOUT} is {text!r}, which is not a number of seconds",
            f"unset it, or {TIMEOUT}=600",
            at=TIMEOUT,
            exit_code=3,
        )
    return seconds


def _connect(world: World, environ: Mapping[str, str], patience: timedelta, backend: str) -> Store:
    """Make the process group; a store that belongs to these processes alone. Raises SpecError (exit 3).

    Connecting can fail while old sockets die, so it is tried a few times, by all ranks together.
    """
    from torch import distributed
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    where = f"{environ['MASTER_ADDR']}:{environ['MASTER_PORT']}"
    try:
        store, _, _ = next(rendezvous("env://", world.rank, world.size, timeout=patience))
        store.set_timeout(patience)
        own = PrefixStore(_generation(store, world, patience), store)
        reason = ""
        for attempt in range(_ATTEMPTS):
            place = PrefixStore(f"connect/{attempt}", own)
            try:
                distributed.init_process_group(backend, store=place, rank=world.rank, world_size=world.size, timeout=patience)
                world.barrier()
            except RuntimeError as e:
                reason = str(e).splitlines()[0]
                place.add("failed", 1)
            if place.add("arrived", 1) == world.size:
                place.set("verdict", "failed" if place.add("failed", 0) else "connected")
            if place.get("verdict") == b"connected":
                return own
            if distributed.is_initialized():
                distributed.destroy_process_group()
    except (RuntimeError, ValueError, OSError) as e:
        reason = str(e).splitlines()[0]
    taken = "EADDRINUSE" in reason or "address already in use" in reason.lower()
    raise refuse(
        "ranks-connect",
        f"rank {world.rank} of {world.size} did not reach the others at {where}: {reason[:160] or 'another rank could not connect'}",
        "the port is taken: choose another with --master-port, or use torchrun --standalone"
        if taken
        else "check that every process was started, that the machines reach this address, and GLOO_SOCKET_IFNAME",
        at="torchrun",
        exit_code=3,
    )


def _generation(store: Store, world: World, patience: timedelta) -> str:
    """A name for the processes that are alive now, on which all of them agree.

    torchrun's store outlives the processes that it starts again, with what the dead ones wrote: addresses, above all. And
    its own count of restarts differs from machine to machine. So rank 0 makes up a name, and begins when every rank has
    answered to it; the others look whether their own answer has arrived.
    """
    me = uuid.uuid4().hex
    if world.main:
        store.set("generation", me)
        answers = [f"{me}/{rank}" for rank in range(1, world.size)]
        store.wait(answers, patience)
        store.set(f"{me}/begin", " ".join(store.get(a).decode() for a in answers))
        return me
    until = time.monotonic() + patience.total_seconds()
    while time.monotonic() < until:
        name = store.get("generation").decode()
        store.set(f"{name}/{world.rank}", me)
        for _ in range(20):
            if store.check([f"{name}/begin"]):
                if me in store.get(f"{name}/begin").decode().split():
                    return name
                break
            time.sleep(0.02)
        time.sleep(0.02)
    raise RuntimeError(f"rank 0 did not answer within {patience.total_seconds():.0f} s")


def _as_lost(e: Exception, patience: timedelta) -> Exception:
    """What a collective raises when a rank is gone, in words; any other error as it is."""
    from torch import distributed

    text = str(e)
    if not isinstance(e, distributed.DistError) and not (isinstance(e, RuntimeError) and ("gloo" in text or "NCCL" in text)):
        return e
    waited = "timed out" in text.lower() or "timeout" in text.lower()
    return refuse(
        "rank-lost",
        f"another rank did not answer for {patience.total_seconds():.0f} s"
        if waited
        else "the connection to another rank is lost: it has died",
        f"go on from the newest checkpoint with {Argument('resume', True)}; torchrun --max-restarts N does so by itself",
        at="torchrun",
        exit_code=3,
    )


def _claim(store: Store, e: Exception) -> int | None:
    """None for the first rank to fail, else the exit code of the one that was."""
    try:
        if store.add("failures", 1) == 1:
            store.set("exit code", str(e.exit_code if isinstance(e, SpecError) else _BUG))
            return None
        store.wait(["exit code"], timedelta(seconds=5))
        return int(store.get("exit code"))
    except RuntimeError:
        # The store has gone with the machine that kept it; then every rank says what it knows.
        return None


def _record(e: Exception, environ: Mapping[str, str]) -> None:
    """Tell torchrun why, for its own summary. It takes a file of this form."""
    path = environ.get(_ERROR_FILE)
    if path:
        about = {"message": str(e), "extraInfo": {"py_callstack": str(e), "timestamp": str(int(time.time()))}}
        with contextlib.suppress(OSError), open(path, "w", encoding="utf-8") as f:
            json.dump({"message": about}, f)
