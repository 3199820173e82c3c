"""Paths through networks: beside an enumeration by networkx, beside papers, and as the command prints them."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from math import comb, log2
from pathlib import Path

import networkx as nx
import pytest
from networks import NETWORKS, compiled, small

import resnet_dsl as rd
from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.paths import NetworkPaths, paths_of
from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph
from resnet_dsl.graph.network import flatten
from resnet_dsl.ops.table import OPS

SMALL = {
    **{name: compiled(spec) for name, spec in NETWORKS.items()},
    **{name: rd.compile(rd.load(name)) for name in ("resnet20", "resnet14-fmnist", "squeezenet-bypass", "vgg11")},
}


def found(name: str, *settings: str) -> NetworkPaths:
    return paths_of(rd.compile(rd.load(name, settings)))


@pytest.mark.parametrize("name", SMALL)
def test_lengths_are_those_of_all_paths_one_by_one(name: str) -> None:
    flat = flatten(SMALL[name])
    (end,) = flat.outputs
    weighted = {path for path, node in flat.network.nodes(data="node") if node is not None and OPS[node.op].weighted}
    lengths = Counter(sum(path in weighted for _, path, _ in way) for way in nx.all_simple_edge_paths(flat.network, flat.source, end))
    assert paths_of(SMALL[name]).lengths == tuple(sorted(lengths.items()))


@pytest.mark.parametrize("name", SMALL)
def test_cut_points_are_immediate_dominators(name: str) -> None:
    flat = flatten(SMALL[name])
    above = nx.immediate_dominators(flat.network, flat.source)
    (path,) = flat.outputs
    chain = []
    while (path := above[path]) not in (flat.source, None):
        chain.append(path)
    cuts = paths_of(SMALL[name]).cuts
    assert [c.path for c in cuts] == chain[::-1]
    assert [c.out for c in cuts] == [flat.network.nodes[path]["shape"] for path in chain[::-1]]


@pytest.mark.parametrize("name", SMALL)
def test_what_a_cut_leaves_behind_it(name: str) -> None:
    """Parameters and MACs of all that the cut depends on, operation by operation."""
    graph = SMALL[name]
    view = flatten(graph).network
    parts = {f.path: f for f in graph.nodes()}
    for cut in paths_of(graph).cuts:
        needed = [parts[path] for path in (nx.ancestors(view, cut.path) | {cut.path}) & parts.keys()]
        assert cut.params == sum(OPS[f.node.op].params(f.site) for f in needed)
        assert cut.macs == sum(OPS[f.node.op].macs(f.site) for f in needed)


@pytest.mark.parametrize(
    ("name", "settings", "shortest", "longest", "power"),
    [
        ("plain20", (), 20, 20, 0),
        ("vgg16", (), 16, 16, 0),
        ("resnet20", (), 2, 20, 9),
        ("resnet56", (), 2, 56, 27),
        ("resnet110", (), 2, 110, 54),
        ("resnet110", ("shortcut=C",), 56, 110, 54),
        ("resnet50", (), 6, 50, 16),
        ("resnet1202", (), 2, 1202, 600),
        ("densenet121", (), 5, 121, 58),
    ],
)
def test_figures_that_can_be_had_by_hand(name: str, settings: tuple[str, ...], shortest: int, longest: int, power: int) -> None:
    """n blocks make 2^n paths; the shortest keeps to the shortcuts: conv1 and fc, and the projections on the way."""
    paths = found(name, *settings)
    assert (paths.shortest, paths.longest, paths.count) == (shortest, longest, 2**power)


def test_lengths_of_residual_networks_are_binomial() -> None:
    """Veit et al. 2016, section 4.2: of 54 modules, more than 95 % of the paths go through 19 to 35."""
    paths = found("resnet110")
    assert paths.lengths == tuple((2 + 2 * k, comb(54, k)) for k in range(55))
    assert paths.mean == 56
    assert sum(n for length, n in paths.lengths if 19 <= (length - 2) // 2 <= 35) / paths.count > 0.95


@pytest.mark.parametrize(
    ("name", "settings", "groups"),
    [
        ("plain20", (), []),
        ("densenet121", (), []),
        ("resnet50", (), [(256, 4), (512, 5), (1024, 7), (2048, 4)]),
        ("resnet20", (), [(16, 4), (32, 3), (64, 3)]),
        ("mobilenetv2", (), [(24, 2), (32, 3), (64, 4), (96, 3), (160, 3)]),
        ("resnet20", ("shortcut=C",), [(16, 2)] * 3 + [(32, 2)] * 3 + [(64, 2)] * 3),
    ],
)
def test_tied_widths(name: str, settings: tuple[str, ...], groups: list[tuple[int, int]]) -> None:
    assert [(t.width, len(t.layers)) for t in found(name, *settings).tied] == groups


def test_a_gate_and_a_depthwise_conv_have_the_width_of_what_they_work_on() -> None:
    body = [
        {"conv": {"out": "out", "kernel": 1}},
        {"conv": {"out": "out", "kernel": 3, "groups": "out", "stride": "stride"}},
        {"se": {"ratio": 4}},
    ]
    spec = small(blocks={"mine": {"body": body}}, block="mine", shortcut="none", stages=[{"depth": 1, "width": 8}])
    assert [t.layers for t in paths_of(compiled(spec)).tied] == [("layer1.0.conv1", "layer1.0.conv2", "layer1.0.se.fc2")]


def test_too_many_paths_to_write_down() -> None:
    with pytest.raises(SpecError, match=r"about 2\^9,000 paths of up to 18,002 layers"):
        rd.paths("resnet20", overrides=[f"stages.layer{i}.depth=3000" for i in (1, 2, 3)])


@pytest.mark.needs("pandas")
def test_an_answer_of_several_networks() -> None:
    paths = rd.paths("plain56", "resnet56")
    assert repr(paths) == "<Paths plain56: 1 through 56 layers; resnet56: 2^27 through 2 to 56 layers>"
    assert [p.count for p in paths] == [1, 2**27]
    assert len(paths) == 2 and paths[1].mean == 29
    assert paths.to_dataframe().shape == (2, 7)
    assert paths.svg == rd.paths("plain56", "resnet56").svg
    assert paths.svg.count("<path") > 2
    with pytest.raises(SpecError, match="by=: error"):
        rd.paths("plain56", by="cuts")  # type: ignore[arg-type]


def run(*args: str, code: int = 0) -> str:
    """What `resnet-dsl paths` prints, on both streams."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert main(["paths", *args]) == code
    return said.getvalue()


def test_the_document_is_exact() -> None:
    document = json.loads(run("resnet110", "-f", "json"))
    assert document == rd.paths("resnet110").to_dict()
    (network,) = document["networks"]
    assert network["paths"] == 18_014_398_509_481_984
    assert sum(n for _, n in network["lengths"]) == network["paths"]
    assert log2(network["paths"]) == 54


@pytest.mark.parametrize("by", ["net", "length", "cut", "group"])
def test_tables_fit_a_terminal(by: str) -> None:
    text = run("resnet50", "densenet121", "--by", by)
    assert max(map(len, text.splitlines())) <= 80
    assert run("resnet50", "--by", by, "-f", "csv").count("\n") == 1 + {"net": 1, "length": 43, "cut": 38, "group": 4}[by]


def test_runs_of_blocks_are_drawn_together() -> None:
    assert "1,024       7  layer3.0-5.conv3, layer3.0.downsample.0" in run("resnet50", "--by", "group")
    assert "No merge ties the widths of two layers." in run("plain20", "--by", "group")


def test_a_picture(tmp_path: Path) -> None:
    assert run("resnet20", "plain20", "-o", str(tmp_path / "paths.svg")).startswith(f"wrote {tmp_path / 'paths.svg'}\n")
    assert (tmp_path / "paths.svg").read_text() == rd.paths("resnet20", "plain20").svg
    assert "paths are drawn as SVG, not as paths.png" in run("resnet20", "-o", "paths.png", code=2)


def test_costs_at_the_last_cut_are_those_before_the_classifier() -> None:
    graph: Graph = rd.compile(rd.load("resnet50"))
    last = paths_of(graph).cuts[-1]
    assert (last.path, last.out) == ("flatten", (2048,))
    assert last.params == Costs(graph).network.params - 2_049_000
