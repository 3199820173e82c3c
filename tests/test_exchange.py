"""A network as a graph for other programs: what networkx reads back, and a drawing as Graphviz' own value."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import pytest
from networks import NETWORKS, compiled, small

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.draw import draw

READERS: dict[str, Callable[[Path], nx.MultiDiGraph[str]]] = {
    ".graphml": lambda path: nx.read_graphml(path, force_multigraph=True),
    ".gexf": nx.read_gexf,
    ".json": lambda path: nx.node_link_graph(json.loads(path.read_text()), edges="edges"),
}


@pytest.mark.parametrize("name", ["resnet18", "mixed", "gate-conv", "read-twice"])
@pytest.mark.parametrize("ending", READERS)
def test_networkx_reads_back_every_node_and_operand(name: str, ending: str, tmp_path: Path) -> None:
    graph = compiled(NETWORKS[name]) if name in NETWORKS else compile(load(name))
    read = READERS[ending](draw(graph).save(tmp_path / f"net{ending}"))
    for f in graph.nodes():
        found, row = read.nodes[f.path], OPS[f.node.op]
        assert (found["op"], found["shape"]) == (f.node.op, "x".join(map(str, f.node.shape)))
        assert found["params"] == row.params(f.site)
        assert found["macs"] == row.macs(f.site)
        assert found["shortcut"] is f.in_shortcut
        operands = sorted((data["slot"], u) for u, _, data in read.in_edges(f.path, data=True))
        assert [u for _, u in operands] == list(f.inputs)
    assert len(read) == 1 + sum(1 for _ in graph.nodes())
    assert sum(data.get("params", 0) for _, data in read.nodes(data=True)) == Costs(graph).network.params


@pytest.mark.parametrize("ending", READERS)
def test_a_graph_file_is_of_one_network_and_the_same_each_time(ending: str, tmp_path: Path) -> None:
    one = draw(compiled(small()))
    assert one.save(tmp_path / f"a{ending}").read_bytes() == one.save(tmp_path / f"b{ending}").read_bytes()
    with pytest.raises(SpecError, match="a graph holds one network, not 2"):
        draw([compiled(small())] * 2).save(tmp_path / f"c{ending}")


@pytest.mark.needs("graphviz")
def test_a_drawing_as_a_source_of_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = draw(compiled(small()))
    source = drawing.graphviz()
    assert (source.source, source.filename) == (drawing.dot, "small.gv")
    assert "node [fontname=Helvetica" in source.source
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(SpecError, match=r"pip install 'resnet-dsl\[graphviz\]'; or take '.dot'") as e:
        drawing.graphviz()
    assert e.value.exit_code == 3
