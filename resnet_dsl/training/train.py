"""Training from Python: `rd.train`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from resnet_dsl.datasets.catalog import SOURCES, fitting
from resnet_dsl.diagnostics import refuse
from resnet_dsl.language import Spec, load
from resnet_dsl.language.recipes import recipe_of
from resnet_dsl.records.run import Run
from resnet_dsl.table import shape_text
from resnet_dsl.training.device.plan import wishes
from resnet_dsl.training.loop.progress import watcher
from resnet_dsl.training.ranks.world import joined
from resnet_dsl.training.session import Request, begin


def train(
    spec: Spec | str,
    data: str | None = None,
    *,
    recipe: str | None = None,
    overrides: Mapping[str, str] | Iterable[str] = (),
    out: str | Path | None = None,
    resume: bool = False,
    data_dir: str | Path | None = None,
    download: bool = False,
    limit_train: int | None = None,
    device: str = "auto",
    weights: str | Path | None = None,
    freeze: Iterable[str] = (),
    tensorboard: bool = False,
    plan: str | None = None,
    quiet: bool = False,
) -> Run:
    """Train a network into a run folder as `resnet-dsl train` does.

    `spec` is a loaded spec, a path or a shipped name; `overrides` (`{"train.lr": "0.05"}`) apply where it is one of the
    last two. `data` left out is the data set that fits. `resume`: go on where `out` holds this very run.
    `weights`: a file or a run to begin with; `freeze`: patterns of modules that do not train. `plan`: parts of the device
    plan, as `precision=fp32,compile=no`, or a run's folder.
    Raises SpecError; `training.errors.Interrupted` where a signal came, with the state saved.
    """
    with joined(device) as world:
        chosen = spec if isinstance(spec, Spec) else load(spec, overrides, recipe=recipe)
        request = Request(data or fitting_name(chosen), Path(data_dir) if data_dir else None, limit_train, device, download,
            weights=str(weights) if weights else None, freeze=tuple(freeze), tensorboard=tensorboard,
            plan=wishes(device, None, None, plan))  # fmt: skip
        return begin(
            chosen, recipe_of(chosen, recipe), request, out=Path(out) if out else None, again=resume, command=sys.argv,
            watcher=watcher(sys.stderr, quiet or not world.main), world=world,
        )  # fmt: skip


def fitting_name(spec: Spec) -> str:
    """The data set whose images and classes a network has. Raises SpecError (exit 2) where there is none."""
    found = fitting(spec.input, spec.classes)
    if found is None:
        raise refuse(
            "usage",
            f"no known data set has images of {shape_text(spec.input)} and {spec.classes:,} classes",
            f"name one: {', '.join(SOURCES)}",
            at="--data",
        )
    return found.name
