"""A picture file to an upright picture: which files are read, how large they may be, which way up they are, what their pixels are.

Every picture of every command is opened here, whether it is trained on, evaluated or predicted, in a folder or in a shard.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from resnet_dsl.diagnostics import Label, Location, SpecError, refuse
from resnet_dsl.diagnostics import Source as Place
from resnet_dsl.extras import require
from resnet_dsl.files import open_regular
from resnet_dsl.training.data.reading import blame, damaged

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

ENDINGS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".gif")
)
"""Files that end so are pictures."""

_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "WEBP", "PPM", "TIFF", "GIF")
"""What a file that ends so may be. Pillow opens others by running other programs, or as pages of drawings."""

MAX_PIXELS = 1 << 27
"""Of one picture, 134 million: 12,000 x 9,000, the largest that telephones make, fits."""

MAX_FILE = 1 << 28
"""Bytes of one picture's file."""

Mode = Literal["L", "LA", "RGB", "RGBA", "CMYK"]

GREY = frozenset(("1", "L", "LA"))
_COLOUR = frozenset(("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"))
_DEEP = frozenset(("I;16", "I;16B", "I;16L", "I;16N"))
_CHANNELS: dict[Mode, int] = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}

_MOST_CHUNKS = 100_000
"""Parts of a PNG that are looked through for EXIF data."""

_ORIENTATION = 0x0112
_SIDEWAYS = frozenset((5, 6, 7, 8))

# What Pillow's decoders have been seen to raise on damaged files, beside OSError.
_DAMAGED = (SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RuntimeError, EOFError, struct.error)


@dataclass(frozen=True, slots=True)
class PixelForm:
    """What the pixels of a picture become: `mode` as Pillow has it, one byte a channel; `deep`: grey of 16 bits, as float32 from 0 to 255."""

    mode: Mode
    deep: bool = False

    @property
    def channels(self) -> int:
        """The number of channels."""
        return _CHANNELS[self.mode]

    @property
    def alpha(self) -> bool:
        """Whether the last channel is how opaque a pixel is."""
        return self.mode in ("LA", "RGBA")


def form_of(first: ImageFile, channels: int) -> PixelForm:
    """The form of all pictures of a data set, by the first and the channels that the network reads.

    Grey stays grey unless the network reads colours; transparency and the four inks are read where the network has their channels.
    """
    grey, deep = first.mode in GREY or is_deep(first), is_deep(first)
    if channels == 4 and first.mode == "CMYK":
        return PixelForm("CMYK")
    if channels == 4 and has_alpha(first):
        return PixelForm("RGBA")
    if channels == 2 and first.mode == "LA":
        return PixelForm("LA")
    return PixelForm("L" if grey and channels != 3 else "RGB", deep)


def is_deep(picture: Image.Image) -> bool:
    """Whether a picture is grey of 16 bits."""
    return picture.mode in _DEEP or (picture.mode == "I" and picture.format in ("PNG", "PPM"))


def has_alpha(picture: Image.Image) -> bool:
    """Whether a picture has transparent parts, or could."""
    return picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info


def changes(picture: ImageFile, form: PixelForm) -> list[str]:
    """What is lost of an open picture when it is brought to a form, in words."""
    found = []
    if _has_more_frames(picture):
        found.append("read by the first frame alone")
    if has_alpha(picture) and not form.alpha:
        found.append("read without transparency")
    if picture.mode == "CMYK" and form.mode != "CMYK":
        found.append("brought from CMYK to RGB")
    if ";16" in str(picture.tile) and picture.mode in _COLOUR:
        found.append("cut from 16 to 8 bits a colour")
    if form.mode in ("L", "LA") and not (picture.mode in GREY or is_deep(picture)):
        found.append("made grey")
    return found


def _has_more_frames(picture: ImageFile) -> bool:
    # Of a TIFF Pillow would count them all, which may be millions. The second picture of an MPO is the first one's preview.
    if picture.format != "TIFF":
        return picture.format != "MPO" and bool(getattr(picture, "is_animated", False))
    try:
        picture.seek(1)
    except EOFError:
        return False
    finally:
        picture.seek(0)
    return True


def require_pillow(at: str) -> None:
    """Raises SpecError (exit 3) where Pillow is not installed."""
    require("images", "reading pictures needs", at=at)


def undecodable(at: Path | str, e: Exception) -> SpecError:
    """The error for pixels that cannot be decoded: our sentence, the library's as a note."""
    short = "truncated" in str(e) or isinstance(e, EOFError)
    what = "is cut short: its pixels end too early" if short else "is damaged: its pixels cannot be decoded"
    note = Label(f"Pillow says: {str(e)[:120] or type(e).__name__}", Location(Place(str(at), "")))
    return refuse("data-damaged", what, "remove or replace it", at=at, labels=(note,), exit_code=3)


@contextmanager
def decoding(at: Path | str) -> Iterator[None]:
    """Whatever goes wrong while a picture is decoded is said of `at`; what a library warns of is not said."""
    from PIL import Image, UnidentifiedImageError

    with blame(at), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UnidentifiedImageError:
            raise damaged(at, "is not a readable picture", "remove or replace it") from None
        except Image.DecompressionBombError as e:
            found = re.search(r"\d+", str(e))
            raise _too_large(at, f"has {int(found[0]) / 1e6:,.0f} million pixels" if found else "has too many pixels") from None
        except _DAMAGED as e:
            raise undecodable(at, e) from None
        except OSError as e:
            # Those of the system have a number, those of Pillow's decoders none.
            if e.errno is not None:
                raise
            raise undecodable(at, e) from None


@contextmanager
def quiet(picture: ImageFile) -> Iterator[None]:
    """Where a TIFF is decoded: its library writes what it dislikes to the process's standard error by itself."""
    if picture.format != "TIFF":
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # a process without one
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _too_large(at: Path | str, size: str) -> SpecError:
    return refuse("data-size", f"{size}; at most {MAX_PIXELS / 1e6:.0f} million are read", "make it smaller", at=at, exit_code=3)


@contextmanager
def open_picture(file: Path | BinaryIO, at: Path | str | None = None) -> Iterator[ImageFile]:
    """A picture of which only the header has been read; `at` is what to blame, if not the file itself. Raises SpecError (exit 3)."""
    from PIL import Image

    at = str(file) if at is None else at
    with decoding(at):
        stream = os.fdopen(open_regular(file), "rb") if isinstance(file, Path) else file
    try:
        with decoding(at):
            if (size := stream.seek(0, os.SEEK_END)) > MAX_FILE:
                raise refuse("data-size", f"has {size:,} bytes; at most {MAX_FILE:,} are read", "make it smaller", at=at, exit_code=3)
            stream.seek(0)
            require_kind(stream.read(64), at)
            stream.seek(0)
            picture = Image.open(stream, formats=_FORMATS)
        # Closing it would leave nothing to read where the caller gave the stream.
        picture.filename = str(at)
        if picture.width * picture.height > MAX_PIXELS:
            raise _too_large(at, f"is {picture.height:,}x{picture.width:,}, {picture.width * picture.height / 1e6:,.0f} million pixels")
        if not (picture.mode in GREY | _COLOUR or is_deep(picture)):
            raise damaged(
                at, f"has pixels of the kind {picture.mode}; 8-bit grey and colour and 16-bit grey are read", "save it as 8-bit PNG"
            )
        yield picture
    finally:
        if isinstance(file, Path):
            stream.close()


_KINDS: tuple[tuple[bytes, int, str, str], ...] = (
    (b"%!PS", 0, "PostScript, a drawing", "save it as PNG"),
    (b"\xc5\xd0\xd3\xc6", 0, "PostScript (EPS), a drawing", "save it as PNG"),
    (b"%PDF", 0, "a PDF document", "save its picture as PNG"),
    (b"<svg", 0, "SVG, a drawing", "save it as PNG"),
    (b"<?xml", 0, "XML, perhaps a drawing", "save it as PNG"),
    (b"<!doctype html", 0, "a web page", "download the picture itself"),
    (b"<html", 0, "a web page", "download the picture itself"),
    (b"version https://git-lfs", 0, "a git-lfs pointer, not the picture", "fetch it: git lfs pull"),
    (b"ftyphei", 4, "HEIC, as some telephones save it", "save it as JPEG"),
    (b"ftyphev", 4, "HEIC, as some telephones save it", "save it as JPEG"),
    (b"ftypmif", 4, "HEIC, as some telephones save it", "save it as JPEG"),
    (b"ftypavi", 4, "AVIF", "save it as PNG"),
    (b"jp  ", 4, "JPEG 2000", "save it as PNG"),
    (b"8bps", 0, "a Photoshop document", "save it as PNG"),
    (b"pk\x03\x04", 0, "a zip archive", "unpack it"),
    (b"\x1f\x8b", 0, "packed with gzip", "unpack it"),
)  # fmt: skip
"""First bytes of what people call a picture, where they stand, what it is, and what to do."""


def require_kind(head: bytes, at: Path | str) -> None:
    """Refuse by its first bytes what is no picture of pixels. Raises SpecError (exit 3)."""
    if not head:
        raise damaged(at, "is empty", "remove or replace it")
    for start, place, what, help in _KINDS:
        if (head[place:] if place else head.lstrip(b"\xef\xbb\xbf \t\r\n")).lower().startswith(start.lower()):
            raise damaged(at, f"is {what}, not a picture that is read", help)


def orientation(picture: ImageFile) -> int:
    """How a viewer turns an open picture, as its EXIF data says: 1 not at all, to 8; nothing is decoded unless it has to be."""
    from PIL import Image

    if picture.format == "TIFF":
        return 1  # Pillow turns these by itself, their size too
    with decoding(str(picture.filename)):
        late = picture.format == "PNG" and "exif" not in picture.info and _told_late(picture)
        # What stands behind the pixels of a PNG is known once these were decoded.
        exif = picture.getexif() if late or picture.format != "PNG" else Image.Image.getexif(picture)
        found = exif.get(_ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _told_late(picture: ImageFile) -> bool:
    """Whether a PNG has EXIF data or text behind its pixels."""
    stream = picture.fp
    assert stream is not None
    before, at, behind = stream.tell(), 8, False
    try:
        for _ in range(_MOST_CHUNKS):
            stream.seek(at)
            head = stream.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return False
            behind = behind or head[4:] == b"IDAT"
            if behind and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
                return True
            at += 12 + int.from_bytes(head[:4], "big")
        return False
    finally:
        stream.seek(before)


def upright_size(picture: Image.Image, turn: int) -> tuple[int, int]:
    """(width, height) of an open picture once it is `upright`; `turn` is its `orientation`."""
    return (picture.height, picture.width) if turn in _SIDEWAYS else picture.size


def upright(picture: ImageFile, turn: int) -> Image.Image:
    """An open picture as a viewer shows it; `turn` is its `orientation`. Decoded where it has to be turned."""
    from PIL.Image import Transpose

    how = {
        2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM, 5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE, 8: Transpose.ROTATE_90,
    }.get(turn)  # fmt: skip
    if how is None:
        return picture
    turned = picture.transpose(how)
    turned.filename = picture.filename  # type: ignore[attr-defined]
    return turned
