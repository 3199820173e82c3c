"""The header of a safetensors file: the names, types and shapes of its tensors, and metadata, which may hold a spec.

The file begins with the length of a JSON header (8 bytes, little endian) and the header
(https://github.com/huggingface/safetensors, "Format"). Only these are read, and everything in them is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, BinaryIO

from resnet_dsl.diagnostics import Source, either, quote, quote_path, refuse
from resnet_dsl.filekinds import recognise
from resnet_dsl.language.files import open_file
from resnet_dsl.language.programs import READERS, read_texts
from resnet_dsl.language.source import decode

ENDING = ".safetensors"

HOLDERS = (ENDING, *READERS)
"""The endings of files that can hold a spec beside their weights."""

FORMAT = "resnet-dsl/1"
"""The value of `format` in the metadata of a file that this program wrote: `spec` is a spec, `classes` and `normalisation` are JSON, `folded` is `true` or absent."""

MAX_HEADER = 16 << 20
"""Bytes. A header has about 100 per tensor; safetensors itself allows 100 MB."""

MAX_DIMENSIONS = 64

_BITS: Mapping[str, int] = {
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_ENTRY = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as the header describes it: `dtype` in the format's words (F32, BF16, I64, ...), and its place in the file, in bytes."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors by name, in the order of their bytes, and the metadata."""

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]


def read_header(path: str) -> Header:
    """The header of a safetensors file, checked against the size of the file. No tensor is read.

    Raises SpecError: exit code 2 where there is no such regular file, 3 where it may not be read or is damaged.
    """
    with open_file(path) as (file, size):
        kind = recognise(file.read(512), b"", size)
        if kind is not None and kind.form != "safetensors":
            raise refuse("not-weights", kind.what, kind.help or f"give a file that is what its name says: {ENDING}", at=path, exit_code=3)
        file.seek(0)
        try:
            return _header(file, size)
        except _Damaged as e:
            raise refuse("weights-damaged", f"not a readable safetensors file: {e}", "copy the file again", at=path, exit_code=3) from None


class _Damaged(Exception):
    """What is wrong with a header."""


def _header(file: BinaryIO, size: int) -> Header:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= size - 8:
        raise _Damaged(f"it is cut short, or is not a safetensors file ({size:,} bytes)")
    if length > MAX_HEADER:
        raise _Damaged(f"its header would have {length:,} bytes, over the limit of {MAX_HEADER >> 20} MiB")
    text = file.read(length)
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _Damaged("its header is no JSON with each name once") from None
    if not isinstance(found, dict):
        raise _Damaged("its header is no JSON object")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _Damaged("its metadata is not a mapping from words to text")
    return Header(_tensors(found, 8 + length, size - 8 - length), metadata)


def metadata_of(path: str) -> Mapping[str, str]:
    """The texts beside the weights in a file whose ending is one of `HOLDERS`. Raises SpecError, as `read_header` does."""
    return read_header(path).metadata if path.endswith(ENDING) else read_texts(path)


def stored_spec(path: str) -> tuple[Source, bool]:
    """The spec in a file that this program wrote, and whether the weights are of that network with its batch norms folded.

    Raises SpecError, as `metadata_of` does, and where the file holds no spec (exit code 2).
    """
    metadata = metadata_of(path)
    if metadata.get("format") != FORMAT or "spec" not in metadata:
        if not path.endswith(ENDING):
            problem = f"{quote(path)}: the file holds a network, but no spec"
            help = "only a file that `resnet-dsl export` wrote holds its spec: name the spec, or the run"
            raise refuse("spec-missing", problem, help, at=path)
        command = either(f"rd.recover({path!r})", f"resnet-dsl import {path}")
        raise refuse(
            "spec-missing",
            f"{quote_path(path)}: the file holds weights, but no spec",
            f"`{command}` reads one from the names and shapes of its tensors",
            at=path,
        )
    if metadata.get("folded", "true") != "true":
        message = f"not a readable {path.rpartition('.')[2]} file: its `folded` is {quote(metadata['folded'])}, and not 'true'"
        raise refuse("weights-damaged", message, "copy the file again", at=path, exit_code=3)
    try:
        return decode(path, metadata["spec"].encode("utf-8")), "folded" in metadata
    except UnicodeEncodeError:
        message = f"not a readable {path.rpartition('.')[2]} file: its spec is not text"
        raise refuse("weights-damaged", message, "copy the file again", at=path, exit_code=3) from None


def _tensors(entries: Mapping[str, Any], start: int, size: int) -> dict[str, StoredTensor]:
    """The entries of a header, checked: they cover the `size` bytes after it, from `start` on, without a hole and without an overlap."""
    found: list[tuple[int, int, str, StoredTensor]] = []
    for name, entry in entries.items():
        if not isinstance(entry, dict) or set(entry) != _ENTRY:
            raise _Damaged(f"{quote(name)} has no dtype, shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _BITS:
            raise _Damaged(f"{quote(name)} has an unknown dtype, {quote(str(dtype))}")
        if not _counts(shape) or len(shape) > MAX_DIMENSIONS or not _counts(offsets) or len(offsets) != 2:
            raise _Damaged(f"{quote(name)} has no shape or no data_offsets of whole numbers")
        if (offsets[1] - offsets[0]) * 8 != prod(shape) * _BITS[dtype]:
            raise _Damaged(f"the bytes of {quote(name)} are not as many as its shape asks for")
        found.append((*offsets, name, StoredTensor(dtype, tuple(shape), start + offsets[0], offsets[1] - offsets[0])))
    found.sort(key=lambda entry: entry[:2])
    edges = [0, *(edge for begin, end, *_ in found for edge in (begin, end)), size]
    if any(before != after for before, after in list(pairwise(edges))[::2]):
        raise _Damaged(f"its tensors do not fill the {size:,} bytes that follow the header: it is cut short, or was changed")
    return {name: tensor for _, _, name, tensor in found}


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found
