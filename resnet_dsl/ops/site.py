"""Where an operation stands: what every cell of the op table is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
"""Without the batch: (channels, height, width) of a map, (features,) of a vector."""

Value = int | float | bool | str | tuple[int, ...]
"""Of an attribute."""


@dataclass(frozen=True, slots=True)
class Site:
    """An operation's attributes, the shapes of its operands in slot order, and the shape that comes out.

    `out` is empty where the shape is what is asked.
    """

    attrs: Mapping[str, Value]
    inputs: tuple[Shape, ...]
    out: Shape = ()

    def __getitem__(self, name: str) -> Value:
        return self.attrs[name]

    def __contains__(self, name: str) -> bool:
        return name in self.attrs

    def get(self, name: str, default: Value) -> Value:
        """An attribute, or `default` where there is none."""
        return self.attrs.get(name, default)

    def whole(self, name: str) -> int:
        """An attribute that is a whole number."""
        value = self.attrs[name]
        assert isinstance(value, int)
        return value

    def pair(self, name: str) -> tuple[int, int]:
        """An attribute that is (height, width)."""
        value = self.attrs[name]
        assert isinstance(value, tuple)
        return value[0], value[1]

    @property
    def first(self) -> Shape:
        """The shape of the first operand."""
        return self.inputs[0]
