"""An exported file beside the network that it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.language import load
from resnet_dsl.language.stored import ENDING, FORMAT, metadata_of
from resnet_dsl.records.exported import Verified
from resnet_dsl.records.metadata import WeightsMetadata
from resnet_dsl.runtime.export import MARGIN, TOLERANCE, Network, differences
from resnet_dsl.runtime.programs import StoredProgram, read_program
from resnet_dsl.table import shape_text
from resnet_dsl.using.trained import LoadedNetwork, from_weights


def verify(trained: LoadedNetwork, file: Path) -> Verified:
    """Compare outputs on noise, of a second size too where the file takes any, and what the file says of the network.

    Raises SpecError: exit 1 where something differs, 3 for a file that cannot be read and a missing package.
    """
    program = _weights(file) if file.suffix.lower() == ENDING else read_program(file)
    network = Network(trained.graph, trained.module().state_dict(), {})
    shape = trained.graph.input
    if not program.takes(shape):
        reads = "x".join("any" if n is None else str(n) for n in program.input)
        raise _differs(file, f"reads {reads}, and {trained.graph.name} reads {shape_text(shape)}")
    takes_more = shape[1:] and program.takes((shape[0], *(n + MARGIN for n in shape[1:])))
    margins = (0, MARGIN) if takes_more else (0,)
    worst = 0.0
    for wanted, found, off in differences(network, program, margins):
        if wanted.shape != found.shape:
            gives = f"gives {shape_text(found.shape[1:])} numbers per image, and {trained.graph.name} {shape_text(wanted.shape[1:])}"
            raise _differs(file, gives)
        # "not <=": nan differs too.
        if not off <= TOLERANCE["fp16" if program.half else "fp32"]:
            raise _differs(file, f"its outputs differ from the network's by {off:.1e} of the largest")
        worst = max(worst, off)
    sizes = tuple(shape_text((shape[0], *(n + more for n in shape[1:]))) for more in margins)
    return Verified(trained.graph.name, str(file), program.by, worst, sizes, tuple(_said(trained, file)))


def _weights(file: Path) -> StoredProgram:
    """A file of weights as a program: the network of its own spec."""
    held = from_weights(load(str(file)), file)
    model = held.module().eval()
    half = any(t.dtype is torch.float16 for t in held.artifact.tensors.values())
    return StoredProgram(model, tuple(held.graph.input), "torch", half)


def _said(trained: LoadedNetwork, file: Path) -> Iterator[str]:
    """What the file says of the network is compared too; yields what it does not say. Raises SpecError (exit 1) where it says something else."""
    held = WeightsMetadata.of_file(file) if metadata_of(str(file)).get("format") == FORMAT else None
    if held is None:
        yield f"{file} holds no spec, class names or normalisation of ours, so its outputs alone were compared"
        return
    own = trained.artifact
    if own.classes is not None and held.classes is not None and held.classes != own.classes:
        raise _differs(file, "it has other names of classes than the network")
    normalisation = None if own.metadata is None else own.metadata.normalisation
    if normalisation is not None and held.normalisation is not None and held.normalisation != normalisation:
        raise _differs(file, "it has another mean and deviation than the network")
    for what, ours, theirs in (("class names", own.classes, held.classes), ("normalisation", normalisation, held.normalisation)):
        if ours is not None and theirs is None:
            yield f"{file} does not hold the {what} of the network"


def _differs(file: Path, problem: str) -> SpecError:
    return refuse("export-differs", problem, "export the network again", at=file, exit_code=1)
