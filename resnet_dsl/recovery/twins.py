"""Shipped specs whose networks have the same tensors as a file."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.tensors import Tensors, tensors
from resnet_dsl.language import Spec, load
from resnet_dsl.language.files import shipped_specs
from resnet_dsl.recovery.layers import Anatomy


@dataclass(frozen=True, slots=True)
class Twin:
    """A shipped spec with the tensors of a file, if need be with other `classes` or input `channels` (else None)."""

    name: str
    spec: Spec
    graph: Graph
    classes: int | None
    channels: int | None


def twins(found: Anatomy) -> Iterator[Twin]:
    """Every shipped spec with the tensors of a file, whatever the number of classes and of input channels."""
    for name, spec in _by_stages().get(tuple((stage.name, len(stage.blocks)) for stage in found.stages), ()):
        twin = _twin(name, spec, found.tensors)
        if twin is not None:
            yield twin


@functools.cache
def _by_stages() -> Mapping[tuple[tuple[str, int], ...], list[tuple[str, Spec]]]:
    """The shipped specs by the names and depths of their stages."""
    found: dict[tuple[tuple[str, int], ...], list[tuple[str, Spec]]] = {}
    for name in shipped_specs():
        spec = load(name)
        found.setdefault(tuple((s.name, s.depth.whole(spec.params)) for s in spec.stages), []).append((name, spec))
    return found


def _twin(name: str, spec: Spec, wanted: Tensors) -> Twin | None:
    graph = compile(spec)
    own = tensors(graph)
    if own.keys() != wanted.keys():
        return None
    overrides = _ends(spec, own, wanted)
    if not overrides:
        return Twin(name, spec, graph, None, None) if own == wanted else None
    given = {k: str(v) for k, v in overrides.items()}
    try:
        spec = load(name, given)
        graph = compile(spec)
    except SpecError:
        return None
    return Twin(name, spec, graph, overrides.get("classes"), overrides.get("input.channels")) if tensors(graph) == wanted else None


def _ends(spec: Spec, own: Tensors, wanted: Tensors) -> Mapping[str, int]:
    """The classes and the input channels that the shapes ask for, where they are others than the spec's."""
    found: dict[str, int] = {}
    for tensor, shape in own.items():
        other = wanted[tensor]
        if len(other) == len(shape) and other != shape:
            if shape[0] == spec.classes != other[0]:
                found["classes"] = other[0]
            if len(shape) == 4 and shape[1] == spec.input[0] != other[1]:
                found["input.channels"] = other[1]
    return found
