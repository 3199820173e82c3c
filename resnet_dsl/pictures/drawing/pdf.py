"""A scene as a PDF of one page, by the package reportlab (the extra `pdf`). Text is text, in a font that every reader has."""

from __future__ import annotations

import io

from resnet_dsl.extras import require
from resnet_dsl.pictures.drawing.scene import Scene
from resnet_dsl.pictures.drawing.strokes import ROUND, Bezier, Rectangle, Words, strokes
from resnet_dsl.pictures.drawing.theme import Theme

_FONTS = ("Helvetica", "Helvetica-Bold")


def to_pdf(scene: Scene, theme: Theme, name: str, description: str, canonical: str) -> bytes:
    """The bytes of a PDF. Raises SpecError (exit code 3) where reportlab is not installed."""
    require("pdf", "a PDF needs the package", at="draw", instead="write .svg")
    from reportlab.lib.colors import HexColor
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    # Invariant: no date and no random number, so the same picture has the same bytes.
    page = Canvas(out, (scene.width, scene.height), invariant=1)
    page.setTitle(_known(name))
    page.setSubject(_known(description))
    page.setKeywords(_known(canonical))
    page.setCreator("resnet-dsl")
    page.setFillColor(HexColor(theme.paper))
    page.rect(0, 0, scene.width, scene.height, stroke=0, fill=1)
    for stroke in strokes(scene, theme):
        if isinstance(stroke, Rectangle):
            page.setFillColor(HexColor(stroke.fill))
            page.setStrokeColor(HexColor(stroke.line))
            page.setLineWidth(stroke.thick)
            page.setDash(*_dash(stroke.dash))
            radius = min(ROUND, stroke.height / 2)
            page.roundRect(stroke.x, scene.height - stroke.y - stroke.height, stroke.width, stroke.height, radius, stroke=1, fill=1)
        elif isinstance(stroke, Words):
            page.setFillColor(HexColor(stroke.ink))
            page.setFont(_FONTS[stroke.bold], stroke.size)
            page.drawString(stroke.x, scene.height - stroke.y, _known(stroke.text))
        else:
            _draw(page, stroke, scene.height, HexColor(stroke.line))
    page.showPage()
    page.save()
    return out.getvalue()


def _draw(page, curve: Bezier, height: float, ink) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    page.setStrokeColor(ink)
    page.setFillColor(ink)
    page.setLineWidth(curve.thick)
    page.setLineCap(1)
    page.setDash(*_dash(curve.dash))
    path = page.beginPath()
    points = [(x, height - y) for x, y in curve.points]
    path.moveTo(*points[0])
    for a, b, c in zip(points[1::3], points[2::3], points[3::3], strict=True):
        path.curveTo(*a, *b, *c)
    page.drawPath(path, stroke=1, fill=0)
    if curve.head:
        head = page.beginPath()
        (x, y), *rest = [(x, height - y) for x, y in curve.head]
        head.moveTo(x, y)
        for corner in rest:
            head.lineTo(*corner)
        head.close()
        page.drawPath(head, stroke=0, fill=1)


def _dash(dash: tuple[float, ...]) -> tuple[list[float], float]:
    return list(dash), 0


def _known(text: str) -> str:
    """What the page's fonts hold; anything else by its number."""
    return "".join(c if ord(c) < 256 else f"U+{ord(c):04X}" for c in text)
