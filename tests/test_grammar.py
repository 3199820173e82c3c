"""What must hold of every legal spec, on specs that a grammar draws (`grammar.py`).

`RESNET_DSL_EXAMPLES=2000` draws that many, new ones each time; the ordinary suite draws few, the same ones each time.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
import torch
from grammar import Tree, specs
from hypothesis import HealthCheck, given, settings
from networks import compiled, small
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import Source
from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.verify import verify
from resnet_dsl.language import load
from resnet_dsl.language.format import format_document
from resnet_dsl.language.resolved import resolved
from resnet_dsl.pictures.draw import STYLES, Style, draw
from resnet_dsl.verbs.modules import build
from resnet_dsl.verbs.networks import diff

EXAMPLES = int(os.environ.get("RESNET_DSL_EXAMPLES", "0"))


def the_module_does_what_the_graph_says(graph: Graph) -> None:
    """The shape at every module, parameters and multiply-accumulates, on the meta device."""
    with torch.device("meta"):
        model, x = build(graph).eval(), torch.empty(1, *graph.input)
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, i, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    with FlopCounterMode(display=False) as counter:
        assert model(x).shape == (1, graph.classes)
    nodes = {f.path: f.node.shape for f in graph.nodes() if f.path in seen}
    assert {name: seen[name] for name in nodes} == nodes
    assert nodes.keys() >= {name for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))}
    cost = Costs(graph).network
    assert sum(p.numel() for p in model.parameters()) == cost.params == graph.params
    assert counter.get_total_flops() == 2 * cost.macs


def the_source_alone_gives_the_same(graph: Graph) -> None:
    model = build(graph, seed=0).eval()
    names: dict[str, type[nn.Module]] = {"__name__": "emitted"}  # type: ignore[dict-item]
    exec(emit(graph), names)
    alone = names[class_name(graph)]().eval()
    alone.load_state_dict(model.state_dict())
    x = torch.randn(2, *graph.input, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(alone(x), model(x), rtol=0, atol=0, equal_nan=True)


def the_text_stays_the_network(path: Path, graph: Graph) -> None:
    """The resolved text, and the normal form of what was written."""
    spec, text = load(str(path)), path.read_text()
    for again in (resolved(spec), resolved(spec, origins=False)):
        path.write_text(again)
        assert compile(load(str(path))).text() == graph.text()
    once = format_document(Source("spec.yaml", text))
    assert format_document(Source("spec.yaml", once)) == once
    path.write_text(once)
    assert compile(load(str(path))).text() == graph.text()


@settings(
    max_examples=EXAMPLES or 8,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(specs())
def test_every_legal_spec(files: dict[str, Tree]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, tree in files.items():
            (Path(folder) / name).write_text(json.dumps(tree))
        path = Path(folder) / "spec.yaml"
        graph = verify(compile(load(str(path))))
        the_module_does_what_the_graph_says(graph)
        the_source_alone_gives_the_same(graph)
        the_text_stays_the_network(path, graph)
        for style in ("folded", "overview"):
            assert draw(graph, style=style).dot.startswith("digraph")
        assert diff(graph, graph).same


@pytest.mark.parametrize("style", STYLES)
def test_a_stage_that_begins_with_empty_paths_is_drawn(style: Style) -> None:
    empty = {"branches": {"paths": [[]], "merge": "add"}}
    assert draw(compiled(small(stages=[{"depth": 2, "width": 8, "before": [empty]}])), style=style).dot.startswith("digraph")
