"""What arrays of images and labels may hold, and how it is held: bytes as bytes, every other number as float32; labels as int64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from resnet_dsl.diagnostics import SpecError, quote, refuse
from resnet_dsl.training.data.reading import damaged

Array = npt.NDArray[Any]
Unit = Literal["bytes", "numbers"]
"""What pixels count in: 0 black to 255 white, or numbers on a scale of their own."""
Scale = Literal["bytes", "deep", "numbers"]
"""The unit and how finely it is divided: `deep` are float32 from 0 to 255, of pictures that have 16 bits."""


def unit(scale: Scale) -> Unit:
    """What pixels of this scale count in."""
    return "numbers" if scale == "numbers" else "bytes"


EXACT = 1 << 24
"""Whole numbers up to this are exact in float32."""

_SHOWN = 60


def array(value: object, at: str) -> Array:
    """A value of Python as a numpy array; nothing is copied that need not be. Raises SpecError (exit 2) where it is none."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise refuse("data-kind", "has masked values, which stand for nothing", "fill them: x.filled(0)", at=at)
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        found: Array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as e:
        problem = f"is no array: {str(e)[:_SHOWN]}"
        raise refuse("data-kind", problem, "give an array or a tensor whose rows are of one shape", at=at) from None
    return found


def scale(dtype: np.dtype[np.generic], at: str) -> Unit:
    """What images of this type count in. Raises SpecError (exit 3) where it is no type of numbers."""
    if dtype == np.uint8 or dtype == np.bool_:
        return "bytes"
    if dtype.kind in "iuf":
        return "numbers"
    if dtype.kind == "O":
        help = "make it one array of numbers: np.stack(images).astype('float32'), all images of one shape"
        raise damaged(at, "holds Python objects, which are not read", help)
    raise damaged(at, f"holds {dtype}, which is no number of a pixel", "give uint8, uint16, float32, float64 or bool")


def pixels(rows: Array, at: str, positions: Sequence[int] | None = None) -> torch.Tensor:
    """Rows (N, ...) as they are held: uint8 (true is 255), or float32.

    `positions` say where the rows lie in the whole. Raises SpecError (exit 3) for what is not finite, and not exact in float32.
    """
    rows = np.ascontiguousarray(rows)
    if scale(rows.dtype, at) == "bytes":
        return torch.from_numpy(rows.astype(np.uint8) * np.uint8(255) if rows.dtype == np.bool_ else rows.copy())
    if rows.dtype.kind in "iu" and rows.dtype.itemsize > 2 and rows.size and (int(rows.max()) > EXACT or int(rows.min()) < -EXACT):
        bad = (rows > np.int64(EXACT)) | (rows < np.int64(-EXACT)) if rows.dtype.kind == "i" else rows > np.uint64(EXACT)
        raise _bad(rows, bad, at, positions, "is beyond what float32 holds exactly", "divide it first, or give float32")
    with np.errstate(over="ignore"):
        found = rows.astype(np.float32)
    finite = np.isfinite(found)
    if not finite.all():
        help = "replace or leave out what is not finite: keep = np.isfinite(x).reshape(len(x), -1).all(1)"
        raise _bad(rows, ~finite, at, positions, "is not finite in float32", help)
    return torch.from_numpy(found)


def _bad(rows: Array, bad: npt.NDArray[np.bool_], at: str, positions: Sequence[int] | None, what: str, help: str) -> SpecError:
    first = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), rows.shape))
    value = rows[first]
    row = first[0] if positions is None else positions[first[0]]
    place = ", ".join(map(str, (row, *first[1:])))
    return refuse("data-values", f"the value {value} at [{place}] {what}", help, at=at, exit_code=3)


def labels(value: object, at: str, names: Sequence[str] = ()) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels (N,) as whole numbers, and the names of the classes where the labels are texts: `names` if given, else theirs, sorted.

    Raises SpecError (exit 3) for what is no list of labels.
    """
    found = array(value, at)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        many = found.ndim == 2 and _one_hot(found)
        problem = f"labels are one-hot, {_shape(found)}" if many else f"labels are one for each image, (N,), not {_shape(found)}"
        raise damaged(at, problem, "write y.argmax(1)" if many else "give a class number for each image")
    if found.dtype.kind in "US" or (found.dtype.kind == "O" and all(isinstance(v, str) for v in found.tolist())):
        return _texts(np.asarray([v.decode() if isinstance(v, bytes) else str(v) for v in found.tolist()]), at, names)
    if found.dtype.kind == "b":
        found = found.astype(np.int64)
    if found.dtype.kind not in "iu":
        whole = found.dtype.kind == "f" and bool(np.isfinite(found).all() and (found == np.round(found)).all())
        help = "write y.astype(int)" if whole else "labels are class numbers 0, 1, 2, ... or names: a network here tells classes apart"
        raise damaged(at, f"labels are whole numbers or names, not {found.dtype}", help)
    if found.size and int(found.max()) > np.iinfo(np.int64).max:
        raise damaged(at, f"label {int(found.max())} is out of range", "labels are class numbers 0, 1, 2, ...")
    numbers = found.astype(np.int64)
    if len(numbers) and int(numbers.min()) < 0:
        wrong = int(np.argmax(numbers < 0))
        raise damaged(at, f"label {int(numbers[wrong])} at position {wrong:,} is below 0", "leave such images out: x[y >= 0], y[y >= 0]")
    return numbers, ()


def _texts(found: npt.NDArray[np.str_], at: str, names: Sequence[str]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    known = tuple(names) or tuple(np.unique(found).tolist())
    number = {name: i for i, name in enumerate(known)}
    if strange := [v for v in found.tolist() if v not in number]:
        shown = ", ".join(map(quote, known[:5])) + (", ..." if len(known) > 5 else "")
        raise damaged(at, f"label {quote(strange[0])} is none of the classes {shown}", "use the names that the training had")
    return np.array([number[v] for v in found.tolist()], np.int64), known


def _one_hot(found: Array) -> bool:
    return found.dtype.kind in "biuf" and len(found) > 0 and bool(((found == 0) | (found == 1)).all() and (found.sum(1) == 1).all())


def _shape(found: Array) -> str:
    return f"({', '.join(f'{n:,}' for n in found.shape)}{',' if found.ndim == 1 else ''})"
