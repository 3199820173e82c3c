"""Pictures: golden files, and what must hold of every picture, whatever it shows.

RESNET_DSL_ACCEPT=1 in the environment writes the golden files anew; look at the pictures before you keep them.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pypdf
import pytest
from networks import NETWORKS, compiled, small
from PIL import Image

from resnet_dsl.diagnostics import SpecError, visible
from resnet_dsl.graph import Graph, compile
from resnet_dsl.graph.ops import OPS
from resnet_dsl.language import load
from resnet_dsl.pictures.draw import ENDINGS, Drawing, draw
from resnet_dsl.pictures.drawing.engine import render
from resnet_dsl.pictures.drawing.scene import Edge, PlacedBox, PlacedFrame
from resnet_dsl.pictures.drawing.text import labels, text_width

GOLDEN = Path(__file__).parent / "data" / "draw"
SVG = "{http://www.w3.org/2000/svg}"
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


def boxes(inside: Sequence[PlacedBox | PlacedFrame]) -> Iterator[PlacedBox]:
    for item in inside:
        if isinstance(item, PlacedBox):
            yield item
        else:
            yield from boxes(item.inside)


def frames(inside: Sequence[PlacedBox | PlacedFrame]) -> Iterator[PlacedFrame]:
    for item in inside:
        if isinstance(item, PlacedFrame):
            yield item
            yield from frames(item.inside)


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


# --- the files ---------------------------------------------------------------------------------------------


def golden() -> Iterator[tuple[str, Drawing]]:
    net, plain = compiled(small()), compiled(small(shortcut="none"), "plain")
    gate, mlp = compiled(NETWORKS["gate-conv"], "highway"), compiled(NETWORKS["mlp"], "mlp")
    yield "stage.svg", draw(net)
    yield "stage.dot", draw(net)
    yield "stage.mmd", draw(net)
    yield "highway-block-dark.svg", draw(gate, by="block", theme="dark")
    yield "mlp-op-right.dot", draw(mlp, by="op", direction="LR")
    yield "twins-paper-print.svg", draw([plain, net], style="paper", theme="print")
    yield "overview.svg", draw(net, style="overview")
    yield "stage.tex", draw(net)


@pytest.mark.parametrize(("name", "drawing"), list(golden()), ids=lambda x: x if isinstance(x, str) else "")
def test_golden(name: str, drawing: Drawing, tmp_path: Path) -> None:
    path = drawing.save(tmp_path / name)
    if os.environ.get("RESNET_DSL_ACCEPT"):
        (GOLDEN / name).write_bytes(path.read_bytes())
    assert path.read_text() == (GOLDEN / name).read_text()


def test_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    made = []
    for seed in ("1", "2"):
        command = f"import resnet_dsl as rd; rd.draw(rd.compile(rd.load('resnet50'))).save({str(tmp_path / seed)!r} + '.png')"
        subprocess.run([sys.executable, "-c", command], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        made.append((tmp_path / f"{seed}.png").read_bytes())
    assert made[0] == made[1]


def test_svg_is_text_with_the_network_in_it() -> None:
    graph = compile(load("resnet18"))
    root = ElementTree.fromstring(draw(graph).svg)
    assert root.find(f"{SVG}title").text == "resnet18"  # type: ignore[union-attr]
    assert root.find(f"{SVG}metadata").text == graph.text()  # type: ignore[union-attr]
    assert "11,689,512 parameters" in str(root.find(f"{SVG}desc").text)  # type: ignore[union-attr]
    words = [t.text or "" for t in root.iter(f"{SVG}text")]
    assert {"resnet18", "stem", "layer4", "basic", "3x3 conv, 64", "1x1 conv, 512, /2", "x2"} <= {w.strip() for w in words}
    assert all(float(t.get("textLength", "0")) > 0 for t in root.iter(f"{SVG}text"))
    assert draw(graph)._repr_svg_() == draw(graph).svg


def test_nothing_of_a_users_is_markup() -> None:
    evil = '"]; x [label=<<b>&\\N\\"></text><script>alert(1)</script><!-- --> ]]> \n\x07 %% #quot;'
    graph = replace(compiled(small(), "small"), name=evil, description=evil)
    drawing = draw(graph)
    root = ElementTree.fromstring(drawing.svg)
    assert not [e for e in root.iter() if "script" in e.tag]
    assert not [e for e in root.iter() if "script" in str(e.get("id", "")) + str(e.get("class", ""))]
    assert visible(evil) in [t.text for t in root.iter(f"{SVG}text")]
    nodes = lambda d: re.findall(r"^ *(n\d+) \[", d.dot, re.MULTILINE)  # noqa: E731
    assert nodes(drawing) == nodes(draw(compiled(small(), "small")))
    assert drawing.png().startswith(b"\x89PNG")
    assert "script" not in drawing.mmd


@pytest.mark.parametrize("style", ["paper", "full"])
@pytest.mark.parametrize(("name", "folds"), [("resnet50", False), ("resnet101", True), ("resnet1202", True)])
def test_deep_networks_fold_unless_all_is_asked_for(name: str, folds: bool, style: Any) -> None:
    graph = compile(load(name))
    drawing = draw(graph, style=style)
    assert bool(drawing.notes) == folds
    repeats = [f.header[0].text for f in frames(drawing.scene.inside) if f.frame == "repeat"]
    assert bool(repeats) == folds
    if name != "resnet1202":
        every = draw(graph, style=style, all=True)
        assert not every.notes
        assert not [f for f in frames(every.scene.inside) if f.frame == "repeat"]
        assert (len(list(boxes(every.scene.inside))) > len(list(boxes(drawing.scene.inside)))) == folds


def test_the_papers_style_folds_what_only_grows() -> None:
    graph = compile(load(str(Path(__file__).parent / "data" / "legal" / "densenet121.yaml")))
    scene = draw(graph, style="paper").scene
    assert [f.header[0].text for f in frames(scene.inside) if f.frame == "repeat"] == ["x6", "x12", "x24", "x16"]
    said = " | ".join(f"{x.text} {x.tail}" for b in boxes(scene.inside) for x in b.box.lines)
    assert "concat 96x56x56 to 256x56x56" in said


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + data)
        yield kind, data
        at += 12 + length


def test_png_has_the_network_in_it() -> None:
    graph = replace(compiled(small()), description="caf\u00e9 \u03c0")
    content = draw(graph).png()
    found = dict(data.split(b"\0", 1) for kind, data in chunks(content) if kind == b"tEXt")
    assert found[b"Title"] == b"small"
    assert found[b"Network"].decode() == graph.text()
    assert found[b"Description"].endswith(b"caf\xe9 \\u03c0")
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.info["Title"] == "small"  # type: ignore[attr-defined]


STROKED = {"paper": {"style": "paper"}, "block": {"by": "block"}, "overview-dark": {"style": "overview", "theme": "dark"}}


@pytest.mark.parametrize("kind", STROKED)
def test_pdf_is_text_with_the_network_in_it(kind: str) -> None:
    graph = compiled(small(), "small")
    drawing = draw(graph, **STROKED[kind])  # type: ignore[arg-type]
    content = drawing.pdf
    assert content == draw(graph, **STROKED[kind]).pdf  # type: ignore[arg-type]
    reader = pypdf.PdfReader(io.BytesIO(content))
    (page,) = reader.pages
    assert [float(x) for x in page.mediabox[2:]] == pytest.approx([drawing.scene.width, drawing.scene.height], abs=0.01)
    assert reader.metadata is not None
    assert reader.metadata.title == "small"
    assert str(reader.metadata["/Keywords"]) == graph.text()
    words = page.extract_text()
    lines = [x for b in boxes(drawing.scene.inside) for x in b.box.lines if x.text.strip()]
    assert all(x.text in words and x.tail in words for x in lines)


def test_without_reportlab_a_pdf_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "reportlab", None)
    with pytest.raises(SpecError, match=r"pip install 'resnet-dsl\[pdf\]'") as e:
        draw(compiled(small())).save(tmp_path / "a.pdf")
    assert e.value.exit_code == 3
    assert not list(tmp_path.iterdir())


def test_tex_is_whole_and_holds_every_word() -> None:
    graph = replace(compiled(small(), "small"), name='a_b%{$}\\#~^<&>|"\u03c0', description="x\\input{y}\n\\end{document}")
    for options in ({}, {"style": "paper"}, {"style": "overview", "theme": "dark"}):
        drawing = draw(graph, **options)  # type: ignore[arg-type]
        code = [line for line in drawing.tex.splitlines() if not line.startswith("%")]
        assert [line for line in code if line.startswith((r"\begin{", r"\end{"))] == [
            r"\begin{document}", r"\begin{tikzpicture}[baseline=(current bounding box.north), x=1bp, y=1bp, inner sep=0pt, outer sep=0pt]",
            r"\end{tikzpicture}", r"\end{document}",
        ]  # fmt: skip
        for line in code:
            bare = re.sub(r"\\[\\{}%#$&_]", "", line)
            assert bare.count("{") == bare.count("}")
            assert not re.search(r"(?<!\\)[%$&#]", line)
        paints = set(re.findall(r"\\definecolor\{(c\d+)\}", drawing.tex))
        assert set(re.findall(r"(?:fill|draw|text)=(c\d+)", drawing.tex)) <= paints
        assert (
            r"a\_b\%\{\$\}\textbackslash{}\#\textasciitilde{}\textasciicircum{}\textless{}\&\textgreater{}\textbar{}''\textless{}U+03C0\textgreater{}"
            in drawing.tex
        )
        drawn = [line for line in code if line.startswith((r"\draw", r"\node"))]
        assert len(drawn) > len(drawing.scene.edges) + len([b for b in boxes(drawing.scene.inside) if b.box.look not in ("text", "joint")])


def test_tex_that_tex_cannot_measure_is_refused() -> None:
    tower = draw(compile(load("resnet110")), by="op", all=True)
    assert tower.scene.height > 10_000
    with pytest.raises(SpecError, match="longer than TeX can measure"):
        replace(tower, scene=replace(tower.scene, height=17_000.0)).tex  # noqa: B018


@pytest.mark.needs("pdflatex")
@pytest.mark.parametrize("kind", STROKED)
def test_tex_compiles(kind: str, tmp_path: Path) -> None:
    evil = 'a_b%{$}\\#~^<&>|"\u03c0'
    drawing = draw([compiled(small()), replace(compiled(small(shortcut="A")), name=evil)], **STROKED[kind])  # type: ignore[arg-type]
    drawing.save(tmp_path / "net.tex")
    done = subprocess.run(["pdflatex", "-interaction=batchmode", "-halt-on-error", "net.tex"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (page,) = pypdf.PdfReader(tmp_path / "net.pdf").pages
    assert [float(x) for x in page.mediabox[2:]] == pytest.approx([drawing.scene.width, drawing.scene.height], abs=0.5)


def test_png_has_the_size_asked_for() -> None:
    drawing = draw(compiled(small()))
    for dpi in (72, 200):
        width, height = struct.unpack(">II", drawing.png(dpi)[16:24])
        assert (width, height) == pytest.approx((drawing.scene.width * dpi / 72, drawing.scene.height * dpi / 72), abs=3)


@pytest.mark.parametrize("bold", [False, True])
def test_our_widths_are_the_engines(bold: bool) -> None:
    """Boxes are as wide as our table of widths says, so it must say what the engine measures. (Two backslashes show as one.)"""
    chars = [chr(c) for c in range(33, 127)]
    cell = lambda c: "<B>" * bold + f"&#{ord(c)};" * (40 if c == "\\" else 20) + "</B>" * bold  # noqa: E731
    font = "fontname=Helvetica fontsize=100 shape=plain margin=0"
    dot = "digraph { " + "".join(f"c{ord(c)} [{font} label=<{cell(c)}>]\n" for c in chars) + "}"
    found = {o["name"]: float(o["width"]) * 72 for o in json.loads(render(dot, "json"))["objects"]}
    widths = {c: (found[f"c{ord(c)}"], text_width(c * 20, 100, bold)) for c in chars}
    assert not {c: w for c, w in widths.items() if w[0] != pytest.approx(w[1], abs=3)}


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
def test_options_are_refused_with_the_mend(options: dict[str, Any], said: str) -> None:
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
        with pytest.raises(SpecError, match="no regular file") as e:
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
            label = OPS[f.node.op].label(dict(f.node.attrs), f.in_shapes, f.node.shape)
            assert 0 < len(label) <= 40
            assert label.isascii()
            assert "\n" not in label
