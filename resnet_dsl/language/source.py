"""Text to a located tree: YAML 1.2 core schema, strictly, from PyYAML's parser events.

The limits are checked while the events arrive, before anything is built, so that no document costs more than its
size. Scalars stay text; what they mean is decided where they are used (`language.values`). Anchors, aliases, tags,
directives, merge keys, duplicate keys, non-text keys and nulls are refused with their position (docs/language.md, The document).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import yaml

from resnet_dsl.diagnostics import Collector, Label, Location, Source, SpecError, either, quote, refuse
from resnet_dsl.language.syntax import syntax_error
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 50_000

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_BREAKS = {"\x85": "\ue085", "\u2028": "\ue028", "\u2029": "\ue029"}
_BREAKS_BACK = {v: k for k, v in _BREAKS.items()}
_IN_ONE_LINE = either(
    "write the value as YAML in one line, as in overrides={'block': '{bottleneck: {groups: 32}}'}",
    "quote the value for your shell, as in --set 'block={bottleneck: {groups: 32}}'",
)
_HIDE, _SHOW = str.maketrans({**_BREAKS}), str.maketrans({**_BREAKS_BACK})


def decode(name: str, data: bytes) -> Source:
    """The text of a file. Raises SpecError where it is too large or not UTF-8."""
    if len(data) > MAX_BYTES:
        raise refuse("too-large", "the file is larger than the limit of 1 MiB", "a spec is a short file; is this the right one?", at=name)
    if (encoding := _wide_encoding(data)) is not None:
        help = "save it as UTF-8; in PowerShell, `> FILE` writes UTF-16, and `| Out-File -Encoding utf8 FILE` does not"
        raise refuse("not-utf8", f"the file is {encoding}, and a spec is UTF-8", help, at=name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as e:
        good = data[: e.start].decode("utf-8", "replace")
        source = Source(name, good + data[e.start :].decode("utf-8", "replace"))
        at = Location(source, good.count("\n") + 1, len(good) - (good.rfind("\n") + 1) + 1)
        if b"\0" in data[:4096]:
            what = "this is a binary file, not text"
            raise refuse("not-utf8", what, "a spec is a YAML text file in UTF-8; is this a checkpoint or a program?", at=at) from None
        byte = data[e.start]
        # What Windows-1252 calls a letter is what an editor of Western Europe saved; no other encoding is guessed.
        letter = bytes([byte]).decode("cp1252", "replace")
        guess = f": as Latin-1 (Windows-1252) it is {letter!r}" if letter.isalpha() else ""
        raise refuse("not-utf8", f"byte 0x{byte:02X} is not UTF-8{guess}", "save the file as UTF-8", at=at) from None
    return Source(name, text.removeprefix("\ufeff"))


_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def _wide_encoding(data: bytes) -> str | None:
    """UTF-16 or UTF-32, by the mark that a file begins with, or by the zeros that ASCII text has in it; None for anything else."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    start = data[:4096]
    for width, name in ((4, "UTF-32"), (2, "UTF-16")):
        whole = start[: len(start) // width * width]
        for codec in (f"{name}-LE", f"{name}-BE"):
            if len(whole) * (width - 1) < 2 * width * whole.count(0):  # more than half of the characters are of one byte
                text = whole.decode(codec, "replace")
                if all(c.isprintable() or c in "\r\n\t" for c in text[:-1]) and "\ufffd" not in text[:-1]:
                    return name
    return None


def read(source: Source, problems: Collector | None = None) -> MappingTree:
    """The located tree of a document.

    A syntax error is raised alone. Other faults of form, such as a duplicate key, are added to `problems`, to be shown
    together with what is found later. Without `problems` they are raised too.
    """
    text = source.text
    bad = _CONTROL.search(text)
    if bad:
        at = _location(source, bad.start())
        raise refuse("character", f"control or invisible character U+{ord(bad.group()):04X} in the text", "delete that character", at=at)
    safe = text.translate(_HIDE) if any(c in text for c in _BREAKS) else text
    composer = _Composer(source, safe)
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as e:
        raise SpecError([syntax_error(source, e)]) from None
    except yaml.YAMLError as e:
        reason = str(getattr(e, "reason", "a character that YAML does not allow"))
        raise refuse("yaml-syntax", f"not YAML: {reason}", "delete the odd characters", at=Location(source)) from None
    if problems is None:
        composer.problems.stop_if_any()
    else:
        problems.found.update(composer.problems.found)
    return root


def read_value(source: Source, start: int) -> Tree:
    """One value, as an override KEY=VALUE gives it: VALUE begins at column `start`, counted from 0."""
    # Spaces for the key keep every column the option's own.
    if bad := _CONTROL.search(source.text):
        raise refuse(
            "character",
            f"control or invisible character U+{ord(bad[0]):04X} in the option",
            "delete that character",
            at=Location(source, 1, bad.start() + 1),
        )
    composer = _Composer(source, " " * start + source.text[start:])
    try:
        value = composer.value()
    except yaml.MarkedYAMLError as e:
        d = syntax_error(source, e, is_document=False)
        at = d.location if d.location.line == 1 else Location(source, 1, len(source.text) + 1)
        raise refuse(d.code, d.message, _IN_ONE_LINE, at=at) from None
    composer.problems.stop_if_any()
    return value


def events(text: str) -> Iterator[yaml.Event]:
    """The parser's events of a text that `read` has accepted."""
    for event in yaml.parse(text.translate(_HIDE), Loader=_Loader):
        if isinstance(event, yaml.ScalarEvent):
            event.value = event.value.translate(_SHOW)
        yield event


def _location(source: Source, index: int) -> Location:
    before = source.text[:index]
    return Location(source, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


class _Composer:
    """Builds the tree from the events, and checks every limit as it goes."""

    def __init__(self, source: Source, text: str) -> None:
        self.source = source
        self.problems = Collector()
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=_Loader)
        self.nodes = 0
        self.quoted_breaks = 0
        self.breaks = sum(text.count(c) for c in _BREAKS_BACK)

    def document(self) -> MappingTree:
        next(self.events)
        start = next(self.events)
        if isinstance(start, yaml.StreamEndEvent):
            raise refuse(
                "empty",
                "the file is empty: there is no mapping to read",
                "write a spec; `resnet-dsl new` shows how",
                at=Location(self.source),
            )
        assert isinstance(start, yaml.DocumentStartEvent)
        if start.version is not None or start.tags:
            line = next(i for i, s in enumerate(self.source.text.split("\n"), 1) if s.startswith("%"))
            raise refuse(
                "yaml-feature", "YAML directives (%YAML, %TAG) are not used here", "delete this line", at=Location(self.source, line, 1)
            )
        first = next(self.events)
        if isinstance(first, yaml.DocumentEndEvent):
            raise refuse(
                "empty",
                "the file is empty: there is no mapping to read",
                "write a spec; `resnet-dsl new` shows how",
                at=Location(self.source),
            )
        root = self._node(first, 1, None, False)
        next(self.events)
        after = next(self.events)
        if isinstance(after, yaml.DocumentStartEvent):
            raise refuse(
                "yaml-feature",
                "a second document starts here; a spec is exactly one document",
                "delete the '---' line and what follows, or make two files",
                at=self._at(after),
            )
        self._check_breaks()
        if not isinstance(root, MappingTree):
            empty = isinstance(root, Scalar) and root.kind == "null"
            what = "the file is empty (null)" if empty else f"the file holds {describe(root)}"
            raise refuse("not-a-mapping", f"{what}, but a spec is a mapping of keys to values", _root_help(root), at=root.at)
        return root

    def value(self) -> Tree:
        next(self.events)
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Scalar("", True, Location(self.source, 1, 1))
        value = self._node(next(self.events), 1, None, False)
        for _ in self.events:  # a syntax error may still come
            pass
        return value

    def _at(self, event: yaml.Event) -> Location:
        start, end = event.start_mark, event.end_mark
        assert start is not None and end is not None
        length = end.column - start.column if end.line == start.line else 1
        return Location(self.source, start.line + 1, start.column + 1, max(1, length))

    def _node(self, event: yaml.Event, depth: int, key_at: Location | None, flow: bool) -> Tree:
        self.nodes += 1
        at = self._at(event)
        if self.nodes > MAX_NODES:
            raise refuse(
                "too-many-nodes",
                f"over the limit of {MAX_NODES:,} YAML nodes",
                "a spec is a short file: use depth, repeat or extends",
                at=at,
            )
        if depth > MAX_DEPTH and not isinstance(event, yaml.ScalarEvent):
            raise refuse(
                "nesting", f"nested too deep: at most {MAX_DEPTH} levels", "name the inner parts as sequences and call them", at=at
            )
        if isinstance(event, yaml.AliasEvent):
            raise refuse(
                "yaml-feature",
                f"aliases (*{event.anchor}) are not used here: every value is written out",
                "write the value itself, or quote it if it should start with '*'; `extends`, `params` and `sequences` avoid repetition",
                at=at,
            )
        assert isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent | yaml.MappingStartEvent)
        if event.anchor is not None:
            raise refuse(
                "yaml-feature",
                f"anchors (&{event.anchor}) are not used here",
                "delete the anchor; `extends`, `params` and `sequences` avoid repetition",
                at=at,
            )
        if event.tag is not None:
            raise refuse(
                "yaml-feature",
                f"tags ({quote(str(event.tag))}) are not used here: a spec is data",
                "delete the tag, or quote the value if it should start with '!'",
                at=at,
            )
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, at, key_at, flow)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(event, Location(self.source, at.line, at.column), depth, key_at)
        return self._mapping(event, Location(self.source, at.line, at.column), depth, key_at)

    def _scalar(self, event: yaml.ScalarEvent, at: Location, key_at: Location | None, flow: bool) -> Scalar:
        text, plain = event.value, event.style is None or event.style == ""
        for c in text:
            if c in _BREAKS_BACK:
                if event.style not in ("'", '"'):
                    lines = self.source.text.split("\n")
                    start = sum(len(line) + 1 for line in lines[: at.line - 1]) + at.column - 1
                    at = _location(self.source, self.source.text.index(_BREAKS_BACK[c], start))
                    raise refuse(
                        "character", f"line-break character U+{ord(_BREAKS_BACK[c]):04X} outside quotes", "delete that character", at=at
                    )
                self.quoted_breaks += 1
        if self.breaks:
            text = text.translate(_SHOW)
        bad = _CONTROL.search(text) or re.search("[\ud800-\udfff]", text)
        if bad:
            self.problems.report(
                "character",
                f"control or invisible character U+{ord(bad.group()):04X}, written as an escape, in {_named(key_at, 'this text')}",
                "delete the escape",
                at=at,
            )
        return Scalar(text, plain, at, key_at, flow)

    def _check_breaks(self) -> None:
        if self.breaks > self.quoted_breaks:
            index, char = min((i, c) for c in _BREAKS if (i := self.source.text.find(c)) >= 0)
            raise refuse(
                "character",
                f"line-break character U+{ord(char):04X} outside quotes",
                "delete that character",
                at=_location(self.source, index),
            )

    def _sequence(self, event: yaml.SequenceStartEvent, at: Location, depth: int, key_at: Location | None) -> SequenceTree:
        items: list[Tree] = []
        damaged, flow = False, bool(event.flow_style)
        while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
            item = self._node(inner, depth + 1, None, flow)
            damaged = self._comma_split(item, flow) is not None or damaged
            items.append(item)
        return SequenceTree(at, items, key_at, damaged)

    def _comma_split(self, value: Tree, flow: bool) -> Scalar | None:
        """Reports a plain scalar whose parenthesis is cut by the comma of a flow collection; gives that scalar."""
        if flow and isinstance(value, Scalar) and value.plain and value.text.count("(") > value.text.count(")"):
            self.problems.report(
                "comma-in-flow",
                f"the parenthesis in {quote(value.text)} is not closed: inside {{ }} and [ ] a comma ends a value",
                "write [3, 3] for a pair" if value.text.startswith("(") else f'quote the expression: "{value.text}, ...)"',
                at=value.at,
            )
            return value
        return None

    def _mapping(self, event: yaml.MappingStartEvent, at: Location, depth: int, key_at: Location | None) -> MappingTree:
        entries: dict[str, tuple[str, Location, Tree]] = {}
        damaged, flow = False, bool(event.flow_style)
        split: Scalar | None = None
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            place = self._at(inner)
            key_node = self._node(inner, depth + 1, None, flow)
            value = self._node(next(self.events), depth + 1, place, flow)
            if split and isinstance(value, Scalar) and value.is_empty:
                continue
            key = self._key(key_node, place)
            if key is None:
                damaged = True
                continue
            if key in entries:
                first = Label("first given here", entries[key][1])
                self.problems.report(
                    "duplicate-key",
                    f"duplicate key {quote(key)}: it is given twice in one mapping",
                    f"keep one {quote(key)}",
                    at=place,
                    labels=(first,),
                )
                continue
            split = self._comma_split(value, flow) or split
            entries[key] = (key, place, value)
        return MappingTree(at, entries.values(), key_at, damaged)

    def _key(self, node: Tree, at: Location) -> str | None:
        if isinstance(node, Scalar) and node.plain and node.text == "<<":
            self.problems.report(
                "yaml-feature",
                "merge keys (<<) are not used here",
                "write the keys out; `extends`, `params` and `sequences` avoid repetition",
                at=at,
            )
            return None
        if not isinstance(node, Scalar) or node.kind != "text":
            what = describe(node)
            fix = (
                f'write it in quotes, "{node.text}":, if it is meant as a name'
                if isinstance(node, Scalar)
                else "a key is one word; look for a missing quote or a brace too many"
            )
            self.problems.report("key-not-text", f"a key must be text (a string), not {what}", fix, at=at)
            return None
        return node.text


def _named(key_at: Location | None, otherwise: str) -> str:
    if key_at is None:
        return otherwise
    return quote(key_at.source.line(key_at.line)[key_at.column - 1 : key_at.column - 1 + key_at.length])


def _root_help(root: Tree) -> str:
    if isinstance(root, Scalar) and ":" in root.text:
        return "put a space after each colon: `key: value`"
    return "start with `name: ...`, `input: ...`; `resnet-dsl new` writes an example"
