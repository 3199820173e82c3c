"""Spec to graph."""

from resnet_dsl.graph.expand import expand
from resnet_dsl.graph.folding import fold
from resnet_dsl.graph.graph import Graph
from resnet_dsl.graph.verify import verify
from resnet_dsl.language.spec import Spec

__all__ = ["Graph", "compile"]


def compile(spec: Spec) -> Graph:
    """The verified graph of a spec.

    Raises SpecError, located, for what only shows when the network is put together: shapes, merges, limits.
    """
    graph = expand(spec)
    return verify(fold(graph) if spec.folded else graph)
