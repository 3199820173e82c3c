"""The page for a browser: what is in the file, and what it does under real clicks and keys in headless Chromium."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from networks import NETWORKS, compiled, small

from resnet_dsl.analysis.inspect import inspect
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.emission.source import emit, excerpts
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.pictures.difference import diff
from resnet_dsl.pictures.draw import draw, draw_difference
from resnet_dsl.pictures.page.shell import Section, render


def spec(name: str, *settings: str) -> Graph:
    return compile(load(name, settings))


# --- the file ------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside = ""
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in ("script", "style"):
            self.texts.append((*self.found[-1], data))


def page_data(text: str) -> dict[str, Any]:
    (found,) = [data for tag, attrs, data in Elements(text).texts if tag == "script" and attrs.get("id") == "network-data"]
    return json.loads(found)  # type: ignore[no-any-return]


@pytest.mark.parametrize("graphs", [["resnet50"], ["resnet50-v1", "resnet50"], ["resnet1202"]], ids="-".join)
def test_the_file_needs_nothing_else_and_says_so(graphs: list[str]) -> None:
    text = draw([spec(g) for g in graphs]).html
    assert len(text.encode()) < 1_000_000
    assert text == draw([spec(g) for g in graphs]).html
    page = Elements(text)
    assert not [a for _, a in page.found if "src" in a or (a.get("href") or "data:,") != "data:,"]
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\((?!#)|fetch\(|XMLHttpRequest|WebSocket", text)
    (policy,) = [a["content"] for tag, a in page.found if tag == "meta" and a.get("http-equiv")]
    digest = lambda kind: [  # noqa: E731
        f"'sha256-{b64encode(sha256(data.encode()).digest()).decode()}'" for tag, a, data in page.texts if tag == kind and "type" not in a
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src {digest('style')[0]}; script-src {digest('script')[0]}; base-uri 'none'; form-action 'none'"
    )
    assert not [a for _, a in page.found if "style" in a or any(key.startswith("on") for key in a)]


@pytest.mark.parametrize("name", NETWORKS)
def test_its_figures_are_those_of_inspect(name: str) -> None:
    graph = compiled(NETWORKS[name], "small")
    (network,) = page_data(draw(graph).html)["networks"]
    programs = network["programs"]

    def operations(program: int, where: str, times: int) -> Iterator[tuple[str, list[int], int, int]]:
        for n in programs[program]["nodes"]:
            for i in range(n.get("t", 1)):
                path = ".".join(filter(None, (where, str(int(n["n"]) + i) if n.get("t", 1) > 1 else n["n"])))
                if "c" in n:
                    yield from operations(n["c"], path, times)
                else:
                    yield path, n["o"], n["p"], n["m"]

    assert list(operations(len(programs) - 1, "", 1)) == [(p.path, list(p.out), p.params, p.macs) for p in inspect(graph).ops]
    assert (network["params"], network["macs"]) == (inspect(graph).params, inspect(graph).macs)
    # Places lead to lines of the spec and of the library, and code to the emitted module.
    source = emit(graph)
    for p in programs:
        assert all(line.strip() in source for line in p["code"].splitlines())
        for at in [p["at"], *(n["at"] for n in p["nodes"])]:
            assert at < 0 or str(network["places"][at][1]) in {str(k) for k in network["sources"][network["places"][at][0]]["lines"]}


@pytest.mark.parametrize("name", NETWORKS)
def test_excerpts_are_the_emitted_text(name: str) -> None:
    graph = compiled(NETWORKS[name])
    source, found = emit(graph), excerpts(graph)
    assert set(found) == {id(p) for p in graph.programs}
    for p in graph.programs:
        text = found[id(p)]
        if text.startswith("class "):
            assert text in source
        assert (p.role == "block") <= text.startswith("class ")


def test_a_page_shows_one_network_or_two() -> None:
    with pytest.raises(SpecError, match="one network or two, not 3"):
        draw([compiled(small())] * 3).html  # noqa: B018


def test_nothing_of_a_users_is_markup() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{script}} <!-- & \" '"
    text = draw(compiled({"description": evil, **small()})).html
    page = Elements(text)
    assert [tag for tag, _ in page.found].count("script") == 2
    assert "img" not in [tag for tag, _ in page.found]
    (about,) = [a["content"] for tag, a in page.found if tag == "meta" and a.get("name") == "description"]
    assert about == f"small: {evil}"
    lines = [line for source in page_data(text)["networks"][0]["sources"] for line in source["lines"].values()]
    assert any("</script><script>alert(1)" in line for line in lines)


def test_sections_make_a_page() -> None:
    sections = [Section("a", "First & last", "<p>one</p>", {"x": "</script>"}), Section("b", "Second", '<table class="sorts"></table>')]
    text = render("Title", sections, description='"quoted"')
    assert '<nav aria-label="Sections"><a href="#a">First &amp; last</a><a href="#b">Second</a></nav>' in text
    assert '<script type="application/json" id="a-data">{"x":"\\u003c/script>"}</script>' in text
    assert 'content="&quot;quoted&quot;"' in text


# --- in a browser --------------------------------------------------------------------------------------------


def shown(page: Any) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('[role=treeitem]')].map(e => e.dataset.path)")  # type: ignore[no-any-return]


def focused(page: Any) -> str:
    return page.evaluate("document.activeElement.dataset.path || document.activeElement.tagName")  # type: ignore[no-any-return]


def item(page: Any, path: str) -> Any:
    return page.locator(f'[data-path="{path}"] > rect')


@pytest.mark.needs("chromium")
def test_clicks_open_and_show_spec_and_code(visit: Any) -> None:
    page = visit(draw(spec("resnet50")).html)
    assert shown(page) == [
        "conv1", "bn1", "act1", "maxpool", "layer1", "layer1.0", "layer1.1-2", "layer2", "layer2.0", "layer2.1-3",
        "layer3", "layer3.0", "layer3.1-5", "layer4", "layer4.0", "layer4.1-2", "avgpool", "flatten", "fc",
    ]  # fmt: skip
    item(page, "layer1.0").click()
    assert "layer1.0.conv2" in shown(page)
    details = page.locator(".details")
    assert details.locator("h3").inner_text() == "layer1.0"
    assert "75,008" in details.inner_text()
    assert "- {depth: 3, width: 64}" in details.locator("pre .here").first.inner_text()
    assert "class Bottleneck(nn.Module):" in details.inner_text()
    item(page, "layer1.0.downsample").click()
    assert "nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))" in details.inner_text()
    item(page, "layer1.0.conv2").click()
    assert "self.conv2 = nn.Conv2d(64, 64, 3" in "".join(details.locator("pre .here").all_inner_texts())
    # The second click on what is chosen closes it.
    page.locator('[data-path="layer1.0"] > text').first.evaluate(
        "e => e.parentNode.dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    page.locator('[data-path="layer1.0"]').evaluate("e => e.dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    assert "layer1.0.conv2" not in shown(page)
    page.get_by_role("button", name="Everything").click()
    assert len(shown(page)) > 100
    page.get_by_role("button", name="Stages").click()
    assert shown(page) == ["conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool", "flatten", "fc"]


@pytest.mark.needs("chromium")
def test_it_works_from_the_keyboard(visit: Any) -> None:
    page = visit(draw(spec("resnet18")).html)
    page.locator('[data-path="conv1"]').focus()
    steps = [
        ("ArrowDown", "bn1"), ("ArrowUp", "conv1"), ("End", "fc"), ("Home", "conv1"),
        *((("ArrowDown", name)) for name in ("bn1", "act1", "maxpool", "layer1", "layer1.0-1")),
        ("ArrowRight", "layer1.0-1"), ("ArrowRight", "layer1.0-1.conv1"), ("ArrowLeft", "layer1.0-1"), ("ArrowLeft", "layer1.0-1"),
        ("ArrowLeft", "layer1"), ("Space", "layer1"), ("ArrowDown", "layer2"), ("Enter", "layer2"),
    ]  # fmt: skip
    for key, there in steps:
        page.keyboard.press(key)
        assert focused(page) == there, key
    assert page.locator(".details h3").inner_text() == "layer2"
    assert page.locator('[data-path="layer2"]').get_attribute("aria-selected") == "true"
    assert page.locator('[data-path="layer1"]').get_attribute("aria-expanded") == "false"
    page.keyboard.press("Escape")
    assert page.locator(".details h3").inner_text() == "Details"
    width = lambda: page.locator("svg").evaluate("e => e.getBoundingClientRect().width")  # noqa: E731
    before = width()
    page.keyboard.press("+")
    assert width() == pytest.approx(before * 1.25, rel=0.01)
    page.keyboard.press("-")
    assert width() == pytest.approx(before, rel=0.01)
    # What has the focus is seen: in the picture, and wherever Tab leads.
    assert page.locator('[data-path="layer2"] > rect').evaluate("e => getComputedStyle(e).strokeWidth") == "4px"
    page.keyboard.press("/")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.slice(0, 30)")
        )
        assert page.evaluate(
            "document.activeElement.matches('[role=treeitem]') || getComputedStyle(document.activeElement).outlineStyle !== 'none'"
        )
    assert {"Stages", "Blocks", "Everything", "Zoom out", "Zoom in", "Details", "Figures"} <= set(reached)
    assert [x for x in reached if x.startswith("layer2, stage")]


@pytest.mark.needs("chromium")
def test_search_finds_what_is_closed(visit: Any) -> None:
    page = visit(draw(spec("resnet18")).html)
    search = page.get_by_role("searchbox")
    search.fill("layer3 downsample conv")
    assert page.get_by_role("status").inner_text() == "1 found"
    search.press("Enter")
    assert page.get_by_role("status").inner_text() == "1 of 1"
    assert "layer3.0.downsample.0" in shown(page)
    assert page.locator(".details h3").inner_text() == "layer3.0.downsample.0"
    assert page.locator('[data-path="layer3.0.downsample.0"]').get_attribute("class").split()[-2:] == ["hit", "chosen"]
    search.fill("nothing like it")
    assert page.get_by_role("status").inner_text() == "0 found"
    search.press("Escape")
    assert search.input_value() == ""


@pytest.mark.needs("chromium")
def test_the_table_sorts_and_leads_to_the_picture(visit: Any) -> None:
    graph = spec("resnet18")
    page = visit(draw(graph).html)
    table = page.locator(".figures table")
    names = lambda: table.locator("tbody td button").all_inner_texts()  # noqa: E731
    assert names()[:5] == ["conv1", "bn1", "act1", "maxpool", "layer1"]
    table.get_by_role("button", name="params").click()
    assert names()[:4] == ["layer4", "layer3", "layer2", "fc"]
    assert table.get_by_role("columnheader", name="params").get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="params").click()
    assert names()[-1] == "layer4"
    table.get_by_role("button", name="name").click()
    assert names() == sorted(names())
    page.get_by_label("Rows by").select_option("op")
    cells = table.locator("tbody tr").evaluate_all("rows => rows.map(r => [...r.cells].map(c => Number(c.dataset.value || 0)))")
    assert sum(row[3] for row in cells) == inspect(graph).params
    assert sum(row[4] for row in cells) == inspect(graph).macs
    table.get_by_role("button", name="layer4.0.downsample.0").click()
    assert focused(page) == "layer4.0.downsample.0"
    assert page.locator('[data-path="layer4.0.downsample.0"] > rect').is_visible()


@pytest.mark.needs("chromium")
def test_hover_tells_shapes_and_costs_and_dragging_pans(visit: Any) -> None:
    page = visit(draw(spec("resnet18")).html)
    item(page, "conv1").hover()
    assert page.locator(".tip").inner_text().splitlines() == ["conv1", "7x7 conv, 64, /2", "gives 64x112x112", "9.41 k params, 118 M MACs"]
    area = page.locator(".scroll")
    box = area.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 400)
    assert not page.locator(".tip").is_visible()
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 200, steps=4)
    page.mouse.up()
    assert area.evaluate("e => e.scrollTop") == 200
    before = page.locator("svg").bounding_box()["width"]
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function(f"document.querySelector('svg').getBoundingClientRect().width > {before * 1.5}")


@pytest.mark.needs("chromium")
def test_two_networks_with_what_differs_lit(visit: Any) -> None:
    found = diff(spec("resnet34"), spec("resnet34", "shortcut=C", "stages.layer3.depth=8"), ("plain B", "with C"))
    page = visit(draw_difference(found).html, 1920, 1080)
    assert page.locator("p.about").inner_text() == "5 changes from plain B (A) to with C (B); 218 of B's tensors fit A's weights"
    lit = page.evaluate(
        "[...document.querySelectorAll('.pane')].map(p => [...p.querySelectorAll('.added,.removed')].map(e => e.dataset.path))"
    )
    assert lit == [[], ["layer1.0-2.downsample", "layer2.1-3.downsample", "layer3.1-5.downsample", "layer3.6-7", "layer4.1-2.downsample"]]
    added = page.locator('[data-path="layer3.6-7"]')
    assert added.locator("text").first.text_content() == "+ 6-7  basic  x2"
    assert "added" in added.get_attribute("aria-label").split(", ")
    changed = page.evaluate(
        "[...document.querySelectorAll('.pane')].map(p => [...p.querySelectorAll('.changed')].map(e => e.dataset.path))"
    )
    assert changed[0] == changed[1]
    assert set(changed[0]) >= {"layer1", "layer2", "layer3", "layer4", "layer1.0-2"}

    rows = page.locator(".figures tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.cells].map(c => c.dataset.value === undefined ? c.textContent : Number(c.dataset.value)))"
    )
    a, b = (c.network for c in found.costs)
    assert [sum(row[i] for row in rows) for i in range(1, 7)] == [
        a.params, b.params, b.params - a.params, a.macs, b.macs, b.macs - a.macs,
    ]  # fmt: skip
    page.get_by_label("Rows by").select_option("block")
    names = page.locator(".figures tbody td button").all_inner_texts()
    assert names[names.index("~ layer3.1-5") :][:3] == ["~ layer3.1-5", "+ layer3.6-7", "layer4.0"]
    page.get_by_role("button", name="+ layer3.6-7").click()
    assert page.locator(".details h3").inner_text() == "B: layer3.6-7"

    page = visit(draw([spec("resnet50-v1"), spec("resnet50")]).html, 1920, 1080)
    boxes = page.locator('[data-path="layer2.0.conv2"]')
    assert [boxes.nth(i).locator("text").all_text_contents()[:2] for i in (0, 1)] == [
        ["~ 3x3 conv, 128", "stride 1 \u2192 2"], ["~ 3x3 conv, 128, /2", "stride 1 \u2192 2"],
    ]  # fmt: skip


@pytest.mark.needs("chromium")
@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 400), ("print", 1280)])
def test_it_is_accessible(visit: Any, theme: Any, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    graphs = [compiled(NETWORKS["small"], "small"), compiled(NETWORKS["projections"], "other")]
    page = visit(draw(graphs, theme=theme).html, width)
    page.get_by_role("button", name="Everything").click()
    page.get_by_role("searchbox").fill("conv")
    page.get_by_role("searchbox").press("Enter")
    found = Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:120] for n in v["nodes"]]) for v in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


INSIDE = """() => {
  const found = [];
  const box = e => e.getBoundingClientRect();
  const slack = 0.5;
  for (const g of document.querySelectorAll('[role=treeitem]')) {
    const outer = box(g.querySelector(':scope > rect'));
    for (const t of g.querySelectorAll(':scope > text')) {
      const b = box(t);
      if (b.left < outer.left - slack || b.right > outer.right + slack || b.top < outer.top - 3 || b.bottom > outer.bottom + 3) found.push(['text', g.dataset.path]);
    }
    const children = [...g.querySelectorAll(':scope > [role=group] > [role=treeitem] > rect')].map(e => [e.parentNode.dataset.path, box(e)]);
    children.forEach(([path, b], i) => {
      if (b.left < outer.left || b.right > outer.right || b.top < outer.top || b.bottom > outer.bottom) found.push(['outside', path]);
      for (const [other, c] of children.slice(i + 1)) {
        if (Math.min(b.right, c.right) - Math.max(b.left, c.left) > slack && Math.min(b.bottom, c.bottom) - Math.max(b.top, c.top) > slack) found.push(['overlap', path, other]);
      }
    });
  }
  const closed = [...document.querySelectorAll('[role=treeitem]:not([aria-expanded=true]) > rect')].map(e => [e.parentNode.dataset.path, box(e)]);
  for (const wire of document.querySelectorAll('path.wire')) {
    const points = [];
    const [length, matrix] = [wire.getTotalLength(), wire.getScreenCTM()];
    for (let i = 1; i < 24; i += 1) points.push(wire.getPointAtLength(length * i / 24).matrixTransform(matrix));
    for (const [path, b] of closed) {
      if (points.some(p => p.x > b.left + 1 && p.x < b.right - 1 && p.y > b.top + 1 && p.y < b.bottom - 1)) found.push(['wire', wire.getAttribute('d'), path]);
    }
  }
  return found;
}"""


@pytest.mark.needs("chromium")
def test_nothing_overlaps_whatever_is_open(visit: Any) -> None:
    graphs = [compiled(NETWORKS[name], name) for name in ("pooled", "gate-conv", "mixed", "in-place")]
    for graph in [*graphs, *(spec(str(Path(__file__).parent / "data" / "legal" / f"{n}.yaml")) for n in ("fractal-like",))]:
        page = visit(draw(graph).html)
        page.get_by_role("button", name="Everything").click()
        assert page.evaluate(INSIDE) == [], graph.name
