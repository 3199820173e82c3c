"""Tables as HTML: what a terminal shows as aligned columns, with headings that sort."""

from __future__ import annotations

from resnet_dsl.pictures.page.shell import text
from resnet_dsl.table import Column, Table


def table_html(table: Table, caption: str, *, sorts: bool = True) -> str:
    """The table in a box that scrolls where it is large; the first cell of a row heads it. Notes are left out."""
    kind = ' class="sorts"' if sorts else ""
    head = "".join(f'<th scope="col"{_side(c)}>{text(c.title)}</th>' for c in table.columns)
    rows = "\n".join(
        f"<tr>{''.join(_cell(c, v, i == 0) for i, (c, v) in enumerate(zip(table.columns, r, strict=True)))}</tr>" for r in table.rows
    )
    return held(
        f"<table{kind}>\n<caption>{text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>", caption
    )


def held(table: str, label: str) -> str:
    """A table in a box that scrolls, by the keyboard too."""
    return f'<div class="held" role="group" tabindex="0" aria-label="{text(label)}">{table}</div>'


def folded(summary: str, body: str) -> str:
    """Something that opens when it is asked for."""
    return f"<details><summary>{text(summary)}</summary>\n{body}\n</details>"


def _cell(column: Column, value: object, heads: bool) -> str:
    # A row is sorted by the value, not by how it is written.
    known = f' data-value="{value}"' if isinstance(value, int | float) and not isinstance(value, bool) else ""
    words = "" if value is None else text(column.text(value))
    return f'<th scope="row"{_side(column)}{known}>{words}</th>' if heads and words else f"<td{_side(column)}{known}>{words}</td>"


def _side(column: Column) -> str:
    return ' class="number"' if column.right else ""
