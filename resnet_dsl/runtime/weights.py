"""A trained network in one file: safetensors, with what is needed to use it in the metadata and a sum over the bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from resnet_dsl.diagnostics import refuse
from resnet_dsl.files import open_regular, write_atomic
from resnet_dsl.graph.graph import Graph
from resnet_dsl.records.metadata import StoredNormalisation, WeightsMetadata
from resnet_dsl.runtime.normalisation import Normalisation

_TORCH = (b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9c")
"""How a file of torch.save begins: a zip archive, or before torch 1.6 a pickle of its magic number."""


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """Weights by state_dict key. The rest is None where the file does not hold it; `folded`: they are of `graph.folding.fold`'s network.

    `metadata` is what the file holds besides the tensors, None where this program did not write it.
    """

    tensors: dict[str, torch.Tensor]
    spec: str | None
    classes: tuple[str, ...] | None
    normalisation: Normalisation | None
    data: str | None
    folded: bool = False
    metadata: WeightsMetadata | None = None

    def require_fit(self, graph: Graph, at: Path) -> None:
        """Refuse class names and a normalisation that are not of this network. Raises SpecError (exit 3)."""
        if self.metadata is not None:
            self.metadata.require_fit(graph, at)


def about(
    *,
    spec: str,
    classes: tuple[str, ...] | None = None,
    normalisation: Normalisation | None = None,
    data: str | None = None,
    folded: bool = False,
) -> dict[str, str]:
    """What travels with weights, in whatever file they are, as text by name; what is None is left out."""
    held = None if normalisation is None else StoredNormalisation.model_validate(normalisation.to_dict())
    return WeightsMetadata(spec=spec, classes=classes, normalisation=held, data=data, folded=folded).texts()


def save(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write weights by state_dict key, and what `about` says of them. Raises SpecError (exit 3)."""
    write_atomic(path, encode(tensors, metadata))


def encode(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """The content of such a file; equal weights and metadata give equal bytes. The SHA-256 over names and bytes is added."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    return _ordered(save_tensors(tensors, {**metadata, "sha256": fingerprint(tensors)}))


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
    """Read weights: any safetensors file, or a state_dict that torch.save wrote, also as one entry of a dict. Nothing in the file is
    executed.

    Raises SpecError (exit 3) where the file is missing, damaged or something else.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            content = file.read()
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise refuse("weights-missing", f"cannot be read: {reason}", "check the path", at=path, exit_code=3) from None
    if content.startswith(_TORCH):
        return Artifact(_state_dict(content, path), None, None, None, None)
    try:
        tensors = load_tensors(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise refuse(
            "weights-damaged", f"is not a readable safetensors file: {str(e)[:120]}", "copy the file again", at=path, exit_code=3
        ) from None
    found = WeightsMetadata.of_file(path)
    if found is None:
        return Artifact(tensors, None, None, None, None)
    if found.sha256 != fingerprint(tensors):
        raise refuse(
            "weights-damaged",
            "its SHA-256 is not what it should be",
            "copy the file again, or resume the run to write it again",
            at=path,
            exit_code=3,
        )
    normalisation = None if found.normalisation is None else Normalisation.from_dict(found.normalisation.to_dict())
    return Artifact(tensors, found.spec, found.classes, normalisation, found.data, found.folded, found)


def _state_dict(content: bytes, path: Path) -> dict[str, torch.Tensor]:
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise refuse(
            "weights-damaged",
            "holds more than tensors, and loading that could run programs",
            "save only the state_dict: torch.save(model.state_dict(), FILE)",
            at=path,
            exit_code=3,
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, struct.error) as e:
        message = str(e).split("\n", 1)[0][:120]
        raise refuse(
            "weights-damaged", f"is not a readable torch.save file: {message}", "copy the file again", at=path, exit_code=3
        ) from None
    held = [k for k, v in found.items() if _is_state(v)] if isinstance(found, Mapping) and not _is_state(found) else []
    if len(held) == 1:
        found = found[held[0]]
    if _is_state(found):
        return dict(found)
    keys = ", ".join(str(k) for k in list(found)[:5]) if isinstance(found, Mapping) else type(found).__name__
    problem = (
        f"holds several state_dicts: {', '.join(map(str, held))}"
        if held
        else f"is not a state_dict of tensors: it holds {keys or 'nothing'}"
    )
    raise refuse("weights-damaged", problem, "save only the state_dict: torch.save(model.state_dict(), FILE)", at=path, exit_code=3)


def _is_state(found: object) -> bool:
    """Is it a state_dict: tensors by name?"""
    return isinstance(found, Mapping) and bool(found) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in found.items())


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}\n".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def put(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor], at: Path) -> None:
    """Load weights into a model, all of them. Raises SpecError (exit 2) that names the first difference."""
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
    raise refuse("weights-fit", f"does not fit the network: {problem}", "use the spec that the weights were made with", at=at)
