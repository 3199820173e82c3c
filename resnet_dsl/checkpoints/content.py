"""The numbers of tensors, read from a file when they are asked for, and checked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from itertools import product
from pathlib import Path

from resnet_dsl.checkpoints.numbers import first_odd
from resnet_dsl.checkpoints.read import Checkpoint, damaged, opened, version_of
from resnet_dsl.checkpoints.tensor import BYTES, FileTensor, Span, Unsound
from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.system import read_at, read_into

_CHUNK = 1 << 20


class Content:
    """What the tensors of a checkpoint hold. With `sha256` that is checked before anything is given: `fingerprint`'s of all of them."""

    def __init__(self, of: Checkpoint, sha256: str | None = None, *, finite: bool = True) -> None:
        self.of = of
        self._sum, self._finite = sha256, finite

    def numbers(self, name: str) -> bytearray:
        """The bytes of a tensor from its first number to its last, little endian; all of its numbers are `finite` unless that is not asked.

        Raises SpecError (exit 3) where one is not, and where the file was changed since it was read.
        """
        fd = self._open()
        try:
            return self._numbers(fd, name)
        finally:
            os.close(fd)

    def require_finite(self, names: Collection[str]) -> None:
        """Raises SpecError (exit 3) that names the first of these tensors with a number that is not finite."""
        fd = self._open()
        try:
            for name in names:
                self._numbers(fd, name)
        finally:
            os.close(fd)

    def _open(self) -> int:
        path = self.of.path
        fd = opened(path)
        try:
            if version_of(fd) != self.of.version:
                raise refuse("weights-damaged", "was changed while it was read", "repeat the command", at=path, exit_code=3)
            if self._sum is not None:
                if self._sum != _fingerprint(fd, self.of):
                    help = "copy the file again, or resume the run to write it again"
                    raise refuse("weights-damaged", "its SHA-256 is not what it should be", help, at=path, exit_code=3)
                self._sum = None
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _numbers(self, fd: int, name: str) -> bytearray:
        t, path = self.of.tensors[name], self.of.path
        raw = _raw(fd, t, path)
        odd = first_odd(raw, t.dtype) if self._finite else None
        if odd is not None and not t.whole:
            # Others than its own may lie between.
            odd = _own_odd(raw, t)
        if odd is not None:
            help = "use weights of a run that did not diverge, or an older checkpoint of it"
            raise refuse("weights-tensors", f"holds {odd[1]} in {quote(name)}", help, at=path, exit_code=3)
        return raw


def _raw(fd: int, t: FileTensor, path: Path) -> bytearray:
    """The bytes from a tensor's first number to its last."""
    size = BYTES[t.dtype]
    start, length = t.first * size, t.reach * size
    if isinstance(t.at, Span) and not t.at.text:
        raw = bytearray(length)
        view, at = memoryview(raw), t.at.start + start
        while view:
            got = read_into(fd, view, at)
            if got == 0:
                raise damaged(path, Unsound("is cut short"))
            view, at = view[got:], at + got
        return raw
    whole = t.at if isinstance(t.at, bytes) else read_at(fd, t.at.length, t.at.start).decode("utf-8", "replace").encode("latin1", "replace")
    if start + length > len(whole):
        raise damaged(path, Unsound("holds an array with too few bytes"))
    return bytearray(whole[start : start + length])


def _own_odd(raw: bytearray, t: FileTensor) -> tuple[int, str] | None:
    size = BYTES[t.dtype]
    steps = [(n, s) for n, s in zip(t.shape, t.stride, strict=True) if s]
    for index in product(*(range(n) for n, _ in steps)):
        at = sum(i * s for i, (_, s) in zip(index, steps, strict=True)) * size
        if (odd := first_odd(raw[at : at + size], t.dtype)) is not None:
            return odd
    return None


def _fingerprint(fd: int, of: Checkpoint) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names: `runtime.weights.fingerprint` of a safetensors file."""
    digest = hashlib.sha256()
    for name, t in sorted(of.tensors.items()):
        digest.update(f"{name} torch.{t.dtype} {t.shape}\n".encode())
        assert isinstance(t.at, Span)
        for at in range(t.at.start, t.at.start + t.at.length, _CHUNK):
            digest.update(read_at(fd, min(_CHUNK, t.at.start + t.at.length - at), at))
    return digest.hexdigest()
