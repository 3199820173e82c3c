"""The promise of the op table: one more row is one more operation, in the language, in costs, in pictures, in source and in torch."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from test_imports import MODULES

from resnet_dsl.ops.table import OPS

ROW = """


from resnet_dsl.ops import effects, exactness, labels, shapes, torch_text
from resnet_dsl.ops.arguments import POSITIVE, value
from resnet_dsl.ops.op import Op
from resnet_dsl.ops.table import OPS

OPS["threshold"] = Op(
    group="act",
    about="x, or 0 at most `least`",
    args={"least": value(POSITIVE, "what is let through", 1)},
    shape=shapes.same,
    label=labels.fields("threshold {least}"),
    name="act",
    counted=True,
    module=lambda site: f"nn.Threshold({site['least']!r}, 0.0)",
    work=effects.activation("threshold"),
    saved=effects.keeps_input,
)
OPS["flip"] = Op(
    group="shape",
    about="the channels in reverse order",
    shape=shapes.same,
    label=labels.fixed("flip"),
    name="flip",
    module=torch_text.plain("nn.Identity()"),
    view=True,
    exact=exactness.MOVES,
)
"""

USE = '''
import json
from pathlib import Path

import resnet_dsl as rd
from resnet_dsl.cli.app import main
from resnet_dsl.language.schema import json_schema

text = """
name: net
input: {channels: 3, height: 8, width: 8}
classes: 5
act: {threshold: {least: 0.5}}
stem: [{conv: {out: 8, kernel: 3}}, norm, act, flip]
block: basic
shortcut: B
stages: [{depth: 1, width: 8}]
"""
Path("net.yaml").write_text(text)
Path("wrong.yaml").write_text(text.replace("least", "lest").replace("flip]", "flop]"))
found = rd.check("net.yaml", strict=True)
assert found.ok, str(found)
said = str(rd.check("wrong.yaml"))
assert "did you mean 'least'?" in said and "did you mean 'flip'?" in said, said
spec, graph = rd.load("net.yaml"), rd.compile(rd.load("net.yaml"))
assert rd.format(Path("net.yaml")).text and rd.emit(graph).count("nn.Threshold(0.5, 0.0)") == 3
assert "threshold 0.5" in str(rd.inspect(graph, by="op")) and "flip" in str(rd.inspect(graph, by="op"))
assert "threshold 0.5" in rd.draw(graph, by="op").dot
assert "threshold" in str(rd.diff(rd.load("net.yaml", {"act": "relu"}), spec))
schema = json.dumps(json_schema())
assert '"threshold"' in schema and '"flip"' in schema
assert main(["list", "acts", "--format", "csv"]) == 0 and main(["list", "ops", "--format", "csv"]) == 0
'''

TORCH = """
import torch

y = rd.build(graph)(torch.zeros(2, 3, 8, 8))
assert y.shape == (2, 5)
"""


def run(program: str, folder: object) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=str(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.needs("torch")
def test_one_row_is_an_operation(tmp_path: object) -> None:
    out = run(ROW + USE + TORCH, tmp_path)
    assert 'threshold,least: 1,"x, or 0 at most `least`"' in out and "flip,,the channels in reverse order" in out


def test_without_the_row_there_is_no_operation(tmp_path: object) -> None:
    program = 'import resnet_dsl as rd\nprint(rd.check("resnet20", overrides={"act": "threshold"}))'
    assert "unknown act 'threshold'" in run(program, tmp_path)


def test_no_operation_is_named_outside_the_table() -> None:
    """A node's op is looked up in the table, and never compared with a name."""
    found = []
    for name, path in MODULES.items():
        if name.startswith("resnet_dsl.ops."):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
            words = [c.value for side in sides for c in ast.walk(side) if isinstance(c, ast.Constant) and isinstance(c.value, str)]
            if any(isinstance(side, ast.Attribute) and side.attr == "op" for side in sides) and set(words) & set(OPS):
                found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "OPS":
                found += [f"{path}:{node.lineno}"] if isinstance(node.slice, ast.Constant) else []
    assert found == []
