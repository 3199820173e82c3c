"""The tensors of a file, brought into a network as a `Match` says: under its names, in its shapes and orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_dsl.analysis.adaptation import PLAIN, Adaptation
from resnet_dsl.analysis.matching import Match
from resnet_dsl.graph.graph import Graph
from resnet_dsl.recovery.match import Held
from resnet_dsl.recovery.match import match as match_names
from resnet_dsl.runtime.weights import FileTensors, shapes_of


@dataclass(frozen=True, slots=True, eq=False)
class FittedWeights:
    """Tensors under the network's names, and how the file met the network. What is new in the network is not among them."""

    tensors: dict[str, torch.Tensor]
    match: Match


def match(
    graph: Graph,
    tensors: Mapping[str, torch.Tensor],
    at: str | Path,
    adapt: Adaptation = PLAIN,
    *,
    wanted: Collection[str] | None = None,
) -> Match:
    """How the tensors of a file meet a network (`recovery.match`). Raises SpecError (exit 2)."""
    held = {name: Held(tuple(t.shape), _kind(t.dtype)) for name, t in shapes_of(tensors).items()}
    return match_names(graph, held, at, adapt, wanted=wanted, default=_kind(torch.get_default_dtype()))


def fitted(
    graph: Graph,
    tensors: Mapping[str, torch.Tensor],
    at: str | Path,
    adapt: Adaptation = PLAIN,
    *,
    wanted: Collection[str] | None = None,
) -> FittedWeights:
    """The tensors of a file for a network: all of them, or those that are `wanted`, whatever the others are.

    Raises SpecError (exit 2) that names the first that does not fit.
    """
    found = match(graph, tensors, at, adapt, wanted=wanted)
    if isinstance(tensors, FileTensors):
        found = replace(found, remarks=tensors.said)
    found.require()
    return FittedWeights(_brought(found, tensors), found)


def _brought(found: Match, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    taken: dict[str, torch.Tensor] = {}
    for r in found.rows:
        if r.key is None or r.shape is None:
            continue
        if r.found is not None:
            t = tensors[r.raw]
            if r.state == "reshaped":
                t = t.reshape(r.shape)
            elif r.state == "adapted":
                t = for_channels(t, r.shape[1])
            taken[r.key] = t.index_select(r.axis, torch.tensor(r.order)) if r.order else t
        elif r.state == "filled":
            taken[r.key] = torch.zeros((), dtype=torch.int64)
    return taken


def for_channels(kernels: torch.Tensor, channels: int) -> torch.Tensor:
    """The weight (out, in, ...) of a layer that reads the input, for another number of input channels (`analysis.adaptation.kernels`)."""
    held = kernels.shape[1]
    whole = kernels.to(torch.promote_types(kernels.dtype, torch.get_default_dtype()))
    if channels == 1:
        return whole.sum(1, keepdim=True)
    return whole.index_select(1, torch.arange(channels) % held) * (held / channels)


def _kind(dtype: torch.dtype | str) -> str:
    """A type of numbers, as torch writes it: float16."""
    return str(dtype).removeprefix("torch.")
