"""Every network of data/counts.json, written as a spec, costs the integers that were counted on hand-written torch nets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph import compile
from resnet_dsl.language import load

NETWORKS: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "counts.json").read_text())

# One gate for a whole image, or one learnt constant: T and 1 - T share weights, which a highway merge says for a gate
# convolution or a gate a channel alone.
UNSAYABLE = {f"cifar-highway-{depth}-{gate}-B" for depth in (20, 110) for gate in ("scalar", "scalar_const", "channel_const")}

MERGES = {
    "elem1x1": {"highway": {"gate": "conv", "kernel": 1}},
    "elem3x3": {"highway": {"gate": "conv", "kernel": 3}},
    "channel": {"highway": {"gate": "channel"}},
}


def first_unactivated(block: str) -> dict[str, Any]:
    """A pre-activation block whose first copy in the net reads the stem's norm and act (He et al. 2016, Facebook's code)."""
    conv = {"out": "width", "kernel": 3, "stride": "stride"}
    basic = [{"conv": conv}, "norm", "act", {"conv": {"out": "out", "kernel": 3}}]
    bottleneck = [
        {"conv": {"out": "width", "kernel": 1}},
        "norm",
        "act",
        {"conv": conv},
        "norm",
        "act",
        {"conv": {"out": "out", "kernel": 1}},
    ]
    before = [{"norm": {"when": "position > 0"}}, {"act": {"when": "position > 0"}}]
    if block == "basic":
        return {"before": before, "body": basic}
    return {"out": "width * 4", "before": before, "body": bottleneck}


def residual(c: dict[str, Any]) -> dict[str, Any]:
    """The spec of a network whose config names a stem, a block and a shortcut."""
    block = ("preact_" if c["preact"] else "") + c["block"]
    args: dict[str, Any] = {"se": c["se_ratio"]} if c["se_ratio"] else {}
    if c["block"] == "bottleneck":
        args |= {"groups": c["groups"], "base_width": c["base_width"], "stride_at": 1 if c["stride_in"] == "1x1" else 2}
    spec: dict[str, Any] = {
        "input": {"channels": c["in_ch"], "height": c["size"][0], "width": c["size"][1]},
        "classes": c["classes"],
        "stem": {c["stem"]: {"width": c["stem_width"], "norm": c["stem_norm"]}},
        "block": {block: args},
        "shortcut": {c["shortcut"]: {"norm": c["shortcut_norm"]}} if c["shortcut"] in "BC" else c["shortcut"],
        "stages": [{"depth": d, "width": w, "stride": s} for d, w, s in zip(c["depths"], c["planes"], c["strides"], strict=True)],
        "head": "preact_classifier" if c["preact"] else "classifier",
    }
    if c["first_no_preact"]:
        spec |= {"block": "late", "blocks": {"late": first_unactivated(c["block"])}}
    if c["gate"]:
        spec["merge"] = MERGES[c["gate"]]
    return spec


def vgg(*depths: int, norm: bool = False) -> dict[str, Any]:
    conv = {"conv": {"out": "out", "kernel": 3, "bias": True}}
    hidden = [{"linear": {"out": 4096}}, "act"]
    return {
        "input": {"channels": 3, "height": 224, "width": 224},
        "classes": 1000,
        "stem": [],
        "block": "layer",
        "blocks": {"layer": {"body": [conv, "norm"] if norm else [conv], "after": ["act"]}},
        "shortcut": "none",
        "stages": [
            {"depth": d, "width": w, "after": [{"maxpool": {"kernel": 2}}]} for d, w in zip(depths, (64, 128, 256, 512, 512), strict=True)
        ],
        "head": ["flatten", *hidden, *hidden, {"linear": {"out": "classes"}}],
    }


def mlp(features: int, width: int, hidden: int, depth: int = 1, classes: int = 0, bias: bool = True) -> dict[str, Any]:
    """Residual MLP blocks; between two linear layers where there are `classes`, else bare."""
    layers = [{"linear": {"out": "hidden", "bias": bias}}, "act", {"linear": {"out": "out", "bias": bias}}]
    return {
        "input": {"features": features},
        "classes": classes or width,
        "stem": [{"linear": {"out": width}}] if classes else [],
        "block": {"layer": {"hidden": hidden}},
        "blocks": {"layer": {"args": {"hidden": "width"}, "body": layers}},
        "shortcut": "Ws",
        "stages": [{"depth": depth, "width": width}],
        "head": "classifier" if classes else [],
    }


OTHERS = {
    "vgg-16": vgg(2, 2, 3, 3, 3),
    "vgg-19": vgg(2, 2, 4, 4, 4),
    "vgg-19-bn": vgg(2, 2, 4, 4, 4, norm=True),
    "mlp-res-1block-64-256": mlp(64, 64, 256),
    "mlp-res-1block-64-256-nobias": mlp(64, 64, 256, bias=False),
    "mlp-res-1block-256-256": mlp(256, 256, 256),
    "mlp-res-784-128x6-h512-10": mlp(784, 128, 512, depth=6, classes=10),
    "mlp-res-784-256x3-h256-10": mlp(784, 256, 256, depth=3, classes=10),
    "mlp-res-proj-64-128-32": mlp(64, 32, 128),
}


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in UNSAYABLE])
def test_counts(name: str, tmp_path: Path) -> None:
    truth = NETWORKS[name]
    path = tmp_path / f"{name}.yaml"
    path.write_text(json.dumps(residual(truth["config"]) if truth["config"] else OTHERS[name]))
    graph = compile(load(str(path)))
    cost = Costs(graph).network
    assert {key: getattr(cost, key) for key in truth["counts"]} == truth["counts"]
    if truth["feature_maps"]:
        assert [list(stage.shape) for stage in graph.stages] == truth["feature_maps"][1:]


def test_the_unsayable_are_few_and_known() -> None:
    assert set(NETWORKS) >= UNSAYABLE
    assert {NETWORKS[name]["config"]["gate"] for name in UNSAYABLE}.isdisjoint(MERGES)
