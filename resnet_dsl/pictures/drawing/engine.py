"""Runs the bundled Graphviz (the package graphviz-pure), which turns DOT into SVG and PNG without a system `dot`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import escape, unescape
from pathlib import Path

from resnet_dsl.diagnostics import SpecError, clean, refuse
from resnet_dsl.pictures.drawing.dot import FONT
from resnet_dsl.pictures.drawing.text import text_width

_PROGRAM = "graphviz-pure"
_SECONDS = 120
# The families share Helvetica's widths, so text fits its box wherever one of them is installed.
_TEXT = re.compile(
    rf'<text(?P<start>[^>]*?) font-family="{FONT},sans-Serif"(?P<more>[^>]*?)'
    r'font-size="(?P<size>[0-9.]+)"(?P<rest>[^>]*)>(?P<words>[^<]*)</text>'
)
_FAMILIES = "Helvetica,Arial,'Liberation Sans',Arimo,sans-serif"


def render(dot: str, kind: str, dpi: float | None = None) -> bytes:
    """DOT to `svg` or `png`; PNG at `dpi` dots an inch. Raises SpecError (exit code 3) where the engine is missing or fails."""
    command = [_engine(), f"-T{kind}", *([f"-Gdpi={dpi:g}"] if dpi is not None else [])]
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as e:
        said = e.stderr if isinstance(e, subprocess.CalledProcessError) else str(e).encode()
        words = said.decode(errors="replace").strip().splitlines()[-1:]
        raise _problem(f"the drawing engine failed: {clean(''.join(words))}") from e
    return done.stdout


def dress(svg: str, name: str, description: str, canonical: str) -> str:
    """The engine's SVG with the network's name and description for readers and screen readers, its canonical form as metadata,
    fonts that fit, and without the engine's own comments and hover titles.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<!--.*?-->\n?", "", body, flags=re.DOTALL)
    body = re.sub(r"<title>[^<]*</title>\n?", "", body)
    body = _TEXT.sub(_fitted, body)
    opening, rest = body.split(">", 1)
    about = (("title", name), ("desc", description), ("metadata", canonical))
    said = "".join(f"<{tag}>{escape(clean(text), quote=False)}</{tag}>\n" for tag, text in about)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opening} role="img">\n{said}{rest.strip()}\n'


def _fitted(found: re.Match[str]) -> str:
    """A text that is told its width, so that it stays in its box in whatever font a reader has."""
    start, more, size, rest, words = found.group("start", "more", "size", "rest", "words")
    if not words.strip():
        return ""
    width = text_width(unescape(words).replace("\u00a0", " "), float(size), "bold" in more)
    fit = f'textLength="{width:.2f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text{start} font-family="{_FAMILIES}"{more}font-size="{size}" {fit}{rest}>{words}</text>'


def _engine() -> str:
    """The program, on the path or beside the Python that runs."""
    found = shutil.which(_PROGRAM) or shutil.which(_PROGRAM, path=str(Path(sys.executable).parent))
    if found is None:
        raise _problem("the drawing engine graphviz-pure is not installed")
    return found


def _problem(message: str) -> SpecError:
    return refuse("drawing-engine", message, f"pip install {_PROGRAM}; or write .dot or .mmd, which need no engine", at="draw", exit_code=3)
