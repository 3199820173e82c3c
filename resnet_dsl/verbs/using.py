"""What can be done with a trained network, each by one call: `rd.evaluate("runs/first")`. The values are those of `open`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

from resnet_dsl.analysis.adaptation import Adaptation, FirstConv, Head
from resnet_dsl.analysis.matching import Match
from resnet_dsl.diagnostics import OVERRIDES, Argument, either, quote_path, refuse
from resnet_dsl.graph.folding import fold
from resnet_dsl.language import Spec
from resnet_dsl.records.assessment import Assessment, Part
from resnet_dsl.records.exported import Exported, Verified
from resnet_dsl.records.folder import weights_file
from resnet_dsl.records.metadata import WeightsMetadata
from resnet_dsl.records.prediction import Predictions
from resnet_dsl.records.stated import WeightsOptions, silent
from resnet_dsl.records.target import find, find_trained
from resnet_dsl.verbs.checks import fixed, one_of, require_ending, require_safetensors
from resnet_dsl.verbs.targets import Settings, graph_of
from resnet_dsl.verbs.trained import Name, Precision, Transfer, open


def evaluate(
    target: Name,
    *,
    weights: Name | None = None,
    overrides: Settings = (),
    part: Part = "test",
    by: Literal["class"] | None = None,
    confusion: bool = False,
    data: object = None,
    data_dir: Name | None = None,
    crops: Literal[1, 10] = 1,
    scales: str | int | Sequence[int] = (),
    device: str = "auto",
    precision: Precision | None = None,
    **options: Unpack[WeightsOptions],
) -> Assessment:
    """`open(target, weights, overrides, ...).evaluate(...)`, for a network that has weights. Raises SpecError."""
    if weights is None and overrides:
        raise fixed("is evaluated", OVERRIDES)
    find_trained(target, weights)
    return open(target, weights, overrides, **options).evaluate(
        part=part, by=by, confusion=confusion, data=data, data_dir=data_dir, crops=crops, scales=scales, device=device, precision=precision
    )  # fmt: skip


def predict(
    target: Name,
    *pictures: Name | Iterable[Name] | Any,
    weights: Name | None = None,
    overrides: Settings = (),
    top: int = 3,
    data: object = None,
    data_dir: Name | None = None,
    device: str = "auto",
    precision: Precision | None = None,
    **options: Unpack[WeightsOptions],
) -> Predictions:
    """`open(target, weights, overrides, ...).predict(...)`, for a network that has weights. Raises SpecError."""
    if weights is None and (overrides or data is not None or data_dir):
        raise fixed("predicts", OVERRIDES if overrides else Argument("data" if data is not None else "data_dir"))
    find_trained(target, weights)
    how = options.pop("resize", None)
    if isinstance(how, int):
        options["resize"], how = how, None
    return open(target, weights, overrides, **options).predict(
        *pictures, top=top, resize=how, data=data, data_dir=data_dir, device=device, precision=precision
    )


def export(
    target: Name,
    path: Name,
    *,
    weights: Name | None = None,
    overrides: Settings = (),
    fold_bn: bool = False,
    opset: int | None = None,
    any_size: bool = False,
    precision: Literal["fp32", "fp16"] = "fp32",
    seed: int | None = None,
    **options: Unpack[WeightsOptions],
) -> Exported:
    """`open(target, weights, overrides, ...).export(path, ...)`: a trained network, or a spec with initial weights. Raises SpecError."""
    require_ending(os.fspath(path), os.fspath(target), opset, any_size=any_size)
    if find(target).kind == "run" and (weights is not None or overrides):
        argument = OVERRIDES if weights is None else Argument("weights")
        raise fixed("is exported", argument, weights=False)
    return open(target, weights, overrides, **options).export(
        path, fold_bn=fold_bn, opset=opset, any_size=any_size, precision=precision, seed=seed, tell=options.get("tell", silent)
    )


def verify(
    target: Name, file: Name, *, weights: Name | None = None, overrides: Settings = (), **options: Unpack[WeightsOptions]
) -> Verified:
    """`open(target, weights, overrides).verify(file)`: does an exported file compute what the network computes? Raises SpecError."""
    if find(target).kind == "run" and (weights is not None or overrides):
        raise fixed("is compared", OVERRIDES if weights is None else Argument("weights"), weights=False)
    return open(target, weights, overrides, **options).verify(file)


def transfer(
    a: Name,
    b: Spec | Name,
    *,
    weights: Name | None = None,
    grow: bool = False,
    out: Name | None = None,
    overrides: Settings = (),
    seed: int | None = None,
    by: Literal["part", "tensor"] = "part",
    **options: Unpack[WeightsOptions],
) -> Transfer:
    """`open(a, weights).into(b, ...)`, saved to `out`, a `.safetensors` file; without `out` it is only the plan, and A may be a mere spec.

    `overrides` are those of B. Raises SpecError.
    """
    one_of("by", by, ("part", "tensor"))
    if out is None and (weights is not None or seed is not None):
        without = f"without {Argument('out')} there is only a plan, which reads and draws no weights"
        add = either("add out='FILE.safetensors'", "add -o FILE.safetensors")
        raise refuse("usage", without, add, at=Argument("seed" if weights is None else "weights"))
    if out is not None:
        require_safetensors(os.fspath(out))
    holds = find(a).kind != "spec"
    if holds and weights is not None:
        problem = f"{quote_path(os.fspath(a))} has its own weights"
        raise refuse("usage", problem, f"leave out {Argument('weights')}, or give a spec", at=Argument("weights"))
    if out is not None and not holds and weights is None:
        problem = f"{quote_path(os.fspath(a))} is a spec, and has no weights"
        raise refuse("usage", problem, f"add {Argument('weights', 'FILE')}, or give a run's folder", at=os.fspath(a))
    planned = replace(open(a, weights, **options).into(b, grow=grow, overrides=overrides, seed=seed or 0), by=by)
    return planned if out is None else planned.save(out)


def match(
    spec: Name,
    file: Name,
    overrides: Settings = (),
    *,
    key: str | None = None,
    prefix: str | None = None,
    head: Head | None = None,
    first_conv: FirstConv | None = None,
) -> Match:
    """How a file of weights fits a network: whose names it has, and what becomes of each tensor.

    `key` is where in the file the tensors are, where it holds several state_dicts. Raises SpecError (exit 2 or 3).
    """
    graph = graph_of(spec, overrides)
    from resnet_dsl.checkpoints.content import Content
    from resnet_dsl.checkpoints.read import read
    from resnet_dsl.recovery.match import Held, match

    held = read(weights_file(Path(file)), key)
    said = WeightsMetadata.of_texts(held.metadata, held.path)
    shapes = {name: Held(t.shape, t.dtype) for name, t in held.tensors.items()}
    found = match(fold(graph) if said is not None and said.folded else graph, shapes, os.fspath(file), Adaptation(prefix, head, first_conv))
    if found.fits:
        Content(held, None if said is None else said.sha256).require_finite(found.taken.values())
    return replace(found, remarks=held.said)
