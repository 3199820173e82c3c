"""Batch norms folded into the layers before them: the same function, checked over the zoo, and beside torch's own folding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from networks import NETWORKS, compiled, small
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.folding import Fold, fold, folds
from resnet_dsl.graph.verify import verify
from resnet_dsl.language import load
from resnet_dsl.language.files import shipped_specs
from resnet_dsl.runtime.folding import fold_weights
from resnet_dsl.verbs.modules import build

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def trained(graph: Graph) -> nn.Module:
    """A module whose batch norms have seen something and in which nothing is zero, in eval mode."""
    model = build(graph, seed=0)
    draws = torch.Generator().manual_seed(1)
    for p in model.parameters():
        if not p.any():
            p.data.normal_(0, 0.1, generator=draws)
    for m in model.modules():
        if isinstance(m, NORMS):
            for tensor, low, high in ((m.weight, 0.5, 1.5), (m.bias, -0.3, 0.3), (m.running_mean, -0.3, 0.3), (m.running_var, 0.5, 2.0)):
                tensor.data.uniform_(low, high, generator=draws)
    return model.eval()


def difference(graph: Graph, dtype: torch.dtype) -> float:
    """Between a network and its folded self, relative to the largest output."""
    model = trained(graph).to(dtype)
    folded = build(verify(fold(graph))).to(dtype).eval()
    folded.load_state_dict(fold_weights(graph, model.state_dict()))
    x = torch.randn(3, *graph.input, dtype=dtype, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted, found = model(x), folded(x)
    assert wanted.isfinite().all() and wanted.abs().max() > 0
    return float((wanted - found).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_algebra(name: str) -> None:
    assert difference(compiled(NETWORKS[name]), torch.float64) < 1e-12


def reduced() -> Iterator[tuple[str, Graph]]:
    """Every shipped network with one block in each of its first stages, on small maps; equal ones once."""
    seen = set()
    for name in shipped_specs():
        spec = load(name)
        settings = {f"stages.{stage.name}.depth": "1" for stage in spec.stages}
        if len(spec.input) == 3 and spec.input[1] >= 32:
            side = 64 if spec.input[1] > 32 else 8
            settings["input"] = f"{{channels: {spec.input[0]}, height: {side}, width: {side}}}"
        spec = load(name, settings)
        graph = compile(replace(spec, stages=spec.stages[: max(2, len(spec.stages) - 1)]))
        text = graph.text().partition("\n")[2]
        if text not in seen:
            seen.add(text)
            yield name, graph


ZOO = dict(reduced())


@pytest.mark.parametrize("name", [name for name, graph in ZOO.items() if any(folds(graph))])
def test_the_zoo(name: str) -> None:
    assert difference(ZOO[name], torch.float32) <= 1e-5


WHOLE = {name: compile(load(name)) for name in ("resnet50", "resnet50d", "densenet121", "preresnet110", "mobilenetv2", "highway110")}


@pytest.mark.parametrize("name", ZOO | WHOLE)
def test_what_is_left_and_what_it_costs(name: str) -> None:
    """By counting the modules that torch has."""
    graph = (ZOO | WHOLE)[name]
    folded = verify(fold(graph))
    with torch.device("meta"):
        before, after = build(graph), build(folded)
    gone = {f.norm for f in folds(graph)}
    norms = {path for path, m in before.named_modules() if isinstance(m, NORMS)}
    assert gone <= norms
    assert {path for path, m in after.named_modules() if isinstance(m, NORMS)} == norms - gone
    layers = [m for m in before.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len([m for m in after.modules() if isinstance(m, nn.Conv2d | nn.Linear)]) == len(layers)
    old, new = Costs(graph).network, Costs(folded).network
    assert (new.macs, new.depth, new.activations) == (old.macs, old.depth, old.activations)
    assert new.params == sum(p.numel() for p in after.parameters()) <= old.params
    shapes = {k: v.shape for k, v in fold_weights(graph, before.state_dict()).items()}
    assert shapes == {k: v.shape for k, v in after.state_dict().items()}


def test_torch_folds_alike() -> None:
    graph = ZOO["resnet18"]
    model = trained(graph)
    tensors = fold_weights(graph, model.state_dict())
    for f in folds(graph):
        theirs = fuse_conv_bn_eval(model.get_submodule(f.layer), model.get_submodule(f.norm))  # type: ignore[type-var]
        torch.testing.assert_close(tensors[f"{f.layer}.weight"], theirs.weight.detach())
        torch.testing.assert_close(tensors[f"{f.layer}.bias"], theirs.bias.detach())


def steps(*steps: object) -> Graph:
    """A network with a stem of its own and one plain block."""
    return compiled(small(stem=list(steps), shortcut="none", block={"own": {}}, stages=[{"depth": 1, "width": 8}],
                          blocks={"own": {"body": [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}]}}))  # fmt: skip


CONV = {"conv": {"out": 8, "kernel": 3}}
WAYS = [[{"conv": {"out": 8, "kernel": 1}}], []]
STEMS = {
    "after": ([CONV, "norm"], [Fold("conv1", "bn1", 1e-5)]),
    "before": (["norm", CONV], []),
    "act-between": ([CONV, "act", "norm"], []),
    "twice": ([CONV, "norm", "norm"], [Fold("conv1", "bn1", 1e-5)]),
    "eps": ([CONV, {"norm": {"kind": "batch", "eps": 0.5}}], [Fold("conv1", "bn1", 0.5)]),
    "other-norm": ([CONV, {"norm": {"kind": "group", "groups": 2}}], []),
    "end-of-a-chain": ([{"chain": ["act", CONV]}, "norm"], [Fold("chain.1", "bn1", 1e-5)]),
    "end-of-a-repeat": ([{"repeat": {"times": 2, "steps": [{"conv": {"out": 3, "kernel": 3}}]}}, "norm"], [Fold("repeat.1", "bn1", 1e-5)]),
    "after-a-merge": ([{"branches": {"merge": "concat", "paths": WAYS}}, "norm"], []),
    "read-twice": ([{"residual": {"before": [{"conv": {"out": 3, "kernel": 3}}], "shortcut": [{"conv": {"out": 3, "kernel": 3}}], "body": ["norm"]}}], []),
    "shortcut": ([{"residual": {"shortcut": [CONV, "norm"], "body": [CONV, "act"]}}], [Fold("residual.downsample.0", "residual.downsample.1", 1e-5)]),
}  # fmt: skip


@pytest.mark.parametrize("name", STEMS)
def test_which_norms_fold(name: str) -> None:
    stem, expected = STEMS[name]
    graph = steps(*stem)
    assert list(folds(graph)) == expected
    assert difference(graph, torch.float64) < 1e-12


def test_folding_again_changes_nothing() -> None:
    once = fold(compile(load("resnet50d")))
    assert list(folds(once)) == []
    assert fold(once).text() == once.text()


def test_equal_scopes_stay_one() -> None:
    graph = compile(load("resnet1202"))
    assert len(fold(graph).programs) == len(graph.programs)


def test_the_type_of_the_weights_is_kept() -> None:
    graph = compiled(small())
    tensors = fold_weights(graph, trained(graph).to(torch.bfloat16).state_dict())
    assert {t.dtype for t in tensors.values()} == {torch.bfloat16}
