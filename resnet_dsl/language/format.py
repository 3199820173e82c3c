"""`fmt`: a document in its normal form, with the comments that it had.

Keys stand in the order of docs/language.md. What was on one line in braces or brackets stays so where it fits in 100 columns, and
becomes one line per entry where it does not. Indentation is two spaces, quotes stand where they are needed, and runs of blank lines are one.
"""

from __future__ import annotations

import difflib
import html
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.emitter import Emitter
from yaml.resolver import Resolver

from resnet_dsl.diagnostics import Location, Source, inline
from resnet_dsl.files import write_atomic
from resnet_dsl.language.document import FORMS, pattern
from resnet_dsl.language.files import read_file, read_stdin
from resnet_dsl.language.source import read
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree
from resnet_dsl.language.written import Entry, SideComment, Text, WrittenGroup, as_written

WIDTH = 100
_STRING = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True, repr=False)
class Formatted:
    """A spec's text in its normal form, and how it was written. `name` is its file's, or what messages call it.

    `unseen` says what differs that lines do not show: line ends, a byte order mark, blanks at the end of a line or of the file.
    """

    name: str
    before: str
    text: str
    changed: bool
    unseen: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Formatted {inline(self.name)[:200]}: {'changed' if self.changed else 'as it was'}>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"

    def diff(self) -> str:
        """What changed, as a unified diff, and after it what lines do not show; empty where nothing did."""
        name = inline(self.name)
        lines = difflib.unified_diff(self.before.splitlines(), self.text.splitlines(), name, name, lineterm="")
        return "".join(f"{line}\n" for line in (*lines, *(f"# {name}: {said}" for said in self.unseen)))

    def write(self) -> None:
        """Write the text to the file, whole or not at all, with the permissions that it had."""
        path = Path(self.name).resolve()
        mode = path.stat().st_mode
        write_atomic(path, self.text.encode())
        path.chmod(mode)


def format_file(name: str) -> Formatted:
    """The spec in a file, or in standard input for `-`, in its normal form. Raises SpecError."""
    source = read_stdin() if name == "-" else read_file(name)
    text = format_document(source)
    # As bytes: a source has lost the byte order mark.
    written = source.text if name == "-" else Path(name).read_bytes().decode()
    return Formatted(name, source.text, text, written != text, _unseen(written, text))


def _unseen(written: str, text: str) -> tuple[str, ...]:
    """What differs between a text and its normal form, and is not to be seen in its lines."""
    lines = written.split("\n")
    ends = sum(line.endswith("\r") for line in lines)
    blank = sum(line.rstrip("\r") != line.rstrip() for line in lines)
    found = (
        ("a byte order mark stands in front, which the normal form has not", written.startswith("\ufeff")),
        (f"line ends are CRLF in {ends:,} of {len(lines):,} lines, and LF in the normal form", ends > 0),
        (f"blanks stand at the end of {blank:,} line{'s' if blank != 1 else ''}", blank > 0),
        ("the last line does not end in a line break", not written.endswith("\n")),
    )
    return tuple(said for said, holds in found if holds) if written != text else ()


def format_document(source: Source) -> str:
    """The text of a spec in its normal form. Formatting it again changes nothing, and it means what it meant.

    Raises SpecError where it is not a document of the language's YAML; what its keys mean is not checked.
    """
    tree = read(source)
    heading, root = as_written(re.sub("\r\n?", "\n", source.text))
    before = _counted(heading, root)
    _order(root, ())
    lines = [*heading, *(_block(root, 0) or ["{}"])]
    text = "\n".join(lines).strip("\n") + "\n"
    heading, root = as_written(text)
    if not _same(tree, read(Source(source.name, text))) or before != _counted(heading, root):
        raise AssertionError("the formatted text does not say what the spec says")
    return text


def _order(node: Text | WrittenGroup, path: tuple[str, ...]) -> None:
    """Keys in the order of their form. A mapping with a key that its form does not know stays as it is."""
    if isinstance(node, Text):
        return
    form = FORMS.get(pattern(path))
    keys = [e.key.value for e in node.entries if e.key is not None]
    if node.is_mapping and form is not None and set(keys) <= set(form.model_fields):
        order = list(form.model_fields)
        node.entries.sort(key=lambda e: order.index(e.key.value) if e.key is not None else 0)
    for i, e in enumerate(node.entries):
        _order(e.value, (*path, str(i) if e.key is None else e.key.value))


def _block(group: WrittenGroup, indent: int) -> list[str]:
    """A group with a line, or more, for each of its entries."""
    pad = " " * indent
    lines: list[str] = []
    for entry in group.entries:
        above = [pad + c if c else "" for c in entry.above]
        while not lines and above and not above[0]:
            del above[0]
        lines += [*above, *_entry(entry, indent)]
    below = group.below[1:] if group.below and not group.below[0] and not lines else group.below
    return lines + [pad + c if c else "" for c in below]


def _entry(entry: Entry, indent: int) -> list[str]:
    pad = " " * indent
    head = pad + ("-" if entry.key is None else f"{_scalar(entry.key, False)}:")
    value, inline = entry.value, _inline(entry.value, False)
    if entry.key is None and _is_pair(value):
        inline = None
    if isinstance(value, Text) and value.block is not None:
        header, body = value.block
        return [*_beside(f"{head} {header}", entry.remark), *(f"{pad}  {line}" if line else "" for line in body)]
    if inline is not None:
        line = f"{head} {inline}" if inline else head
        if isinstance(value, Text):
            *lines, last = _wrapped(line, indent) if len(line) > WIDTH and value.wrapped else [line]
            return [*lines, *_beside(last, entry.remark)]
        if len(line) <= WIDTH or not value.entries:
            return _beside(line, entry.remark)
    assert isinstance(value, WrittenGroup)
    inner = _block(value, indent + 2)
    if entry.key is not None:
        return [*_beside(head, entry.remark), *inner]
    return [*_beside(f"{head} {inner[0][indent + 2 :]}", entry.remark), *inner[1:]]


def _beside(line: str, remark: SideComment | None) -> list[str]:
    """A line with its comment, in the column where it was if there is room: authors line them up."""
    if remark is None:
        return [line]
    column = max(remark.column if remark.column < WIDTH else 0, len(line) + 2)
    first, *more = remark.lines
    return [line.ljust(column) + first, *(" " * column + c for c in more)]


def _wrapped(line: str, indent: int) -> list[str]:
    """A long text over several lines, broken at single spaces."""
    words = re.split(r"(?<=\S) (?=\S)", line.strip(" "))
    lines = [" " * indent + words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= WIDTH or lines[-1].endswith((":", "-")):
            lines[-1] += f" {word}"
        else:
            lines.append(" " * (indent + 2) + word)
    return lines


def _inline(node: Text | WrittenGroup, flow: bool) -> str | None:
    """A value on one line, or None where it stands in block style or holds a comment."""
    if isinstance(node, Text):
        return _scalar(node, flow) if node.block is None or flow else None
    if not node.flow or node.commented:
        return None
    parts = []
    for e in node.entries:
        value = _inline(e.value, True)
        if value is None:
            return None
        if e.key is None:
            parts.append(value[1:-1] if _is_pair(e.value) else value)
        else:
            parts.append(f"{_scalar(e.key, True)}: {value}" if value else _scalar(e.key, True))
    text = ", ".join(parts)
    return f"{{{text}}}" if node.is_mapping else f"[{text}]"


def _is_pair(node: Text | WrittenGroup) -> bool:
    """True for a mapping of one key to a value, which is written without braces in a list."""
    if isinstance(node, Text) or not (node.is_mapping and len(node.entries) == 1):
        return False
    value = node.entries[0].value
    return isinstance(value, WrittenGroup) or not value.plain or bool(value.value)


def _scalar(text: Text, flow: bool) -> str:
    """A scalar, in quotes only where it needs them; in double ones unless that would need escapes."""
    value = text.value
    if text.plain and "\n" not in value:
        return value
    if not text.plain and _reads_plain(value, flow):
        return value
    if ('"' in value or "\\" in value) and "'" not in value and value.isprintable():
        return f"'{value}'"
    return re.sub("[\x85\u2028\u2029\ue000-\uf8ff]", lambda m: f"\\u{ord(m[0]):04x}", json.dumps(value, ensure_ascii=False))


def _reads_plain(value: str, flow: bool) -> bool:
    """True where these words are the same text without quotes, here and to a YAML 1.1 reader."""
    if Scalar(value, True, Location(Source("", ""))).kind != "text" or value == "<<" or not value.isprintable():
        return False
    if Resolver().resolve(yaml.ScalarNode, value, (True, False)) != _STRING:  # type: ignore[no-untyped-call]
        return False
    analysis = Emitter(io.StringIO(), allow_unicode=True).analyze_scalar(value)
    if flow:
        return bool(analysis.allow_flow_plain) and value.count("(") <= value.count(")")
    return bool(analysis.allow_block_plain)


def _same(a: Tree, b: Tree) -> bool:
    """True where two trees mean the same. The order of keys may differ where it means nothing."""
    if isinstance(a, Scalar) or isinstance(b, Scalar):
        return isinstance(a, Scalar) and isinstance(b, Scalar) and (a.text, a.kind) == (b.text, b.kind)
    if isinstance(a, MappingTree) and isinstance(b, MappingTree):
        return a.keys() == b.keys() and all(_same(v, b[k]) for k, v in a.items())
    return isinstance(a, SequenceTree) and isinstance(b, SequenceTree) and len(a) == len(b) and all(map(_same, a, b))


def _counted(heading: list[str], root: WrittenGroup) -> Counter[str]:
    """Every comment with the number of times that it occurs."""
    return Counter(filter(None, [*heading, *_comments(root)]))


def _comments(node: Text | WrittenGroup) -> list[str]:
    if isinstance(node, Text):
        return []
    found = list(node.below)
    for e in node.entries:
        found += e.above + (e.remark.lines if e.remark else []) + _comments(e.value)
    return found
