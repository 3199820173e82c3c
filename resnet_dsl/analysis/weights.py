"""Whether the weights of one network fit another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnet_dsl.graph.graph import Graph, Shape
from resnet_dsl.graph.tensors import Tensors, tensors


@dataclass(frozen=True, slots=True)
class WeightsFit:
    """What loading the weights of A into B, by name, would meet: `common` tensors that fit, and those that do not.

    `reshaped` holds (name, A's shape, B's shape); `only_a` and `only_b` hold (name, shape).
    """

    common: int
    reshaped: tuple[tuple[str, Shape, Shape], ...]
    only_a: tuple[tuple[str, Shape], ...]
    only_b: tuple[tuple[str, Shape], ...]

    @property
    def fits(self) -> bool:
        """Would a strict load succeed?"""
        return not (self.reshaped or self.only_a or self.only_b)

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return {
            "fits": self.fits,
            "common": self.common,
            "reshaped": [{"name": n, "a": list(x), "b": list(y)} for n, x, y in self.reshaped],
            "only_a": [{"name": n, "shape": list(s)} for n, s in self.only_a],
            "only_b": [{"name": n, "shape": list(s)} for n, s in self.only_b],
        }


def fit(a: Graph, b: Graph) -> WeightsFit:
    """Do the weights of A fit B?"""
    of_a, of_b = tensors(a), tensors(b)
    both = [(n, shape, of_b[n]) for n, shape in of_a.items() if n in of_b]
    return WeightsFit(
        sum(1 for _, x, y in both if x == y),
        tuple(x for x in both if x[1] != x[2]),
        tuple(_missing(of_a, of_b)),
        tuple(_missing(of_b, of_a)),
    )


def _missing(of: Tensors, other: Tensors) -> Iterator[tuple[str, Shape]]:
    return ((n, shape) for n, shape in of.items() if n not in other)
