"""What a picture holds, for tests of pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnet_dsl.pictures.drawing.scene import PlacedBox, PlacedFrame


def boxes(inside: Sequence[PlacedBox | PlacedFrame]) -> Iterator[PlacedBox]:
    for item in inside:
        if isinstance(item, PlacedBox):
            yield item
        else:
            yield from boxes(item.inside)


def frames(inside: Sequence[PlacedBox | PlacedFrame]) -> Iterator[PlacedFrame]:
    for item in inside:
        if isinstance(item, PlacedFrame):
            yield item
            yield from frames(item.inside)
