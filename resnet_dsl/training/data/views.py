"""From an open picture to pixels: the ways in which a part of it is looked at.

A view is a function of a picture and of draws it is given; it holds no chance of its own. Pixels are channels first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from resnet_dsl.diagnostics import refuse, setting
from resnet_dsl.training.data.opening import GREY, PixelForm, decoding, is_deep, open_picture, orientation, quiet, upright

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""(channels, height, width): bytes, or float32 from 0 to 255 of grey that has 16 bits."""


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
        self.require(picture.size, str(getattr(picture, "filename", "a picture")))
        return picture

    def require(self, size: tuple[int, int], at: str) -> None:
        """Refuse another (width, height). Raises SpecError (exit 2)."""
        if size != (self.width, self.height):
            raise refuse(
                "data-size",
                f"is {size[1]}x{size[0]}, but {self.first} is {self.height}x{self.width}; nothing is resized silently",
                f"bring all pictures to one size, or cut squares of the side that the network reads out of them: {setting('train.augment.crop', 'SIDE')}",
                at=at,
            )


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
    """The middle square of `crop` of the picture, whose shorter side is scaled to `side`, by rule `evaluation_side(crop)`."""

    crop: int
    side: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.crop, self.crop

    @property
    def shorter(self) -> int:
        """What the shorter side of a picture is scaled to."""
        return self.side or evaluation_side(self.crop)

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The square; nothing is drawn."""
        width, height = scaled_size(picture.size, self.shorter)
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
    source = (left * w / size[0], top * h / size[1], right * w / size[0], bottom * h / size[1])
    return picture.resize((right - left, bottom - top), Resampling.BILINEAR, box=source)


def require_form(picture: ImageFile, form: PixelForm, at: Path | str) -> None:
    """Refuse a picture of which more would be lost than its transparency. Raises SpecError (exit 2)."""
    if is_deep(picture) and not form.deep:
        raise refuse("data-size", "has 16 bits, but the first picture has 8", "save all pictures with 8 bits, or all with 16", at=at)
    if form.mode in ("L", "LA") and not (picture.mode in GREY or is_deep(picture)):
        raise refuse(
            "data-size", "is in colour, but the first picture is grey", "make all pictures grey, or let the network read 3 channels", at=at
        )
    if (form.mode == "CMYK") != (picture.mode == "CMYK") and form.channels == 4:
        what = "is in CMYK, but the first picture has red, green and blue"
        raise refuse("data-size", what if picture.mode == "CMYK" else "has red, green and blue, but the first picture is in CMYK",
                     "save all pictures in the same way", at=at)  # fmt: skip


def pixels(picture: ImageFile, at: Path | str, form: PixelForm, view: View, draws: Sequence[float] = ()) -> Pixels:
    """What a view shows of an open picture, turned as its viewer turns it: (channels, height, width).

    Raises SpecError (exit 3; 2 where its size does not fit).
    """
    turn = orientation(picture)
    with decoding(at), quiet(picture):
        seen = view(_plain(upright(picture, turn), form), draws)
        if seen.mode == "F":
            return np.repeat(np.asarray(seen, np.float32)[None], form.channels, axis=0)
        array = np.asarray(seen.convert(form.mode)).reshape(seen.height, seen.width, form.channels).transpose(2, 0, 1)
        return array.astype(np.float32) if form.deep else array


def _plain(picture: Image.Image, form: PixelForm) -> Image.Image:
    """A picture in a mode in which it can be scaled and that keeps what its form has."""
    from PIL import Image

    if is_deep(picture):
        plain = Image.fromarray(np.asarray(picture).astype(np.float32) / np.float32(257))
        plain.filename = picture.filename  # type: ignore[attr-defined]
        return plain
    if picture.mode in ("L", "RGB", "CMYK", "YCbCr", form.mode):
        return picture
    plain = picture.convert(form.mode if form.alpha else "L" if picture.mode in GREY else "RGB")
    plain.filename = picture.filename  # type: ignore[attr-defined]
    return plain


def look(file: Path | BinaryIO, form: PixelForm, view: View, draws: Sequence[float], at: Path | str) -> Pixels:
    """A view of a picture, as `pixels`. Raises SpecError (exit 3; 2 where a picture's size or colours do not fit)."""
    with open_picture(file, at) as picture:
        require_form(picture, form, at)
        return pixels(picture, at, form, view, draws)
