"""Names and shapes from files of weights and from JSON. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resnet_dsl.checkpoints.read import read
from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.graph.graph import Shape
from resnet_dsl.language.files import open_file
from resnet_dsl.language.stored import FORMAT, stored_spec

MAX_JSON = 64 << 20
"""Bytes. A tensor takes about sixty."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The tensors of a file by name, and the spec in its metadata, if it has one; `folded`: its batch norms are folded into layers."""

    tensors: Mapping[str, Shape]
    spec: str | None = None
    folded: bool = False


def read_stored(path: str, key: str | None = None) -> Stored:
    """The names and shapes in a file of weights (`checkpoints.read`), of several state_dicts those of the one at `key`, or in a .json file.

    JSON is one object from names to shapes: `{"conv1.weight": [64, 3, 7, 7], ...}`. Raises SpecError: exit code 2 where the JSON is
    something else or there is no such file of it, 3 where the file may not be read, is damaged or none of weights.
    """
    if path.endswith(".json"):
        return Stored(_json(path))
    held = read(path, key)
    shapes = {name: t.shape for name, t in held.tensors.items()}
    if not shapes:
        raise refuse(
            "weights-damaged", "holds no tensors", "save the state_dict: save_file(model.state_dict(), FILE)", at=path, exit_code=3
        )
    if held.metadata.get("format") != FORMAT or "spec" not in held.metadata:
        return Stored(shapes)
    spec, folded = stored_spec(path)
    return Stored(shapes, spec.text, folded)


def _json(path: str) -> dict[str, Shape]:
    with open_file(path) as (file, size):
        if size > MAX_JSON:
            raise refuse(
                "too-large", f"{size:,} bytes, over the limit of {MAX_JSON >> 20} MiB", "a file of names and shapes is far smaller", at=path
            )
        content = file.read(MAX_JSON)
    found: Any = None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as e:
        problem: str | None = f"it is no JSON: {str(e)[:80]}"
    else:
        problem = _problem(found)
    if problem is not None:
        raise refuse("weights-shapes", f"no names and shapes: {problem}", 'write {"conv1.weight": [64, 3, 7, 7], ...}', at=path)
    return {name: tuple(shape) for name, shape in found.items()}


def _problem(found: Any) -> str | None:
    """Why a document is not names and shapes; None where it is."""
    if not isinstance(found, dict) or not found:
        return "it is not an object of names"
    odd = next((name for name, shape in found.items() if not _is_shape(shape)), None)
    return f"{quote(odd)} has no shape, a list of whole numbers" if odd is not None else None


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(type(n) is int and 0 <= n < 1 << 31 for n in value)
