"""The intermediate representation: its canonical text, its networkx view, what verify refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import networkx as nx
import pytest
from networks import NETWORKS, compiled, small

from resnet_dsl.graph import compile
from resnet_dsl.graph.graph import Graph, Node, Program
from resnet_dsl.graph.network import checked, flatten
from resnet_dsl.graph.outputs import select
from resnet_dsl.graph.verify import GraphError, verify
from resnet_dsl.language import load
from resnet_dsl.language.files import shipped_specs

DATA = Path(__file__).parent / "data"
NAMES = ["resnet18", "resnet50", "resnet110", "plain34", "vgg19"]


def graph(name: str) -> Graph:
    return compile(load(name))


def test_canonical_text() -> None:
    """Reviewed by eye; made again by `resnet-dsl inspect resnet20 --ir`."""
    assert graph("resnet20").text() == (DATA / "resnet20.ir.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_the_flat_network_has_the_edges_of_the_flat_nodes(name: str) -> None:
    """Two flattenings, one in the order of the nodes and one by name, agree on every operand and shape."""
    found = graph(name)
    view = flatten(found).network
    assert nx.is_frozen(view)
    assert list(view) == ["input", *(flat.path for flat in found.nodes())]
    for flat in found.nodes():
        operands = [u for u, _, slot in sorted(view.in_edges(flat.path, keys=True), key=lambda e: e[2])]
        assert tuple(operands) == flat.inputs
        assert tuple(view.nodes[o]["shape"] for o in operands) == flat.in_shapes


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_network_is_checked_twice(name: str) -> None:
    found = graph(name)
    assert checked(found) is found


@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_network_is_checked_twice(name: str) -> None:
    found = compiled(NETWORKS[name])
    assert checked(found) is found
    cut = select(found, ["layer1.0", "stem"])
    assert checked(cut) is cut


def test_an_operation_may_be_called_input() -> None:
    found = compiled(small(stem=[{"conv": {"out": 8, "kernel": 3, "as": "input"}}, "norm", "act"]))
    flat = flatten(checked(found))
    assert flat.source == "input_"
    assert list(flat.network.predecessors("input")) == ["input_"]


def test_a_scope_in_another_order_is_computed_in_the_order_that_networkx_finds() -> None:
    """A projection that stands before the body reads the same, and is the same network."""
    found = graph("resnet18")
    block = found.stages[1].callee.nodes[0].callee
    *body, projection, merge, act = block.nodes
    swapped = dataclasses.replace(block, nodes=(act, projection, *reversed(body), merge))
    with pytest.raises(GraphError, match="basic: add is its output, but not its last value"):
        checked(dataclasses.replace(found, root=replaced(found.root, block, swapped)))
    swapped = dataclasses.replace(block, nodes=(merge, projection, *reversed(body), act))
    other = dataclasses.replace(found, root=replaced(found.root, block, swapped))
    with pytest.raises(GraphError, match="reads what comes later"):
        verify(other)
    order = [n.path for n in checked(other).stages[1].callee.nodes[0].callee.nodes]
    assert order == ["downsample", "conv1", "bn1", "act1", "conv2", "bn2", "add", "act2"]


def replaced(program: Program, old: Program, new: Program) -> Program:
    if program is old:
        return new
    nodes = tuple(n if n.program is None else dataclasses.replace(n, program=replaced(n.program, old, new)) for n in program.nodes)
    return dataclasses.replace(program, nodes=nodes)


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


def in_a_block(name: str, **change: object) -> Graph:
    """ResNet-18 with one node of the first block of layer2 changed."""
    found = graph("resnet18")
    block = found.stages[1].callee.nodes[0].callee
    nodes = tuple(dataclasses.replace(n, **change) if n.path == name else n for n in block.nodes)  # type: ignore[arg-type]
    return dataclasses.replace(found, root=replaced(found.root, block, dataclasses.replace(block, nodes=nodes)))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: in_a_block("conv1", inputs=("act1",)), r"basic: (conv1|bn1|act1)( -> (conv1|bn1|act1)){2} is a cycle"),
        (lambda: in_a_block("conv1", inputs=()), "layer2.0.conv1 reads nothing"),
        (lambda: in_a_block("add", inputs=("bn2", "bn2")), "nobody reads layer2.0.downsample.1"),
        (lambda: in_a_block("add", inputs=("bn2",)), "nobody reads layer2.0.downsample.1"),
        (lambda: in_a_block("bn2", inputs=("conv2", "conv1")), r"layer2.0.bn2 has operands in the slots \[0, 1\]"),
        (lambda: in_a_block("downsample", inputs=("conv1",)), "layer2.0.downsample.0 gives"),
        (lambda: in_a_block("act1", shape=(128, 1, 1)), r"layer2.0.act1 gives \(128, 28, 28\), not \(128, 1, 1\)"),
        (lambda: in_a_block("act1", inputs=("nowhere",)), "act1 reads nowhere, which is not there"),
        (lambda: in_a_block("act1", path="bn1"), "two nodes are called bn1"),
        (lambda: broken({"inputs": ("conv1",)}, at=2), "nobody reads bn1"),
        (lambda: dataclasses.replace(graph("resnet18"), classes=10), "does not end in 10 features"),
    ],
)
def test_networkx_refuses(graph, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        checked(graph())


def test_a_scope_without_nodes_is_the_identity() -> None:
    empty = Program("chain", "step", (3, 8, 8), ())
    assert (empty.output, empty.shape, empty.is_series) == ("", (3, 8, 8), True)
    around = Program(
        "network", "network", (3, 8, 8), (Node("chain", "call", (3, 8, 8), program=empty), Node("flatten", "flatten", (192,), ("chain",)))
    )
    tiny = Graph("tiny", 192, around)
    assert [(f.path, f.inputs) for f in tiny.nodes()] == [("flatten", ("input",))]
    assert list(flatten(checked(tiny)).network.edges) == [("input", "flatten", 0)]
