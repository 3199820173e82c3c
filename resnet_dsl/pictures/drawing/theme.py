"""Colours. The hues are Paul Tol's `light` scheme, which colour-blind readers can tell apart and which black text suits.

Nothing is said by colour alone: stages have names, shortcuts that change the shape are dotted, so grey prints are complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from resnet_dsl.pictures.drawing.tree import Frame, Look

ThemeName = Literal["light", "dark", "print"]


@dataclass(frozen=True, slots=True)
class Paint:
    """How one thing is painted: fill, outline, text, small text, and Graphviz's style words."""

    fill: str
    line: str
    ink: str
    soft: str
    style: str


@dataclass(frozen=True, slots=True)
class Theme:
    """`paper` is the ground; `tint` is how much of a stage's hue its frame shows, from 0 to 1.

    `marks` are the fill and the outline of what differs in a comparison.
    """

    paper: str
    line: str
    ink: str
    soft: str
    hues: tuple[str, ...]
    neutral: str
    tint: float
    marks: Mapping[Look, tuple[str, str]]

    def hue(self, number: int | None) -> str:
        """The colour of a stage; they come round again after the last."""
        return self.neutral if number is None else self.hues[number % len(self.hues)]

    def box(self, look: Look, number: int | None) -> Paint:
        """The paint of a box."""
        hue = self.hue(number)
        if look in ("text", "joint"):
            return Paint(self.line, self.line, self.ink, self.soft, "invis" if look == "joint" else "")
        if look in ("side", "merge", "pill"):
            return Paint(self.paper, self.line, self.ink, self.soft, "rounded,filled,dashed" if look == "side" else "rounded,filled")
        if look == "ghost":
            return Paint(self.paper, mix(self.paper, self.line, 0.35), self.soft, self.soft, "rounded,filled,dotted")
        if look in self.marks:
            fill, line = self.marks[look]
            return Paint(fill, line, "#000000", "#333333", _MARKED[look])
        fill = hue if look == "box" else mix(hue, "#ffffff", 0.45)
        return Paint(fill, mix(hue, "#000000", 0.45), "#000000", "#333333", "rounded,filled")

    def frame(self, frame: Frame, number: int | None) -> Paint:
        """The paint of a frame; what lies in a stage lets its tint show."""
        hue = self.hue(number)
        fill = mix(self.paper, hue, self.tint) if frame == "stage" else mix(self.paper, hue, self.tint / 2)
        return Paint(
            fill, mix(hue, self.line, 0.3) if frame == "stage" else mix(hue, self.line, 0.6), self.ink, self.soft, "rounded,filled"
        )


def mix(a: str, b: str, share: float) -> str:
    """A colour between two, `share` of the way from a to b."""
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)


# Who cannot see the colours sees the outline, and who cannot see that reads the sign.
_MARKED: Mapping[Look, str] = {
    "same": "rounded,filled",
    "changed": "rounded,filled,bold",
    "added": "rounded,filled,bold",
    "removed": "rounded,filled,dashed",
}

# After Okabe and Ito (2008): blue, vermilion and yellow differ for every kind of colour vision, and in grey.
_MARKS: Mapping[Look, tuple[str, str]] = {
    "same": ("#ececec", "#8a8a8a"),
    "changed": ("#fff1b3", "#8a6d00"),
    "added": ("#c5e3f6", "#00588f"),
    "removed": ("#fbd3bb", "#a84600"),
}
_GREY_MARKS: Mapping[Look, tuple[str, str]] = {
    "same": ("#ffffff", "#999999"),
    "changed": ("#f2f2f2", "#000000"),
    "added": ("#e0e0e0", "#000000"),
    "removed": ("#ffffff", "#000000"),
}

_TOL_LIGHT = ("#77aadd", "#eedd88", "#ffaabb", "#44bb99", "#ee8866", "#99ddff", "#bbcc33", "#aaaa00")

THEMES: Mapping[str, Theme] = {
    "light": Theme("#ffffff", "#333333", "#111111", "#555555", _TOL_LIGHT, "#dddddd", 0.25, _MARKS),
    "dark": Theme("#16181d", "#c8ccd4", "#f2f4f8", "#b4bac4", _TOL_LIGHT, "#cccccc", 0.2, _MARKS),
    "print": Theme("#ffffff", "#000000", "#000000", "#333333", ("#ffffff", "#e4e4e4"), "#f4f4f4", 0.3, _GREY_MARKS),
}
"""What a picture is painted with: on white, on black, or for printing without colour."""
