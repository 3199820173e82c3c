"""Tar archives read from end to end within bounds: ustar, GNU's and pax long names; of a sparse file, or one beyond a bound, nothing is read.

Python's own reader takes as much memory as a header says, and three times as long for an archive of small files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NoReturn, Protocol

from resnet_dsl.training.data.reading import damaged

_BLOCK = 512
_CHUNK = 1 << 20
_LONGEST_NAME = 1 << 16
"""Bytes of what stands before a file in place of its name."""

_REGULAR = frozenset(b"07\0")
_WITHOUT_CONTENT = frozenset(b"123456")
_ZEROS = bytes(_BLOCK)


class Readable(Protocol):
    """What gives the next bytes of an archive."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""


def files(stream: Readable, at: object, most: int, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes | None]]:
    """The regular files of an archive, in order: the name of each, and its content where the name is `wanted`.

    `at` is the archive to blame, `most` the bytes that a wanted file may have. Raises SpecError (exit 3).
    """
    name: str | None = None
    said: dict[str, str] = {}
    first = True
    while head := stream.read(_BLOCK):
        if head == _ZEROS:
            return
        if len(head) < _BLOCK:
            _short(at)
        kind, size = head[156], _size(head, at, first)
        first = False
        if kind in b"LxgK":
            text = _whole(stream, size, _LONGEST_NAME, at, "the name of a file")
            if kind == ord("L"):
                name = _decoded(text)
            elif kind == ord("x"):
                said = _pax(text, at)
            continue
        named = said.get("path") or name or _named(head)
        size = _number(said["size"], at) if "size" in said else size
        if kind == ord("S") or any(key.startswith("GNU.sparse") for key in said):
            raise damaged(f"{at}/{named}", "is stored as a sparse file, which may be of any size", "unpack it and pack it again, whole")
        name, said = None, {}
        if kind in _REGULAR and wanted(named):
            yield named, _whole(stream, size, most, f"{at}/{named}", "it")
        else:
            if kind not in _WITHOUT_CONTENT:
                _skip(stream, size, at)
            if kind in _REGULAR:
                yield named, None


def _size(head: bytes, at: object, first: bool) -> int:
    """The size in a header whose sum is right."""
    # The sum counts its own eight bytes as spaces.
    total = sum(head) - sum(head[148:156]) + 8 * 32
    try:
        right = int(head[148:156].split(b"\0")[0].strip() or b"-1", 8) == total
    except ValueError:
        right = False
    if not right:
        what = "is not a complete tar archive" if not first else "is not a complete tar archive: its first bytes are no tar header"
        raise damaged(str(at), what, "check that the file is what its ending says; copy it again")
    field = head[124:136]
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    try:
        return int(field.split(b"\0")[0].strip() or b"0", 8)
    except ValueError:
        raise damaged(str(at), "is not a complete tar archive: a size is no number") from None


def _named(head: bytes) -> str:
    name = head[:100].split(b"\0")[0]
    prefix = head[345:500].split(b"\0")[0] if head[257:263] == b"ustar\0" else b""
    return _decoded(prefix + b"/" + name if prefix else name)


def _decoded(text: bytes) -> str:
    return text.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax(text: bytes, at: object) -> dict[str, str]:
    """Records of `LENGTH KEY=VALUE` and a line break; the length counts itself."""
    found: dict[str, str] = {}
    while text.strip(b"\0"):
        length = _number(text.split(b" ")[0].decode("ascii", "replace")[:9], at)
        record, text = text[:length], text[length:]
        key, _, value = record[record.find(b" ") + 1 : -1].partition(b"=")
        if length < 5:
            raise damaged(str(at), "is not a complete tar archive: a header is damaged")
        found[_decoded(key)] = _decoded(value)
    return found


def _number(text: str, at: object) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise damaged(str(at), "is not a complete tar archive: a header is damaged")
    return int(text)


def _whole(stream: Readable, size: int, most: int, at: object, what: str) -> bytes:
    """The bytes of a file, and the rest of its last block passed over."""
    if size > most:
        message = f"holds {size:,} bytes, and at most {most:,} are read" if what == "it" else f"says that {what} has {size:,} bytes"
        raise damaged(str(at), message, "check that the file is the right one")
    content = bytearray()
    while len(content) < size:
        if not (piece := stream.read(min(_CHUNK, size - len(content)))):
            _short(at)
        content += piece
    _skip(stream, -size % _BLOCK, at, whole=True)
    return bytes(content)


def _skip(stream: Readable, size: int, at: object, whole: bool = False) -> None:
    """Pass over the blocks of a file; `whole`: over so many bytes."""
    left = size if whole else size + -size % _BLOCK
    while left > 0:
        if not (piece := stream.read(min(_CHUNK, left))):
            _short(at)
        left -= len(piece)


def _short(at: object) -> NoReturn:
    raise damaged(str(at), "is not a complete tar archive: it ends in the middle of a file")
