"""Files of pictures: golden files, what each format holds, and the same bytes every time.

RESNET_DSL_ACCEPT=1 in the environment rewrites the golden files; look at the pictures before you keep them.
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
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pypdf
import pytest
from networks import NETWORKS, compiled, small
from PIL import Image
from scenes import boxes, frames

from resnet_dsl.diagnostics import SpecError, inline
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.pictures.draw import Drawing, draw
from resnet_dsl.pictures.drawing.engine import render
from resnet_dsl.pictures.drawing.text import text_width

GOLDEN = Path(__file__).parent / "data" / "draw"
SVG = "{http://www.w3.org/2000/svg}"


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
    assert draw(graph)._repr_svg_() == draw(graph).svg.replace("<svg ", '<svg style="max-width: 100%; height: auto" ')


def test_nothing_of_a_users_is_markup() -> None:
    evil = '"]; x [label=<<b>&\\N\\"></text><script>alert(1)</script><!-- --> ]]> \n\x07 %% #quot;'
    graph = replace(compiled(small(), "small"), name=evil, description=evil)
    drawing = draw(graph)
    root = ElementTree.fromstring(drawing.svg)
    assert not [e for e in root.iter() if "script" in e.tag]
    assert not [e for e in root.iter() if "script" in str(e.get("id", "")) + str(e.get("class", ""))]
    assert inline(evil) in [t.text for t in root.iter(f"{SVG}text")]
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
            r"a\_b\%\{\$\}\textbackslash{}\#\textasciitilde{}\textasciicircum{}\textless{}\&\textgreater{}\textbar{}''U+03C0" in drawing.tex
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
