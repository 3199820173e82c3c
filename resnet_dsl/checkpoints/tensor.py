"""A tensor as a file holds it: its type, its shape, and where its numbers lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

BYTES: Mapping[str, int] = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1, "int64": 8, "int32": 4, "int16": 2, "int8": 1,
    "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1, "bool": 1,
}  # fmt: skip
"""Bytes of a number, by its type in torch's words: of those that can be read."""

MAX_DIMENSIONS = 64
_MAX_SPAN = 64 << 20


class Unsound(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name, `is cut short`, and what to do."""

    def __init__(self, what: str, help: str = "download or copy the file again") -> None:
        super().__init__(what)
        self.help = help


@dataclass(frozen=True, slots=True)
class Span:
    """So many bytes of a file from `start` on. `text`: they are UTF-8 for text whose characters are the bytes."""

    start: int
    length: int
    text: bool = False


@dataclass(frozen=True, slots=True)
class FileTensor:
    """A tensor in a file. `dtype` is in torch's words; `stride` and `first`, its first number, count numbers of the storage `at`.

    `problem` says why a network cannot hold it: `is sparse`; it is empty for most.
    """

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...] = ()
    first: int = 0
    at: Span | bytes = b""
    problem: str = ""

    def is_floating_point(self) -> bool:
        """Are its numbers real?"""
        return "float" in self.dtype

    @property
    def count(self) -> int:
        """Numbers."""
        return prod(self.shape)

    @property
    def reach(self) -> int:
        """Numbers of the storage from its first to its last."""
        return 0 if self.count == 0 else 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))

    @property
    def whole(self) -> bool:
        """Does it have every number from its first to its last, each once?"""
        return self.reach == self.count and not any(s == 0 and n > 1 for n, s in zip(self.shape, self.stride, strict=True))


def dense(shape: tuple[int, ...], *, fortran: bool = False) -> tuple[int, ...]:
    """The strides of an array without gaps, the last dimension the fastest, or the first (`fortran`)."""
    strides, step = [], 1
    for n in shape if fortran else reversed(shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(strides if fortran else reversed(strides))


def placed(dtype: str, shape: object, stride: object, first: object, at: Span | bytes, numbers: int) -> FileTensor:
    """A tensor over a storage of so many `numbers`, checked against it. Raises Unsound where it has no shape."""
    if not isinstance(shape, tuple) or not isinstance(stride, tuple) or len(shape) != len(stride) or type(first) is not int or first < 0:
        raise Unsound("holds a tensor without a shape")
    if not is_shape(shape) or not is_shape(stride):
        raise Unsound("holds a tensor without a shape")
    t = FileTensor(dtype, shape, stride, first, at)
    problem = ""
    if dtype not in BYTES:
        problem = f"holds {dtype} numbers"
    elif t.count and t.first + t.reach > numbers:
        problem = f"reaches beyond its storage of {numbers:,} numbers"
    elif t.reach * BYTES[dtype] > _MAX_SPAN and t.reach > 8 * t.count:
        problem = f"is a view of {t.count:,} numbers spread over {t.reach:,}"
    return FileTensor(dtype, shape, stride, first, at, problem) if problem else t


def is_shape(value: object) -> bool:
    """Is it a tuple of sizes?"""
    return isinstance(value, tuple) and len(value) <= MAX_DIMENSIONS and all(type(n) is int and 0 <= n < 1 << 63 for n in value)
