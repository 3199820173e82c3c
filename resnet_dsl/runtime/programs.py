"""Exported programs, run by a second runtime: ONNX by onnxruntime, .pt2 by torch. No file runs code of its own."""

from __future__ import annotations

import io
import json
import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.extras import require
from resnet_dsl.files import open_regular
from resnet_dsl.table import shape_text

Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class StoredProgram:
    """What a file computes: float32 images in, logits out. `input` is what it reads besides the batch, None where a size is free.

    `by` is what runs it, `half` says whether weights are float16.
    """

    run: Run
    input: tuple[int | None, ...]
    by: str
    half: bool

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Does it read images of this shape?"""
        return len(shape) == len(self.input) and all(own in (None, n) for own, n in zip(self.input, shape, strict=True))


def read_program(path: Path) -> StoredProgram:
    """The program in a .onnx or .pt2 file. Raises SpecError (exit 3) where it cannot be read, is damaged, or a package is missing."""
    try:
        with open(open_regular(path), "rb") as file:
            content = file.read()
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise refuse("weights-missing", f"cannot be read: {reason}", "check the path", at=path, exit_code=3) from None
    return READERS[path.suffix.lower()](content, path)


def from_onnx(content: bytes, at: Path) -> StoredProgram:
    """An ONNX file's program, run by onnxruntime on the CPU. Raises SpecError (exit 3)."""
    require("onnxruntime", "running ONNX files needs", at=at)
    require("onnx", "reading ONNX files needs", at=at)
    import onnx
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        proto = onnx.load_from_string(content)
        if any(t.external_data for t in proto.graph.initializer):
            raise refuse("weights-damaged", "keeps its weights in another file", "export it with its weights inside", at=at, exit_code=3)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except SpecError:
        raise
    except Exception as e:  # noqa: BLE001
        # Both libraries raise classes of their own, which have no common one.
        raise _damaged(at, e) from None
    (given, *others), results = session.get_inputs(), session.get_outputs()
    if others or len(results) != 1 or given.type != "tensor(float)":
        reads = f"{len(others) + 1} inputs" if others else f"{given.type.removeprefix('tensor(').removesuffix(')')} numbers"
        problem = f"reads {reads} and gives {len(results)} output{'s' * (len(results) != 1)}"
        raise refuse("export-fit", problem, "a classifier reads one float32 input and gives one output", at=at)

    def run(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run([results[0].name], {given.name: x.contiguous().numpy()})[0]).float()

    half = any(t.data_type == onnx.TensorProto.FLOAT16 for t in proto.graph.initializer)
    return StoredProgram(run, tuple(n if isinstance(n, int) else None for n in given.shape[1:]), "onnxruntime", half)


def from_program(content: bytes, at: Path) -> StoredProgram:
    """A .pt2 file's program, run by torch. Raises SpecError (exit 3) where it is damaged, or holds pickled objects."""
    try:
        _require_inert(content, at)
        program = torch.export.load(io.BytesIO(content))
    except SpecError:
        raise
    except Exception as e:  # noqa: BLE001
        # torch raises whatever its own reader trips over.
        raise _damaged(at, e) from None
    (images,) = (n.meta["val"] for n in program.graph.nodes if n.name in program.graph_signature.user_inputs)
    half = any(t.dtype is torch.float16 for t in program.state_dict.values())
    module = program.module()
    return StoredProgram(module, tuple(n if isinstance(n, int) else None for n in images.shape[1:]), "torch", half)


def _require_inert(content: bytes, at: Path) -> None:
    """torch.export.load unpickles what an archive says is pickled, with no restriction. We write plain bytes, and take nothing else."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            parts = name.split("/")[1:]
            if parts[:1] != ["data"]:
                continue
            if name.endswith("_config.json"):
                entries = json.loads(archive.read(name)).get("config", {}).values()
                inert = not any(entry.get("use_pickle", True) for entry in entries)
            elif parts[1:2] == ["sample_inputs"]:
                inert = _is_plain(archive.read(name))
            else:
                inert = parts[-1].startswith(("weight_", "tensor_"))
            if not inert:
                raise refuse(
                    "weights-damaged", f"holds pickled objects ({parts[-1][:60]}), which could run programs",
                    "export the network again with resnet-dsl, or give the run", at=at, exit_code=3,
                )  # fmt: skip


def _is_plain(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:  # noqa: BLE001
        # Whatever stops the restricted reader would send torch to the unrestricted one.
        return False
    return True


def _damaged(at: Path, e: Exception) -> SpecError:
    reason = " ".join(str(e).split())[:160]
    return refuse("weights-damaged", f"is no program that can be run: {reason}", "export it again", at=at, exit_code=3)


READERS: Mapping[str, Callable[[bytes, Path], StoredProgram]] = {".onnx": from_onnx, ".pt2": from_program}
"""By the file's ending."""


class Deployed(nn.Module):
    """A program as a module, for what expects one: images on any device in, logits there out. It has no parameters, and no gradients."""

    def __init__(self, program: StoredProgram, at: Path) -> None:
        super().__init__()
        self.program, self.at = program, at

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits of a batch. Raises SpecError (exit 2) for images of a size that the file does not read."""
        if not self.program.takes(tuple(x.shape[1:])):
            wanted = shape_text(tuple(n or 0 for n in self.program.input)).replace("0", "any")
            raise refuse(
                "export-fit",
                f"reads {wanted}, not {shape_text(tuple(x.shape[1:]))}",
                "export it with any size, or leave out the crops",
                at=self.at,
            )
        with quiet():
            return self.program.run(x.float().cpu()).to(x.device)


@contextmanager
def quiet() -> Iterator[None]:
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


def difference(wanted: torch.Tensor, found: torch.Tensor) -> float:
    """The largest difference of two outputs, relative to the largest of `wanted`; nan where one is not finite."""
    if wanted.shape != found.shape:
        return float("nan")
    return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(torch.finfo(wanted.dtype).tiny))
