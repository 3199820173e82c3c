"""Specs as plain data for the tests that lower networks to torch."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load


def small(**changes: Any) -> dict[str, Any]:
    """A two-stage residual network on 8x8 maps, with other keys where given."""
    spec = {
        "input": {"channels": 3, "height": 8, "width": 8},
        "classes": 5,
        "stem": "cifar",
        "block": "basic",
        "shortcut": "B",
        "stages": [{"depth": 2, "width": 8}, {"depth": 3, "width": 16, "stride": 2}],
    }
    return spec | changes


def compiled(spec: dict[str, Any], name: str = "small") -> Graph:
    """The graph of a spec that stands in a file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(json.dumps(spec))
        return compile(load(str(path)))


PATHS: dict[str, Any] = {
    "branches": {
        "merge": "concat",
        "paths": [[{"conv": {"out": 4, "kernel": 1}}, "norm", "act"], [], [{"avgpool": {"kernel": 3, "stride": 1, "padding": 1}}]],
    }
}

# Between them: every combinator, every merge, every kind of shortcut, and features as well as maps.
NETWORKS: dict[str, dict[str, Any]] = {
    "small": small(),
    "zero-pad": small(shortcut="A"),
    "projections": small(shortcut="C"),
    "pooled": small(shortcut="D"),
    "plain": small(shortcut="none"),
    "bottleneck": small(block={"bottleneck": {"groups": 2, "base_width": 32, "se": 4}}),
    "preact": small(block={"preact_basic": {"drop_path": 0.1}}, head="preact_classifier"),
    "dense": small(block={"dense": {"growth": 4}}, shortcut="D"),
    "gate-conv": small(merge={"highway": {"gate": "conv", "kernel": 3}}, block="preact_basic"),
    "gate-channel": small(merge={"highway": {"gate": "channel", "bias": -1}}),
    "mul": small(merge="mul"),
    "mlp": {
        "input": {"features": 12}, "classes": 5, "stem": [{"linear": {"out": 16}}], "block": {"mlp": {"hidden": 24}},
        "shortcut": "Ws", "stages": [{"depth": 2, "width": 16}], "merge": {"highway": {"bias": -3}},
    },
    "mixed": small(
        stem=["cifar", PATHS, {"repeat": {"times": 2, "steps": [{"chain": [{"conv": {"out": 8, "kernel": 3}}, "norm", "act"]}]}}],
        stages=[
            {"depth": 4, "width": 8, "after": [{"dropout": {"rate": 0.5}}]},
            {"depth": 2, "width": 16, "stride": 2, "block": {"dense": {"growth": 4}}, "shortcut": "D", "before": [{"conv": {"kernel": 1}}]},
        ],
        init={"weights": "fixup", "zero_last": True},
    ),
    "read-twice": small(
        shortcut="C",
        block="odd",
        blocks={"odd": {"before": ["norm"], "body": ["act", {"conv": {"out": "out", "kernel": 3, "stride": "stride"}}]}},
    ),
    "in-place": small(
        stem=["act", {"slice": {"from": 1}}, "act", {"conv": {"out": 8, "kernel": 3}}, "act", "act", {"dropout": {"rate": 0.5}}, "act"],
        block={"odd": {}},
        blocks={"odd": {
            "before": ["act", "norm"],
            "body": [{"branches": {"merge": "add", "paths": [["act"], [{"bias": {"per": "channel"}}, "act"]]}},
                     {"conv": {"out": "out", "kernel": 3, "stride": "stride"}},
                     {"residual": {"body": ["act"], "after": ["act"]}}],
            "after": ["act"],
        }},
    ),
}  # fmt: skip
