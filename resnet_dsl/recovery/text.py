"""A spec as data to its text in normal form, and the text to its network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from resnet_dsl.diagnostics import Source
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.graph import Shape
from resnet_dsl.language.extends import load_text
from resnet_dsl.language.format import format_document
from resnet_dsl.language.resolve import resolve


def raw_text(spec: Mapping[str, Any]) -> str:
    """The text of a spec: one line per key, and one line per stage."""
    lines = []
    for key, value in spec.items():
        if key == "stages" and isinstance(value, list):
            lines += ["stages:", *(f"  - {_flow(stage)}" for stage in value)]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def spec_text(spec: Mapping[str, Any]) -> str:
    """The text of a spec in normal form."""
    return format_document(Source("spec.yaml", raw_text(spec)))


def input_mapping(shape: Shape) -> dict[str, int]:
    """An input's shape as a spec says it."""
    return {"features": shape[0]} if len(shape) == 1 else dict(zip(("channels", "height", "width"), shape, strict=True))


def network(text: str, name: str, *, folded: bool = False) -> Graph:
    """The network of a spec's text, or with its batch norms `folded`. Raises SpecError."""
    return compile(replace(resolve(load_text(Source(f"{name}.yaml", text), name)), folded=folded))


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    return json.dumps(value)
