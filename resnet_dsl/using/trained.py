"""A trained network with its weights in memory: from a run's folder, or from a spec and a file of weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from resnet_dsl.diagnostics import refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.folding import fold
from resnet_dsl.language import Spec
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.record import RunRecord
from resnet_dsl.records.run import Run
from resnet_dsl.records.stated import NOTHING, Stated
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.build import build, loaded
from resnet_dsl.runtime.conventions import with_conventions
from resnet_dsl.runtime.fitting import fitted
from resnet_dsl.training.data.numbers import Scale, unit
from resnet_dsl.training.data.views import CentreCrop
from resnet_dsl.training.device.plan import Plan


@dataclass(frozen=True, slots=True, eq=False)
class LoadedNetwork:
    """A network with its weights, read from `file`. `record` is run.json of the run that made them, None for a spec with a
    file of weights; `recipe` is the run's, or the spec's. `said` is what was left out or changed of the file, and
    what was assumed; `resize` is the shorter side that pictures are scaled to before the middle is cut out, where it is known beside the recipe.
    """

    graph: Graph
    artifact: weights.Artifact
    file: Path
    recipe: Recipe
    record: RunRecord | None
    said: tuple[str, ...] = ()
    resize: int | None = None

    @property
    def middle(self) -> CentreCrop | None:
        """What is seen of a picture in evaluation: the middle square, where the recipe cuts squares or the weights say so; else None."""
        side = self.graph.input[-1]
        if len(self.graph.input) != 3 or self.graph.input[-2] != side:
            return None
        if self.resize is not None:
            return CentreCrop(side, max(side, self.resize))
        return CentreCrop(side) if self.recipe.augment.crop == side else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where the file does not hold them."""
        return self.artifact.classes or tuple(map(str, range(self.graph.classes)))

    @property
    def precision(self) -> str:
        """What the run computed in; `auto` where there is none."""
        plan = None if self.record is None else self.record.plan
        return "auto" if plan is None else plan.precision

    def computed_in(self, plan: Plan) -> str:
        """The precision of what is computed by a plan."""
        return plan.precision

    def module(self) -> torch.nn.Module:
        """The module with its weights, on the CPU. Raises SpecError (exit 2) where they are another network's."""
        model = build(self.graph)
        weights.put(model, self.artifact.tensors, self.file)
        return model

    def model(self, plan: Plan) -> torch.nn.Module:
        """The module with its weights, where `plan` says. Raises SpecError (exit 2) where they are another network's."""
        return plan.place(self.module())


def from_run(path: Path) -> LoadedNetwork:
    """A run's network with its newest weights. Raises SpecError (exit 3) where the folder is no run's, or has none yet."""
    run = Run.open(path)
    record, file = run.record, run.weights
    artifact = weights.load(file)
    artifact.require_fit(run.graph, file)
    if artifact.normalisation is None:
        raise refuse("weights-damaged", "its metadata lacks the normalisation", "resume the run to write it again", at=file, exit_code=3)
    return LoadedNetwork(run.graph, artifact, file, run.recipe, record, (), None if artifact.metadata is None else artifact.metadata.resize)


def require_scale(trained: LoadedNetwork, scale: Scale, at: str) -> None:
    """Refuse images on another scale than the network was trained on. Raises SpecError (exit 2)."""
    own, scale = trained.artifact.normalisation, unit(scale)
    if own is None or own.scale == scale:
        return
    words = {"bytes": "bytes, 0 to 255", "numbers": "numbers on a scale of their own"}
    help = "give an array as it was trained on" if own.scale == "numbers" else "give uint8 from 0 to 255"
    raise refuse("data-fit", f"the network was trained on {words[own.scale]}, and these are {words[scale]}", help, at=at)


def from_weights(spec: Spec, file: Path, given: Stated = NOTHING) -> LoadedNetwork:
    """A spec's network with a file of weights, as the user wants it brought in. Raises SpecError (exit 2 or 3)."""
    artifact, graph = weights.load(file, given.adapt.key), compile(spec)
    recipe = recipe_of(spec)
    graph = fold(graph) if artifact.folded else graph
    found = fitted(graph, artifact.tensors, file, given.adapt)
    tensors = loaded(graph, found, recipe.seed).state_dict() if found.match.new else found.tensors
    artifact, told = with_conventions(artifact, found.match, graph, given, file)
    said = tuple(f"{file}: {text}" for text in (found.match.told, told.said) if text)
    return LoadedNetwork(graph, replace(artifact, tensors=tensors), file, recipe, None, said, told.resize)
