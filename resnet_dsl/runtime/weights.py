"""A trained network in one file: safetensors, with what is needed to use it in the metadata and a sum over the bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save as save_tensors

from resnet_dsl.checkpoints.content import Content
from resnet_dsl.checkpoints.read import read
from resnet_dsl.checkpoints.tensor import FileTensor
from resnet_dsl.diagnostics import refuse
from resnet_dsl.files import write_atomic
from resnet_dsl.graph.graph import Graph
from resnet_dsl.records.metadata import StoredNormalisation, WeightsMetadata
from resnet_dsl.runtime.normalisation import Normalisation


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """Weights by state_dict key. The rest is None where the file does not hold it; `folded`: they are of `graph.folding.fold`'s network.

    `metadata` is what the file holds besides the tensors, None where this program did not write it.
    """

    tensors: Mapping[str, torch.Tensor]
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
    resize: int | None = None,
) -> dict[str, str]:
    """What travels with weights, in whatever file they are, as text by name; what is None is left out."""
    held = None if normalisation is None else StoredNormalisation.model_validate(normalisation.to_dict())
    return WeightsMetadata(spec=spec, classes=classes, normalisation=held, data=data, folded=folded, resize=resize).texts()


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


def load(path: Path, key: str | None = None, *, finite: bool = True) -> Artifact:
    """Weights in a file: any that `checkpoints.read` reads, of several state_dicts the one at `key`. A tensor is read when it is asked for, and must
    then be `finite`; before the first, the sum over all of a file of ours is checked.

    Raises SpecError: exit 3 where the file is missing, damaged or something else, 2 where it holds several state_dicts, or none at `key`.
    """
    held = read(path, key)
    found = WeightsMetadata.of_texts(held.metadata, path)
    tensors = FileTensors(Content(held, None if found is None else found.sha256, finite=finite))
    if found is None:
        return Artifact(tensors, None, None, None, None)
    normalisation = None if found.normalisation is None else Normalisation.from_dict(found.normalisation.to_dict())
    return Artifact(tensors, found.spec, found.classes, normalisation, found.data, found.folded, found)


class FileTensors(Mapping[str, torch.Tensor]):
    """The tensors of a file by name. Each is read when it is asked for; `shapes` needs no reading."""

    def __init__(self, content: Content) -> None:
        self._content = content

    @property
    def shapes(self) -> Mapping[str, FileTensor]:
        """Their shapes and types."""
        return self._content.of.tensors

    @property
    def said(self) -> tuple[str, ...]:
        """What a user should know of how they were found in the file."""
        return self._content.of.said

    def __getitem__(self, name: str) -> torch.Tensor:
        t, raw = self.shapes[name], self._content.numbers(name)
        # An empty buffer has no address.
        numbers = torch.frombuffer(raw, dtype=getattr(torch, t.dtype)) if raw else torch.empty(0, dtype=getattr(torch, t.dtype))
        return numbers.as_strided(t.shape, t.stride) if t.count else numbers.reshape(t.shape)

    def __contains__(self, name: object) -> bool:
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor | FileTensor]:
    """Tensors, for their shapes and types alone: those of a file are not read."""
    return tensors.shapes if isinstance(tensors, FileTensors) else tensors


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
    elif wrong := [k for k, v in wanted.items() if tuple(v.shape) != tuple(shapes_of(tensors)[k].shape)]:
        k = wrong[0]
        problem = f"{k} is {tuple(shapes_of(tensors)[k].shape)}, in the network {tuple(wanted[k].shape)}"
    else:
        model.load_state_dict(dict(tensors))
        return
    raise refuse("weights-fit", f"does not fit the network: {problem}", "use the spec that the weights were made with", at=at)
