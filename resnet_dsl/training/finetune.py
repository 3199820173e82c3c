"""Fine-tuning: a run that begins with the weights of another, with a new head where the classes differ, parts of it frozen.

Pixels mean to a network what they meant when it was trained, so the mean and deviation that come with the weights are kept, as are
ImageNet's where the weights are known to be of it; where nothing tells them, the new data's are measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from resnet_dsl.analysis.adaptation import PLAIN, Adaptation
from resnet_dsl.analysis.matching import Match
from resnet_dsl.diagnostics import Argument, call, did_you_mean, quote, refuse
from resnet_dsl.graph import Graph
from resnet_dsl.records.folder import weights_file
from resnet_dsl.records.stated import NOTHING, Stated
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.conventions import conventions
from resnet_dsl.runtime.fitting import fitted
from resnet_dsl.runtime.normalisation import Normalisation
from resnet_dsl.training.data.numbers import Scale, unit


@dataclass(frozen=True, slots=True)
class Taken:
    """What was copied: how many tensors, and how the file met the network."""

    tensors: int
    match: Match

    @property
    def new(self) -> tuple[str, ...]:
        """The paths of the head's modules that keep their new weights."""
        return self.match.new

    def __str__(self) -> str:
        count = f"{self.tensors:,} tensors taken" if self.new else f"all {self.tensors:,} tensors taken"
        return ", ".join([count, *([self.match.told] if self.match.told else [])])


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A network's state before its first step, with the mean and deviation that came with it (None: measure them), and what to say."""

    tensors: dict[str, torch.Tensor]
    normalisation: Normalisation | None
    said: str


def start(graph: Graph, seed: int, classes: Sequence[str], file: Path, given: Stated = NOTHING, scale: Scale = "bytes") -> Start:
    """The network of `graph` with the weights of a file or a run; what is new in it is drawn from `seed`.

    Raises SpecError: exit 3 where the file cannot be read, 2 where it does not fit.
    """
    file = weights_file(file)
    source = weights.load(file, given.adapt.key)
    model = build(graph, seed=seed)
    taken = take(model, graph, classes, source, file, given.adapt)
    told = conventions(source, taken.match, graph, given)
    # What a pixel meant may have another unit than the new data's numbers.
    own = None if told.normalisation is not None and told.normalisation.scale != unit(scale) else told.normalisation
    means = "mean and deviation are measured on the new data"
    if own is not None:
        means = told.said or ("mean and deviation are as asked for" if given.asks_pixels else "mean and deviation are kept")
    return Start(model.state_dict(), own, f"{file}: {taken}; {means}")


def from_copy(file: Path) -> Start:
    """The start of a run that is resumed, from the copy in its folder. Raises SpecError (exit 3)."""
    kept = weights.load(file)
    return Start(dict(kept.tensors), kept.normalisation, "")


def take(model: nn.Module, graph: Graph, classes: Sequence[str], source: weights.Artifact, at: Path, adapt: Adaptation = PLAIN) -> Taken:
    """Copy weights into the network of `graph`: every tensor that fits by name and shape; the names may be those of another library.

    Only tensors of the head (the nodes after the last stage) may be left over: a module of it stays as it is where a tensor
    is missing or has another shape, and so does the layer that gives the classes where these are others (their names or their order).
    Raises SpecError (exit 2) that names the first difference elsewhere.
    """
    others = source.classes is not None and tuple(classes) != source.classes
    found = fitted(graph, source.tensors, at, replace(adapt, lenient=True, head="new" if others else adapt.head))
    if not found.tensors:
        raise refuse("weights-fit", f"has nothing that {graph.name} could take", "give weights of a network with the same stages", at=at)
    model.load_state_dict({**model.state_dict(), **found.tensors})
    return Taken(len(found.tensors), found.match)


class FrozenNorm(nn.Module):
    """A batch norm whose gain, shift and statistics are constants, in training as in evaluation.

    It is a batch norm that has been made one (`freeze`), so it has that one's tensors under the same keys. Nothing takes it for
    a batch norm: what changes those of a whole network, to synchronise them say, leaves it alone.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    eps: float

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C) or (N, C, H, W), normalised along C."""
        return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


def freeze(model: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """Freeze parts of a network: the names of the parameters that no longer train.

    A pattern is a module's path, in which * stands for any text; several may stand in one with commas. What lies in a module
    is frozen with it; the batch norms among it no longer change their statistics either. To be called once, before anything holds
    the parameters.
    Raises SpecError (exit 2) for a pattern that freezes nothing, and where nothing is left to train.
    """
    modules = dict(model.named_modules())
    del modules[""]
    frozen: dict[str, nn.Module] = {}
    for pattern in (p.strip() for text in patterns for p in text.split(",")):
        inside = {
            name: module
            for matched in modules if fnmatchcase(matched, pattern)
            for name, module in modules.items() if name == matched or name.startswith(f"{matched}.")
        }  # fmt: skip
        if not inside:
            help = did_you_mean(pattern, modules, what="a module")
            raise refuse("unknown-name", f"{quote(pattern)} names no module of the network", help, at=Argument("freeze"))
        if not any(True for module in inside.values() for _ in module.parameters(recurse=False)):
            help = f"leave it out, or name a module with weights: {call('inspect', 'SPEC', by='op')}"
            raise refuse("usage", f"{quote(pattern)} names only modules without parameters", help, at=Argument("freeze"))
        frozen |= inside
    for module in frozen.values():
        for p in module.parameters(recurse=False):
            p.requires_grad_(False)
        if isinstance(module, _BatchNorm):
            # Another class, not a mode: `train()` is called on the whole network, again and again.
            module.__class__ = FrozenNorm  # type: ignore[assignment]
    if patterns and not any(p.requires_grad for p in model.parameters()):
        raise refuse("usage", "everything is frozen, and nothing is left to train", "freeze less", at=Argument("freeze"))
    return tuple(name for name, p in model.named_parameters() if not p.requires_grad)
