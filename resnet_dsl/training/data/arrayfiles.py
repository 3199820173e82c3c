"""Arrays in files, `.npy` and `.npz`: mapped into memory where they lie unpacked, so that only what is used is read. Nothing is unpickled."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from resnet_dsl.diagnostics import quote
from resnet_dsl.files import open_regular
from resnet_dsl.training.data.numbers import Array
from resnet_dsl.training.data.reading import blame, damaged

_LOCAL = struct.Struct("<4s22xHH")
"""The head of a member of a zip file: its mark, and the lengths of name and extra field that follow."""

_MOST_HEADER = 10_000

# What zipfile and numpy have been seen to raise on damaged files: the head of an array is the text of a Python literal.
_DAMAGED = (
    zipfile.BadZipFile, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, NotImplementedError, RuntimeError,
    SyntaxError, tokenize.TokenError,
)  # fmt: skip
_PICKLED = "holds Python objects, which are not read: unpickling a file may run anything"
_PLAIN = "save it as one array of numbers: np.stack(list).astype('float32')"


@contextmanager
def _reading(at: str) -> Iterator[None]:
    with blame(at):
        try:
            yield
        except _DAMAGED as e:
            raise damaged(at, f"is no readable file of arrays: {str(e)[:120]}", "write it again with np.save or np.savez") from None


def arrays_of(folder: Path) -> Mapping[str, Array]:
    """The .npy files of a folder, by their names without the ending. Raises SpecError (exit 3)."""
    with blame(folder):
        files = sorted(p for p in folder.iterdir() if p.suffix == ".npy")
    return {p.stem: load_npy(p) for p in files}


def load_npy(path: Path) -> Array:
    """The array in a .npy file, mapped. Raises SpecError (exit 3)."""
    with _reading(str(path)), os.fdopen(open_regular(path), "rb") as file:
        return _mapped(file, path, os.fstat(file.fileno()).st_size, str(path))


def load_npz(path: Path) -> Mapping[str, Array]:
    """The arrays in a .npz file by name: mapped where they are not compressed, else unpacked when they are asked for."""
    with _reading(str(path)), os.fdopen(open_regular(path), "rb") as file, zipfile.ZipFile(file) as archive:
        members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
    return _Members(path, {m.filename.removesuffix(".npy"): m for m in members})


class _Members(Mapping[str, Array]):
    """Arrays of a zip file, each read when it is asked for."""

    def __init__(self, path: Path, members: Mapping[str, zipfile.ZipInfo]) -> None:
        self._path, self._members = path, members

    def __getitem__(self, name: str) -> Array:
        member, at = self._members[name], f"{self._path}[{name}]"
        with _reading(at), os.fdopen(open_regular(self._path), "rb") as file:
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
                return _unpacked(file, member, at)
            file.seek(member.header_offset)
            mark, name_length, extra_length = _LOCAL.unpack(file.read(_LOCAL.size))
            if mark != b"PK\x03\x04":
                raise zipfile.BadZipFile("a member does not begin where the file says")
            file.seek(name_length + extra_length, os.SEEK_CUR)
            return _mapped(file, self._path, file.tell() + member.file_size, at)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


def _mapped(file: BinaryIO, path: Path, end: int, at: str) -> Array:
    """The array whose head begins at the file's place and whose numbers end at `end`."""
    shape, fortran, dtype = _head(file, at)
    start, size = file.tell(), math.prod(shape) * dtype.itemsize
    if size > end - start:
        raise damaged(at, f"its head announces {size:,} bytes of numbers, and {end - start:,} are there: it is cut short")
    if not size:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _unpacked(file: BinaryIO, member: zipfile.ZipInfo, at: str) -> Array:
    """The array in a compressed member. What its head announces is compared with the size in the archive before memory is taken."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open(member) as content:
            shape, fortran, dtype = _head(content, at)  # type: ignore[arg-type]
            size = math.prod(shape) * dtype.itemsize
            if size > member.file_size:
                raise damaged(at, f"its head announces {size:,} bytes of numbers, and {member.file_size:,} are there: it is cut short")
            held = np.empty(size, np.uint8)
            for start in range(0, size, 1 << 24):
                piece = content.read(min(1 << 24, size - start))
                held[start : start + len(piece)] = np.frombuffer(piece, np.uint8)
                if len(piece) < min(1 << 24, size - start):
                    raise EOFError
    except zlib.error as e:
        raise damaged(at, f"is damaged: {str(e)[:120]}") from None
    return held.view(dtype).reshape(shape, order="F" if fortran else "C")


def _head(file: BinaryIO, at: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, order of axes and type of the numbers; the file is then at the first number."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"version {version} of the format is not known")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file, max_header_size=_MOST_HEADER)
    if dtype.hasobject:
        raise damaged(at, _PICKLED, _PLAIN)
    if dtype.fields is not None:
        raise damaged(at, f"holds records with the fields {', '.join(map(quote, dtype.names or ()))}", "save each field as an array")
    if any(n < 0 for n in shape):
        raise ValueError("a side is below 0")
    return shape, fortran, dtype
