"""What each output of a network with `outputs` is: its shape, and how far apart in the input its positions look."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_dsl.analysis.field import Reach, Reaches
from resnet_dsl.graph.graph import Graph, Program, Shape
from resnet_dsl.table import shape_text


@dataclass(frozen=True, slots=True)
class Feature:
    """An output: (channels, height, width) or (features,), and its stride against the input, height and width.

    `stride` is None where a position sees the whole input, and for features.
    """

    name: str
    shape: Shape
    stride: tuple[int, int] | None

    @property
    def channels(self) -> int:
        """How many channels, or features."""
        return self.shape[0]

    @property
    def reduction(self) -> int | tuple[int, int] | None:
        """The stride as one number where both sides have the same."""
        return self.stride[0] if self.stride is not None and self.stride[0] == self.stride[1] else self.stride

    def to_dict(self) -> dict[str, object]:
        """As `inspect --format json` has it."""
        return {"name": self.name, "out": list(self.shape), "stride": None if self.stride is None else list(self.stride)}

    def __str__(self) -> str:
        by = (
            ""
            if self.reduction is None
            else f", /{self.reduction}"
            if isinstance(self.reduction, int)
            else f", /{shape_text(self.reduction)}"
        )
        return f"{self.name} ({shape_text(self.shape)}{by})"


def features(graph: Graph) -> tuple[Feature, ...]:
    """The outputs of a network in their order; none for one that gives its classes."""
    reaches = Reaches(graph)
    return tuple(_feature(o.name, graph.root.value_shape(o.value), _reach(reaches, graph.root, o.value, Reach())) for o in graph.outputs)


def _feature(name: str, shape: Shape, reach: Reach) -> Feature:
    return Feature(name, shape, reach.jump if len(shape) == 3 and not reach.whole else None)


def _reach(reaches: Reaches, program: Program, value: str, entry: Reach) -> Reach:
    """What a value of a scope sees, where the scope's input sees `entry`."""
    path, _, tap = value.partition(".")
    for node, before, after in reaches.nodes(program, entry):
        if node.path == path:
            return _reach(reaches, node.callee, tap, before) if tap else after
    return entry
