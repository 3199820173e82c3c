"""A network with its weights as one file for other programs: ONNX, torch.export's program, or safetensors.

Spec, class names and normalisation travel in each, as text by the names of `weights.about`. The batch is free in every file.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import nn

from resnet_dsl.diagnostics import Argument, SpecError, refuse
from resnet_dsl.extras import is_installed, require
from resnet_dsl.files import write_atomic
from resnet_dsl.graph import Graph
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.build import build
from resnet_dsl.runtime.programs import StoredProgram, difference, from_onnx, from_program, quiet
from resnet_dsl.table import shape_text

INPUT, OUTPUT = "images", "logits"
"""Names in an ONNX file: (batch, channels, height, width) or (batch, features), and (batch, classes) before any softmax."""

TOLERANCE: Mapping[str, float] = {"fp32": 1e-3, "fp16": 3e-2}
"""The largest relative difference to torch in float32 that a file may have; about 1e-6 and 1e-3 are usual."""

MAX_ONNX = 2_000_000_000
"""Bytes of weights: a protobuf message has less than 2 GiB."""

NEWER = 18
"""The first opset that torch's exporter of graphs writes; older ones are left to its exporter of traces."""

_KEPT = "pkg.torch.onnx.name_scopes"
"""What is kept of what the exporter notes on a node: the modules that it comes from. The rest names files of this machine."""


@dataclass(frozen=True, slots=True)
class ExportForm:
    """How a file is written: the opset of an ONNX file (None: torch's own), whether height and width are free, and the arithmetic.

    In `fp16` weights and arithmetic are float16; a program still reads and gives float32, so it can stand where the other stood.
    """

    opset: int | None = None
    any_size: bool = False
    precision: Literal["fp32", "fp16"] = "fp32"


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """What is exported. `tensors` is the state_dict of the graph's module, `metadata` what travels with it (`weights.about`)."""

    graph: Graph
    tensors: Mapping[str, torch.Tensor]
    metadata: Mapping[str, str]

    def module(self) -> nn.Module:
        """The module with its weights, in eval mode, on the CPU."""
        with torch.device("meta"):
            model = build(self.graph)
        model.load_state_dict(self.tensors, assign=True)
        return model.eval()

    def example(self, batch: int, *, larger: int = 0) -> torch.Tensor:
        """A batch of noise, the same each time: (batch, *graph.input), each side of a picture `larger` by so many pixels."""
        shape = self.graph.input
        sides = tuple(n + larger for n in shape[1:])
        return torch.randn(batch, shape[0], *sides, generator=torch.Generator().manual_seed(0))


class _Half(nn.Module):
    """A network in float16 between float32 images and float32 logits."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.body(x.half())
        return found.float()


def export(network: Network, path: Path, form: ExportForm = ExportForm()) -> str:
    """Write a network to a path whose ending is one of `WRITERS`; gives what was found when the file was checked, in words.

    The file is checked before it is written, and is whole or absent.
    Raises SpecError: exit code 1 where the exporter fails or the file does not compute the same, 2 where the network does not fit the format,
    3 where a package is missing or the file cannot be written.
    """
    if form.any_size:
        _require_any_size(network)
    content, checked = WRITERS[path.suffix.lower()](network, path, form)
    write_atomic(path, content)
    return checked


MARGIN = 37
"""Pixels by which the sides of a second batch are larger, where sizes are free: an odd number, so that strides meet odd maps."""


def _require_any_size(network: Network) -> None:
    """Refuse a network that reads images of one size: a linear layer after a map of fixed size, say."""
    shape = network.graph.input
    at = Argument("any_size", True)
    if len(shape) == 1:
        raise refuse("export-fit", f"the network reads {shape_text(shape)}: features have no size", f"leave out {at}", at=at)
    with torch.device("meta"):
        model = build(network.graph).eval()
    try:
        model(network.example(2, larger=MARGIN).to("meta"))
    except RuntimeError:
        fixed = f"{network.graph.name} reads {shape_text(shape)} and no other size: a layer of it expects maps of one size"
        raise refuse("export-fit", fixed, f"leave out {at}", at=at) from None


def _to_onnx(network: Network, path: Path, form: ExportForm) -> tuple[bytes, str]:
    """ONNX, its structure checked by onnx, and its outputs by onnxruntime where that is installed."""
    require("onnx", "ONNX files need", at=path)
    if sum(t.nbytes for t in network.tensors.values()) > MAX_ONNX:
        raise refuse("export-fit", "the weights are over 2 GB, the most that an ONNX file holds", "write .pt2 or .safetensors", at=path)
    import onnx

    with quiet(), _explained(path):
        proto = (_traced if form.opset is not None and form.opset < NEWER else _exported)(network, form)
    (written,) = (entry.version for entry in proto.opset_import if entry.domain == "")
    if form.opset is not None and written != form.opset:
        problem = f"torch writes this network in opset {written}, not in {form.opset}"
        raise refuse("export-fit", problem, f"use {Argument('opset', written)}", at=path)
    _strip(proto)
    proto.graph.name = network.graph.name
    proto.doc_string = network.graph.description
    onnx.helper.set_model_props(proto, dict(network.metadata))
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString(deterministic=True)
    checked = f"opset {written}"
    if not is_installed("onnxruntime"):
        return content, f"{checked}; its structure is checked; onnxruntime is not installed, so its outputs are not"
    return content, f"{checked}; {compared(network, from_onnx(content, path), form, path)}"


def _exported(network: Network, form: ExportForm) -> Any:
    """By torch.export, which follows the graph."""
    program = torch.onnx.export(
        _written(network, form), (network.example(2),), dynamo=True, opset_version=form.opset, dynamic_shapes=_free(network, form),
        input_names=[INPUT], output_names=[OUTPUT], external_data=False, verbose=False,
    )  # fmt: skip
    assert program is not None
    return program.model_proto


def _traced(network: Network, form: ExportForm) -> Any:
    """By torch's older exporter, which follows one run: it alone writes opsets before 18."""
    import onnx

    axes = {0: "batch", **({2: "height", 3: "width"} if form.any_size else {})}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "traced.onnx"
        torch.onnx.export(
            _written(network, form), (network.example(2),), file, dynamo=False, opset_version=form.opset,
            dynamic_axes={INPUT: axes, OUTPUT: {0: "batch"}}, input_names=[INPUT], output_names=[OUTPUT], verbose=False,
        )  # fmt: skip
        return onnx.load_from_string(file.read_bytes())


def _written(network: Network, form: ExportForm) -> nn.Module:
    """The module that is exported."""
    model = network.module()
    return _Half(model).eval() if form.precision == "fp16" else model


def _free(network: Network, form: ExportForm) -> tuple[dict[int, Any]]:
    """The sizes of the input that are free, as torch.export takes them."""
    free: dict[int, Any] = {0: torch.export.Dim("batch")}
    if form.any_size:
        # torch finds by itself what it has to ask of them.
        free |= dict.fromkeys(range(2, len(network.graph.input) + 1), torch.export.Dim.DYNAMIC)
    return (free,)


def _strip(proto: Any) -> None:
    """Remove what the exporter noted for its own debugging, except the modules that nodes come from."""
    for node in proto.graph.node:
        node.doc_string = ""
    for noted in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        kept = [entry for entry in noted.metadata_props if entry.key == _KEPT]
        del noted.metadata_props[:]
        noted.metadata_props.extend(kept)


def _to_program(network: Network, path: Path, form: ExportForm) -> tuple[bytes, str]:
    """torch.export's program; loading it needs nothing but torch."""
    with quiet(), _explained(path):
        program = torch.export.export(_written(network, form), (network.example(2),), dynamic_shapes=_free(network, form))
        for node in program.graph.nodes:
            # It names files of this machine.
            node.meta.pop("stack_trace", None)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=dict(network.metadata))
        loaded = from_program(buffer.getvalue(), path)
    return buffer.getvalue(), compared(network, loaded, form, path)


def _to_weights(network: Network, path: Path, form: ExportForm) -> tuple[bytes, str]:
    """safetensors: the weights by state_dict key, and the spec that says the network."""
    half = form.precision == "fp16"
    tensors = {k: v.half() if half and v.is_floating_point() else v for k, v in network.tensors.items()}
    return weights.encode(tensors, network.metadata), f"{len(tensors):,} tensors{' in float16' if half else ''}"


Writer = Callable[[Network, Path, ExportForm], tuple[bytes, str]]

WRITERS: Mapping[str, Writer] = {".onnx": _to_onnx, ".pt2": _to_program, ".safetensors": _to_weights}
"""By the file's ending: what makes its content, and says how that was checked."""

_BY = {"torch": "loaded again"}


def differences(network: Network, program: StoredProgram, margins: Sequence[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor, float]]:
    """The float32 module's outputs, a program's, and how far they are apart (nan where they cannot be compared).

    On batches that no exporter has seen, one for each number of pixels by which the sides of the pictures are larger than the spec's.
    """
    model = network.module()
    for larger in margins:
        batch = network.example(3, larger=larger)
        with torch.inference_mode(), quiet():
            wanted, found = model(batch), program.run(batch)
        yield wanted, found, difference(wanted, found)


def compared(network: Network, program: StoredProgram, form: ExportForm, path: Path) -> str:
    """How far a program's outputs are from the float32 module's, in words. Raises SpecError (exit 1) where they differ by more than `TOLERANCE`."""
    who = _BY.get(program.by, program.by)
    worst = 0.0
    for wanted, found, off in differences(network, program, (0, MARGIN) if form.any_size else (0,)):
        if not wanted.isfinite().all():
            return f"{who}: not compared, since the network's outputs are not finite"
        # "not <=": nan differs too.
        if not off <= TOLERANCE[form.precision]:
            raise _different(found, off, who, form, path)
        worst = max(worst, off)
    of = f", to {worst:.0e} of the largest" if worst else " to the last bit"
    return f"{who}: the outputs are torch's{of}{', at two sizes' if form.any_size else ''}"


def _different(found: torch.Tensor, off: float, who: str, form: ExportForm, path: Path) -> SpecError:
    if form.precision == "fp16" and not found.isfinite().all():
        problem = f"{who}: numbers of this network are too large for float16, whose largest is 65,504; nothing was written"
        return refuse(
            "export-differs", problem, f"leave out {Argument('precision', 'fp16')}, or train the network first", at=path, exit_code=1
        )
    return refuse(
        "export-differs",
        f"{who}: the outputs differ from torch's by {off:.1e} of the largest; nothing was written",
        "please report it with the spec; another ending may serve",
        at=path,
        exit_code=1,
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what torch's exporter raises into a SpecError in plain words."""
    try:
        yield
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as e:
        first = str(e).strip().partition("\n")[0][:160]
        raise refuse(
            "export-failed",
            f"torch's exporter gave up: {first}",
            "please report it with the spec; another ending may serve",
            at=path,
            exit_code=1,
        ) from e
