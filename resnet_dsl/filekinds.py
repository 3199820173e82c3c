"""What a file is, by its first bytes: of those that are met where weights or a spec are expected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FileKind:
    """`what` ends a sentence that begins with the file's name, `help` is the one thing to do. `form`: how weights are kept in it."""

    what: str
    help: str = ""
    form: Literal["zip", "pickle", "safetensors", ""] = ""


_AGAIN = "download or copy it again"
_KERAS = "load it where it was made, and save its arrays by name: numpy.savez('weights.npz', **arrays)"
_PACKED = "unpack it first: "

_BEGINNINGS: tuple[tuple[bytes, FileKind], ...] = (
    (b"version https://git-lfs", FileKind("is a git-lfs pointer, and not the file itself", "fetch the file: git lfs pull")),
    (b"\x89HDF\r\n\x1a\n", FileKind("is an HDF5 file, as Keras writes them", _KERAS)),
    (b"\x1f\x8b", FileKind("is packed with gzip", _PACKED + "gunzip FILE.gz, or tar xf FILE")),
    (b"\xfd7zXZ\0", FileKind("is packed with xz", _PACKED + "unxz FILE.xz, or tar xf FILE")),
    (b"BZh", FileKind("is packed with bzip2", _PACKED + "bunzip2 FILE.bz2, or tar xf FILE")),
    (b"\x28\xb5\x2f\xfd", FileKind("is packed with zstd", _PACKED + "unzstd FILE.zst")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("is a 7z archive", _PACKED + "7z x FILE")),
    (b"Rar!", FileKind("is a RAR archive", _PACKED + "unrar x FILE")),
    (b"GGUF", FileKind("is a GGUF file, which holds language models", "give weights as .safetensors or .pth")),
    (b"\x93NUMPY", FileKind("is one numpy array, without a name", "save arrays by name: numpy.savez('weights.npz', **arrays)")),
    (b"model_checkpoint_path:", FileKind("is the index of TensorFlow's checkpoints", _KERAS)),
    (b"\0\0\0\0\2\0\0\0", FileKind("is a weights file of Darknet, which has no names", "convert it to .pth with a program that knows its .cfg")),
    (b"\x12\1\0\0\0\0\0\0", FileKind("is a weights file of MXNet", "load it where it was made, and save its arrays by name: numpy.savez")),
    (b"\x89PNG", FileKind("is a picture", "give a file of weights")),
    (b"\xff\xd8\xff", FileKind("is a picture", "give a file of weights")),
    (b"%PDF", FileKind("is a PDF", "give a file of weights")),
    (b"\x7fELF", FileKind("is a program", "give a file of weights")),
    (b"MZ", FileKind("is a program", "give a file of weights")),
    (b"PK\x03\x04", FileKind("is a zip archive, as torch.save writes them", form="zip")),
    (b"PK\x05\x06", FileKind("is an empty zip archive", _AGAIN)),
)  # fmt: skip

_PAGE = re.compile(rb"(?is)^\s*(<!doctype html|<html|<head|<!--|<\?xml|<script)")
_OLD_PICKLE = re.compile(rb"^(\(dp?|\(lp?|\}q|\]q|c[a-z_.]+\n[A-Za-z_.]+\n)")
_SSTABLE = bytes.fromhex("57fb808b247547db")
"""How the index of a checkpoint of TensorFlow ends."""


def recognise(start: bytes, end: bytes, size: int) -> FileKind | None:
    """What a file of `size` bytes is, from its first 512 bytes and its last 8; None where it is nothing that is known."""
    if size == 0:
        return FileKind("is empty", _AGAIN)
    for sign, kind in _BEGINNINGS:
        if start.startswith(sign):
            return kind
    if not start.strip(b"\0"):
        return FileKind("begins with nothing but zeros, so it was never written to its end", _AGAIN)
    if int.from_bytes(start[:8], "little") >= 2 and start[8:9] == b"{":
        return FileKind("is a safetensors file", form="safetensors")
    if start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5" and size > 2:
        return FileKind("is a pickle, as torch.save writes them", form="pickle")
    if end == _SSTABLE:
        return FileKind("is a checkpoint of TensorFlow", _KERAS)
    return _structured(start)


def _structured(start: bytes) -> FileKind | None:
    """What is known by more than a sign at its beginning."""
    if start[257:262] == b"ustar":
        return FileKind("is a tar archive", _PACKED + "tar xf FILE")
    if start[4:8] == b"TFL3":
        return FileKind("is a network of TensorFlow Lite", "give weights as .safetensors or .pth")
    if start[:2] == b"\x08\x01" and start[2:3] == b"\x12":
        return FileKind("is a SavedModel of TensorFlow", _KERAS)
    if start[:1] == b"\x08" and 2 <= start[1] < 32 and start[2:3] in (b"\x12", b"\x1a", b"\x22", b"\x28", b"\x32", b"\x3a", b"\x42"):
        return FileKind("is an ONNX network, and not weights", "give the .pth or .safetensors file that it was exported from")
    if start[:1] == b"\n" and (b"Placeholder" in start or b"Const" in start):
        return FileKind("is a graph of TensorFlow", _KERAS)
    if 0x81 <= start[0] <= 0x8F and len(start) > 1 and (0xA0 <= start[1] <= 0xBF or start[1] == 0xD9):
        return FileKind("is a msgpack file, as flax writes them", "load it where it was made, and save its arrays by name: numpy.savez")
    if _PAGE.match(start):
        return FileKind(
            "is a web page, and not the file itself", "open the address in a browser, and download the file that the page offers"
        )
    if _OLD_PICKLE.match(start):
        return FileKind("is a pickle", form="pickle")
    return None


def is_text(start: bytes) -> bool:
    """Do the first bytes of a file read as text?"""
    return not re.search(rb"[\x00-\x08\x0e-\x1f\x7f]", start) and start.isascii()
