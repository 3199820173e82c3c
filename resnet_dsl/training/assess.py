"""A trained network on test images: from a run's folder alone, or from a spec, a file of weights and a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import Spec, load
from resnet_dsl.runtime.build import build
from resnet_dsl.training import weights
from resnet_dsl.training.batches import Normalisation
from resnet_dsl.training.data.dataset import Dataset, require_fit
from resnet_dsl.training.data.load import open_dataset
from resnet_dsl.training.device import choose
from resnet_dsl.training.errors import RunError
from resnet_dsl.training.evaluate import score
from resnet_dsl.training.run import REQUEST, SPEC, WEIGHTS, RunFolder


def assess_run(path: Path, *, data: str | None, data_dir: Path | None, device: str, precision: str | None) -> dict[str, Any]:
    """Scores of a run's weights, on its own data set unless `data` says otherwise. Raises SpecError (exit 2 or 3)."""
    folder = RunFolder.open(path)
    record = folder.read_json(REQUEST)
    file = path / WEIGHTS
    if not file.is_file():
        raise RunError("weights-missing", "the run has no weights yet", f"train it first: resnet-dsl train --resume {path}", at=path)
    artifact = weights.load(file)
    own = data is None or data == record.get("data")
    where = data_dir or (Path(record["data_dir"]) if own and record.get("data_dir") else None)
    spec = load(str(path / SPEC))
    graph = compile(spec)
    found = open_dataset(data or str(record.get("data")), graph.input, where)
    if artifact.normalisation is None:
        raise RunError("weights-damaged", "its metadata lacks the normalisation", "resume the run to write it anew", at=file)
    return _assess(
        graph,
        artifact,
        artifact.normalisation,
        file,
        found,
        spec.name,
        device,
        precision or str(record.get("plan", {}).get("precision", "auto")),
    )


def assess_weights(spec: Spec, file: Path, *, data: str, data_dir: Path | None, device: str, precision: str | None) -> dict[str, Any]:
    """Scores of a file of weights in a network. A file that was not made here is used with the data's own mean and deviation.

    Raises SpecError (exit 2 or 3).
    """
    graph = compile(spec)
    artifact = weights.load(file)
    found = open_dataset(data, graph.input, data_dir)
    normalisation = artifact.normalisation or Normalisation.measure(found.train, "channel")
    return _assess(graph, artifact, normalisation, file, found, spec.name, device, precision or "auto")


def _assess(
    graph: Graph,
    artifact: weights.Artifact,
    normalisation: Normalisation,
    file: Path,
    data: Dataset,
    name: str,
    device: str,
    precision: str,
) -> dict[str, Any]:
    require_fit(data, graph.input, graph.classes, name)
    plan = choose(device, precision)
    model = build(graph)
    weights.put(model, artifact.tensors, file)
    scores = score(plan.place(model), data.test, normalisation, plan)
    assert scores is not None  # nothing asked it to stop
    return {"name": name, "data": data.name, "part": "test", **scores.to_finite(), "device": plan.device, "precision": plan.precision}
