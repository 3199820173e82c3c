"""Pictures: what must hold of every one, whatever it shows, and what is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from networks import NETWORKS, compiled, small
from scenes import boxes, frames

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.ops.table import OPS
from resnet_dsl.pictures.draw import ENDINGS, draw
from resnet_dsl.pictures.drawing.scene import Edge, PlacedBox, PlacedFrame
from resnet_dsl.pictures.drawing.text import labels

NESTED = small(
    stem=["cifar", {"residual": {"body": [
        {"conv": {"kernel": 3}}, {"residual": {"as": "inner", "body": [{"conv": {"kernel": 1}}], "merge": "mul"}},
    ]}}],
    block="mixed",
    blocks={"mixed": {
        "before": [{"conv": {"out": "in", "kernel": 1}}],
        "body": [
            {"conv": {"out": "width", "kernel": 3, "stride": "stride"}},
            {"branches": {"merge": "add", "paths": [
                [{"conv": {"kernel": 1}}, {"residual": {"body": [{"conv": {"kernel": 3}}]}}],
                [{"branches": {"merge": "mul", "paths": [[{"conv": {"kernel": 1}}], [{"conv": {"kernel": 3}}], ["act"]]}}],
            ]}},
        ],
        "after": [{"conv": {"kernel": 1}}, "act"],
    }},
)  # fmt: skip
GRAPHS = {**NETWORKS, "nested": NESTED, "no-stem": {**NETWORKS["mlp"], "stem": [], "shortcut": "Ws", "merge": "add"}}
KINDS: dict[str, dict[str, Any]] = {
    "stage": {}, "block": {"by": "block"}, "op": {"by": "op"}, "paper": {"style": "paper"}, "overview": {"style": "overview"},
}  # fmt: skip


def corners(item: PlacedBox | PlacedFrame) -> tuple[float, float, float, float]:
    if isinstance(item, PlacedFrame):
        return item.left, item.top, item.right, item.bottom
    return item.x - item.width / 2, item.y - item.height / 2, item.x + item.width / 2, item.y + item.height / 2


def overlap(a: PlacedBox | PlacedFrame, b: PlacedBox | PlacedFrame) -> bool:
    (l1, t1, r1, b1), (l2, t2, r2, b2) = corners(a), corners(b)
    slack = 0.01
    return min(r1, r2) - max(l1, l2) > slack and min(b1, b2) - max(t1, t2) > slack


def along(edge: Edge) -> Iterator[tuple[float, float]]:
    """Points of a line, close together."""
    for k in range(0, len(edge.curve) - 1, 3):
        p = edge.curve[k : k + 4]
        for i in range(21):
            t = i / 20
            w = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            yield sum(a * q[0] for a, q in zip(w, p, strict=True)), sum(a * q[1] for a, q in zip(w, p, strict=True))


# --- what holds of every picture ---------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_overlaps_and_no_line_crosses_a_box(name: str, kind: str, direction: Any) -> None:
    scene = draw(compiled(GRAPHS[name]), direction=direction, **KINDS[kind]).scene
    every = list(boxes(scene.inside))
    solid = [b for b in every if b.box.look != "joint"]
    assert not [(a, b) for a, b in combinations(solid, 2) if overlap(a, b)]
    for frame in frames(scene.inside):
        left, top, right, bottom = corners(frame)
        for item in frame.inside:
            l2, t2, r2, b2 = corners(item)
            assert left < l2
            assert top < t2
            assert right > r2
            assert bottom > b2
        assert not [(a, b) for a, b in combinations([x for x in frame.inside if isinstance(x, PlacedFrame)], 2) if overlap(a, b)]
    for b in every:
        width, height = b.box.size
        assert b.width >= width - 0.01
        assert b.height >= height - 0.01
        left, top, right, bottom = corners(b)
        assert left >= 0
        assert top >= 0
        assert right <= scene.width
        assert bottom <= scene.height
    for edge in scene.edges:
        for x, y in along(edge):
            for b in solid:
                left, top, right, bottom = corners(b)
                assert not (left + 0.1 < x < right - 0.1 and top + 0.1 < y < bottom - 0.1), (edge, b)


@pytest.mark.parametrize("name", GRAPHS)
def test_by_op_has_every_operation_and_every_operand(name: str) -> None:
    graph = compiled(GRAPHS[name])
    scene = draw(graph, by="op").scene
    path_of = {b.id: b.box.tip.split(":")[0] or "input" for b in boxes(scene.inside) if b.box.look != "text"}
    flat = list(graph.nodes())
    assert sorted(path_of.values()) == sorted(["input", *(f.path for f in flat)])
    drawn = sorted((path_of[e.source], path_of[e.target]) for e in scene.edges)
    assert drawn == sorted((operand, f.path) for f in flat for operand in f.inputs)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_shortcut_is_dotted_where_it_is_no_identity(name: str) -> None:
    graph = compiled(GRAPHS[name])
    scene = draw(graph, by="op").scene
    path_of = {b.id: b.box.tip.split(":")[0] for b in boxes(scene.inside)}
    inside = {f.path for f in graph.nodes() if f.in_shortcut}
    for edge in scene.edges:
        assert edge.dotted == bool({path_of[edge.source], path_of[edge.target]} & inside)


@pytest.mark.parametrize(("deep", "shallow"), [("resnet1202", "resnet110"), ("plain1202", "plain110")])
@pytest.mark.parametrize("by", ["stage", "block"])
def test_equal_blocks_are_one(deep: str, shallow: str, by: Any) -> None:
    a, b = (draw(compile(load(n)), by=by).scene for n in (deep, shallow))
    assert len(list(boxes(a.inside))) == len(list(boxes(b.inside)))
    times = [f.header[0].text for f in frames(a.inside) if f.frame == "repeat"]
    assert [re.search(r"x(\d+)$", t)[1] for t in times] == ["200", "199", "199"]  # type: ignore[index]


def test_blocks_that_only_grow_are_one_with_ranges() -> None:
    scene = draw(compiled(small(block={"dense": {"growth": 4}}, shortcut="D", stages=[{"depth": 7, "width": 8}]))).scene
    said = " | ".join(f"{x.text} {x.tail}" for b in boxes(scene.inside) for x in b.box.lines)
    assert "concat 16x8x8 to 36x8x8" in said
    assert [f.header[0].text for f in frames(scene.inside) if f.frame == "repeat"] == ["x6"]


def test_side_by_side_lines_up_in_the_papers_style() -> None:
    plain, residual = (compile(load(n)) for n in ("plain34", "resnet34"))
    scene = draw([plain, residual], style="paper").scene
    layers = [b for b in boxes(scene.inside) if b.box.look == "box"]
    columns = [[b for b in layers if (b.x > scene.width / 2) == right] for right in (False, True)]
    assert [len(c) for c in columns] == [36, 36]
    assert [b.y for b in columns[0]] == pytest.approx([b.y for b in columns[1]])
    assert [b.box.lines for b in columns[0]] == [b.box.lines for b in columns[1]]


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"by": "stages"}, "did you mean 'stage'?"),
        ({"style": "fold"}, "did you mean 'folded'?"),
        ({"theme": "blue"}, "light, dark, print"),
        ({"direction": "BT"}, "TB"),
        ({"style": "paper", "by": "block"}, "its own level of detail"),
    ],
)
def test_options_are_refused_with_the_fix(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=re.escape(said)) as e:
        draw(compiled(small()), **options)
    assert e.value.exit_code == 2


def test_no_network_is_refused() -> None:
    with pytest.raises(SpecError, match="no network"):
        draw([])


def test_too_many_boxes_are_refused_before_they_are_made() -> None:
    huge = compiled(small(stages=[{"depth": 100_000, "width": 8}]))
    for options in ({"by": "op"}, {"style": "full"}):
        with pytest.raises(SpecError, match="draw it by='stage'"):
            draw(huge, all=True, **options)  # type: ignore[arg-type]
        assert draw(huge, **options).notes == (  # type: ignore[arg-type]
            "small has 700,006 operations: blocks that are alike are drawn once; all=True draws each",
        )
    many = compiled(small(stages=[{"depth": 2, "width": 8 + i % 2} for i in range(900)]))
    with pytest.raises(SpecError, match="style='overview'"):
        draw(many)
    assert len(list(boxes(draw(many, style="overview").scene.inside))) > 900
    assert draw(huge).dot


def test_a_png_of_a_tower_is_refused() -> None:
    with pytest.raises(SpecError, match="million pixels"):
        draw(compile(load("resnet110")), by="op", all=True).png(1200)
    for dpi in (0.1, float("nan"), 1e9):
        with pytest.raises(SpecError, match="dots an inch"):
            draw(compiled(small())).png(dpi)


@pytest.mark.parametrize("name", ["net", "net.jpg", ".svg", "net.svg.gz"])
def test_an_unknown_ending_lists_the_known(name: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=", ".join(map(re.escape, ENDINGS))):
        draw(compiled(small())).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.needs("reportlab")
@pytest.mark.parametrize("ending", [*ENDINGS, ".SVG"])
def test_a_file_is_replaced_whole(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{ending}"
    path.write_text("old")
    path.chmod(0o644)
    link = tmp_path / f"link{ending}"
    link.symlink_to(path)
    assert draw(compiled(small())).save(link) == link
    assert link.is_symlink()
    assert len(path.read_bytes()) > 500
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, link.name])


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    drawing = draw(compiled(small()))
    folder, pipe, loop = tmp_path / "a.svg", tmp_path / "b.svg", tmp_path / "c.svg"
    folder.mkdir()
    os.mkfifo(pipe)
    for path in (folder, pipe):
        with pytest.raises(SpecError, match="not a regular file") as e:
            drawing.save(path)
        assert e.value.exit_code == 2
    assert pipe.is_fifo()
    with pytest.raises(SpecError, match="cannot be written") as e:
        drawing.save(tmp_path / "missing" / "a.svg")
    assert e.value.exit_code == 3
    loop.symlink_to(loop)
    with pytest.raises(SpecError):
        drawing.save(loop)


def test_without_the_engine_dot_and_mermaid_still_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda *a, **k: None)
    drawing = draw(compiled(small()))
    for ending in (".dot", ".mmd"):
        assert drawing.save(tmp_path / f"a{ending}").stat().st_size > 500
    with pytest.raises(SpecError, match="pip install graphviz-pure") as e:
        drawing.save(tmp_path / "a.svg")
    assert e.value.exit_code == 3
    assert not (tmp_path / "a.svg").exists()


def test_labels_that_differ_in_a_figure_are_a_range() -> None:
    assert labels("drop path 0.1", "drop path 0.3") == "drop path 0.1 to 0.3"
    assert labels("BN", "BN") == "BN"
    assert labels("BN", "GN") == "BN to GN"


def test_every_op_has_a_label_that_fits_on_a_line() -> None:
    for name in GRAPHS:
        graph: Graph = compiled(GRAPHS[name])
        for f in graph.nodes():
            label = OPS[f.node.op].label(f.site)
            assert 0 < len(label) <= 40
            assert label.isascii()
            assert "\n" not in label
