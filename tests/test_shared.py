"""What blocks, scopes and variants share: equal results, and work that does not grow with what merely differs in a number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import resnet_dsl as rd
from resnet_dsl.analysis import variants
from resnet_dsl.analysis.formulas import formulas
from resnet_dsl.analysis.structure import operations
from resnet_dsl.analysis.variants import Variants
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.emission import source
from resnet_dsl.graph import template
from resnet_dsl.graph.expand import _Expander
from resnet_dsl.graph.graph import Graph, Program
from resnet_dsl.language import Spec
from resnet_dsl.ops.site import Site
from resnet_dsl.ops.table import OPS

MIXED = """
input: {channels: 3, height: 32, width: 32}
classes: 10
stem: cifar
norm: {batch: {eps: 0.001}}
blocks:
  odd:
    args: {p: 0.1, k: 3}
    let: {mid: width + 4 * (position // 3)}
    before: [norm: {kind: batch, eps: 0.001 + index / 1000}]
    body:
      - conv: {out: mid, kernel: k, stride: stride}
      - norm
      - act: {kind: leaky_relu, slope: position / 50}
      - residual: {body: [norm, droppath: {rate: p}, chain: {steps: [dropout: {rate: p / 2}]}]}
      - repeat: {times: 1 + index % 2, steps: [conv: {out: mid, kernel: 1}, dropout: {rate: (index + 1) / 10}]}
      - conv: {out: width, kernel: 1}
      - scale: {init: 1 / (1 + position), when: index > 1}
stages:
  - {depth: 9, width: 16, block: {odd: {p: position / 40}}, shortcut: B}
  - {depth: 6, width: 32, stride: 2, block: {odd: {p: 0.1, k: "3 if index % 2 == 0 else 1"}}, shortcut: B, merge: {highway: {bias: -1 - index}}}
  - {depth: 5, width: 32, block: {odd: {p: 0.1}}, shortcut: B, merge: {highway: {bias: -1}}}
  - {depth: 12, width: 24, block: {dense: {growth: 12}}, shortcut: identity}
  - {depth: 4, width: 32, block: {basic: {drop_path: "0.1 if position < 34 else 0.2"}}, shortcut: B}
  - {depth: 3, width: 32, block: {basic: {drop_path: 0.1 * depth / total}}, shortcut: B}
head: classifier
"""

DEEP = """
input: {{channels: 3, height: 8, width: 8}}
classes: 10
stem: cifar
block: {{basic: {{drop_path: 0.5 * (position + 1) / total}}}}
shortcut: B
stages: [{{depth: {n}, width: 4}}, {{depth: {n}, width: 8, stride: 2}}]
head: classifier
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spec(text: str) -> Spec:
    Path("net.yaml").write_text(text)
    return rd.load("net.yaml")


@pytest.fixture
def expanded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the stages of all blocks that are expanded, step by step."""
    found: list[str] = []
    whole = _Expander._expanded

    def counted(self: _Expander, stage, *more):  # type: ignore[no-untyped-def]
        found.append(stage.name)
        return whole(self, stage, *more)

    monkeypatch.setattr(_Expander, "_expanded", counted)
    return found


def test_a_template_gives_what_the_expansion_of_each_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = rd.compile(spec(MIXED))
    monkeypatch.setattr(template, "MAX_TEMPLATES", 0)
    alone = rd.compile(spec(MIXED))
    assert shared.text() == alone.text()
    assert rd.emit(shared) == rd.emit(alone)


def test_costs_by_pattern_are_those_of_each_scope_by_itself() -> None:
    """The same network with every program its own pattern."""

    def alone(program: Program) -> Program:
        return replace(program, nodes=tuple(n if n.program is None else replace(n, program=alone(n.program)) for n in program.nodes))

    graph = rd.compile(spec(MIXED))
    plain = replace(graph, root=alone(graph.root))
    assert all(p.pattern is p for p in plain.programs)
    assert any(p.pattern is not p for p in graph.programs)
    for by in ("net", "stage", "block", "op"):
        for how in ({}, {"memory": True, "batch": 3, "checkpoint": True, "precision": "bf16"}):
            assert rd.inspect(graph, by=by, **how).to_dict() == rd.inspect(plain, by=by, **how).to_dict()  # type: ignore[arg-type]
    assert operations(graph) == operations(plain) == len(list(graph.nodes()))


def test_blocks_that_differ_in_a_number_are_expanded_once(expanded: list[str]) -> None:
    patterns = []
    for n in (40, 80):
        expanded.clear()
        graph = rd.compile(spec(DEEP.format(n=n)))
        assert len(graph.programs) > 2 * n
        patterns.append(len(graph.patterns))
        assert expanded == ["layer1", "layer2", "layer2"]
    assert patterns[0] == patterns[1] < 10


def test_expressions_that_are_evaluated_grow_with_the_blocks_and_no_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnet_dsl.language.spec import Slot

    whole, counts = Slot.value, []
    for n in (40, 80, 160):
        evaluated = [0]

        def value(self: Slot, env, evaluated=evaluated):  # type: ignore[no-untyped-def]
            evaluated[0] += 1
            return whole(self, env)

        checked = spec(DEEP.format(n=n))
        monkeypatch.setattr(Slot, "value", value)
        rd.compile(checked)
        monkeypatch.setattr(Slot, "value", whole)
        counts.append(evaluated[0])
    assert counts[2] - counts[1] == 2 * (counts[1] - counts[0])
    assert (counts[1] - counts[0]) / 80 <= 3  # the condition, the rate, and the argument that both read


def test_nothing_but_the_text_depends_on_a_real_number() -> None:
    """`Arg.real`: patterns stand on this."""
    seen = set()
    graphs: list[Graph] = [rd.compile(n) for n in ("resnet20", "highway20", "efficientnet-b0")] + [rd.compile(spec(MIXED))]
    for graph in graphs:
        for f in graph.nodes():
            real = {k: v / 2 + 0.25 for k, v in f.node.attrs if type(v) is float}
            if real:
                row = OPS[f.node.op]
                seen |= {(f.node.op, name) for name in real}
                site, other = f.site, Site({**f.site.attrs, **real}, f.site.inputs, f.site.out)
                for cell in (row.shape, row.params, row.macs, row.work, row.window, row.saved, row.state):
                    assert cell(site) == cell(other)
    assert {("batch_norm", "eps"), ("droppath", "rate"), ("scale", "init"), ("leaky_relu", "slope"), ("conv", "bias_init")} <= seen


def test_variants_share_their_blocks(expanded: list[str]) -> None:
    known = Variants(spec(DEEP.format(n=3)))
    first = known.costs()
    expanded.clear()
    again = known.costs(widths={1: 16})
    assert not isinstance(first, SpecError)
    assert not isinstance(again, SpecError)
    assert set(expanded) == {"layer2"}
    assert again.network == rd.inspect(spec(DEEP.format(n=3).replace("width: 8, stride", "width: 16, stride"))).costs.network
    expanded.clear()
    known.costs(depths=[5, 7])
    assert expanded == []


def test_formulas_expand_a_block_once_for_each_of_its_shapes(expanded: list[str]) -> None:
    formulas(rd.load("resnet18"))
    assert len(expanded) < 400  # 101 variants of 8 blocks


def test_a_spec_that_is_too_large_for_its_variants_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "MAX_WORK", 2_000)
    with pytest.raises(SpecError, match="too large to be counted in many sizes: its variants have more than 2,000 steps"):
        formulas(spec(DEEP.format(n=400)))
    with pytest.raises(SpecError, match="too large"):
        rd.fit("densenet121", params="1M")


def test_tables_and_modules_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match=r"has 7\d\d,\d+ operations, over the limit of 100,000"):
        rd.inspect(spec(DEEP.format(n=50_000).replace("0.5 * (position + 1) / total", "0")), by="op")
    monkeypatch.setattr(source, "MAX_CLASSES", 20)
    with pytest.raises(SpecError, match="over the limit of 20 classes"):
        rd.emit(spec(DEEP.format(n=20)))


def test_unused_params_among_many() -> None:
    text = DEEP.format(n=2) + "params:\n" + "".join(f"  p{i}: {f'p{i - 1} + 0' if i % 2 else 1}\n" for i in range(200))
    unused = [d.message for d in rd.lint(spec(text)).findings if d.code == "unused-param"]
    assert unused == [f"the parameter 'p{i}' is used nowhere" for i in range(1, 200, 2)]
