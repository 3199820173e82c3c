"""A trained network in one file: safetensors, with what is needed to use it in the metadata and a sum over the bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from resnet_dsl.training.batches import Normalisation
from resnet_dsl.training.errors import RunError
from resnet_dsl.training.files import write_atomic

FORMAT = "resnet-dsl/1"


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """Weights by state_dict key. The rest is None where the file was not made here."""

    tensors: dict[str, torch.Tensor]
    spec: str | None
    classes: tuple[str, ...] | None
    normalisation: Normalisation | None
    data: str | None


def save(path: Path, model: torch.nn.Module, *, spec: str, classes: tuple[str, ...], normalisation: Normalisation, data: str) -> str:
    """Write a model's weights; the SHA-256 over names and bytes. Raises RunError (exit 3)."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    digest = fingerprint(tensors)
    metadata = {
        "format": FORMAT,
        "spec": spec,
        "classes": json.dumps(classes),
        "normalisation": json.dumps(normalisation.to_dict()),
        "data": data,
        "sha256": digest,
    }
    write_atomic(path, _ordered(save_tensors(tensors, metadata)))
    return digest


def _ordered(content: bytes) -> bytes:
    """The same file with its metadata in order: safetensors shuffles them, and equal runs should give equal files."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    # The format wants the tensors to begin at a multiple of 8.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def load(path: Path) -> Artifact:
    """Read weights, ours or any safetensors file. Raises RunError (exit 3) where the file is missing or damaged."""
    try:
        content = path.read_bytes()
    except OSError as e:
        raise RunError("weights-missing", f"cannot be read: {e.strerror}", "check the path", at=path) from None
    try:
        tensors = load_tensors(content)
        size = int.from_bytes(content[:8], "little")
        metadata: Mapping[str, Any] = json.loads(content[8 : 8 + size]).get("__metadata__", {})
        if metadata.get("format") != FORMAT:
            return Artifact(tensors, None, None, None, None)
        if metadata["sha256"] != fingerprint(tensors):
            raise RunError(
                "weights-damaged",
                "its SHA-256 is not what it should be",
                "copy the file again, or resume the run to write it anew",
                at=path,
            )
        classes, normalisation = tuple(json.loads(metadata["classes"])), Normalisation.from_dict(json.loads(metadata["normalisation"]))
        return Artifact(tensors, metadata["spec"], classes, normalisation, metadata["data"])
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise RunError("weights-damaged", f"is no readable safetensors file: {str(e)[:120]}", "copy the file again", at=path) from None


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}\n".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def put(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], at: Path) -> None:
    """Load weights into a model, all of them. Raises RunError (exit 2) that names the first difference."""
    wanted = model.state_dict()
    if missing := [k for k in wanted if k not in tensors]:
        problem = f"lacks {missing[0]}" + (f" and {len(missing) - 1:,} more" if len(missing) > 1 else "")
    elif extra := [k for k in tensors if k not in wanted]:
        problem = f"has {extra[0]}, which the network lacks" + (f", and {len(extra) - 1:,} more" if len(extra) > 1 else "")
    elif wrong := [k for k, v in wanted.items() if v.shape != tensors[k].shape]:
        k = wrong[0]
        problem = f"{k} is {tuple(tensors[k].shape)}, in the network {tuple(wanted[k].shape)}"
    else:
        model.load_state_dict(dict(tensors))
        return
    raise RunError(
        "weights-fit", f"does not fit the network: {problem}", "use the spec that the weights were made with", at=at, exit_code=2
    )
