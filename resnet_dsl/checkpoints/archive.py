"""The directory of a zip archive, read without opening a member, and checked: nothing overlaps, nothing is compressed, nothing is twice.

The format is PKWARE's APPNOTE (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), sections 4.3 and 4.4.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from resnet_dsl.checkpoints.pickles import Bytes
from resnet_dsl.checkpoints.tensor import Span, Unsound

MAX_DIRECTORY = 8 << 20
"""Bytes. A member takes about a hundred."""

_END, _END64, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_MEMBER, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"
_CUT = "is cut short: the end of its zip archive is missing"


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive: where its local header is, its bytes as they are kept, and as they would be."""

    header: int
    kept: int
    size: int
    method: int


def directory(data: Bytes) -> dict[str, Member]:
    """The members by name, in the order of the directory. Raises Unsound."""
    size = len(data)
    tail = data[max(0, size - 65_557) : size]
    found = tail.rfind(_END)
    if found < 0 or found + 22 > len(tail):
        raise Unsound(_CUT)
    end = size - len(tail) + found
    count, length, start = struct.unpack("<HII", data[end + 10 : end + 20])
    if data[max(0, end - 20) : max(0, end - 16)] == _LOCATOR:
        # torch writes the end of large archives for small ones too.
        end, count, length, start = _end64(data, end)
    if start + length != end or length > MAX_DIRECTORY or count * 46 > length:
        raise Unsound(_CUT if start + length > end else "is no sound zip archive: its directory is not where its end says")
    members = _members(data[start:end], count)
    _require_apart(members, start)
    return members


def _end64(data: Bytes, end: int) -> tuple[int, int, int, int]:
    """The same as the format has it for archives of more than 4 GiB."""
    at = int.from_bytes(data[end - 12 : end - 4], "little")
    record = data[at : at + 56] if at < end else b""
    if record[:4] != _END64 or len(record) < 56:
        raise Unsound(_CUT)
    count, length, start = struct.unpack("<QQQ", record[32:56])
    return at, count, length, start


def _members(text: bytes, count: int) -> dict[str, Member]:
    found: dict[str, Member] = {}
    at = 0
    for _ in range(count):
        if text[at : at + 4] != _MEMBER or at + 46 > len(text):
            raise Unsound("is no sound zip archive: its directory is damaged")
        _, flags, method = struct.unpack("<HHH", text[at + 6 : at + 12])
        kept, size, n, extra, comment = struct.unpack("<IIHHH", text[at + 20 : at + 34])
        header = int.from_bytes(text[at + 42 : at + 46], "little")
        name = text[at + 46 : at + 46 + n].decode("utf-8", "replace")
        size, kept, header = _large(text[at + 46 + n : at + 46 + n + extra], size, kept, header)
        if name in found:
            raise Unsound(f"is no sound zip archive: it has {name[:60]!r} twice")
        found[name] = Member(header, kept, size, -1 if flags & 1 else method)
        at += 46 + n + extra + comment
    return found


def _large(extra: bytes, *fields: int) -> tuple[int, int, int]:
    """Sizes and place of a member, those that do not fit in 32 bits from its extra field 1."""
    values = list(fields)
    at = 0
    while at + 4 <= len(extra):
        kind, n = struct.unpack("<HH", extra[at : at + 4])
        if kind == 1:
            words = extra[at + 4 : at + 4 + n]
            for i, value in enumerate(values):
                if value == 0xFFFFFFFF and len(words) >= 8:
                    values[i], words = int.from_bytes(words[:8], "little"), words[8:]
        at += 4 + n
    return values[0], values[1], values[2]


def _require_apart(members: Mapping[str, Member], end: int) -> None:
    """Raises Unsound where members overlap each other or the directory."""
    edges = sorted((m.header, m.header + 30 + m.kept) for m in members.values())
    if edges and (edges[-1][1] > end or any(before[1] > after[0] for before, after in pairwise(edges))):
        raise Unsound("is no sound zip archive: its members overlap")


def place(data: Bytes, member: Member, name: str) -> Span:
    """Where the bytes of a member are. Raises Unsound where it is compressed or its header is not there."""
    if member.method != 0 or member.kept != member.size:
        raise Unsound(f"keeps {name[:60]!r} compressed", "write it without compression, as torch.save and numpy.savez do")
    local = data[member.header : member.header + 30]
    if local[:4] != _LOCAL or len(local) < 30:
        raise Unsound("is no sound zip archive: a member is not where its directory says")
    n, extra = struct.unpack("<HH", local[26:30])
    start = member.header + 30 + n + extra
    if start + member.size > len(data):
        raise Unsound(_CUT)
    return Span(start, member.size)
