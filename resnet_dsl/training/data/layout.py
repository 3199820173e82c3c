"""How the axes of an array are read: what the network reads decides, and where that leaves two readings open, the user does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, SpecError, either, refuse, speak
from resnet_dsl.graph.graph import Shape
from resnet_dsl.table import shape_text

Any_ = npt.NDArray[np.generic]

CHANNELS_AT_MOST = 16
"""A first or last axis no longer than this may be one of channels, where a setting is suggested."""


@dataclass(frozen=True, slots=True)
class AxisReading:
    """One way to read an array (N, *`item`): `axes` brings an item's axes into the order channel, height, width; `shape` is what comes out.

    `name` is how the layout is commonly called: NCHW, NHWC, NHW, NCL, NLC, NL, NF.
    """

    name: str
    item: Shape
    axes: tuple[int, ...]
    shape: Shape

    def __call__(self, rows: Any_) -> Any_:
        """Rows (N, *item) as (N, *shape)."""
        return rows.transpose(0, *(1 + a for a in self.axes)).reshape(len(rows), *self.shape)


def readings(input: Shape) -> tuple[AxisReading, ...]:
    """All layouts of arrays that a network of this input reads."""
    if len(input) == 1:
        return (AxisReading("NF", input, (0,), input),)
    c, h, w = input
    found = [AxisReading("NCHW", (c, h, w), (0, 1, 2), input), AxisReading("NHWC", (h, w, c), (2, 0, 1), input)]
    if c == 1:
        found.append(AxisReading("NHW", (h, w), (0, 1), input))
    if h == 1:
        found += [AxisReading("NCL", (c, w), (0, 1), input), AxisReading("NLC", (w, c), (1, 0), input)]
    if c == 1:
        # Pictures as rows of a table, as OpenML gives them: only of one channel is the order of pixels beyond doubt.
        found.append(AxisReading("NL", (h * w,), (0,), input))
    return tuple(found)


def read_as(shape: tuple[int, ...], input: Shape, layout: str | None, at: str) -> AxisReading:
    """The reading of an array of this shape (N, ...) for a network of this input.

    Raises SpecError (exit 2) where none fits, and where several do that give other images.
    """
    known = readings(input)
    if layout is not None and layout.upper() not in (r.name for r in known):
        names = ", ".join(dict.fromkeys(r.name for r in known))
        raise refuse("data-layout", f"there is no layout {layout!r} for {shape_text(input)}", f"use one of {names}", at=at)
    fitting = [r for r in known if r.item == shape[1:] and layout in (None, r.name, r.name.lower())]
    if not fitting:
        raise _misfit(shape, input, at)
    different = {_order(r): r for r in reversed(fitting)}
    if len(different) > 1:
        names = " or ".join(sorted(r.name for r in different.values()))
        help = f"say which beside the array: {either(f'layout={fitting[0].name!r}', f'layout={fitting[0].name!r} in np.savez')}"
        raise refuse("data-layout", f"{shape_text(shape)} can be read as {names}", help, at=at)
    return fitting[0]


def _order(reading: AxisReading) -> bytes:
    """What tells apart readings that give other images: where each number goes."""
    places = np.arange(int(np.prod(reading.item)), dtype=np.int64).reshape(1, *reading.item)
    return reading(places).tobytes()


def _misfit(shape: tuple[int, ...], input: Shape, at: str) -> SpecError:
    item = shape[1:]
    wanted = suggested(item, input)
    problem = f"does not fit: the network reads {shape_text(input)}, and a row of the array, {shape_text(shape)}, is {shape_text(item) if item else 'a number'}"
    if wanted is None:
        help = f"bring the array to (N, {', '.join(map(str, input))}) with reshape"
        return refuse("data-fit", problem, help, at=at)
    text = "{" + ", ".join(f"{k}: {v}" for k, v in wanted.items()) + "}"
    changed = {"input": text}
    option = speak(str(Argument("overrides", f"input='{text}'", "set")), COMMAND_LINE)
    return refuse("data-fit", problem, f"add {either(f'overrides={changed}', option)}", at=at)


def suggested(item: Shape, input: Shape) -> Mapping[str, int] | None:
    """What a network would read that takes items of this shape; None where nothing is likely."""
    match item:
        case (features,):
            return {"features": features} if len(input) == 1 else None
        case (a, b) if len(input) == 3:
            if input[1] == 1:
                channels, length = (b, a) if b == input[0] != a else (a, b)
                return {"channels": channels, "height": 1, "width": length}
            return {"channels": 1, "height": a, "width": b}
        case (a, b, c) if len(input) == 3:
            for likely in ({1, 3, 4}, range(1, CHANNELS_AT_MOST + 1), {input[0]}):
                if (a in likely) != (c in likely):
                    return {"channels": a, "height": b, "width": c} if a in likely else {"channels": c, "height": a, "width": b}
            return None
    return None
