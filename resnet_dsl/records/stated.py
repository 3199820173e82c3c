"""What a user says of a file of weights, which the file does not say itself: how to bring it into the network, and what it reads.

`WeightsOptions` is the one table of these keywords; `rd.open`, `rd.build` and the functions that take `weights=` share it. No torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Literal, TypedDict

from resnet_dsl.analysis.adaptation import PLAIN, Adaptation, FirstConv, Head
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.language.files import read_file

Pixels = Literal["imagenet"]
Resize = Literal["crop", "stretch", "refuse"]
"""What `predict` does with pictures of another size, in place of a shorter side."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue, as shares of 255: what torchvision, timm and transformers train ImageNet's networks with."""

IMAGENET_CROP, IMAGENET_SIDE = 224, 256
"""The side that networks for ImageNet read, and the shorter side that a picture is scaled to before its middle is cut out."""

MAX_SIDE = 8192


class WeightsOptions(TypedDict, total=False):
    """Keywords beside `weights=`: which of a file's names are meant, what may be new or changed, and what the network reads.

    `key`, `prefix`, `head="new"` and `first_conv="sum"` as in `build`. `normalisation="imagenet"`, or `mean` and `std`, one number for each channel:
    shares from 0 to 1, or pixels from 0 to 255 where one of them is above 1. `classes` are the names of the classes, or a file with one a line.
    `resize` is the shorter side that pictures are scaled to before the middle is cut out (`predict` knows words too). What is left out, new, changed or assumed is told to
    `tell` in a sentence.
    """

    key: str | None
    prefix: str | None
    head: Head | None
    first_conv: FirstConv | None
    normalisation: Pixels | None
    mean: str | Sequence[float] | None
    std: str | Sequence[float] | None
    classes: str | os.PathLike[str] | Sequence[str] | None
    resize: Resize | int | None
    tell: Callable[[str], object]


def silent(text: str) -> None:
    """What is said is not shown."""


@dataclass(frozen=True, slots=True)
class Stated:
    """The same, checked: `mean` and `std` in pixels from 0 to 255, `classes` read."""

    adapt: Adaptation = PLAIN
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    imagenet: bool = False
    classes: tuple[str, ...] | None = None
    resize: int | None = None
    tell: Callable[[str], object] = silent

    @property
    def asks_pixels(self) -> bool:
        """Does the user say mean and deviation?"""
        return self.imagenet or self.mean is not None

    @property
    def asked(self) -> str | None:
        """The first of the keywords that was given, None for none; `tell` does not count."""
        for name in ("key", "prefix", "head", "first_conv"):
            if getattr(self.adapt, name) is not None:
                return name
        found = {f.name for f in fields(self) if f.name not in ("adapt", "tell") and getattr(self, f.name) not in (None, False)}
        named = {"imagenet": "normalisation"}
        return next((named.get(name, name) for name in ("imagenet", "mean", "std", "classes", "resize") if name in found), None)


NOTHING = Stated()


def read_options(options: WeightsOptions) -> Stated:
    """The options, checked. Raises SpecError (exit 2; 3 for a file that cannot be read) and TypeError for a keyword that is none of them."""
    for name in options:
        if name not in WeightsOptions.__annotations__:
            help = did_you_mean(name, WeightsOptions.__annotations__, what="a keyword")
            raise TypeError(f"there is no argument {name!r}: {help}")
    normalisation, mean, std = options.get("normalisation"), options.get("mean"), options.get("std")
    if normalisation not in (None, "imagenet"):
        at = Argument("normalisation")
        help = f"write {Argument('normalisation', 'imagenet')}, or {Argument('mean')} and {Argument('std')}"
        raise refuse("unknown-name", f"{at} cannot be {normalisation!r}", help, at=at)
    if normalisation is not None and (mean is not None or std is not None):
        both = f"{Argument('normalisation')} and {Argument('mean' if mean is not None else 'std')}"
        raise refuse("usage", f"{both} exclude each other", "keep one of the two", at=Argument("normalisation"))
    if (mean is None) != (std is None):
        missing = Argument("std" if std is None else "mean")
        raise refuse("usage", f"{missing} is missing: mean and deviation belong together", f"add {missing}", at=missing)
    means, stds = (None, None) if mean is None or std is None else _pixels(_numbers("mean", mean), _numbers("std", std))
    side: object = options.get("resize")
    if side is not None and (not isinstance(side, int) or isinstance(side, bool) or not 1 <= side <= MAX_SIDE):
        raise refuse(
            "usage", f"{Argument('resize')} cannot be {side!r}", f"give a side in pixels, 1 to {MAX_SIDE:,}", at=Argument("resize")
        )
    names = options.get("classes")
    return Stated(
        Adaptation(options.get("prefix"), options.get("head"), options.get("first_conv"), key=options.get("key")), means, stds, normalisation is not None,
        None if names is None else class_names(names), side, options.get("tell", silent),
    )  # fmt: skip


def _numbers(name: str, value: str | Sequence[float]) -> tuple[float, ...]:
    words: Iterable[object] = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int | float) else value
    try:
        found = tuple(float(str(w)) for w in words)
    except ValueError:
        found = ()
    if not found or not all(isfinite(v) for v in found):
        help = f"give one number for each channel: {Argument(name, '0.485,0.456,0.406')}"
        raise refuse("usage", f"{quote(str(value))} is not a list of numbers", help, at=Argument(name))
    return found


def _pixels(mean: tuple[float, ...], std: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Both in pixels from 0 to 255."""
    if len(mean) != len(std):
        problem = f"there are {len(mean)} means and {len(std)} deviations"
        raise refuse("usage", problem, "give one of each for each channel", at=Argument("std"))
    if any(v <= 0 for v in std):
        raise refuse("usage", f"{Argument('std')} holds {min(std):g}: a deviation is above 0", "give positive numbers", at=Argument("std"))
    if max(map(abs, mean)) <= 1 < max(std) and any(mean):
        problem = "the means are shares from 0 to 1, and the deviations pixels from 0 to 255"
        raise refuse("usage", problem, "give both in one of the two units", at=Argument("std"))
    factor = 1.0 if max(map(abs, (*mean, *std))) > 1 else 255.0
    return tuple(v * factor for v in mean), tuple(v * factor for v in std)


def class_names(names: str | os.PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """Names of classes: given, or those in a file, one a line. Raises SpecError (exit 2, or 3 where the file cannot be read)."""
    at = Argument("classes")
    if isinstance(names, str | os.PathLike):
        path = os.fspath(names)
        if not os.path.isfile(path):
            raise refuse("file-not-found", f"{quote(path)}: no such file", "give a text file with the name of one class a line", at=at)
        text = read_file(path).text
        found = tuple(line.strip() for line in text.splitlines())
        while found and not found[-1]:
            found = found[:-1]
        if empty := next((i for i, name in enumerate(found, 1) if not name), 0):
            raise refuse("usage", f"{quote(path)}: line {empty} is empty", "give one name a line, in the order of the outputs", at=path)
    else:
        found = tuple(map(str, names))
    if not found:
        raise refuse("usage", "there are no names of classes", "give one name a line, in the order of the outputs", at=at)
    if len(set(found)) < len(found):
        twice = next(name for i, name in enumerate(found) if name in found[:i])
        raise refuse("usage", f"two classes are called {quote(twice)}", "give each class a name of its own", at=at)
    return found


def require_count(names: Sequence[str], classes: int) -> None:
    """Refuse another number of names than of classes. Raises SpecError (exit 2)."""
    if len(names) != classes:
        problem = f"there are {len(names):,} names, and the network has {classes:,} classes"
        raise refuse("usage", problem, "give one name for each output", at=Argument("classes"))
