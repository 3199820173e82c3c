"""A document as it was written, for `language.format` to print again: comments, blank lines, flow and block style, quotes.

The tree of `language.source` holds what a document means and none of this. Here it is kept, and nothing is checked.
A comment belongs to the entry below it, to the entry on its line, or to the end of the list or mapping that it is indented under.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

import yaml

from resnet_dsl.language.source import events

Place = tuple[int, int]
"""Line and column, from 0."""


@dataclass(slots=True)
class Text:
    """A scalar. `block` holds the header and the lines of one in `|` or `>` style; `wrapped`: it went over several lines."""

    value: str
    plain: bool = True
    wrapped: bool = False
    block: tuple[str, list[str]] | None = None


@dataclass(slots=True)
class WrittenGroup:
    """A mapping, or a list: its entries have no key. `commented`: a comment is inside its braces or brackets."""

    is_mapping: bool
    flow: bool
    entries: list[Entry] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    commented: bool = False


@dataclass(slots=True)
class SideComment:
    """A comment beside an entry: its column, and its lines."""

    column: int
    lines: list[str]


@dataclass(slots=True)
class Entry:
    """An entry of a group. `above` holds comments and, as empty texts, blank lines."""

    key: Text | None
    value: Text | WrittenGroup
    above: list[str]
    remark: SideComment | None = None


@dataclass(frozen=True, slots=True)
class _Comment:
    at: Place
    text: str


def as_written(text: str) -> tuple[list[str], WrittenGroup]:
    """The comments about the file and the root mapping of a text that `read` has accepted, its line breaks being newlines."""
    return _Builder(text).document()


class _Builder:
    """One pass over the events; `here` and `comment` are the next of each."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.events = list(events(text))
        self.here = 2  # past the start of the stream and of the document
        self.comments = self._comments(text)
        self.comment = 0

    def document(self) -> tuple[list[str], WrittenGroup]:
        above = self._above(_start(self.events[3]))
        while above and not above[0]:
            del above[0]
        root = self._group(-1)
        root.below += self._taken((len(self.lines), 0))
        blanks = [i for i, line in enumerate(above) if not line]
        # A comment right above the first key is about that key where another one, apart from it, is about the file.
        cut = blanks[-1] + 1 if blanks and root.entries else len(above)
        if root.entries:
            root.entries[0].above[:0] = above[cut:]
        return above[:cut], root

    def _comments(self, text: str) -> list[_Comment]:
        """Every `#` that is in no scalar begins a comment."""
        starts = [0]
        for text_line in self.lines:
            starts.append(starts[-1] + len(text_line) + 1)
        gaps, last = [], 0
        for event in self.events:
            if isinstance(event, yaml.ScalarEvent):
                a, b = (starts[at[0]] + at[1] for at in (_start(event), _end(event)))
                gaps.append((last, starts[_start(event)[0] + 1] if event.style in ("|", ">") else a))
                last = b
        found = []
        for a, b in [*gaps, (last, len(text))]:
            for match in re.finditer(r"#[^\n]*", text[a:b]):
                line = bisect_right(starts, a + match.start()) - 1
                found.append(_Comment((line, a + match.start() - starts[line]), match[0].rstrip()))
        return found

    def _group(self, outer: int) -> WrittenGroup:
        """The list or mapping that begins here, within one whose column is `outer`."""
        start = self.events[self.here]
        self.here += 1
        assert isinstance(start, yaml.MappingStartEvent | yaml.SequenceStartEvent)
        group = WrittenGroup(isinstance(start, yaml.MappingStartEvent), bool(start.flow_style))
        column, before = _start(start)[1], self.comment
        while not isinstance(self.events[self.here], yaml.CollectionEndEvent):
            group.entries.append(self._entry(group, column))
        end = self.events[self.here]
        self.here += 1
        if group.flow:
            group.below = self._taken(_start(end))
            group.commented = self.comment > before
        else:
            # A comment that is no deeper than the list's parent is about what follows the list.
            least = column + 1 if column == outer else column
            limit = next(_start(e) for e in self.events[self.here :] if not isinstance(e, yaml.CollectionEndEvent | yaml.DocumentEndEvent))
            while (c := self._next((limit[0], 0))) and c.at[1] >= least:
                group.below += self._lines(c)
        return group

    def _entry(self, group: WrittenGroup, column: int) -> Entry:
        entry = Entry(None, Text(""), self._above(_start(self.events[self.here])))
        line = _start(self.events[self.here])[0]
        if group.is_mapping:
            key = self.events[self.here]
            line = _end(key)[0]
            entry.key = self._text()
        value = self.events[self.here]
        if isinstance(value, yaml.ScalarEvent):
            if value.style in ("|", ">"):
                entry.remark = self._remark(_start(value)[0], (len(self.lines), 0))
            else:
                entry.above += self._taken(_start(value))
            entry.value = self._text()
        else:
            inner = self.events[self.here + 1]
            if _start(inner)[0] > line:
                entry.remark = self._remark(line, _start(inner))
            entry.value = self._group(column)
            if not entry.value.entries:
                entry.above += entry.value.below
                entry.value = WrittenGroup(entry.value.is_mapping, True)
            elif not group.is_mapping:
                first = entry.value.entries[0]
                entry.above += [c for c in first.above if c]
                first.above = []
        end = _end(self.events[self.here - 1])
        if isinstance(value, yaml.ScalarEvent) and value.style in ("|", ">"):
            return entry
        if isinstance(value, yaml.ScalarEvent) or (isinstance(entry.value, WrittenGroup) and entry.value.flow):
            entry.above += self._taken(end)
            remark = self._remark(end[0], _start(self.events[self.here]))
            if entry.remark is None:
                entry.remark = remark
            elif remark is not None and isinstance(entry.value, WrittenGroup) and entry.value.entries:
                entry.value.below += remark.lines
                entry.value.commented = True
            elif remark is not None:
                entry.above += remark.lines
        if entry.key is None and entry.remark and isinstance(entry.value, WrittenGroup) and (entry.value.commented or not entry.value.flow):
            entry.above += entry.remark.lines  # no line of its own is left to stand beside
            entry.remark = None
        return entry

    def _text(self) -> Text:
        event = self.events[self.here]
        self.here += 1
        assert isinstance(event, yaml.ScalarEvent)
        (line, column), end = _start(event), _end(event)
        if event.style not in ("|", ">"):
            return Text(event.value, not event.style, end[0] > line)
        header = self.lines[line][column:].partition("#")[0].rstrip()
        body = self.lines[line + 1 : end[0]] if event.value.strip("\n") else []
        while body and not body[-1].strip(" "):
            body.pop()
        indent = next((len(s) - len(s.lstrip(" ")) for s in body if s.strip(" ")), 0)
        # Where an indentation or trailing blank lines are part of the value, quotes say so better.
        kept = bool(body) and not re.search(r"[0-9]", header) and not event.value.endswith("\n\n")
        return Text(
            event.value,
            False,
            True,
            (header[0] + ("" if event.value.endswith("\n") else "-"), [s[indent:] for s in body]) if kept else None,
        )

    def _next(self, limit: Place) -> _Comment | None:
        """The next comment, if it stands before `limit`."""
        found = self.comments[self.comment] if self.comment < len(self.comments) else None
        return found if found and found.at < limit else None

    def _taken(self, limit: Place) -> list[str]:
        """The comments before `limit`, each with the blank line above it."""
        found: list[str] = []
        while c := self._next(limit):
            found += self._lines(c)
        return found

    def _lines(self, c: _Comment) -> list[str]:
        self.comment += 1
        return ["", c.text] if self._blank(c.at) else [c.text]

    def _above(self, at: Place) -> list[str]:
        return self._taken(at) + ([""] if self._blank(at) else [])

    def _blank(self, at: Place) -> bool:
        """True where the line begins here, below a blank line."""
        line, column = at
        return line > 0 and not self.lines[line][:column].strip(" -?") and not self.lines[line - 1].strip()

    def _remark(self, line: int, limit: Place) -> SideComment | None:
        """The comment at the end of a line, with those right below that stand in its column."""
        c = self._next(limit)
        if c is None or c.at[0] != line:
            return None
        self.comment += 1
        remark = SideComment(c.at[1], [c.text])
        while (more := self._next((line + 2, 0))) and more.at == (line + 1, c.at[1]) and not self.lines[line + 1][: c.at[1]].strip():
            remark.lines.append(more.text)
            self.comment += 1
            line += 1
        return remark


def _start(event: yaml.Event) -> Place:
    assert event.start_mark is not None
    return event.start_mark.line, event.start_mark.column


def _end(event: yaml.Event) -> Place:
    assert event.end_mark is not None
    return event.end_mark.line, event.end_mark.column
