"""A trained network, written for other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from resnet_dsl.diagnostics import Argument
from resnet_dsl.graph import compile
from resnet_dsl.graph.folding import fold, folds
from resnet_dsl.language import Spec
from resnet_dsl.records.exported import Exported
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.export import ExportForm, Network
from resnet_dsl.runtime.export import export as write
from resnet_dsl.runtime.folding import fold_weights
from resnet_dsl.runtime.weights import about
from resnet_dsl.training.job import without_recipe
from resnet_dsl.using.trained import LoadedNetwork


def export(
    spec: Spec, trained: LoadedNetwork | None, out: str, *, fold_bn: bool, form: ExportForm, seed: int, tell: Callable[[str], object]
) -> Exported:
    """Write a network with its weights, or with initial ones drawn from `seed`, and its spec, class names and normalisation.

    `tell` is called with what a user should know, before anything slow begins. Raises SpecError as `runtime.export.export`.
    """
    notes: list[str] = []

    def say(text: str) -> None:
        notes.append(text)
        tell(text)

    artifact = None if trained is None else trained.artifact
    graph = compile(spec) if trained is None else trained.graph
    if trained is None:
        say(f"the weights are initial ones (seed {seed}): {Argument('weights', 'FILE')}, or a run's folder, brings others")
    else:
        for text in trained.said:
            say(text)
        unsaid = [
            *(["the class names"] if trained.artifact.classes is None else []),
            *(["the normalisation of the input"] if trained.artifact.normalisation is None else []),
        ]
        if unsaid:
            say(f"{trained.file} does not say {' and '.join(unsaid)}, so neither does {out}")
    tensors = (build(graph, seed=seed) if trained is None else trained.module()).state_dict()
    folded = spec.folded or (artifact is not None and artifact.folded)
    count = len(list(folds(graph))) if fold_bn else 0
    if count:
        graph, tensors, folded = fold(graph), fold_weights(graph, tensors), True
        say(f"folded {count:,} batch norm{'s' if count > 1 else ''}")
    elif fold_bn:
        say("nothing to fold: no batch norm follows a layer that nothing else reads")
    metadata = about(
        # What the author expects of the network is not true of the folded one.
        spec=without_recipe(replace(spec, folded=folded, overridden=spec.overridden or folded)),
        classes=None if artifact is None else artifact.classes,
        normalisation=None if artifact is None else artifact.normalisation,
        data=None if artifact is None else artifact.data,
        folded=folded,
        resize=None if trained is None or trained.middle is None else trained.middle.shorter,
    )
    checked = write(Network(graph, tensors, metadata), Path(out), form)
    return Exported(graph.name, out, checked, count, tuple(notes))
