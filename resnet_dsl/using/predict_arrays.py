"""What a trained network takes the rows of an array for: images as the array holds them, nothing is scaled or cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from resnet_dsl.datasets.naming import Data
from resnet_dsl.diagnostics import refuse
from resnet_dsl.records.prediction import Prediction, Predictions
from resnet_dsl.training.data.arrayfiles import load_npy, load_npz
from resnet_dsl.training.data.arrays import unlabelled
from resnet_dsl.training.data.dataset import Asked
from resnet_dsl.training.data.keys import meaning
from resnet_dsl.training.device.threads import choose
from resnet_dsl.using.predict import BATCH, classes_and_normalisation, guesses
from resnet_dsl.using.trained import LoadedNetwork, require_scale

ENDINGS = (".npy", ".npz")


def images_in(path: Path) -> object:
    """The images in a file of arrays: all of a `.npy` file; of a `.npz` file those of the only part, or of the test part.

    Raises SpecError (exit 3) where no array is named as images.
    """
    if path.suffix == ".npy":
        return load_npy(path)
    found = load_npz(path)
    parts = {what[0]: name for name in found if (what := meaning(name)) is not None and what[1] == "images"}
    if len(found) == 1:
        parts = {"all": next(iter(found))}
    for part in ("all", "test", "spare"):
        if part in parts:
            return found[parts[part]]
    help = "name it x: np.savez('new.npz', x=images)"
    raise refuse("data-keys", f"has no images under a name that is understood; it holds {', '.join(found)}", help, at=path, exit_code=3)


def predict_arrays(
    trained: LoadedNetwork, given: Sequence[tuple[str, object]], *, data: Data | None, data_dir: Path | None, top: int, device: str,
    precision: str | None,
) -> Predictions:  # fmt: skip
    """The likeliest classes of each row of arrays (N, ...) and their names. Raises SpecError: exit 2 where they do not fit, 3 for damage."""
    classes, normalisation = classes_and_normalisation(trained, data, data_dir)
    images = [(name, unlabelled(value, name, Asked(trained.graph.input))) for name, value in given]
    for name, pixels in images:
        require_scale(trained, "bytes" if pixels.dtype == torch.uint8 else "numbers", name)
    n = sum(len(pixels) for _, pixels in images)
    plan = choose(device, precision or trained.precision, trained.graph, min(BATCH, n), n)
    model = trained.model(plan).eval()
    moved = normalisation.to(plan.torch_device)
    found: list[Prediction] = []
    for name, pixels in images:
        seen = [g for batch in torch.split(pixels, BATCH) for g in guesses(model, moved, plan, batch, classes, min(top, len(classes)))]
        found += [Prediction(f"{name}[{i}]", top) for i, top in enumerate(seen)]
    return Predictions(tuple(found))
