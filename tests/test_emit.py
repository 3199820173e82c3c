"""The emitted source as text. No torch here; that it runs is for test_build.py.

`python tests/test_emit.py --update` writes data/emitted.txt again: read the difference before you commit it.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from networks import NETWORKS, compiled, small

from resnet_dsl.emission.source import class_name, emit
from resnet_dsl.graph import compile
from resnet_dsl.graph.graph import Graph, Node, Program
from resnet_dsl.language import load

GOLDEN = Path(__file__).parent / "data" / "emitted.txt"


def mixed() -> str:
    return re.sub(r"Written by resnet-dsl .+", "Written by resnet-dsl VERSION.", emit(compiled(NETWORKS["mixed"], "mixed")))


def test_the_whole_text_of_a_network_with_some_of_everything() -> None:
    assert mixed() == GOLDEN.read_text()


def test_equal_specs_give_equal_text() -> None:
    assert mixed() == mixed()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_name_is_imported_or_made_and_none_for_nothing(name: str) -> None:
    tree = ast.parse(emit(compiled(NETWORKS[name])))
    given = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names}
    made = {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    args = {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    builtins = {"super", "range", "isinstance", "str", "len", "int", "float"}
    assert read <= given | made | stored | args | builtins
    assert given | made <= read | {"Small"}


def test_what_repeats_is_written_once() -> None:
    deep, shallow = (emit(compile(load(name))).splitlines() for name in ("resnet1202", "resnet20"))
    assert len(deep) == len(shallow) < 200
    assert "        self.layer1 = nn.Sequential(*(Basic() for _ in range(200)))" in deep


# What `forward` says for blocks of each kind, as a person would write it.
FORWARD = {
    "small": ("s = x", "x = self.conv1(x)", "x = self.bn1(x)", "x = self.act1(x)", "x = self.conv2(x)", "x = self.bn2(x)",
              "s = self.downsample(s)", "x = x + s", "return self.act2(x)"),
    "gate-conv": ("s = x", "x = self.bn1(x)", "x = self.act1(x)", "s2 = x", "x = self.conv1(x)", "x = self.bn2(x)",
                  "x = self.act2(x)", "x = self.conv2(x)", "s2 = self.downsample(s2)", "t = self.gate(s)",
                  "return highway(x, s2, torch.sigmoid(t))"),
    "plain": ("x = self.conv1(x)", "x = self.bn1(x)", "x = self.act1(x)", "x = self.conv2(x)", "x = self.bn2(x)", "return self.act2(x)"),
    "mlp": ("s = x", "x = self.fc1(x)", "x = self.act1(x)", "x = self.fc2(x)", "t = self.gate(s)",
            "return highway(x, s, torch.sigmoid(t))"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARD)
def test_forward_reads_as_if_written_by_hand(name: str) -> None:
    lines = "\n".join(" " * 8 + line for line in FORWARD[name])
    assert f"    def forward(self, x):\n{lines}\n" in emit(compiled(NETWORKS[name]))


def test_relu_is_in_place_only_where_nobody_else_can_see() -> None:
    """Not on a scope's input, a view, an activation's own output, what dropout passes on, or what is read twice."""
    classes = re.split(r"^class (\w+)", emit(compiled(NETWORKS["in-place"])), flags=re.M)[1:]
    texts = dict(zip(classes[::2], classes[1::2], strict=True))
    found = {name: [bool(f) for f in re.findall(r"nn\.ReLU\((inplace=True)?\)", text)] for name, text in texts.items()}
    assert found["Small"] == [False, False, True, False, False]  # of the input, a slice, a conv, a ReLU, a dropout
    assert found["Branches"] == [False, True]  # of a path's input, a bias
    assert found["Residual"] == [False, True]  # of the input, a sum
    assert found["Odd"] == found["Odd2"] == [False, True]
    assert "self.act1 = nn.ReLU()\n" in emit(compiled(NETWORKS["read-twice"]))  # by the projection too


NAMES = {
    "resnet18": "Resnet18", "resnet50-v1": "Resnet50V1", "wide_resnet50_2": "WideResnet502", "v1.5": "V15", "50-layers": "Net50Layers",
    "none": "NetNone", "true": "NetTrue", "f": "NetF", "layerNorm2d": "NetLayerNorm2d", "orderedDict": "NetOrderedDict",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_networks_class_has_a_legal_name(name: str) -> None:
    graph = replace(compiled(small()), name=name)
    assert class_name(graph) == NAMES[name]
    assert NAMES[name].isidentifier()
    assert not keyword.iskeyword(NAMES[name])
    assert f"\nclass {NAMES[name]}(nn.Module):\n" in emit(graph)


def test_blocks_called_as_what_the_module_holds_already() -> None:
    blocks = ("Highway", "scale", "f", "None_", "basic2", "small", "__")
    body = [{"conv": {"out": "out", "kernel": 3, "stride": "stride"}}, {"scale": {"init": 0.5}}]
    spec = small(
        blocks={b: {"body": body} for b in blocks},
        stages=[{"depth": 2, "width": 8 * (i + 1), "block": b} for i, b in enumerate((*blocks, "basic"))],
    )
    classes = re.findall(r"^class (\w+)", emit(compiled(spec)), re.M)
    assert len(classes) == len(set(classes))
    assert {"Scale", "Small", "BlockScale", "BlockF", "Highway", "BlockNone", "Basic", "Basic2", "Small2", "Block"} <= set(classes)


@pytest.mark.parametrize("path", ["a; import os", "a.b", "", "self-destruct", "class", "a\nb", "_x", "\u00e9"])
def test_a_graph_made_by_hand_cannot_smuggle_text(path: str) -> None:
    node = Node(path, "relu", (4,))
    with pytest.raises(ValueError, match="cannot be the name of a child"):
        emit(Graph("x", 4, Program("network", "network", (4,), (node,))))


@pytest.mark.parametrize("name", ['"""', "a b", "x\n", ""])
def test_nor_in_the_networks_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a name in a module"):
        emit(replace(compiled(small()), name=name))


def test_scopes_may_nest_deeper_than_pythons_parser_likes_brackets() -> None:
    calls = {f"s{i}": [{f"s{i - 1}": {"as": "inner"}}, "act"] for i in range(1, 200)}
    graph = compiled(small(sequences={"s0": ["act"], **calls}, stem=["cifar", "s199"]))
    ast.parse(emit(graph))


if __name__ == "__main__":
    if sys.argv[1:] != ["--update"]:
        sys.exit("usage: python tests/test_emit.py --update")
    GOLDEN.write_text(mixed())
