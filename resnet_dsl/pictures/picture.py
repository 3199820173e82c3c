"""A finished picture: it shows itself in a notebook and is saved as an SVG."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from html import escape

from resnet_dsl.files import write_output


@dataclass(frozen=True, slots=True, repr=False)
class Picture:
    """The text of an SVG, and what it shows."""

    svg: str
    title: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the SVG. Raises SpecError (exit 3)."""
        write_output(path, self.svg)

    def html(self) -> str:
        """An HTML image, whose styles and names stay its own."""
        data = base64.b64encode(self.svg.encode()).decode()
        return f'<img alt="{escape(self.title)}" src="data:image/svg+xml;base64,{data}">\n'

    def __repr__(self) -> str:
        return f"<Picture {self.title[:200]}>"

    def _repr_svg_(self) -> str:
        return self.svg
