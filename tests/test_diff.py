"""Differences between networks: pairs of specs with the text that tells them apart, and what must hold of every pair.

RESNET_DSL_ACCEPT=1 in the environment rewrites the golden files; read the difference before you keep it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NETWORKS, compiled, small

from resnet_dsl.analysis.alignment import Keys, align
from resnet_dsl.analysis.changes import Change
from resnet_dsl.analysis.cost import Cost
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.graph import Node, Program
from resnet_dsl.graph.tensors import tensors
from resnet_dsl.language import load
from resnet_dsl.pictures import difftext
from resnet_dsl.pictures.difference import Difference, diff
from resnet_dsl.pictures.draw import draw_difference
from resnet_dsl.verbs.modules import build

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "diff"


def kernels(sizes: str, depth: int) -> dict[str, Any]:
    """A network whose blocks differ in their kernels, by an expression over `index`."""
    body = [{"conv": {"out": "out", "kernel": sizes, "stride": "stride"}}, "norm"]
    return small(block="one", blocks={"one": {"body": body, "after": ["act"]}}, stages=[{"depth": depth, "width": 8}])


def spec(base: str, *settings: str) -> Graph:
    return compile(load(base, settings))


STAGES = [{"depth": 2, "width": 8}, {"depth": 3, "width": 16, "stride": 2}]
RENAMED = [STAGES[0], {**STAGES[1], "name": "deep"}]
LONGER = [*STAGES, {"depth": 1, "width": 32, "stride": 2}]
BY_HAND = small(
    block="mine",
    blocks={"mine": {"body": [
        {"conv": {"out": "out", "kernel": "1 + 2", "stride": "stride"}}, "norm", "act", {"conv": {"out": "out", "kernel": [3, 3]}}, "norm",
    ], "after": ["act"]}},
)  # fmt: skip

# Name, A, B, and how many changes there are: the figure that says whether a change is told once.
PAIRS: dict[str, tuple[Graph, Graph, int]] = {
    "same": (compiled(small()), compiled(small(), "other-name"), 0),
    "same-by-another-spec": (compiled(small()), compiled(BY_HAND), 0),
    "inserted-front": (compiled(kernels("3 + 2 * index", 3)), compiled(kernels("1 + 2 * index", 4)), 1),
    "inserted-middle": (
        compiled(kernels("3 + 2 * index", 3)), compiled(kernels("3 if index == 0 else 11 if index == 1 else 1 + 2 * index", 4)), 1,
    ),
    "inserted-end": (compiled(kernels("3 + 2 * index", 3)), compiled(kernels("3 + 2 * index", 4)), 1),
    "deeper": (spec("resnet50"), spec("resnet101"), 1),
    "swapped": (compiled(kernels("3 + 2 * index", 4)), compiled(kernels("9 if index == 0 else 3 if index == 3 else 3 + 2 * index", 4)), 1),
    "swapped-neighbours": (
        compiled(kernels("3 + 2 * index", 4)), compiled(kernels("7 if index == 1 else 5 if index == 2 else 3 + 2 * index", 4)), 1,
    ),
    "renamed-stage": (compiled(small(stages=STAGES)), compiled(small(stages=RENAMED)), 1),
    "extra-stage": (compiled(small(stages=STAGES)), compiled(small(stages=LONGER)), 1),
    "shortcut-a-to-c": (spec("resnet34", "shortcut=A"), spec("resnet34", "shortcut=C"), 7),
    "v1-to-v1.5": (spec("resnet50-v1"), spec("resnet50"), 6),
    "wider-stage": (spec("resnet18"), spec("resnet18", "stages.layer2.width=160"), 5),
    "block-type": (spec("resnet34"), spec("resnet50"), 8),
    "plain-to-residual": (spec("plain20"), spec("resnet20"), 7),
    "classes": (spec("resnet20"), spec("resnet20", "classes=100"), 1),
    "input-and-init": (spec("resnet20"), spec("resnet20", "input.height=64", "init={zero_last: true}"), 2),
    "norm": (spec("resnet18"), spec("resnet18", "norm={group: {groups: 8}}"), 18),
    "preactivation": (compiled(small()), compiled(small(block="preact_basic", head="preact_classifier")), 11),
    "drop-path": (spec("resnet110"), spec(str(DATA / "legal" / "stochastic-depth-110.yaml")), 54),
    "squeeze-and-excite": (spec("resnet50"), spec(str(DATA / "legal" / "se-resnet50.yaml")), 8),
    "another-network": (spec("resnet20"), compiled(NETWORKS["mlp"], "mlp"), 0),
}  # fmt: skip


def text(found: Difference) -> str:
    return "\n".join([difftext.tree(found), found.table().render("table"), difftext.weights(found.weights)])


@pytest.mark.parametrize("name", PAIRS)
def test_golden(name: str) -> None:
    a, b, count = PAIRS[name]
    found = diff(a, b)
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("RESNET_DSL_ACCEPT"):
        path.write_text(text(found))
    assert text(found) == path.read_text()
    if name != "another-network":
        assert found.count == count
    assert found.same == (found.count == 0)
    assert max(map(len, text(found).splitlines())) <= 80


def flat(changes: tuple[Change, ...]) -> list[Change]:
    return [c for top in changes for c in top.walk()]


MANY = [compiled(NETWORKS[name], name) for name in NETWORKS]


@pytest.mark.parametrize(("a", "b"), list(pairwise([*MANY, MANY[0]])), ids=lambda g: g.name)
def test_there_and_back(a: Graph, b: Graph) -> None:
    there, back = diff(a, b), diff(b, a)
    assert sum(c.status == "added" for c in flat(there.changes)) == sum(c.status == "removed" for c in flat(back.changes))
    assert there.same == back.same == False  # noqa: E712
    for found, graphs in ((there, (a, b)), (back, (b, a))):
        for i, graph in enumerate(graphs):
            total = sum((part[1 + i] for part in found.parts()), Cost())
            assert (total.params, total.macs) == (found.costs[i].network.params, found.costs[i].network.macs)
            sides = [(c.a, c.b)[i] for c in found.changes]
            assert [s.name for s in sides if s] == [n.path for n in graph.root.nodes if any(s and s.name == n.path for s in sides)]
            assert {s.name for s in sides if s} == {n.path for n in graph.root.nodes}


@pytest.mark.parametrize("graph", MANY, ids=lambda g: g.name)
def test_a_network_is_itself(graph: Graph) -> None:
    found = diff(graph, graph)
    assert found.same
    assert found.weights.fits
    assert not [c for c in flat(found.changes) if c.status != "same"]


def test_what_reads_something_else_has_changed() -> None:
    """The same steps in the same order, and one of them reads the input in place of what comes before it."""
    steps = (
        Node("act1", "relu", (4,)),
        Node("bn1", "batch_norm", (4,), ("act1",)),
        Node("fc", "linear", (2,), ("bn1",), (("bias", True),)),
    )
    other = (*steps[:1], replace(steps[1], inputs=("",)), steps[2])
    a, b = (Graph("net", 2, Program("network", "network", (4,), nodes)) for nodes in (steps, other))
    found = diff(a, b)
    assert [(c.side.name, list(map(str, c.attributes))) for c in found.changes if c.status != "same"] == [("bn1", ["reads act1 -> input"])]


# --- alignment -----------------------------------------------------------------------------------------------

KINDS = [Node(f"k{i}", op, (4,)) for i, op in enumerate(("relu", "gelu", "tanh", "sigmoid"))]


def scope(kinds: list[int]) -> Program:
    return Program(
        "chain", "step", (4,), tuple(replace(KINDS[k], path=f"s{i}", inputs=(f"s{i - 1}" if i else "",)) for i, k in enumerate(kinds))
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), max_size=7), st.lists(st.integers(0, 3), max_size=7))
def test_alignment_keeps_a_longest_common_subsequence(a: list[int], b: list[int]) -> None:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return 0
        return max(longest(i + 1, j), longest(i, j + 1), 1 + longest(i + 1, j + 1) if a[i] == b[j] else 0)

    pairs = align(scope(a), scope(b), Keys())
    assert sum(p.status == "same" for p in pairs) == longest(0, 0)
    assert sorted(p.a.node.path for p in pairs if p.a) == sorted(f"s{i}" for i in range(len(a)))
    assert [p.b.node.path for p in pairs if p.b and p.status != "moved"] == sorted(
        (p.b.node.path for p in pairs if p.b and p.status != "moved"), key=lambda s: int(s[1:])
    )
    assert sorted(p.b.node.path for p in pairs if p.b) == sorted(f"s{i}" for i in range(len(b)))


def test_runs_are_aligned_as_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """However deep two stages of equal blocks are, as many steps are compared."""
    calls: dict[str, int] = {}
    counted = Keys.node
    for deep, shallow in (("20", "32"), ("110", "1202")):
        calls[deep] = 0

        def node(self: Keys, n: Node, deep: str = deep) -> int:
            calls[deep] += 1
            return counted(self, n)

        monkeypatch.setattr(Keys, "node", node)
        assert diff(spec(f"resnet{deep}"), spec(f"resnet{shallow}")).count == 3
    assert calls["20"] == calls["110"]


def test_many_distinct_blocks_are_aligned_by_what_is_unique() -> None:
    """Beyond some hundred blocks of their own each, what both sides have once is the anchor."""
    rates = "0.5 * (position + {}) / 1000"
    body = [{"conv": {"out": "out", "kernel": 3}}, {"droppath": {"rate": rates}}]

    def net(shift: int) -> Graph:
        steps = [body[0], {"droppath": {"rate": rates.format(shift)}}]
        return compiled(
            small(
                block="one",
                blocks={"one": {"body": steps}},
                stages=[{"depth": 400, "width": 16}],
                stem=[{"conv": {"out": 16, "kernel": 3}}],
            )
        )

    found = diff(net(0), net(3))
    (stage,) = [c for c in found.changes if c.role == "stage"]
    assert [(c.status, c.side.name) for c in stage.inside if c.status != "same"] == [
        *(("removed", str(i)) for i in range(3)), *(("added", str(i)) for i in range(397, 400)),
    ]  # fmt: skip


# --- weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "graph", [*MANY, *(spec(str(DATA / "legal" / f"{n}.yaml")) for n in ("fixup-20", "skipinit-20", "sk-like"))], ids=lambda g: g.name
)
def test_tensors_are_the_state_dict(graph: Graph) -> None:
    with torch.device("meta"):
        model = build(graph)
    assert list(tensors(graph).items()) == [(name, tuple(t.shape)) for name, t in model.state_dict().items()]


@pytest.mark.parametrize(("a", "b"), list(product(["small", "projections", "plain", "mul"], ["small", "zero-pad", "bottleneck", "plain"])))
def test_fit_is_what_torch_finds(a: str, b: str) -> None:
    graphs = [compiled(NETWORKS[name]) for name in (a, b)]
    fit = diff(*graphs).weights
    models = [build(g) for g in graphs]
    state = models[0].state_dict()
    shapes = {n: t.shape for n, t in models[1].state_dict().items()}
    reshaped = {n for n, t in state.items() if n in shapes and t.shape != shapes[n]}
    kept = state.copy()
    kept._metadata = state._metadata  # by which torch knows that counts of batches are due
    for name in reshaped:
        del kept[name]
    found = models[1].load_state_dict(kept, strict=False)
    assert [n for n, *_ in fit.reshaped] == [n for n in state if n in reshaped]
    assert [n for n, _ in fit.only_a] == found.unexpected_keys
    # Of a norm that is not there at all, torch does not miss the count of batches.
    counted = {n for n in fit.only_b if n[0].endswith("num_batches_tracked")}
    assert {n for n, _ in {*fit.only_b} - counted} | reshaped == {n for n in found.missing_keys if not n.endswith("num_batches_tracked")}
    assert fit.fits == (not (reshaped or found.unexpected_keys or found.missing_keys))


# --- the picture ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
def test_the_picture_stands_level(name: str) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from test_draw import boxes, combinations, overlap

    a, b, _ = PAIRS[name]
    drawing = draw_difference(diff(a, b))
    every = [x for x in boxes(drawing.scene.inside) if x.box.look != "text"]
    sides = [[x for x in every if (x.x > drawing.scene.width / 2) == right] for right in (False, True)]
    assert [x.y for x in sides[0]] == pytest.approx([x.y for x in sides[1]])
    assert not [1 for x, y in combinations(list(boxes(drawing.scene.inside)), 2) if overlap(x, y)]
    looks = [{x.box.look for x in side} for side in sides]
    assert "added" not in looks[0]
    assert "removed" not in looks[1]
    for left, right in zip(*sides, strict=True):
        assert (left.box.look, right.box.look) in {
            ("pill", "pill"), ("same", "same"), ("changed", "changed"), ("ghost", "added"), ("removed", "ghost"),
        }  # fmt: skip
        assert len(left.box.lines) == len(right.box.lines)
    if name == "v1-to-v1.5":
        path = DATA / "draw" / "difference.svg"
        if os.environ.get("RESNET_DSL_ACCEPT"):
            path.write_text(drawing.svg)
        assert drawing.svg == path.read_text()
