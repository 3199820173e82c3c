"""Lines of text in a picture: how wide they are, and how figures and ranges are said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnet_dsl.graph.graph import Shape
from resnet_dsl.table import shape_text, short

NORMAL, SOFT, STRONG, TITLE = 10.0, 9.0, 11.0, 14.0
"""Font sizes, in points."""

_LEADING = 1.2

# Advance widths in thousandths of the font size: Helvetica's, which Arial, Arimo and Liberation Sans share.
_REGULAR = {
    191: "'", 222: "ijl", 260: "|", 278: " !,./:;I[\\]ft", 333: "()-`r", 334: "{}", 355: '"', 389: "*", 469: "^",
    500: "Jckvxyzs", 556: "#$0123456789?L_abdeghnopqu", 584: "+<=>~", 611: "FTZ", 667: "&ABEKPSVXY",
    722: "CDHNRUw", 778: "GOQ", 833: "Mm", 889: "%", 944: "W", 1015: "@",
}  # fmt: skip
_BOLD = {
    238: "'", 278: " ,./I\\ijl", 280: "|", 333: "!()-:;[]`ft", 389: "*r{}", 474: '"', 500: "z", 556: "#$0123456789J_acekvxys",
    584: "+<=>^~", 611: "?FLTZbdghnopqu", 667: "EPSVXY", 722: "&ABCDHKNRU", 778: "GOQw", 833: "M", 889: "%m", 944: "W", 975: "@",
}  # fmt: skip
_WIDTHS = [{c: width for width, chars in table.items() for c in chars} for table in (_REGULAR, _BOLD)]
_OTHER = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a label; `soft` ones are small and grey, `tail` is a soft remark after the text."""

    text: str
    size: float = NORMAL
    bold: bool = False
    tail: str = ""

    @property
    def width(self) -> float:
        """In points."""
        width = text_width(self.text, self.size, self.bold)
        return width + (text_width(TAIL_GAP + self.tail, SOFT) if self.tail else 0)

    @property
    def height(self) -> float:
        """In points, with the leading."""
        return self.size * _LEADING


TAIL_GAP = "  "


def strong(text: str, tail: str = "") -> Line:
    """A line that names what the rest is about."""
    return Line(text, STRONG, True, tail)


def soft(text: str) -> Line:
    """A line of figures."""
    return Line(text, SOFT)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of `text` in Helvetica, in points."""
    return sum(_WIDTHS[bold].get(c, _OTHER) for c in text) * size / 1000


def block_size(lines: Sequence[Line]) -> tuple[float, float]:
    """Width and height of lines under one another."""
    return max((x.width for x in lines), default=0.0), sum(x.height for x in lines)


def figures(params: Sequence[int], macs: Sequence[int]) -> str:
    """`74.0 k params, 231 M MACs`; of several the range; empty where there are none."""
    named = [(params, "params"), (macs, "MACs")]
    return ", ".join(f"{_range(short(min(x)), short(max(x)))} {unit}" for x, unit in named if any(x))


def shapes(first: Shape, last: Shape) -> str:
    """`64x56x56`, or `64x56x56 to 256x56x56`."""
    return _range(shape_text(first), shape_text(last))


def labels(first: str, last: str) -> str:
    """One label for steps that differ only in a figure: `drop path 0.1 to 0.3`."""
    if first == last:
        return first
    a, b = first.split(" "), last.split(" ")
    same = 0
    while same < min(len(a), len(b)) - 1 and a[same] == b[same]:
        same += 1
    return f"{first} to {' '.join(b[same:])}"


def _range(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"
