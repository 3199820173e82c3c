"""What a probe looks at: a network at one moment, and images of its data set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnet_dsl.datasets.catalog import fitting
from resnet_dsl.datasets.naming import Data, recorded
from resnet_dsl.diagnostics import Argument, SpecError, refuse, setting
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.folder import INITIAL, weights_file
from resnet_dsl.records.log import LogRow
from resnet_dsl.records.request import Request
from resnet_dsl.records.run import Run
from resnet_dsl.records.stated import Stated, read_options
from resnet_dsl.records.target import find
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.table import shape_text
from resnet_dsl.training.batches.batches import total_steps
from resnet_dsl.training.batches.seeds import generator
from resnet_dsl.training.data.dataset import Images
from resnet_dsl.training.device.plan import Plan
from resnet_dsl.training.device.planning import shared_steps
from resnet_dsl.training.device.threads import choose
from resnet_dsl.training.job import Job, make, settle
from resnet_dsl.training.loop.loop import Loop
from resnet_dsl.training.loop.progress import Silent
from resnet_dsl.training.ranks.world import alone
from resnet_dsl.using.assess import run_images
from resnet_dsl.using.trained import from_weights

NOISE = "noise"
"""The name of a data set that fits every network: images and labels drawn at random."""

PASSES = 20
"""About how many forward passes of its images a probe takes."""

Drawn = Callable[[int], tuple[Tensor, Tensor]]
"""So many images (N, *input), normalised, on the device, and their labels (N,)."""


@dataclass(frozen=True, slots=True, eq=False)
class ProbedNetwork:
    """One network at one moment. `images` (N, *input) and `labels` (N,) are training images as they are, normalised, on the device.

    `name` is the network's with what `--set` changed; `said` says where the weights, before any training, and the images are from. `step` counts
    training steps since, where it is known. `test` draws test images, always the same ones.
    """

    name: str
    graph: Graph
    model: nn.Module
    images: Tensor
    labels: Tensor
    seed: int
    said: str
    step: int | None
    test: Drawn

    def loss(self, logits: Tensor) -> Tensor:
        """The mean cross-entropy of outputs (N, classes) for `images`."""
        return functional.cross_entropy(logits, self.labels)


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to look at: `target` is a spec or a name of a network, `steps` the moments of a training (none: as it is).

    The rest is as the command line's options; `data` None is the run's, or what fits the spec and is here, else noise.
    """

    target: Spec | str | os.PathLike[str]
    overrides: Sequence[str] = ()
    data: Data | None = None
    data_dir: Path | None = None
    images: int = 64
    seed: int | None = None
    weights: Path | None = None
    recipe: str | None = None
    steps: tuple[int, ...] = ()
    device: str = "auto"
    say: Callable[[str], None] = field(default=lambda text: None)
    key: str | None = None
    prefix: str | None = None


def moments(asked: ProbeRequest) -> Iterator[ProbedNetwork]:
    """The network at each moment, one after another: the model is the same one and trains on in between.

    A training is the one that `train` does, with the same batches, without a folder. Raises SpecError: exit 2 where the request does
    not fit, 3 for data, files and device, 1 where the training's loss is not finite.
    """
    if isinstance(asked.target, Spec):
        return _of_spec(_given(asked.target, asked), asked)
    target = find(asked.target)
    if target.kind == "run":
        return _of_run(target.folder, asked)
    # A file of weights is looked at as it is.
    asked = asked if asked.weights is not None else replace(asked, weights=target.weights)
    settings = [*asked.overrides, *([f"train.seed={asked.seed}"] if asked.seed is not None else [])]
    spec = target.load(settings, recipe=asked.recipe)
    return _of_spec((spec, recipe_of(spec, asked.recipe)), asked)


# --- from a spec ---


def _given(spec: Spec, asked: ProbeRequest) -> tuple[Spec, Recipe]:
    """A spec that was loaded already, and its recipe."""
    if asked.overrides:
        help = "load it with them: rd.load(name, overrides)"
        raise refuse("usage", "a loaded spec takes no overrides", help, at=Argument("overrides", option="set"))
    recipe = recipe_of(spec, asked.recipe)
    return spec, recipe if asked.seed is None else recipe.model_copy(update={"seed": asked.seed})


def _of_spec(trained: tuple[Spec, Recipe], asked: ProbeRequest) -> Iterator[ProbedNetwork]:
    spec, recipe = trained
    name = f"{spec.name} ({', '.join(asked.overrides)})" if asked.overrides else spec.name
    if (source := _data(spec, asked)) == NOISE:
        yield from _on_noise(spec, recipe, asked, name)
        return
    request = Request(
        data=source, data_dir=asked.data_dir, device=asked.device, plan=_FP32, weights=asked.weights, key=asked.key, prefix=asked.prefix
    )
    try:
        job = make(*settle(spec, recipe, request), Silent())
    except SpecError as e:
        # Nobody has asked for this data set by name, and what fits is not on this machine.
        if asked.data is None and not any(asked.steps) and e.diagnostics[0].code == "data-missing":
            yield from _on_noise(spec, recipe, asked, name)
            return
        raise
    yield from _trained(job, asked, name)


def _data(spec: Spec, asked: ProbeRequest) -> Data:
    if asked.data is not None:
        return asked.data
    found = fitting(spec.input, spec.classes)
    return found.name if found is not None else NOISE


def _stated(asked: ProbeRequest) -> Stated:
    return read_options({"key": asked.key, "prefix": asked.prefix})


def _on_noise(spec: Spec, recipe: Recipe, asked: ProbeRequest, name: str) -> Iterator[ProbedNetwork]:
    if any(asked.steps):
        other = "" if asked.data else f", and no known data set has images of {shape_text(spec.input)} and {spec.classes:,} classes"
        raise refuse(
            "usage",
            f"noise teaches nothing{other}",
            f"leave out {Argument('steps')}, or name a data set with {Argument('data')}",
            at=Argument("steps"),
        )
    graph = compile(spec)
    plan = choose(asked.device, "fp32", graph, asked.images, PASSES * asked.images)
    model = (
        plan.place(build(graph, seed=recipe.seed))
        if asked.weights is None
        else from_weights(spec, weights_file(asked.weights), _stated(asked)).model(plan)
    )

    def drawn(n: int, part: str) -> tuple[Tensor, Tensor]:
        draws = generator(recipe.seed, NOISE, part)
        images = torch.randn(n, *graph.input, generator=draws)
        return _placed(images, plan), torch.randint(graph.classes, (n,), generator=draws).to(plan.torch_device)

    images, labels = drawn(asked.images, "train")
    began = f"the weights of {asked.weights}" if asked.weights is not None else f"initial weights of seed {recipe.seed}"
    said = f"{began}; {asked.images} images of standard normal noise, with random labels"
    with plan.computing():
        yield ProbedNetwork(name, graph, model, images, labels, recipe.seed, said, None if asked.weights else 0, lambda n: drawn(n, "test"))


# --- from a run ---


def _of_run(path: Path, asked: ProbeRequest) -> Iterator[ProbedNetwork]:
    if asked.overrides or asked.recipe is not None or asked.weights is not None:
        at = Argument("overrides", option="set") if asked.overrides else Argument("recipe" if asked.recipe is not None else "weights")
        raise refuse("usage", "a run is looked at as it was trained", f"leave out {at}, or give a spec", at=at)
    if asked.data == NOISE:
        raise refuse(
            "usage", "noise is for specs: a run has its data", f"leave out {Argument('data')}, or name a data set", at=Argument("data")
        )
    if asked.steps:
        yield from _trained(_job(path, asked), asked, "")
        return
    trained, data, images = run_images(path, data=asked.data, data_dir=asked.data_dir, part="train")
    normalisation = trained.artifact.normalisation
    assert normalisation is not None  # `from_run` refuses weights without
    seed = trained.recipe.seed if asked.seed is None else asked.seed
    plan = choose(asked.device, "fp32", trained.graph, asked.images, PASSES * asked.images)
    view = _View(normalisation, plan, seed)
    pixels, labels = view(images, asked.images, "train")
    said = f"the weights of {path}; {_images(len(labels), data.name)}"
    test = data.test
    with plan.computing():
        yield ProbedNetwork(
            trained.graph.name, trained.graph, trained.model(plan), pixels, labels, seed, said, None, lambda n: view(test, n, "test")
        )


def _job(path: Path, asked: ProbeRequest) -> Job:
    """The run's job, from its beginning, in fp32 on one device."""
    run = Run.open(path)
    held, recipe = run.record, run.recipe
    if asked.seed is not None:
        recipe = recipe.model_copy(update={"seed": asked.seed})
    begun = Request.of(held, data_dir=asked.data_dir, device=asked.device, plan=_FP32)
    request = replace(
        begun,
        data=recorded(held.data) if asked.data is None else asked.data,
        weights=path / INITIAL if held.weights else None,
        tensorboard=False,
        logger=(),
    )
    return make(run.spec, recipe, request, Silent())


# --- at moments of a training ---


_FP32 = "precision=fp32,compile=no"


def _trained(job: Job, asked: ProbeRequest, name: str) -> Iterator[ProbedNetwork]:
    if job.recipe.schedule != "plateau":
        # Nobody looks at what is evaluated on the way.
        job = job.with_recipe(job.recipe.model_copy(update={"eval_every": 1e9, "stop_early": None, "best": None}))
    job = replace(job, plan=shared_steps(job, job.plan, max(asked.steps, default=0) + PASSES).on(job.plan))
    batches, evaluation = job.prepare()
    network = job.network()
    target = 0
    loop = Loop(network, batches, evaluation, _NoWriter(), Silent(), lambda: loop.step >= target, depth=job.depth, world=alone())
    total = total_steps(job.recipe, batches.per_epoch)
    if asked.steps and max(asked.steps) > total:
        raise refuse(
            "out-of-range",
            f"step {max(asked.steps):,} is after the end of the training, which takes {total:,} steps",
            f"use steps up to {total:,}, or lengthen it: {setting('train.steps', str(max(asked.steps)))}",
            at=Argument("steps"),
        )
    view = _View(batches.normalisation, job.plan, job.recipe.seed)
    images, labels = view(batches.train, asked.images, "train")
    test = job.data.test
    # What was taken of a file is said as it was found: a head may be new.
    began = job.start.said if job.start is not None else f"initial weights of seed {job.recipe.seed}"
    with job.plan.computing(), contextlib.closing(batches):
        for target in sorted(set(asked.steps)) or [0]:
            if target > loop.step:
                loop.run()
            if asked.steps:
                asked.say(f"step {target:,} of {max(asked.steps):,}")
            yield ProbedNetwork(
                name or job.graph.name, job.graph, network.model, images, labels, job.recipe.seed,
                f"{began}; {_images(len(labels), job.data.name)}", target, lambda n: view(test, n, "test"),
            )  # fmt: skip


class _NoWriter:
    """Keeps nothing of a training."""

    def log(self, row: LogRow) -> None:
        """Nothing."""

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Nothing."""

    def save_weights(self) -> None:
        """Nothing."""

    def save_plan(self, plan: Plan) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Images as the network sees them: always the same ones for a seed, in the order of the data set."""

    normalisation: Normalisation
    plan: Plan
    seed: int

    def __call__(self, images: Images, n: int, part: str) -> tuple[Tensor, Tensor]:
        index = torch.randperm(len(images), generator=generator(self.seed, "probe", part))[:n].sort().values
        chunks = list(images.take(index).chunks(n))
        pixels, labels = (torch.cat(parts).to(self.plan.torch_device) for parts in zip(*chunks, strict=True))
        return self.normalisation.to(self.plan.torch_device).apply(pixels, self.plan.memory_format), labels


def _placed(images: Tensor, plan: Plan) -> Tensor:
    return images.to(plan.torch_device, memory_format=plan.memory_format) if images.ndim == 4 else images.to(plan.torch_device)


def _images(n: int, data: str) -> str:
    return f"{n} training image{'s' * (n != 1)} of {data}"
