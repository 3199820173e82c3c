"""PNG files: pixels as a picture; and text in one: what it shows, and the network's canonical form, in chunks that every viewer skips."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {1: 0, 3: 2}
_SIGNATURE_AND_HEADER = len(_SIGNATURE) + 25
"""Bytes before the first place where a text may stand."""


def with_text(png: bytes, texts: Mapping[str, str]) -> bytes:
    """The same picture with a tEXt chunk for each key (PNG specification, 11.3.4.3); characters that Latin-1 does not have are spelled out."""
    chunks = b"".join(_chunk(b"tEXt", key.encode("latin-1") + b"\0" + _latin(text)) for key, text in texts.items() if text)
    return png[:_SIGNATURE_AND_HEADER] + chunks + png[_SIGNATURE_AND_HEADER:]


def picture(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """Pixels (height, width, channels), one byte each, as a grey (1 channel) or RGB (3) picture; the same pixels give the same bytes.

    PNG specification, 11.2. Raises ValueError where there are more or fewer bytes than that.
    """
    row = width * channels
    if channels not in _COLOUR_TYPES or len(pixels) != row * height or not pixels:
        raise ValueError(f"{len(pixels)} bytes are not a picture of {height}x{width} with {channels} channels")
    # Each row begins with its filter: none.
    rows = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")


def _latin(text: str) -> bytes:
    return text.replace("\0", "").encode("latin-1", "backslashreplace")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
