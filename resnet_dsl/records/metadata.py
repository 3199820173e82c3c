"""What travels inside a file of weights besides the tensors: one model writes it, and validates what is read.

In the file it is text by name (see `language.stored.FORMAT`): `classes` and `normalisation` are JSON, `folded` is `true` or absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.language.stored import ENDING, FORMAT, metadata_of
from resnet_dsl.records.document import SAID, Number, StoredDocument, Text, Texts, wrong
from resnet_dsl.table import shape_text

Rows = Annotated[tuple[Annotated[tuple[Number, ...], Field(strict=False)], ...], Field(strict=False)]
Planes = Annotated[tuple[Rows, ...], Field(strict=False)]


_WHOLE = re.compile("[0-9]{1,4}")


def shape_of(values: object) -> Shape | None:
    """The shape of nested tuples; None where their lengths differ or one is empty."""
    if not isinstance(values, tuple):
        return ()
    inner = {shape_of(v) for v in values}
    (first,) = inner if len(inner) == 1 else (None,)
    return None if first is None else (len(values), *first)


def _regular(values: Any) -> Any:
    if shape_of(values) is None:
        raise PydanticCustomError(SAID, "is not an array: its rows have different lengths")
    return values


def _positive(values: Any) -> Any:
    if any(v <= 0 for plane in values for row in plane for v in row):
        raise PydanticCustomError(SAID, "holds a deviation that is not above 0")
    return values


class StoredNormalisation(StoredDocument):
    """As lists: `mean` (C, 1, 1) or (C, H, W) and `std` (C, 1, 1) in units of pixels, 0 to 255; `axes` (C, C).

    `scale` is numbers where the network was trained on arrays of other numbers than bytes, in whose units the rest then is.
    """

    mean: Annotated[Planes, AfterValidator(_regular)]
    std: Annotated[Planes, AfterValidator(_regular), AfterValidator(_positive)]
    axes: Annotated[Rows, AfterValidator(_regular)] | None = None
    scale: Literal["bytes", "numbers"] = "bytes"

    @model_validator(mode="after")
    def _of_one_image(self) -> Self:
        channels = len(self.mean)
        if shape_of(self.std) != (channels, 1, 1) or (self.axes is not None and shape_of(self.axes) != (channels, channels)):
            raise PydanticCustomError(SAID, "has parts of different numbers of channels")
        return self

    def fits(self, input: Shape) -> bool:
        """Is it for images of this shape? A network that reads no images has no say."""
        return len(input) != 3 or shape_of(self.mean) in (input, (input[0], 1, 1))


class WeightsMetadata(StoredDocument):
    """`spec` is the network's, `classes` are the names of its classes, `data` is the data set it was trained on.

    `folded`: the weights are those of the network with its batch norms folded (`graph.folding`). `sha256` is over the tensors.
    `resize` is the shorter side that pictures are scaled to before the middle is cut out.
    """

    spec: Text | None = None
    classes: Texts | None = None
    normalisation: StoredNormalisation | None = None
    data: Text | None = None
    folded: bool = False
    sha256: Text | None = None
    resize: Annotated[int, Field(ge=1, le=8192)] | None = None

    @classmethod
    def of_file(cls, path: Path) -> Self | None:
        """The metadata of a file whose ending is one of `HOLDERS`; None where this program did not write it. No tensor is read.

        Raises SpecError: exit 2 where there is no such file, 3 where it is damaged.
        """
        return cls.of_texts(metadata_of(str(path)), path)

    @classmethod
    def of_texts(cls, texts: Mapping[str, str], path: Path) -> Self | None:
        """From the texts in a file; None where this program did not write them. Raises SpecError (exit 3)."""
        if texts.get("format") != FORMAT:
            return None
        # A program is one piece with its weights; a file of weights proves that they are whole.
        for key in ("spec", "sha256") if path.suffix == ENDING else ("spec",):
            if key not in texts:
                raise damaged(path, f"`{key}` is missing")
        found: dict[str, object] = {**texts, "folded": {"true": True}.get(texts.get("folded", ""), texts.get("folded", False))}
        if "resize" in texts:
            found["resize"] = int(texts["resize"]) if _WHOLE.fullmatch(texts["resize"]) else texts["resize"]
        found |= {key: _parsed(key, texts[key], path) for key in ("classes", "normalisation") if key in texts}
        try:
            return cls.model_validate(found)
        except ValidationError as e:
            raise damaged(path, wrong(e.errors(include_url=False)[0])) from None

    def texts(self) -> dict[str, str]:
        """As it stands in a file, text by name; what is None is left out."""
        found = {
            "format": FORMAT,
            "spec": self.spec,
            "classes": None if self.classes is None else json.dumps(self.classes),
            "normalisation": None if self.normalisation is None else json.dumps(self.normalisation.to_dict()),
            "data": self.data,
            "folded": "true" if self.folded else None,
            "sha256": self.sha256,
            "resize": None if self.resize is None else str(self.resize),
        }
        return {name: text for name, text in found.items() if text is not None}

    def require_fit(self, graph: Graph, path: Path) -> None:
        """Refuse what is not of this network: too few class names, a mean of images of another size. Raises SpecError (exit 3)."""
        if self.classes is not None and len(self.classes) != graph.classes:
            raise _misfit(path, f"its `classes` has {len(self.classes):,} names, and the network {graph.classes:,} classes")
        if self.normalisation is not None and not self.normalisation.fits(graph.input):
            held = shape_text(shape_of(self.normalisation.mean) or ())
            raise _misfit(path, f"its `normalisation.mean` is {held}, and the network reads {shape_text(graph.input)}")


def _misfit(path: Path, what: str) -> SpecError:
    """The error for metadata of another network, which a sound file may hold."""
    help = "use the spec and the input that the weights were made with"
    return refuse("weights-fit", f"does not fit the network: {what}", help, at=path, exit_code=3)


def _parsed(key: str, text: str, path: Path) -> object:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise damaged(path, f"`{key}` is no JSON") from None
    if found is None:
        raise damaged(path, f"`{key}` is null")
    return found


def damaged(path: Path, what: str) -> SpecError:
    """The error for a file of weights whose metadata is not what we write."""
    return refuse("weights-damaged", f"is damaged: {what}", "copy the file again, or write it again", at=path, exit_code=3)
