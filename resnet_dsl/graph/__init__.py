"""Spec to graph."""

from resnet_dsl.graph.expand import expand

__all__ = ["expand"]
