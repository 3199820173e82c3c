"""Rows to text: aligned columns for a person, Markdown, LaTeX, HTML, CSV. JSON documents are made by the values themselves.

A cell is a value; its column knows how people read it. CSV holds the bare values, so that nothing is parsed twice. Text that
came from outside, such as a class's name, is safe in every format: what a terminal would obey or a reader could not see is
spelled out (`<U+001B>`), and what has a meaning in the format is escaped.
"""

from __future__ import annotations

import io
import re
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal, get_args

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, clean, did_you_mean, either, inline, quote, refuse, speak

if TYPE_CHECKING:
    from pandas import DataFrame

Layout = Literal["table", "csv", "markdown", "latex", "html"]
Format = Literal["table", "json", "csv", "markdown", "latex"]

_GAP = "  "
_NARROWEST = 16
_LONGEST = 240
"""Characters of a summary that a `repr` shows."""


@dataclass(frozen=True, slots=True)
class Column:
    """`key` heads the column in CSV, `title` for people; `text` writes a value that is not None.

    A column of prose may `wrap`.
    """

    key: str
    title: str
    text: Callable[[Any], str] = str
    right: bool = False
    wrap: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values under columns. `total` is a last row set off from the others and left out of CSV.

    `upright` says that the one row reads better as a list of names and values.
    """

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[object]]
    title: str = ""
    total: Sequence[object] | None = None
    notes: tuple[str, ...] = ()
    upright: bool = False

    def render(self, format: Layout, *, bold: bool = False, width: int = 80) -> str:
        """The text, with a line break at its end. `bold` sets off headings by terminal escapes, `width` is where prose wraps."""
        if format == "csv":
            return self._csv()
        head = [inline(c.title) for c in self.columns]
        title, notes = _lines(self.title), tuple(map(_lines, self.notes))
        body = [self._texts(row) for row in self.rows]
        total = [self._texts(self.total)] if self.total is not None else []
        rights, wraps = [c.right for c in self.columns], [c.wrap for c in self.columns]
        if self.upright:
            head, body = ["", ""], [list(pair) for pair in zip(head, body[0], strict=True) if pair[1]]
            rights = wraps = [False, False]
        if format == "markdown":
            return _markdown(head, body, total, rights, title, notes)
        if format == "html":
            return _html(head, body, total, rights, title, notes)
        if format == "latex":
            return _latex(head, body, total, rights, title, notes)
        body = _wrapped(head, body, wraps, width)
        return _aligned(head, body, total, rights, title, notes, bold)

    def to_dataframe(self) -> DataFrame:
        """The rows as a pandas DataFrame, one column per key, with the bare values. Needs pandas."""
        from pandas import DataFrame

        return DataFrame([list(row) for row in self.rows], columns=[c.key for c in self.columns])

    def _repr_html_(self) -> str:
        return speak(self.render("html"))

    @property
    def width(self) -> int:
        """The columns of a terminal that the rows take where nothing wraps."""
        rows = [[inline(c.title) for c in self.columns], *map(self._texts, self.rows)]
        return sum(max(map(len, cells)) for cells in zip(*rows, strict=True)) + len(_GAP) * (len(self.columns) - 1)

    def _texts(self, row: Sequence[object]) -> list[str]:
        return ["" if v is None else inline(c.text(v)) for c, v in zip(self.columns, row, strict=True)]

    def _csv(self) -> str:
        import csv

        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([_bare(c.key) for c in self.columns])
        writer.writerows([[_bare(v) for v in row] for row in self.rows])
        return out.getvalue()


def _lines(text: str) -> str:
    """A title or a note, which may have several lines."""
    return "\n".join(map(inline, text.split("\n")))


def _bare(value: object) -> object:
    """A value as CSV holds it. A line break within a text is quoted; other control characters are spelled out."""
    if isinstance(value, tuple):
        return shape_text(value)
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c == "\t" else clean(c) for c in value)


def _aligned(
    head: list[str], body: list[list[str]], total: list[list[str]], rights: list[bool], title: str, notes: tuple[str, ...], bold: bool
) -> str:
    widths = [max(map(len, cells)) for cells in zip(head, *body, *total, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, rights, strict=True)]
        return _GAP.join(padded).rstrip()

    def strong(text: str) -> str:
        return f"\033[1m{text}\033[0m" if bold else text

    rule = _GAP.join("-" * w for w in widths)
    lines = [strong(title), ""] if title else []
    if any(head):
        lines += [strong(line(head)), rule]
    lines += [line(row) for row in body]
    if total:
        lines += [rule, *(strong(line(row)) for row in total)]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _wrapped(head: list[str], body: list[list[str]], wraps: list[bool], width: int) -> list[list[str]]:
    """The rows with prose broken into lines, the widest column first, until the table fits; other cells are left whole."""
    widths = [max(map(len, cells)) for cells in zip(head, *body, strict=True)]
    words = [max((len(w) for row in body for w in row[i].split()), default=0) if wrap else widths[i] for i, wrap in enumerate(wraps)]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > width:
        i = max(range(len(widths)), key=lambda i: widths[i] if widths[i] > max(words[i], _NARROWEST) else 0)
        if widths[i] <= max(words[i], _NARROWEST):
            break
        widths[i] -= 1
    rows: list[list[str]] = []
    for row in body:
        cells = [textwrap.wrap(text, widths[i], break_on_hyphens=False) if wraps[i] else [text] for i, text in enumerate(row)]
        rows += map(list, zip_longest(*cells, fillvalue=""))
    return rows


def _markdown(
    head: list[str], body: list[list[str]], total: list[list[str]], rights: list[bool], title: str, notes: tuple[str, ...]
) -> str:
    def line(cells: Sequence[str], strong: str = "") -> str:
        texts = (_MARKUP.sub(lambda m: _PLAIN[m[0]], cell) for cell in cells)
        return "| " + " | ".join(f"{strong}{text}{strong}" if text else "" for text in texts) + " |"

    lines = [f"**{title}**", ""] if title else []
    lines += [line(head), "|" + "|".join("---:" if r else ":---" for r in rights) + "|"]
    lines += [line(row) for row in body]
    lines += [line(row, "**") for row in total]
    return "\n".join([*lines, *(x for n in notes for x in ("", n))]) + "\n"


_PLAIN = {"|": "\\|", "<": "&lt;", "](": "]\\(", "`": "\\`"}
"""What Markdown would take for the end of a cell, for HTML, for a link or for code, and how it is text."""

_MARKUP = re.compile(r"\||<(?=[A-Za-z/!?])|\]\(|`")

_SPECIAL = {**{c: f"\\{c}" for c in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(head: list[str], body: list[list[str]], total: list[list[str]], rights: list[bool], title: str, notes: tuple[str, ...]) -> str:
    """A table of the package booktabs, what is said with it as comments and as its caption."""

    def line(cells: Sequence[str]) -> str:
        return "  " + " & ".join("".join(_SPECIAL.get(c, c) for c in cell) for cell in cells) + r" \\"

    lines = [f"% {note}" for note in notes]
    lines += [r"\begin{table}", r"\centering", *([rf"\caption{{{''.join(_SPECIAL.get(c, c) for c in title)}}}"] if title else [])]
    lines += [rf"\begin{{tabular}}{{{''.join('r' if r else 'l' for r in rights)}}}", r"\toprule"]
    lines += [line(head), r"\midrule"] if any(head) else []
    lines += [line(row) for row in body]
    lines += [r"\midrule", *(line(row) for row in total)] if total else []
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _html(head: list[str], body: list[list[str]], total: list[list[str]], rights: list[bool], title: str, notes: tuple[str, ...]) -> str:
    """A table that a notebook shows in its own style: numbers to the right, the title above, the notes below."""
    import html

    def line(cells: Sequence[str], tag: str, strong: bool = False) -> str:
        def cell(text: str, right: bool) -> str:
            shown = html.escape(text).replace("\n", "<br>")
            return f'<{tag} style="text-align: {"right" if right else "left"}">{f"<b>{shown}</b>" if strong else shown}</{tag}>'

        return f"<tr>{''.join(map(cell, cells, rights))}</tr>"

    lines = [f"<p><b>{html.escape(title)}</b></p>"] if title else []
    lines += ["<table>", *([f"<thead>{line(head, 'th')}</thead>"] if any(head) else []), "<tbody>"]
    lines += [line(row, "td") for row in body] + [line(row, "td", strong=True) for row in total]
    below = "<br>".join(map(html.escape, notes))
    lines += ["</tbody>", "</table>", *([f"<p><small>{below}</small></p>"] if notes else [])]
    return "\n".join(lines) + "\n"


class Answer(ABC):
    """A value that a command prints: the same from Python, in a notebook and on the command line.

    A subclass is a frozen dataclass with `repr=False`. It says its `tables`, its JSON document and its one-line summary; the rest
    follows. One that is more than tables says its own `render`.
    """

    __slots__ = ()

    @abstractmethod
    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """What the command prints in this format, in order."""

    @abstractmethod
    def to_dict(self) -> Any:
        """The document that the command's `json` format prints."""

    @abstractmethod
    def summary(self) -> str:
        """What it is, in a line of at most 300 characters."""

    def to_dataframe(self) -> DataFrame:
        """The first table's bare values as a pandas DataFrame. Needs pandas."""
        return self.tables("csv")[0].to_dataframe()

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The text that the command prints in this format; without titles and notes where `quiet`. Tables are a line apart.

        Its arguments are not yet written for a reader: `to_text` writes them for Python, the command line for itself.
        """
        shown = (replace(t, title="", notes=()) if quiet else t for t in self.tables(format))
        return "\n".join(t.render(format, bold=bold, width=width) for t in shown)

    def to_text(self, format: Layout = "table", width: int = 80) -> str:
        """The text in a format: a table for a terminal of `width` columns, csv, markdown, latex or html."""
        if format not in get_args(Layout):
            known = get_args(Layout)
            raise refuse(
                "unknown-name",
                f"no such format: {quote(str(format))}",
                did_you_mean(str(format), known, what="a format"),
                at=Argument("format"),
            )
        return speak(self.render(format, width=width))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        about = inline(speak(self.summary()))
        return f"<{type(self).__name__} {about if len(about) <= _LONGEST else about[:_LONGEST] + '...'}>"

    def _repr_html_(self) -> str:
        return self.to_text("html")


def count(value: int) -> str:
    """25,557,032."""
    return f"{value:,}"


def short(value: float, unit: str = "") -> str:
    """Three digits with a decimal prefix: `4.09 G`, `51.1 MB` (unit B), `64` where no prefix is needed."""
    if abs(value) < 1000:
        return f"{value:,}{' ' + unit if unit else ''}"
    for prefix in ("k", "M", "G", "T"):
        value /= 1000
        if abs(value) < 999.5 or prefix == "T":
            break
    digits = f"{value:#.3g}".rstrip(".") if abs(value) < 999.5 else f"{value:,.0f}"
    return f"{digits} {prefix}{unit}"


def signed(text: Callable[[Any], str]) -> Callable[[Any], str]:
    """A difference, with its sign; 0 has none."""
    return lambda value: ("+" if value > 0 else "") + text(value)


def times(value: float) -> str:
    """A ratio: 1.57x."""
    return f"{value:.2f}x"


def share(value: float) -> str:
    """A share as a percentage: 91.25%."""
    return f"{value:.2%}"


def size(value: float) -> str:
    """Bytes: 51.1 MB."""
    return short(value, "B")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: 4:07, or 1:02:03."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def shape_text(shape: Sequence[int]) -> str:
    """64x56x56."""
    return "x".join(map(str, shape))


def asked(format: Format) -> str:
    """How a note says that another format has more: `--format csv`, and in Python `to_dataframe()`."""
    python = {"json": "to_dict()", "csv": "to_dataframe()"}.get(format, f"to_text({format!r})")
    return either(python, speak(str(Argument("format", format)), COMMAND_LINE))
