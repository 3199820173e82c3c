"""The weights of a trained network, written as the beginning of another."""

from __future__ import annotations

from pathlib import Path

from resnet_dsl.analysis.transfer import TransferPlan
from resnet_dsl.graph import Graph
from resnet_dsl.language import Spec
from resnet_dsl.runtime import transfer
from resnet_dsl.runtime.conventions import kept
from resnet_dsl.runtime.weights import about, save
from resnet_dsl.training.job import without_recipe
from resnet_dsl.using.trained import LoadedNetwork


def write(plan: TransferPlan, source: LoadedNetwork, spec: Spec, graph: Graph, out: Path, seed: int, *, grown: bool) -> None:
    """Write the weights of the network of `spec` as `plan` says; what is new is drawn from `seed`.

    Class names go along where there are as many, the normalisation where it fits the input.
    Raises SpecError: exit 1 where a grown network does not compute what its origin does, 3 where the file cannot be written.
    """
    tensors = source.module().state_dict()
    begun = transfer.carry_out(plan, tensors, graph, seed)
    if grown:
        transfer.require_same(source.graph, tensors, graph, begun, seed)
    artifact = source.artifact
    classes = artifact.classes if artifact.classes is not None and len(artifact.classes) == graph.classes else None
    metadata = about(
        spec=without_recipe(spec),
        classes=classes,
        normalisation=kept(artifact, graph),
        data=artifact.data,
        folded=spec.folded,
    )
    save(out, begun, metadata)
