"""Colours. The hues are Paul Tol's `light` scheme, which colour-blind readers can tell apart and which black text suits.

Nothing is said by colour alone: stages have names, shortcuts that change the shape are dotted, so grey prints are complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnet_dsl.reports.drawing.tree import Frame, Look


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
    """`paper` is the ground; `tint` is how much of a stage's hue its frame shows, from 0 to 1."""

    paper: str
    line: str
    ink: str
    soft: str
    hues: tuple[str, ...]
    neutral: str
    tint: float

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


_TOL_LIGHT = ("#77aadd", "#eedd88", "#ffaabb", "#44bb99", "#ee8866", "#99ddff", "#bbcc33", "#aaaa00")

THEMES: Mapping[str, Theme] = {
    "light": Theme("#ffffff", "#333333", "#111111", "#555555", _TOL_LIGHT, "#dddddd", 0.25),
    "dark": Theme("#16181d", "#c8ccd4", "#f2f4f8", "#b4bac4", _TOL_LIGHT, "#cccccc", 0.2),
    "print": Theme("#ffffff", "#000000", "#000000", "#333333", ("#ffffff", "#e4e4e4"), "#f4f4f4", 0.3),
}
"""What a picture is painted with: on white, on black, or for printing without colour."""
