"""The intermediate representation: its canonical text, its networkx view, what verify refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import networkx as nx
import pytest

from resnet_dsl.graph import compile
from resnet_dsl.graph.graph import Graph, Node, Program
from resnet_dsl.graph.verify import GraphError, verify
from resnet_dsl.language import load

DATA = Path(__file__).parent / "data"
NAMES = ["resnet18", "resnet50", "resnet110", "plain34", "vgg19"]


def graph(name: str) -> Graph:
    return compile(load(name))


def test_canonical_text() -> None:
    """Reviewed by eye; made again by `resnet-dsl inspect resnet20 --ir`."""
    assert graph("resnet20").text() == (DATA / "resnet20.ir.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_network_is_an_acyclic_graph_in_insertion_order(name: str) -> None:
    view = graph(name).network()
    order = {path: i for i, path in enumerate(view)}
    assert nx.is_directed_acyclic_graph(view) and nx.is_frozen(view)
    assert list(nx.lexicographical_topological_sort(view, key=order.__getitem__)) == list(view)
    assert [n for n, d in view.in_degree() if d == 0] == ["input"]
    assert [n for n, d in view.out_degree() if d == 0] == [list(view)[-1]]


@pytest.mark.parametrize("name", NAMES)
def test_edges_are_operand_slots(name: str) -> None:
    found = graph(name)
    view = found.network()
    for flat in found.nodes():
        operands = [u for u, _, slot in sorted(view.in_edges(flat.path, keys=True), key=lambda e: e[2])]
        assert tuple(operands) == flat.inputs
        assert tuple(view.nodes[o]["shape"] for o in operands) == flat.in_shapes


def test_equal_blocks_are_one_program() -> None:
    deep = graph("resnet1202")
    assert len(deep.programs) == len(graph("resnet110").programs) < 15
    assert [n.times for n in deep.stages[1].callee.nodes] == [1, 199]
    assert sum(1 for _ in deep.instances()) == 1 + 3 + 600 + 2


def test_flat_paths_are_distinct_and_named_as_the_blocks() -> None:
    paths = [flat.path for flat in graph("resnet50").nodes()]
    assert len(set(paths)) == len(paths)
    assert {"conv1", "layer1.0.downsample.0", "layer3.5.bn3", "fc"} <= set(paths)


def broken(change: dict[str, object], at: int = 1) -> Graph:
    found = graph("resnet18")
    nodes = list(found.root.nodes)
    nodes[at] = dataclasses.replace(nodes[at], **change)  # type: ignore[arg-type]
    return dataclasses.replace(found, root=dataclasses.replace(found.root, nodes=tuple(nodes)))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: broken({"path": "conv1"}), "two nodes are called conv1"),
        (lambda: broken({"inputs": ("fc",)}), "reads what comes later"),
        (lambda: broken({"shape": (64, 1, 1)}), "wrong shape"),
        (lambda: broken({"times": 2}), "half a call"),
        (lambda: broken({"inputs": ("conv1", "conv1")}), "2 operands"),
        (lambda: broken({"inputs": ("conv1",)}, at=4), "does not fit the scope"),
        (lambda: broken({"inputs": ("conv1",)}, at=2), "nobody reads bn1"),
        (lambda: dataclasses.replace(graph("resnet18"), classes=10), "not in 10 features"),
    ],
)
def test_verify_refuses(graph, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        verify(graph())


def test_a_scope_without_nodes_is_the_identity() -> None:
    empty = Program("chain", "step", (3, 8, 8), ())
    assert (empty.output, empty.shape, empty.is_series) == ("", (3, 8, 8), True)
    around = Program(
        "network", "network", (3, 8, 8), (Node("chain", "call", (3, 8, 8), program=empty), Node("flatten", "flatten", (192,), ("chain",)))
    )
    flat = list(Graph("tiny", 192, around).nodes())
    assert [(f.path, f.inputs) for f in flat] == [("flatten", ("input",))]
