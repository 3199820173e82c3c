"""What travels in an exported program beside the computation: texts by name. Neither onnx nor torch is needed to read them.

An ONNX file is a protobuf message (https://github.com/onnx/onnx, onnx.proto): `metadata_props` is field 14 of a model. A .pt2 file is a zip
archive, in which `torch.export.save` keeps each text as a member of a folder `extra`. Everything else in either file is passed over.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from resnet_dsl.diagnostics import refuse
from resnet_dsl.language.files import open_file

MAX_TEXTS = 16 << 20
"""Bytes of all texts together."""

MAX_MEMBERS = 100_000
"""Entries of an archive; one of ours has one per tensor and about ten more."""

_METADATA = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Unreadable(Exception):
    """What is wrong with a file, after "not a readable ... file: "."""


def read_texts(path: str) -> Mapping[str, str]:
    """The texts in an exported .onnx or .pt2 file; none where another program wrote it.

    Raises SpecError: exit code 2 where there is no such regular file, 3 where it may not be read or is damaged.
    """
    ending = os.path.splitext(path)[1]
    what, reader = READERS[ending]
    with open_file(path) as (file, size):
        try:
            return reader(file, size)
        except (Unreadable, zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, RuntimeError, ValueError) as e:
            reason = str(e) if isinstance(e, Unreadable) else "it is cut short, or was changed"
            raise refuse("weights-damaged", f"not a readable {what} file: {reason}", "export it again", at=path, exit_code=3) from None


def _onnx_texts(file: BinaryIO, size: int) -> dict[str, str]:
    found: dict[str, str] = {}
    total = 0
    for field, kind, length in _fields(file, size):
        if (field, kind) != (_METADATA, _BYTES):
            continue
        total += length
        if total > MAX_TEXTS:
            raise Unreadable(f"its metadata has over {MAX_TEXTS >> 20} MiB")
        end = file.tell() + length
        parts = {part: file.read(n).decode("utf-8") for part, _, n in _fields(file, end)}
        found[parts.get(1, "")] = parts.get(2, "")
    if not found and size == 0:
        raise Unreadable("it is empty")
    return found


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message that ends at an offset: number, wire type, and the bytes that follow, which the reader passes."""
    while file.tell() < end:
        tag = _varint(file)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _varint(file)
            continue
        if kind not in (_FIXED64, _FIXED32, _BYTES) or field == 0:
            raise Unreadable("it is cut short, or is not an ONNX file")
        length = {_FIXED64: 8, _FIXED32: 4}.get(kind) or _varint(file)
        if file.tell() + length > end:
            raise Unreadable("it is cut short, or is not an ONNX file")
        after = file.tell() + length
        yield field, kind, length
        file.seek(after)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise Unreadable("it is cut short, or is not an ONNX file")


def _archive_texts(file: BinaryIO, size: int) -> dict[str, str]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise Unreadable(f"it has {len(members):,} entries, over the limit of {MAX_MEMBERS:,}")
        texts = [m for m in members if m.filename.split("/")[1:2] == ["extra"] and len(m.filename.split("/")) == 3]
        if sum(m.file_size for m in texts) > MAX_TEXTS or any(m.compress_type != zipfile.ZIP_STORED for m in texts):
            raise Unreadable(f"its metadata is packed, or has over {MAX_TEXTS >> 20} MiB")
        return {m.filename.split("/")[2]: archive.read(m).decode("utf-8") for m in texts}


READERS: Mapping[str, tuple[str, Callable[[BinaryIO, int], dict[str, str]]]] = {
    ".onnx": ("ONNX", _onnx_texts),
    ".pt2": (".pt2", _archive_texts),
}
"""By the file's ending: what it is called, and what reads its texts."""
