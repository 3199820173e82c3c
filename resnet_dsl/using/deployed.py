"""An exported program as a trained network: what it holds of the network, and a module that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from resnet_dsl.graph import compile
from resnet_dsl.language import Spec
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.metadata import WeightsMetadata
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.runtime.programs import Deployed, read_program
from resnet_dsl.runtime.weights import Artifact
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.using.trained import LoadedNetwork


@dataclass(frozen=True, slots=True, eq=False)
class DeployedNetwork(LoadedNetwork):
    """A network whose weights are inside a program: it computes, and cannot be taken apart."""

    program: Deployed = field(kw_only=True)

    @property
    def precision(self) -> str:
        """What surrounds the program computes in float32."""
        return "fp32"

    def computed_in(self, plan: Plan) -> str:
        """A program computes as it was exported."""
        return "fp16" if self.program.program.half else "fp32"

    def module(self) -> torch.nn.Module:
        """The program as a module."""
        return self.program


def from_file(spec: Spec, file: Path) -> DeployedNetwork:
    """The network of a .onnx or .pt2 file that `export` wrote. Raises SpecError (exit 3) for a damaged file or a missing package."""
    held, graph = WeightsMetadata.of_file(file), compile(spec)
    assert held is not None  # the spec came from this file
    normalisation = None if held.normalisation is None else Normalisation.from_dict(held.normalisation.to_dict())
    artifact = Artifact({}, held.spec, held.classes, normalisation, held.data, held.folded, held)
    artifact.require_fit(graph, file)
    return DeployedNetwork(graph, artifact, file, recipe_of(spec), None, (), held.resize, program=Deployed(read_program(file), file))
