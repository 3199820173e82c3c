"""What a recipe does to training images: its keys under `augment`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

FORM = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)
"""How every form of a recipe is read."""

Side = Annotated[int, Field(ge=1, le=65_536)]


def complaint(message: str, help: str) -> PydanticCustomError:
    """A mistake that concerns several keys, in our own words."""
    # Braces are pydantic's template syntax: the texts travel in the context instead.
    return PydanticCustomError("recipe", "{message}", {"message": message, "help": help})


def _no_number(value: Any) -> Any:
    # To Python 1 is True, and a literal takes it.
    if type(value) is int:
        raise complaint("augment: flip is true, false or alternate, not a number", "write true or false")
    return value


Flip = Annotated[Literal[True, False, "alternate"], BeforeValidator(_no_number)]


class Augment(BaseModel):
    """What is done to a training image, at random for each image in each epoch."""

    model_config = FORM

    pad_crop: int = Field(
        2, ge=0, le=64, description="Pixels of padding on each side before a crop of the image's own size at random; 0: none.", examples=[4]
    )
    fill: Literal["black", "mean", "reflect"] = Field(
        "black", description="What is padded: black, the training set's mean colour, or the image's own reflection.", examples=["mean"]
    )
    flip: Flip = Field(
        True,
        description="Mirror left and right half of the time; alternate: every other epoch, each image beginning by chance. "
        "Not for digits or text.",
        examples=[False],
    )
    shorter_side: tuple[Side, Side] | None = Field(
        None,
        strict=False,
        description="Picture files: scale each image so that its shorter side is a whole number drawn from this range; needs crop.",
        examples=[[256, 480]],
    )
    crop: Side | None = Field(None, description="Picture files: cut a square of this side at random, in place of pad_crop.", examples=[224])
    color_pca: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Deviation of the noise along the principal axes of the training set's colours (Krizhevsky et al. 2012: 0.1).",
        examples=[0.1],
    )
    cutout: int = Field(
        0,
        ge=0,
        le=65_536,
        description="Side in pixels of a square that is blanked at random (DeVries & Taylor 2017); 0: none.",
        examples=[8],
    )
    erase: float = Field(
        0.0, ge=0, le=1, description="Share of images in which a random rectangle is blanked (Zhong et al. 2017).", examples=[0.25]
    )
    mixup: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Alpha of the Beta distribution of the shares in which two images are blended (Zhang et al. 2018); 0: none.",
        examples=[0.2],
    )
    cutmix: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Alpha of the Beta distribution of the area that comes from another image (Yun et al. 2019); 0: none. "
        "With mixup, each batch takes one of the two by chance.",
        examples=[1.0],
    )

    @model_validator(mode="before")
    @classmethod
    def _crop_replaces_padding(cls, given: Any) -> Any:
        """With `crop` the default of `pad_crop` is 0."""
        if isinstance(given, dict) and given.get("crop") is not None and "pad_crop" not in given:
            return {**given, "pad_crop": 0}
        return given

    @model_validator(mode="after")
    def _agree(self) -> Augment:
        if self.crop is not None and self.pad_crop:
            raise complaint("augment: crop and pad_crop exclude each other", "set augment.pad_crop: 0")
        if self.shorter_side is not None:
            low, high = self.shorter_side
            if low > high:
                raise complaint("augment: shorter_side is a range that must not fall", f"write shorter_side: [{high}, {low}]")
            if self.crop is None:
                raise complaint("augment: shorter_side needs crop", f"add crop: {low}, say")
            if self.crop > low:
                raise complaint(f"augment: crop: {self.crop} does not fit in a shorter side of {low}", f"use crop: {low} or less")
        return self
