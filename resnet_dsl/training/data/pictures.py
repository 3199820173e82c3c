"""Pictures that stay in their files: decoded when they are wanted, by worker processes, ahead of their use.

Nothing here draws at random. What a worker does is a function of the request that it is sent, so that batches are the same
with any number of workers, and can begin anywhere.
"""

from __future__ import annotations

import contextlib
import os
import signal
import warnings
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from resnet_dsl.diagnostics import Argument, Diagnostic, SpecError, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.system import cores
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.data.numbers import Scale
from resnet_dsl.training.data.opening import PixelForm, changes, decoding, open_picture, orientation, upright_size
from resnet_dsl.training.data.views import AsItIs, CentreCrop, Pixels, View, look, require_form

SAMPLE = 2048
"""Pictures that stand for all of them where means and deviations are measured."""

_HEADERS = 2000
"""Files whose headers a worker checks at a time."""

_NO_DRAWS = np.zeros((0, 0), np.float32)

_AHEAD = 2
"""Requests that each worker has before it."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class PictureRequest:
    """Pictures to look at, by their positions, and each one's draws (N, k)."""

    index: npt.NDArray[np.int64]
    draws: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Picture files below `root`, their labels (N,) int64, and how they are looked at where nothing is random.

    `files` are paths as bytes: millions of them in one array, which worker processes share.
    """

    root: Path
    files: npt.NDArray[np.bytes_]
    labels: torch.Tensor
    form: PixelForm
    view: AsItIs | CentreCrop
    workers: int

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of what is seen of a picture."""
        return self.form.channels, *self.view.shape

    @property
    def scale(self) -> Scale:
        """Bytes, 0 black and 255 white, or finer."""
        return "deep" if self.form.deep else "bytes"

    def path(self, position: int) -> Path:
        """One picture's file."""
        return self.root / os.fsdecode(bytes(self.files[position]))

    def take(self, index: torch.Tensor) -> Pictures:
        """The pictures at these positions."""
        return replace(self, files=self.files[index.numpy()], labels=self.labels[index])

    def to(self, device: torch.device) -> Pictures:
        """Themselves: they are read batch by batch, whatever the device."""
        return self

    def sample(self) -> Pictures:
        """At most `SAMPLE` of them, always the same ones."""
        if len(self) <= SAMPLE:
            return self
        return self.take(torch.randperm(len(self), generator=generator(0, "sample"))[:SAMPLE].sort().values)

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Pixels (N, C, H, W) and labels of all, in order, `size` at a time. Raises SpecError (exit 3)."""
        positions = torch.split(torch.arange(len(self)), size)
        requests = (PictureRequest(p.numpy(), np.zeros((len(p), 0), np.float32)) for p in positions)
        with contextlib.closing(stream(self, self.view, requests)) as pixels:
            for p, batch in zip(positions, pixels, strict=True):
                yield batch, self.labels[p]

    def check_headers(self) -> Headers:
        """Open every file as far as its header: kind, colours, and size where it matters. Raises SpecError (exit 3, or 2)."""
        requests = [PictureRequest(p.numpy(), _NO_DRAWS) for p in torch.split(torch.arange(len(self)), _HEADERS)]
        found = list(work(_Headers(self), requests, self.workers if len(requests) > 1 else 0, False, self.root))
        return Headers(np.concatenate([h.turns for h in found]), sum((h.changes for h in found), Counter()))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Headers:
    """What the headers of pictures say: how a viewer turns each (EXIF's 1 to 8), and how many lose what when they are read, in words."""

    turns: npt.NDArray[np.uint8]
    changes: Counter[str]


def default_workers() -> int:
    """A process for each core that this one may use, one left to the training itself; 0 where there is one core."""
    return min(16, cores() - 1)


def stream(pictures: Pictures, view: View, requests: Iterable[PictureRequest], pin: bool = False) -> Generator[torch.Tensor]:
    """For each request its pixels (N, C, H, W) uint8, in order; workers are some requests ahead. To be closed.

    All pictures of a request must look equally large in `view`. `pin`: into memory from which a GPU copies by itself.
    Raises SpecError: exit 3 for a file that cannot be decoded or a worker that died, 2 for one that does not fit.
    """
    return work(_Reader(pictures, view), requests, pictures.workers, pin, pictures.root)


def work(source: Dataset[T | Fault], requests: Iterable[object] | None, workers: int, pin: bool, at: Path | str) -> Generator[T]:
    """What `source` makes of each request, or gives by itself where there are none, in processes that run ahead. To be closed.

    Raises SpecError: the one that a `Fault` stands for, or exit 3 for a worker that died.
    """
    with warnings.catch_warnings():
        # More workers than cores is the caller's wish; and a forked worker touches nothing that other threads hold.
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        loader = DataLoader(
            source, batch_size=None, sampler=requests, num_workers=workers, pin_memory=pin,
            prefetch_factor=_AHEAD if workers else None, worker_init_fn=_quiet_worker if workers else None,
            # Its own generator: by default the loader would draw from torch's, from which masks come.
            generator=torch.Generator(),
        )  # fmt: skip
        answers = iter(loader)
    try:
        while True:
            try:
                answer = next(answers)
            except StopIteration:
                return
            except RuntimeError as e:
                if "DataLoader worker" not in str(e):
                    raise
                raise refuse(
                    "workers-died",
                    f"a process that reads images died: {str(e).splitlines()[0][:160]}",
                    f"it may have run out of memory or of /dev/shm; try fewer: {Argument('workers', workers // 2)}",
                    at=at,
                    exit_code=3,
                ) from None
            if isinstance(answer, Fault):
                raise SpecError(answer.diagnostics, answer.exit_code)
            yield answer
    finally:
        # Workers end now, and not when the garbage collector comes by.
        if (end := getattr(answers, "_shutdown_workers", None)) is not None:
            end()


@dataclass(frozen=True, slots=True)
class Fault:
    """A SpecError on its way from a worker: an exception of several parts does not survive the journey."""

    diagnostics: tuple[Diagnostic, ...]
    exit_code: int

    @staticmethod
    def of(e: SpecError) -> Fault:
        """From the error."""
        return Fault(e.diagnostics, e.exit_code)


class _Reader(Dataset[torch.Tensor | Fault]):
    """What workers run."""

    def __init__(self, pictures: Pictures, view: View) -> None:
        self.pictures, self.view = pictures, view

    def __getitem__(self, request: PictureRequest) -> torch.Tensor | Fault:
        try:
            seen = [self._one(i, d) for i, d in zip(request.index.tolist(), request.draws.tolist(), strict=True)]
            return torch.from_numpy(np.stack(seen))
        except SpecError as e:
            return Fault.of(e)

    def _one(self, position: int, draws: Sequence[float]) -> Pixels:
        path = self.pictures.path(position)
        return look(path, self.pictures.form, self.view, draws, path)


class _Headers(Dataset[Headers | Fault]):
    """What workers run to check the files of a request."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures

    def __getitem__(self, request: PictureRequest) -> Headers | Fault:
        try:
            seen = [self._one(self.pictures.path(position)) for position in request.index.tolist()]
        except SpecError as e:
            return Fault.of(e)
        return Headers(np.array([turn for turn, _ in seen], np.uint8), Counter(word for _, words in seen for word in words))

    def _one(self, path: Path) -> tuple[int, list[str]]:
        view, form = self.pictures.view, self.pictures.form
        with open_picture(path) as picture:
            require_form(picture, form, path)
            turn = orientation(picture)
            if isinstance(view, AsItIs):
                view.require(upright_size(picture, turn), str(path))
            with decoding(path):
                return turn, changes(picture, form)


def _quiet_worker(_: int) -> None:
    """A worker ends when its parent does or says so: Ctrl-C reaches the whole group of processes, and is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
