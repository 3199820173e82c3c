"""What a trained network takes pictures for: files in, classes with their probabilities out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from resnet_dsl.datasets.naming import Data
from resnet_dsl.diagnostics import Argument, SpecError, either, refuse
from resnet_dsl.records.leftout import LeftOut, Tally
from resnet_dsl.records.prediction import Guess, Prediction, Predictions
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.table import shape_text
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.data.dataset import require_fit
from resnet_dsl.training.data.listing import pictures_below
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.opening import (
    ENDINGS,
    GREY,
    Mode,
    PixelForm,
    changes,
    decoding,
    is_deep,
    open_picture,
    orientation,
    require_pillow,
    upright_size,
)
from resnet_dsl.training.data.views import Pixels, View, pixels, scaled
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.device.threads import choose
from resnet_dsl.using.trained import LoadedNetwork

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

Resize = Literal["crop", "stretch", "refuse"]

BATCH = 64

_SCALED = either("resize='crop' or 'stretch'", "--resize crop or stretch")

_MODES: Mapping[int, Mode] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}

_CHANGED: Mapping[str, str] = {"crop": "resized and cropped", "stretch": "stretched"}


@dataclass(frozen=True, slots=True)
class ToSize:
    """A picture brought to a height and width: `crop` scales it until both sides are covered and keeps the middle,
    `stretch` scales each side by itself. A picture of that size is left as it is.
    Raises SpecError (exit 2) for a picture of another size where `how` is `refuse`.
    """

    height: int
    width: int
    how: Resize

    def __call__(self, picture: Image.Image, draws: Sequence[float]) -> Image.Image:
        """The picture at that size; `draws` are not used."""
        wanted = (self.width, self.height)
        if picture.size == wanted:
            return picture
        if self.how == "refuse":
            raise refuse(
                "data-size",
                f"is {picture.height}x{picture.width}, the network reads {self.height}x{self.width}",
                f"use {_SCALED}, or bring it to that size first",
                at=str(getattr(picture, "filename", "a picture")),
            )
        if self.how == "stretch":
            return scaled(picture, wanted, (0, 0, *wanted))
        by = max(self.width / picture.width, self.height / picture.height)
        width, height = max(self.width, round(picture.width * by)), max(self.height, round(picture.height * by))
        left, top = (width - self.width) // 2, (height - self.height) // 2
        return scaled(picture, (width, height), (left, top, left + self.width, top + self.height))


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """From a picture file to what a network reads: how many channels, and which part of the picture at which size."""

    channels: int
    view: View

    def __call__(self, path: Path) -> tuple[Pixels, str]:
        """Pixels (channels, height, width), and what was changed in words, empty for nothing. Raises SpecError (exit 2 or 3)."""
        with open_picture(path) as picture:
            form, found = self.form(picture), []
            # What a run did to all its pictures, and grey ones that are read as colours, are no news.
            if isinstance(self.view, ToSize) and self.view.how in _CHANGED:
                size = upright_size(picture, orientation(picture))
                found += [_CHANGED[self.view.how]] if size != (self.view.width, self.view.height) else []
            with decoding(path):
                found += changes(picture, form)
            return pixels(picture, path, form, self.view), ", ".join(found)

    def form(self, picture: ImageFile) -> PixelForm:
        """What becomes of an open picture's pixels."""
        grey = picture.mode in GREY or is_deep(picture)
        mode: Mode = "CMYK" if self.channels == 4 and picture.mode == "CMYK" else _MODES[self.channels]
        return PixelForm(mode, is_deep(picture) and grey)


def preprocessing(trained: LoadedNetwork, resize: Resize | None) -> Preprocessing:
    """How a network's pictures are brought to what it reads.

    `resize` left out: as in evaluation where its recipe cuts squares out of picture files or its weights say how, else `crop`.
    Raises SpecError (exit 2) where the network reads no pictures.
    """
    shape = trained.graph.input
    if len(shape) != 3 or shape[0] not in _MODES:
        raise refuse(
            "data-fit",
            f"the network reads {shape_text(shape)}; pictures have 1 to 4 channels, a height and a width",
            "predict is for networks that read pictures",
            at=trained.graph.name,
        )
    if resize is None and (middle := trained.middle) is not None:
        return Preprocessing(shape[0], middle)
    return Preprocessing(shape[0], ToSize(shape[1], shape[2], resize or "crop"))


def files(given: Sequence[Path]) -> tuple[list[Path], tuple[LeftOut, ...]]:
    """The pictures that are meant: files as they are, folders with all pictures in them, at any depth, by name; and what else lies there.

    Raises SpecError (exit 3) for a path that is not there and a folder without pictures.
    """
    found: list[Path] = []
    tally = Tally()
    for path in given:
        if path.is_dir():
            inside = pictures_below(path, "", tally, f"{path}/")
            if not inside:
                what = "".join(f"; {x.files:,} files there are {x.reason}" for x in tally.found()[:1])
                raise refuse(
                    "data-missing", f"holds no pictures{what}", f"pictures end in {', '.join(sorted(ENDINGS))}", at=path, exit_code=3
                )
            found += [path / file.path for file in inside]
        elif path.exists():
            found.append(path)
        else:
            raise refuse("data-missing", "no such file or folder", "check the path", at=path, exit_code=3)
    return found, tally.found()


def classes_and_normalisation(trained: LoadedNetwork, data: Data | None, data_dir: Path | None) -> tuple[Sequence[str], Normalisation]:
    """Class names, and how pixels become numbers: the weights' own, or else those of a data set.

    Raises SpecError: exit 2 where the weights bring neither and no data set is named, and as `open_dataset`.
    """
    own = trained.artifact.normalisation
    if data is None:
        if own is None:
            raise refuse(
                "usage",
                "does not hold the mean and deviation that its network was trained with",
                f"add {Argument('normalisation', 'imagenet')}, or {Argument('mean')} and {Argument('std')}; or name the data with "
                f"{Argument('data', 'NAME')}: its training images are measured",
                at=trained.file,
            )
        return trained.classes, own
    found = open_dataset(data, trained.graph.input, data_dir)
    require_fit(found, trained.graph.input, trained.graph.classes, trained.graph.name)
    return trained.artifact.classes or found.classes, own or measure(found.train, "channel")


def predict(
    trained: LoadedNetwork,
    pictures: Sequence[Path],
    *,
    left_out: tuple[LeftOut, ...] = (),
    data: Data | None = None,
    data_dir: Path | None = None,
    top: int = 3,
    resize: Resize | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Predictions:
    """What each picture is taken for, in order; an error, not raised, for one that cannot be read or does not fit.

    `left_out` is what lies beside them (`files`). `data` names the data set whose class names, mean and deviation are used where the weights bring none.
    Raises SpecError: exit 2 where they bring neither and no data is named, and where the network reads no pictures; 3 where Pillow is missing.
    """
    classes, normalisation = classes_and_normalisation(trained, data, data_dir)
    if normalisation.scale == "numbers":
        help = "give arrays of such numbers: a .npy or .npz file, or from Python rd.predict(RUN, X)"
        problem = "was trained on numbers on a scale of their own, and the pixels of pictures are bytes, 0 to 255"
        raise refuse("data-fit", problem, help, at=trained.file)
    require_pillow(at="predict")
    read = preprocessing(trained, resize)
    plan = choose(device, precision or trained.precision, trained.graph, min(BATCH, len(pictures)), len(pictures))
    model = trained.model(plan).eval()
    with plan.computing():
        found = list(_predict(model, normalisation.to(plan.torch_device), plan, read, pictures, classes, min(top, len(classes))))
    return Predictions(tuple(p for p in found if isinstance(p, Prediction)), tuple(e for e in found if isinstance(e, SpecError)), left_out)


def _predict(
    model: torch.nn.Module,
    normalisation: Normalisation,
    plan: Plan,
    read: Preprocessing,
    pictures: Iterable[Path],
    classes: Sequence[str],
    top: int,
) -> Iterator[Prediction | SpecError]:
    left = iter(pictures)
    while chunk := list(islice(left, BATCH)):
        seen = [_seen(read, path) for path in chunk]
        whole = [s[0] for s in seen if not isinstance(s, SpecError)]
        found = iter(guesses(model, normalisation, plan, torch.from_numpy(np.stack(whole)), classes, top) if whole else [])
        for path, answer in zip(chunk, seen, strict=True):
            yield answer if isinstance(answer, SpecError) else Prediction(str(path), next(found), answer[1] or None)


def _seen(read: Preprocessing, path: Path) -> tuple[Pixels, str] | SpecError:
    try:
        return read(path)
    except SpecError as e:
        return e


def guesses(
    model: torch.nn.Module, normalisation: Normalisation, plan: Plan, pixels: torch.Tensor, classes: Sequence[str], top: int
) -> list[tuple[Guess, ...]]:
    """The `top` likeliest classes of each of a batch of images, as they are held: (N, *input)."""
    batch = pixels.to(plan.torch_device)
    with torch.inference_mode(), plan.autocast():
        logits = model(normalisation.apply(batch, plan.memory_format))
    shares, indices = logits.float().softmax(1).topk(top, dim=1)
    return [
        tuple(Guess(classes[i], p) for i, p in zip(row, values, strict=True))
        for row, values in zip(indices.tolist(), shares.tolist(), strict=True)
    ]
