"""A network with its weights as one file for other programs: ONNX, torch.export's program, or safetensors.

Spec, class names and normalisation travel in each, as text by the names of `weights.about`. The batch is free in every file.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from resnet_dsl.diagnostics import Argument, refuse
from resnet_dsl.extras import is_installed, require
from resnet_dsl.files import write_atomic
from resnet_dsl.graph import Graph
from resnet_dsl.runtime import weights
from resnet_dsl.runtime.build import build

INPUT, OUTPUT = "images", "logits"
"""Names in an ONNX file: (batch, channels, height, width) or (batch, features), and (batch, classes) before any softmax."""

TOLERANCE = 1e-3
"""The largest relative difference to torch that a file may have; about 1e-6 is usual in float32."""

MAX_ONNX = 2_000_000_000
"""Bytes of weights: a protobuf message has less than 2 GiB."""

_KEPT = "pkg.torch.onnx.name_scopes"
"""What is kept of what the exporter notes on a node: the modules that it comes from. The rest names files of this machine."""


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

    def example(self, batch: int) -> torch.Tensor:
        """A batch of noise, the same each time: (batch, *graph.input)."""
        return torch.randn(batch, *self.graph.input, generator=torch.Generator().manual_seed(0))


def export(network: Network, path: Path, opset: int | None = None) -> str:
    """Write a network to a path whose ending is one of `WRITERS`; gives what was found when the file was checked, in words.

    `opset` is that of an ONNX file; left out, it is torch's. The file is checked before it is written, and is whole or absent.
    Raises SpecError: exit code 1 where the exporter fails or the file does not compute the same, 2 where the network does not fit the format,
    3 where a package is missing or the file cannot be written.
    """
    content, checked = WRITERS[path.suffix.lower()](network, path, opset)
    write_atomic(path, content)
    return checked


def _to_onnx(network: Network, path: Path, opset: int | None) -> tuple[bytes, str]:
    """ONNX, its structure checked by onnx, and its outputs by onnxruntime where that is installed."""
    require("onnx", "ONNX files need", at=path)
    if sum(t.nbytes for t in network.tensors.values()) > MAX_ONNX:
        raise refuse("export-fit", "the weights are over 2 GB, the most that an ONNX file holds", "write .pt2 or .safetensors", at=path)
    import onnx

    model = network.module()
    with _quiet(), _explained(path):
        program = torch.onnx.export(
            model, (network.example(2),), dynamo=True, opset_version=opset, dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT], output_names=[OUTPUT], external_data=False, verbose=False,
        )  # fmt: skip
    assert program is not None
    proto = program.model_proto
    (written,) = (entry.version for entry in proto.opset_import if entry.domain == "")
    if opset is not None and written != opset:
        raise refuse(
            "export-fit", f"torch writes this network in opset {written}, not in {opset}", f"use {Argument('opset', written)}", at=path
        )
    _strip(proto)
    proto.graph.name = network.graph.name
    proto.doc_string = network.graph.description
    onnx.helper.set_model_props(proto, dict(network.metadata))
    onnx.checker.check_model(proto, full_check=True)
    content = proto.SerializeToString(deterministic=True)
    checked = f"opset {written}"
    if not is_installed("onnxruntime"):
        return content, f"{checked}; its structure is checked; onnxruntime is not installed, so its outputs are not"
    return content, f"{checked}; {_compared(network, model, _run_onnx(content), 'onnxruntime', path)}"


def _run_onnx(content: bytes) -> Callable[[torch.Tensor], torch.Tensor]:
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0])


def _strip(proto: Any) -> None:
    """Remove what the exporter noted for its own debugging, except the modules that nodes come from."""
    for noted in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info, *proto.graph.initializer):
        kept = [entry for entry in noted.metadata_props if entry.key == _KEPT]
        del noted.metadata_props[:]
        noted.metadata_props.extend(kept)


def _to_program(network: Network, path: Path, opset: int | None) -> tuple[bytes, str]:
    """torch.export's program; loading it needs nothing but torch."""
    model = network.module()
    with _quiet(), _explained(path):
        program = torch.export.export(model, (network.example(2),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for node in program.graph.nodes:
            # It names files of this machine.
            node.meta.pop("stack_trace", None)
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files=dict(network.metadata))
        loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    return buffer.getvalue(), _compared(network, model, loaded, "loaded again", path)


def _to_weights(network: Network, path: Path, opset: int | None) -> tuple[bytes, str]:
    """safetensors: the weights by state_dict key, and the spec that says the network."""
    return weights.encode(network.tensors, network.metadata), f"{len(network.tensors):,} tensors"


Writer = Callable[[Network, Path, int | None], tuple[bytes, str]]

WRITERS: Mapping[str, Writer] = {".onnx": _to_onnx, ".pt2": _to_program, ".safetensors": _to_weights}
"""By the file's ending: what makes its content, and says how that was checked."""


def _compared(network: Network, model: nn.Module, other: Callable[[torch.Tensor], torch.Tensor], who: str, path: Path) -> str:
    """The largest difference between two runtimes, relative to the largest output, on a batch that the exporter has not seen."""
    batch = network.example(3)
    with torch.inference_mode():
        wanted, found = model(batch), other(batch)
    if not wanted.isfinite().all():
        return f"{who}: not compared, since the network's outputs are not finite"
    difference = float((found - wanted).abs().max() / wanted.abs().max().clamp_min(torch.finfo(wanted.dtype).tiny))
    # "not <=": nan differs too.
    if not difference <= TOLERANCE:
        raise refuse(
            "export-differs",
            f"{who}: the outputs differ from torch's by {difference:.1e} of the largest; nothing was written",
            "please report it with the spec; another ending may serve",
            at=path,
            exit_code=1,
        )
    return f"{who}: the outputs are torch's{f', to {difference:.0e} of the largest' if difference else ' to the last bit'}"


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporters say to their own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
