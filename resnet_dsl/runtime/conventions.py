"""What a file of weights reads and gives: mean and deviation, class names, the resize rule; from the user, from the file, or known of ImageNet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_dsl.analysis.matching import Match
from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.graph import Graph
from resnet_dsl.records.stated import IMAGENET_CROP, IMAGENET_MEAN, IMAGENET_SIDE, IMAGENET_STD, NOTHING, Stated, require_count
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.runtime.weights import Artifact
from resnet_dsl.table import shape_text


@dataclass(frozen=True, slots=True, eq=False)
class Conventions:
    """`normalisation` is None where nothing tells it; `resize` is the shorter side before the middle is cut out; `said`: what was assumed."""

    normalisation: Normalisation | None
    resize: int | None = None
    said: str = ""


def imagenet(channels: int = 3) -> Normalisation | None:
    """ImageNet's mean and deviation, for pictures of so many channels; None where nothing tells them."""
    mean, std = ((torch.tensor(values) * 255)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return Normalisation(mean, std).for_channels(channels)


def asked_for(given: Stated, graph: Graph) -> Normalisation | None:
    """The mean and deviation that the user gives; None for none. Raises SpecError (exit 2) where they are not of the network's input."""
    channels = graph.input[0]
    if given.imagenet:
        found = imagenet(channels) if len(graph.input) == 3 else None
        if found is None:
            problem = f"ImageNet's pictures have 3 channels, and the network reads {shape_text(graph.input)}"
            help = f"give {Argument('mean')} and {Argument('std')}"
            raise refuse("data-fit", problem, help, at=Argument("normalisation"))
        return found
    if given.mean is None or given.std is None:
        return None
    if len(given.mean) != channels:
        problem = f"there are {len(given.mean)} means, and the network reads {shape_text(graph.input)}"
        raise refuse("data-fit", problem, "give one for each channel", at=Argument("mean"))
    mean, std = (torch.tensor(values)[:, None, None] for values in (given.mean, given.std))
    return Normalisation(mean, std)


def conventions(artifact: Artifact, found: Match, graph: Graph, given: Stated) -> Conventions:
    """What goes with the weights of a file, brought into a network. Raises SpecError (exit 2) for what the user gives and does not fit."""
    side = given.resize
    if (own := asked_for(given, graph)) is not None:
        if side is None and given.imagenet:
            side = _side(graph)
        return Conventions(own, side)
    side = side or (None if artifact.metadata is None else artifact.metadata.resize)
    if artifact.normalisation is not None:
        return Conventions(_fitting(artifact.normalisation, graph, given), side)
    if artifact.metadata is None and found.imagenet and (known := _fitting(imagenet(), graph, given)) is not None:
        side = side or _side(graph)
        rule = f", pictures are scaled to {side} and the middle {graph.input[1]} is cut out" if side is not None else ""
        why = f"{found.library} with 1,000 classes"
        return Conventions(known, side, f"{why}: ImageNet's mean and deviation are taken{rule}")
    return Conventions(None, side)


def kept(artifact: Artifact, graph: Graph) -> Normalisation | None:
    """The mean and deviation that come with weights; None where they bring none, or one of images of another size."""
    return _fitting(artifact.normalisation, graph, NOTHING)


def _side(graph: Graph) -> int | None:
    return IMAGENET_SIDE if graph.input[1:] == (IMAGENET_CROP, IMAGENET_CROP) else None


def _fitting(own: Normalisation | None, graph: Graph, given: Stated) -> Normalisation | None:
    """A mean and deviation for the network's channels where the first layer was adapted, and where they are of images of its size."""
    if own is not None and given.adapt.first_conv is not None:
        own = own.for_channels(graph.input[0])
    if own is None or own.mean.shape[0] != graph.input[0]:
        return None
    return own if own.mean.shape[1:] in ((1, 1), graph.input[1:]) else None


def with_conventions(artifact: Artifact, found: Match, graph: Graph, given: Stated, at: Path) -> tuple[Artifact, Conventions]:
    """A file's content with what goes with it in the network. Raises SpecError (exit 2; 3 for metadata that is of another network)."""
    told = conventions(artifact, found, graph, given)
    own = told.normalisation
    if not found.new and given.adapt.first_conv is None:
        artifact.require_fit(graph, at)
        # A network that reads no images has no say in it.
        own = own or artifact.normalisation
    # Names of the file's classes are not those of a new head.
    classes = None if found.new else artifact.classes
    if given.classes is not None:
        require_count(given.classes, graph.classes)
        classes = given.classes
    return replace(artifact, classes=classes, normalisation=own), told
