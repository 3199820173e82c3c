"""Text in a PNG: what it shows, and the network's canonical form, in chunks that every viewer skips."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_SIGNATURE_AND_HEADER = 8 + 25
"""Bytes before the first place where a text may stand."""


def with_text(png: bytes, texts: Mapping[str, str]) -> bytes:
    """The same picture with a tEXt chunk for each key (PNG specification, 11.3.4.3); what Latin-1 lacks is spelled out."""
    chunks = b"".join(_chunk(b"tEXt", key.encode("latin-1") + b"\0" + _latin(text)) for key, text in texts.items() if text)
    return png[:_SIGNATURE_AND_HEADER] + chunks + png[_SIGNATURE_AND_HEADER:]


def _latin(text: str) -> bytes:
    return text.replace("\0", "").encode("latin-1", "backslashreplace")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
