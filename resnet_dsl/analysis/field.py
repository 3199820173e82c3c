"""What each value of a network sees of the input: receptive field and stride (jump), exact over all paths.

Of one side, output position i sees input positions i * stride + first to i * stride + last, padding included; paths that
meet see what any of them sees. So a scope's reach is computed once, and a run of equal blocks needs no walk.
Araujo et al. 2019, Computing Receptive Fields of Convolutional Neural Networks, in closed form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnet_dsl.graph.graph import SCOPE_INPUT, Graph, Node, Program
from resnet_dsl.ops.effects import Side
from resnet_dsl.ops.table import OPS


@dataclass(frozen=True, slots=True)
class Reach:
    """Height and width of a map; `sides` is None where only one position is left, or none (features). `whole`: every
    position sees the whole input."""

    sides: tuple[Side, Side] | None = ((1, 0, 0), (1, 0, 0))
    whole: bool = False

    @property
    def size(self) -> tuple[int, int] | None:
        """The receptive field, height and width; None for the whole input."""
        if self.sides is None or self.whole:
            return None
        height, width = (last - first + 1 for _, first, last in self.sides)
        return height, width

    @property
    def jump(self) -> tuple[int, int] | None:
        """How far apart in the input two neighbours look."""
        return (self.sides[0][0], self.sides[1][0]) if self.sides is not None else None

    def then(self, after: Reach) -> Reach:
        """The reach of this one followed by the other."""
        if self.sides is None or after.sides is None:
            return Reach(None, whole=True)
        height, width = (_follow(a, b) for a, b in zip(self.sides, after.sides, strict=True))
        return Reach((height, width), self.whole or after.whole)

    def __or__(self, other: Reach) -> Reach:
        """The reach of two paths that meet; a gate of one position spreads what it sees over the map."""
        if self.sides is None or other.sides is None:
            return Reach(self.sides or other.sides, whole=True)
        height, width = ((max(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2])) for a, b in zip(self.sides, other.sides, strict=True))
        return Reach((height, width), self.whole or other.whole)


class Reaches:
    """The reach of every scope of one graph; equal scopes are one `Program`, which is walked once."""

    def __init__(self, graph: Graph) -> None:
        self._known: dict[int, Reach] = {}
        for program in graph.patterns:
            reaches = [after for _, _, after in self.nodes(program, Reach())]
            self._known[id(program)] = reaches[-1] if reaches else Reach()

    def scope(self, program: Program) -> Reach:
        """What one call of a scope sees of its input."""
        return self._known[id(program.pattern)]

    def nodes(self, program: Program, entry: Reach) -> Iterator[tuple[Node, Reach, Reach]]:
        """A scope's nodes in order, each with what its operands see and what it sees, where the scope's input sees `entry`."""
        seen = {SCOPE_INPUT: entry}
        for node in program.nodes:
            before, *others = (seen[path] for path in node.inputs)
            for other in others:
                before = before | other
            if node.program is not None:
                after = before.then(_repeated(self.scope(node.program), node.times))
            else:
                after = before.then(Reach(OPS[node.op].window(program.site(node))))
            seen[node.path] = after
            yield node, before, after


def _follow(a: Side, b: Side) -> Side:
    return a[0] * b[0], a[1] + a[0] * b[1], a[2] + a[0] * b[2]


def _repeated(reach: Reach, times: int) -> Reach:
    """The reach of `times` of it in series, by repeated halving."""
    if times == 1:
        return reach
    half = _repeated(reach, times // 2)
    return half.then(half).then(reach) if times % 2 else half.then(half)
