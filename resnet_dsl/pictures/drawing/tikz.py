"""A scene as a standalone LaTeX file: TikZ with every place given, text set by LaTeX in whatever font, to the width that its box has for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resnet_dsl.diagnostics import clean, refuse
from resnet_dsl.pictures.drawing.scene import Point, Scene
from resnet_dsl.pictures.drawing.strokes import ROUND, Bezier, Rectangle, Stroke, Words, strokes
from resnet_dsl.pictures.drawing.theme import Theme

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''",
}  # fmt: skip

_HEAD = r"""\documentclass{article}
\usepackage{textcomp}
\renewcommand{\familydefault}{\sfdefault}
\usepackage{tikz}"""

_LARGEST = 16_000.0
"""Points: TeX knows no longer lengths."""


def to_tikz(scene: Scene, theme: Theme, about: str) -> str:
    """The text of a .tex file for `pdflatex`; `about` goes into comments, one per line.

    Raises SpecError where the picture is larger than TeX can count.
    """
    if max(scene.width, scene.height) > _LARGEST:
        raise refuse("picture-size", "the picture is longer than TeX can measure", "fold more, or write .pdf or .svg", at="draw")
    found = list(strokes(scene, theme))
    paints = {theme.paper: "", **dict.fromkeys(c for s in found for c in _paints(s))}
    names = {c: f"c{i}" for i, c in enumerate(paints)}
    page = f"(0,0) rectangle ({_n(scene.width)},{_n(-scene.height)})"
    return "\n".join(
        [
            *(f"% {line}" for line in clean(about).splitlines()),
            _HEAD,
            f"\\usepackage[paperwidth={_n(scene.width)}bp, paperheight={_n(scene.height)}bp, margin=0bp]{{geometry}}",
            r"\setlength{\parindent}{0pt}\setlength{\topskip}{0pt}\pagestyle{empty}",
            *(f"\\definecolor{{{name}}}{{HTML}}{{{c[1:].upper()}}}" for c, name in names.items()),
            r"\begin{document}",
            r"\begin{tikzpicture}[baseline=(current bounding box.north), x=1bp, y=1bp, inner sep=0pt, outer sep=0pt]",
            f"\\path[use as bounding box, fill={names[theme.paper]}] {page};",
            *(line for s in found for line in _stroke(s, names)),
            r"\end{tikzpicture}",
            r"\end{document}",
            "",
        ]
    )


def _paints(stroke: Stroke) -> Iterable[str]:
    if isinstance(stroke, Rectangle):
        return (stroke.fill, stroke.line)
    return (stroke.ink,) if isinstance(stroke, Words) else (stroke.line,)


def _stroke(stroke: Stroke, names: dict[str, str]) -> Iterator[str]:
    if isinstance(stroke, Rectangle):
        options = f"fill={names[stroke.fill]}, {_pen(stroke.line, stroke.thick, stroke.dash, names)}, rounded corners={_n(ROUND)}bp"
        yield f"\\draw[{options}] {_point((stroke.x, stroke.y))} rectangle {_point((stroke.x + stroke.width, stroke.y + stroke.height))};"
    elif isinstance(stroke, Words):
        font = f"\\fontsize{{{_n(stroke.size)}bp}}{{{_n(stroke.size * 1.2)}bp}}\\selectfont{chr(92) + 'bfseries' if stroke.bold else ''}"
        fitted = f"\\resizebox{{{_n(stroke.width)}bp}}{{\\height}}{{{_escaped(stroke.text)}}}"
        yield f"\\node[anchor=base west, text={names[stroke.ink]}, font={{{font}}}] at {_point((stroke.x, stroke.y))} {{{fitted}}};"
    else:
        yield from _curve(stroke, names)


def _curve(curve: Bezier, names: dict[str, str]) -> Iterator[str]:
    start, *rest = curve.points
    way = "".join(
        f" .. controls {_point(a)} and {_point(b)} .. {_point(c)}" for a, b, c in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
    )
    yield f"\\draw[{_pen(curve.line, curve.thick, curve.dash, names)}, line cap=round] {_point(start)}{way};"
    if curve.head:
        yield f"\\fill[{names[curve.line]}] {' -- '.join(map(_point, curve.head))} -- cycle;"


def _pen(line: str, thick: float, dash: tuple[float, ...], names: dict[str, str]) -> str:
    pattern = f", dash pattern=on {_n(dash[0])}bp off {_n(dash[1])}bp" if dash else ""
    return f"draw={names[line]}, line width={_n(thick)}bp{pattern}"


def _point(p: Point) -> str:
    """TikZ counts upwards."""
    return f"({_n(p[0])},{_n(-p[1])})"


def _escaped(text: str) -> str:
    """Text that is only text: letters that LaTeX may not know are given by their number."""
    return "".join(_SPECIAL.get(c, c if c.isascii() else f"U+{ord(c):04X}") for c in text)


def _n(x: float) -> str:
    text = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
