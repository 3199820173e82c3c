"""The blocks of a network, y = after(merge(F, s)) with F = body(before(x)), by their full paths."""

from __future__ import annotations

from dataclasses import dataclass

from resnet_dsl.graph import Graph
from resnet_dsl.graph.graph import CALL, Node, Program, join


@dataclass(frozen=True, slots=True, eq=False)
class PlacedBlock:
    """A block of a network; `stage` is the path of the stage that holds it."""

    path: str
    stage: str
    program: Program

    @property
    def merge(self) -> Node | None:
        """The node where branch and shortcut meet; None where there is no shortcut (a plain block)."""
        return next((n for n in self.program.nodes if n.role == "merge"), None)

    @property
    def merge_path(self) -> str | None:
        """The full path of that node."""
        return None if self.merge is None else join(self.path, self.merge.path)

    @property
    def shortcut(self) -> str | None:
        """`identity`, the policy whose steps the shortcut has (`A`, `B`, ...), or None for a plain block."""
        if self.merge is None:
            return None
        node = next((n for n in self.program.nodes if n.role == "shortcut"), None)
        return "identity" if node is None else node.callee.kind

    @property
    def keeps_shape(self) -> bool:
        """Does what leaves have the shape of what enters?"""
        return self.program.input == self.program.shape


def blocks_of(graph: Graph) -> tuple[PlacedBlock, ...]:
    """The blocks of a network's stages, in order."""
    found = []
    for stage in graph.stages:
        for node in stage.callee.nodes:
            if node.op == CALL and node.role == "block":
                found += [PlacedBlock(join(stage.path, name), stage.path, node.callee) for name in node.paths]
    return tuple(found)
