"""A run before it runs: everything that decides it, resolved and checked, and the parts that its loop is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.onevalue import require_values
from resnet_dsl.datasets.catalog import fitting_name
from resnet_dsl.datasets.naming import named
from resnet_dsl.diagnostics import COMMAND_LINE, Argument, refuse, speak
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec
from resnet_dsl.language.augment import Augment
from resnet_dsl.language.droppath import with_drop_path
from resnet_dsl.language.recipe import Recipe, write
from resnet_dsl.language.resolved import resolved
from resnet_dsl.records.request import Request, argument
from resnet_dsl.records.stated import require_count
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.conventions import asked_for
from resnet_dsl.training.batches.batches import Batches
from resnet_dsl.training.batches.growing import require_sizes
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.batches.order import Order, Share
from resnet_dsl.training.classes import class_counts, class_weights
from resnet_dsl.training.data.dataset import Dataset, Images, require_fit, split
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.data.split import SHARE, HeldOut
from resnet_dsl.training.device.plan import Pins, Plan, by_rule, pins_of
from resnet_dsl.training.finetune import Start, freeze, start
from resnet_dsl.training.loop.loggers import makers
from resnet_dsl.training.loop.loop import EvaluationSet
from resnet_dsl.training.loop.progress import Watcher
from resnet_dsl.training.loop.tensorboard import require_tensorboard
from resnet_dsl.training.ranks.parallel import Layout, ParallelModel, block_paths, parallelize, require_layout, suited
from resnet_dsl.training.ranks.world import World, alone


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Everything that decides a run, resolved. `start`: what it begins with, where it is given weights. `pins`: what is decided of its plan."""

    spec_text: str
    recipe_text: str
    graph: Graph
    recipe: Recipe
    request: Request
    plan: Plan
    data: Dataset
    start: Start | None = None
    pins: Pins = field(default_factory=Pins)

    @property
    def layout(self) -> Layout:
        """How the network is spread over ranks."""
        asked = self.request
        return Layout(asked.parallel or "ddp", asked.checkpoint_activations, asked.sync_batchnorm)

    @property
    def identity(self) -> dict[str, str]:
        """What a checkpoint belongs to."""
        return {"spec": digest(self.spec_text), "recipe": digest(self.recipe_text), "data": self.data.sha256}

    def with_recipe(self, recipe: Recipe) -> Job:
        """The same job with another recipe."""
        return replace(self, recipe=recipe, recipe_text=write(recipe))

    def prepare(self, world: World | None = None) -> tuple[Batches, EvaluationSet]:
        """Batches, and what the network is evaluated on: all that can be refused before a folder is made. Raises SpecError."""
        world = alone() if world is None else world
        part, held_out = split(self.data.train, self.recipe.validation, self.request.limit_train)
        normalisation = measure(part, self.recipe.normalize)
        own = asked_for(self.request.stated, self.graph) if self.start is None else self.start.normalisation
        if own is not None and own.scale == normalisation.scale:
            normalisation = replace(own, axes=normalisation.axes)
        share = Share(world.rank, world.size, self.request.limit_batches, self.request.overfit_batch)
        weights = class_weights(self.recipe, self.class_counts(part), len(self.data.classes))
        batches = Batches(part, self.recipe, normalisation, self.plan, share, weights)
        on, images = ("test", self.data.test) if held_out is None else ("validation", held_out)
        if self.request.overfit_batch:
            on, images = "batch", _first_batch(part, self.recipe)
        return batches, EvaluationSet(on, images.to(self.plan.torch_device), normalisation)

    def class_counts(self, part: Images) -> tuple[int, ...] | None:
        """The number of images of each class, in order; None where only reading the images tells."""
        return class_counts(part, len(self.data.classes))

    def network(self, world: World | None = None) -> ParallelModel:
        """The network with its initial weights, where and how the plan computes."""
        world = alone() if world is None else world
        model = self.plan.place(self.beginning())
        rows = self.recipe.batch // (world.size * self.recipe.accumulate)
        part = torch.Size((rows, *self.graph.input))
        return parallelize(model, block_paths(self.graph), part, self.plan, world, self.layout)

    def agreed(self, world: World) -> Job:
        """This rank's job, once all ranks have the same and the plan of rank 0. Raises SpecError (exit 2) where they differ."""
        require_layout(self.layout, self.plan.torch_device)
        for what, sum in self.identity.items():
            world.same(sum, what)
        if self.start is not None:
            world.same(weights.fingerprint(self.start.tensors), "weights")
        plan: Plan = world.share(self.plan)
        return replace(self, plan=replace(suited(plan, self.layout), device=world.device(plan.device)))

    def require_trainable(self, world: World) -> None:
        """Refuse what torch would refuse inside a step. Raises SpecError (exit 2)."""
        slices = self.recipe.accumulate * world.size
        rows = max(1, self.recipe.batch // slices)
        if self.request.sync_batchnorm:
            rows *= world.size
        fix = f"use {Argument('batch', 2 * slices)} or more"
        require_values(self.graph, rows, fix, frozen=self.frozen)
        if self.recipe.resolution is not None:
            require_sizes(self.spec_text, self.graph, self.recipe.resolution, rows, fix)

    def beginning(self) -> torch.nn.Module:
        """The network before its first step, what is to be frozen frozen."""
        model = build(self.graph, seed=self.recipe.seed)
        if self.start is not None:
            model.load_state_dict(self.start.tensors)
        freeze(model, self.request.freeze)
        return model

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the parameters that do not train. Raises SpecError (exit 2) where a pattern is wrong."""
        with torch.device("meta"):
            return freeze(build(self.graph), self.request.freeze)

    @property
    def depth(self) -> int:
        """Weighted layers on the main path."""
        return Costs(self.graph).network.depth


def settle(spec: Spec, recipe: Recipe, request: Request) -> tuple[Spec, Recipe, Request]:
    """All three as they are carried out: the recipe's stochastic depth in the spec, what the request changes of the recipe, the data named.

    Raises SpecError (exit 2) where no block takes stochastic depth, and where no known data set fits.
    """
    if request.data is None:
        request = replace(request, data=fitting_name(spec.input, spec.classes))
    elif isinstance(request.data, str):
        # A run is resumed from anywhere.
        request = replace(request, data=named(request.data).absolute)
    if request.overfit_batch:
        recipe = recipe.model_copy(
            update={"augment": Augment(pad_crop=0, flip=False, crop=recipe.augment.crop), "validation": 0, "resolution": None}
        )
    return (with_drop_path(spec, recipe.drop_path) if recipe.drop_path else spec), recipe, request


def make(spec: Spec, recipe: Recipe, request: Request, watcher: Watcher, world: World | None = None) -> Job:
    """The job for a settled spec and recipe, under the plan that the rules give (`planning.planned` times others).

    Raises SpecError: exit 2 where they and the data do not fit, 3 for data and device.
    """
    world = alone() if world is None else world
    if spec.folded:
        where = spec.at.source.name
        like = speak(str(Argument("like", where)), COMMAND_LINE)
        raise refuse(
            "folded",
            "holds a network whose batch norms are folded, which is not for training",
            f"`resnet-dsl new NAME {like}` writes the spec of the network as it was",
            at=where,
        )
    graph = compile(spec)
    pins = pinned(request)
    plan = by_rule(replace(pins, device=world.device(pins.device or "auto")))
    if not world.main:
        # What is fetched is fetched once.
        world.barrier()
    assert request.data is not None  # `settle` names it
    data = open_dataset(
        request.data, graph.input, request.data_home, request.download, watcher.say, crop=recipe.augment.crop, workers=request.workers,
        held_out=HeldOut(request.test_share or SHARE), classes=graph.classes,
    )  # fmt: skip
    if request.test_share is not None and data.held_out is None:
        at = argument("test_share")
        raise refuse("usage", f"{data.name} has a test part of its own, and nothing is held out of it", f"leave out {at}", at=at)
    if world.main:
        world.barrier()
    require_fit(data, graph.input, graph.classes, spec.name)
    if (names := request.stated.classes) is not None:
        require_count(names, graph.classes)
        data = replace(data, classes=names)
    for line in data.lines if world.main else ():
        watcher.say(line)
    if request.data_home is not None:
        request = replace(request, data_dir=request.data_home.resolve())
    makers(request.logger)
    if request.tensorboard:
        require_tensorboard()
    begun = None if request.weights is None else start(graph, recipe.seed, data.classes, Path(request.weights), request.stated, data.scale)
    job = Job(without_recipe(spec), write(recipe), graph, recipe, request, plan, data, begun, pins)
    job.require_trainable(world)
    if begun is not None:
        watcher.say(begun.said)
    if frozen := job.frozen:
        watcher.say(f"{len(frozen):,} parameter tensors are frozen: {frozen[0]}{', ...' if len(frozen) > 1 else ''}")
    return job


def pinned(request: Request) -> Pins:
    """What a request decides of the device plan. Raises SpecError (exit 2 or 3)."""
    return pins_of(request.device or "auto", request.precision, request.compile, request.plan)


def without_recipe(spec: Spec) -> str:
    """The resolved spec. The recipe has its own file, and a path to one would lead nowhere from the run's folder."""
    return resolved(replace(spec, tree=spec.tree.without("train")), origins=False)


def digest(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _first_batch(train: Images, recipe: Recipe) -> Images:
    """The images that `Share.overfit` trains on."""
    assert train.labels is not None  # shards are refused before
    whole = recipe.model_copy(update={"accumulate": 1})
    return train.take(Order(train.labels, whole, Share(overfit=True), torch.device("cpu"))(0).index.sort().values)
