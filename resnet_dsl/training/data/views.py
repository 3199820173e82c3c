"""From a picture file to pixels: how it is opened, and the ways in which a part of it is looked at.

A view is a function of a picture and of draws it is given; it holds no chance of its own. Pixels are uint8, channels first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from resnet_dsl.diagnostics import refuse, setting
from resnet_dsl.extras import require
from resnet_dsl.training.data.reading import blame, damaged

if TYPE_CHECKING:
    from PIL import Image

ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"))
GREY = frozenset(("1", "L", "LA"))
_COLOUR = frozenset(("RGB", "RGBA", "P", "CMYK", "YCbCr"))

Pixels = npt.NDArray[np.uint8]

# What Pillow's decoders have been seen to raise on damaged files, beside OSError.
_DAMAGED = (SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


def require_pillow(at: str) -> None:
    """Raises SpecError (exit 3) where Pillow is not installed."""
    require("images", "reading pictures needs", at=at)


@contextmanager
def _decoding(at: Path | str) -> Iterator[None]:
    """Whatever goes wrong while a picture is decoded is said of `at`."""
    from PIL import Image, UnidentifiedImageError

    with blame(at):
        try:
            yield
        except UnidentifiedImageError:
            raise damaged(at, "is not a readable picture", "remove or replace it") from None
        except (Image.DecompressionBombError, *_DAMAGED) as e:
            raise damaged(at, f"is damaged: {str(e)[:100]}", "remove or replace it") from None
        except OSError as e:
            # Those of the system have a number, those of Pillow's decoders none.
            if e.errno is not None:
                raise
            raise damaged(at, f"is damaged: {str(e)[:100]}", "remove or replace it") from None


def open_picture(file: Path | BinaryIO, at: Path | str | None = None) -> Image.Image:
    """A picture of which only the header has been read; `at` is what to blame, if not the file itself. Raises SpecError (exit 3)."""
    from PIL import Image

    at = str(file) if at is None else at
    if isinstance(file, Path) and file.exists() and not file.is_file():
        # To open a pipe would wait for a writer.
        raise damaged(at, "is not a regular file", "give a picture file")
    with _decoding(at):
        picture = Image.open(file)
    picture.filename = str(at)
    if picture.mode not in GREY | _COLOUR:
        picture.close()
        raise damaged(at, f"has pixels of the kind {picture.mode}; 8-bit grey and colour are read", "save it as 8-bit PNG")
    return picture


class View(Protocol):
    """A way to look at a picture."""

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The part that is seen, scaled. `picture` may not have been decoded yet; its `filename` is what to blame."""


@dataclass(frozen=True, slots=True)
class AsItIs:
    """A picture that must have a size already, that of the picture `first`. Raises SpecError (exit 2)."""

    height: int
    width: int
    first: str

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The picture itself."""
        if picture.size != (self.width, self.height):
            raise refuse(
                "data-size",
                f"is {picture.height}x{picture.width}, but {self.first} is {self.height}x{self.width}; nothing is resized silently",
                f"bring all pictures to one size, or cut squares of the side that the network reads out of them: {setting('train.augment.crop', 'SIDE')}",
                at=str(getattr(picture, "filename", "a picture")),
            )
        return picture


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """A square of `crop` anywhere in the picture, whose shorter side is scaled to a whole number from `low` to `high`.

    He et al. 2015, section 3.4. Draws, uniform in [0, 1): side, top, left.
    """

    crop: int
    low: int
    high: int

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The square, by three draws."""
        side = self.low + int(draws[0] * (self.high - self.low + 1))
        width, height = scaled_size(picture.size, side)
        return _part(picture, (width, height), int(draws[2] * (width - self.crop + 1)), int(draws[1] * (height - self.crop + 1)), self.crop)


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """The middle square of `crop` of the picture, whose shorter side is scaled to `evaluation_side(crop)`."""

    crop: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.crop, self.crop

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The square; nothing is drawn."""
        width, height = scaled_size(picture.size, evaluation_side(self.crop))
        return _part(picture, (width, height), (width - self.crop) // 2, (height - self.crop) // 2, self.crop)


@dataclass(frozen=True, slots=True)
class Whole:
    """All of the picture, its shorter side scaled to `side`."""

    side: int

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The picture, scaled; nothing is drawn."""
        size = scaled_size(picture.size, self.side)
        return scaled(picture, size, (0, 0, *size))


def evaluation_side(crop: int) -> int:
    """The shorter side that a picture is scaled to before its middle is cut out: 256 for a crop of 224, and in that proportion."""
    return round(crop * 256 / 224)


def scaled_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with the shorter of the two made `side`."""
    shorter = min(size)
    return tuple(side if n == shorter else max(side, round(n * side / shorter)) for n in size)  # type: ignore[return-value]


def _part(picture: Image.Image, size: tuple[int, int], left: int, top: int, crop: int) -> Image.Image:
    return scaled(picture, size, (left, top, left + crop, top + crop))


def scaled(picture: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """The `box` of a picture scaled to `size`; only the box is computed."""
    from PIL.Image import Resampling

    # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size, which is most of the work of a large one. Never below what is wanted.
    picture.draft(None, size)
    (w, h), (left, top, right, bottom) = picture.size, box
    if "A" in picture.mode or picture.mode in ("P", "1"):
        picture = picture.convert("L" if picture.mode in GREY else "RGB")
    source = (left * w / size[0], top * h / size[1], right * w / size[0], bottom * h / size[1])
    return picture.resize((right - left, bottom - top), Resampling.BILINEAR, box=source)


def open_fitting(file: Path | BinaryIO, channels: int, at: Path | str) -> Image.Image:
    """As `open_picture`, but no colours where `channels` is 1. Raises SpecError (exit 3; exit 2 for colours)."""
    picture = open_picture(file, at)
    if channels == 1 and picture.mode not in GREY:
        picture.close()
        raise refuse(
            "data-size", "is in colour, but the first picture is grey", "make all pictures grey, or let the network read 3 channels", at=at
        )
    return picture


def pixels(picture: Image.Image, at: Path | str, channels: int, view: View, draws: Sequence[float] = ()) -> Pixels:
    """What a view shows of an open picture, (channels, height, width). Raises SpecError (exit 3; 2 where its size does not fit)."""
    with _decoding(at):
        seen = view(picture, draws)
        array = np.asarray(seen.convert("L" if channels == 1 else "RGB"))
    return array.reshape(seen.height, seen.width, channels).transpose(2, 0, 1)


def look(file: Path | BinaryIO, channels: int, view: View, draws: Sequence[float], at: Path | str) -> Pixels:
    """A view of a picture, as `pixels`. Raises SpecError (exit 3; 2 where a picture's size or colours do not fit)."""
    with open_fitting(file, channels, at) as picture:
        return pixels(picture, at, channels, view, draws)
