"""What travels inside a file of weights besides the tensors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from resnet_dsl.language.stored import FORMAT, read_header


@dataclass(frozen=True, slots=True)
class WeightsMetadata:
    """Class names, and whether the weights are those of the network with its batch norms folded."""

    classes: tuple[str, ...] | None = None
    folded: bool = False

    @staticmethod
    def of_file(path: Path) -> WeightsMetadata:
        """Of a safetensors file; nothing where the file is not ours."""
        found = read_header(str(path)).metadata
        if found.get("format") != FORMAT:
            return NOTHING
        return WeightsMetadata(tuple(json.loads(found["classes"])) if "classes" in found else None, found.get("folded") == "true")


NOTHING = WeightsMetadata()
