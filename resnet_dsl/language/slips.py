"""The common slips in a YAML text, each recognised by what was typed, with the one thing to type instead.

libyaml says where it could not read on, which is often a line below what was typed. A slip is looked for there, on the line before, and
where the thing began that could not be finished.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from resnet_dsl.diagnostics import Source, quote

_ENTRY = re.compile(r"^(?P<lead>\s*(?:- +)*)(?P<key>[A-Za-z_][\w.-]*) *(?P<sign>:|=|\uff1a) *(?P<value>.*?)\s*$")
_TWO_COLONS = re.compile(r"^(?P<lead>\s*(?:- )?)(?P<key>[A-Za-z_]\w*): +(?P<name>[A-Za-z_]\w*): *(?P<rest>.*?)\s*$")
_PAIRS = re.compile(
    r"^\s*(?P<mark>- |[A-Za-z_]\w*: +(?=[A-Za-z_]\w*: ))?(?P<pairs>[A-Za-z_]\w*: *[^\s,:{\[\"'#][^,:]*(?:, *[A-Za-z_]\w*: *[^,:]+)+?),?\s*$"
)
_NO_SPACE = re.compile(r"^(?P<lead>\s*(?:- +)*)(?P<key>[A-Za-z_]\w*):(?P<value>[^\s:/].*?)\s*$")
_DASH = re.compile(r"^(?P<lead>\s*)(?P<mark>-(?=[A-Za-z_{\[\"'])|--+(?=\s)|[*+\u2022\u00b7\u2013\u2014](?=\s|\w))\s*(?P<rest>\S.*?)\s*$")
_CLOSERS = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class YamlStop:
    """Where libyaml stopped and why, and where the thing began that it was reading. Lines and columns count from 1."""

    source: Source
    problem: str
    line: int
    column: int
    began_line: int
    began_column: int

    def text(self, line: int) -> str:
        """A line without what a comment says."""
        return re.sub(r"(^|\s)#.*$", "", self.source.line(line)).rstrip()

    @property
    def here(self) -> str:
        """The line where it stopped."""
        return self.source.line(self.line)

    @property
    def char(self) -> str:
        """The character where it stopped; empty at the end of a line."""
        return self.here[self.column - 1 : self.column]

    @property
    def before(self) -> int:
        """The last line above that says something; 0 where there is none."""
        lines = self.source.text.split("\n")[: max(0, self.line - 1)]
        return next((n for n in range(len(lines), 0, -1) if self.text(n).strip()), 0)

    @property
    def lines(self) -> Iterator[int]:
        """The lines to look at: where the thing began, the line before the stop, the line of the stop."""
        return iter(dict.fromkeys(n for n in (self.began_line, self.before, self.line) if n))

    @property
    def at_an_entry(self) -> bool:
        """Did it look for a next entry, or for the end of what it was in?"""
        return any(f"did not find expected {what}" in self.problem for what in ("key", "'-'", "','", "<document start>"))

    @property
    def in_flow(self) -> bool:
        """Was it inside { } or [ ]?"""
        return "expected ',' or" in self.problem


@dataclass(frozen=True, slots=True)
class Slip:
    """What was typed, what to type, and where; `own`: the place is where it was typed, and needs no note on where reading began."""

    message: str
    help: str
    line: int
    column: int
    length: int = 1
    own: bool = True


def slip(fault: YamlStop) -> Slip | None:
    """The slip that a fault comes from, or None where none is recognised."""
    return next((found for look in _SLIPS if (found := look(fault)) is not None), None)


def _conflict(f: YamlStop) -> Slip | None:
    for n, text in enumerate(f.source.text.split("\n"), 1):
        if re.match(r"(<{7}|>{7})( |$)", text):
            fix = "keep one side, and delete the lines that begin with <<<<<<<, ======= and >>>>>>>"
            return Slip("a merge conflict of git was left in the file", fix, n, 1, 7)
    return None


def _tab(f: YamlStop) -> Slip | None:
    if "found character '\\t'" in f.problem or ("cannot start any token" in f.problem and f.char == "\t"):
        return Slip("a tab (U+0009) cannot start a token: YAML indents with spaces", "replace the tab by spaces", f.line, f.column)
    return None


def _first_character(f: YamlStop) -> Slip | None:
    if f.here.startswith("%") and "directive" in f.problem and re.match(r"%(?!YAML\b|TAG\b)", f.here):
        return Slip("directives (lines that start with %) are not used here", "begin a comment with #, or delete this line", f.line, 1)
    if "cannot start any token" not in f.problem or not f.char:
        return None
    if f.here.startswith("```"):
        return Slip("``` is Markdown: the character ` cannot start a line of YAML", "delete the lines with ```", f.line, 1, 3)
    if f.char == ">":
        words = re.match(r"[^,\]}#]*", f.here[f.column - 1 :])
        text = words[0].strip() if words else ">"
        return Slip("the character > cannot start a value", f'put it in quotes: "{text}"', f.line, f.column, len(text))
    rest = re.match(r"[^\s,\]}:#]*:?[^\s,\]}:#]*", f.here[f.column - 1 :])
    word = rest[0].rstrip(":") if rest else f.char
    bare = word.strip(f.char) or "..."
    fix = f'write {bare}, or "{word}" in quotes if the {f.char} belongs to the text'
    return Slip(f"the character {f.char} cannot start a value or a name", fix, f.line, f.column, max(1, len(word)))


def _colon_without_value(f: YamlStop) -> Slip | None:
    """`[act:]`, `{bottleneck:}`."""
    word = re.search(r"([A-Za-z_]\w*)$", f.here[: f.column - 1])
    if "found unexpected ':'" in f.problem and word is not None:
        name = word[1]
        fix = f"write {name} without the colon, or {name}: {{...}} with its arguments"
        return Slip(f"{quote(name)} has a colon and nothing after it", fix, f.line, word.start() + 1, len(name) + 1)
    return None


def _other_comment(f: YamlStop) -> Slip | None:
    for n in f.lines:
        if found := re.match(r"\s*(//|/\*|;|<!--|--(?= \w))", f.source.line(n)):
            mark = found[1]
            return Slip(f"{mark} does not begin a comment in YAML", "begin the comment with #", n, found.start(1) + 1, len(mark))
    return None


def _bullet(f: YamlStop) -> Slip | None:
    """`-key: value`, `-{...}`, `* item`, `-- item`."""
    for n in f.lines:
        if found := _DASH.match(f.text(n)):
            mark, rest = found["mark"], found["rest"]
            what = "a dash needs a space after it" if mark == "-" else f"an item of a list begins with a dash and a space, not with {mark}"
            return Slip(what, f"write - {_clipped(rest)}", n, found.start("mark") + 1, len(mark))
    return None


def _section(f: YamlStop) -> Slip | None:
    for n in f.lines:
        if found := re.fullmatch(r"\[\[?([A-Za-z_][\w.]*)\]?\]", f.text(n)):
            name = found[1]
            return Slip(
                f"[{name}] begins a section of TOML or INI, not of YAML", f"write `{name}:` and indent its keys below", n, 1, len(found[0])
            )
    return None


def _sign(f: YamlStop) -> Slip | None:
    """`key = value`, and a colon that is none."""
    for n in f.lines:
        found = _ENTRY.match(f.text(n))
        if found and found["sign"] != ":" and not found["value"].startswith("="):
            key, sign, value = found["key"], found["sign"], found["value"]
            if sign == "=" and value.startswith(("{", "dict(")):
                return Slip(
                    "an assignment of Python: a spec is the mapping alone", f"delete `{key} =`", n, found.start("key") + 1, len(key) + 2
                )
            what = "a key and its value are joined by a colon, not by =" if sign == "=" else "this colon is not the ASCII one (U+FF1A)"
            return Slip(what, f"write `{key}: {_clipped(value)}`", n, found.start("key") + 1, len(key) + 1)
    return None


def _no_space(f: YamlStop) -> Slip | None:
    """`key:value`."""
    for n in f.lines:
        if found := _NO_SPACE.match(f.text(n)):
            key, value = found["key"], found["value"]
            fix = f"put a space after the colon: `{key}: {_clipped(value)}`"
            message = f"there is no space after the colon of {quote(key)}, so it is read as one word"
            return Slip(message, fix, n, found.start("key") + 1, len(key) + 1)
    return None


def _quotes(f: YamlStop) -> Slip | None:
    if "unexpected end of stream" in f.problem:
        mark = f.source.line(f.began_line)[f.began_column - 1 : f.began_column]
        return Slip(
            f"the text in quotes that begins here does not end: the second {mark} is missing",
            "close the quote",
            f.began_line,
            f.began_column,
        )
    if "unknown escape character" in f.problem:
        bad = f.here[f.column - 2 : f.column] if f.char != "\\" else f.here[f.column - 1 : f.column + 1]
        fix = "write \\\\ for a backslash, or put the text in single quotes"
        return Slip(f"{bad} is no escape of a text in double quotes", fix, f.line, f.column)
    if f.in_flow and f.char == ":":
        return None  # a comma is missing before the key
    end = f.here[: f.column - 1].rstrip()
    if f.at_an_entry and end.endswith(("'", '"')) and f.char and f.char not in ",]}#":
        mark = end[-1]
        fix = (
            "write '' for an apostrophe in it, or put it in double quotes"
            if mark == "'"
            else 'write \\" for a quote in it, or put it in single quotes'
        )
        return Slip(f"the text in quotes ended at the {mark} before this, and more follows", fix, f.line, f.column)
    return None


def _closers(f: YamlStop) -> Slip | None:
    """A bracket that nothing opened, and one that closes the other kind."""
    if f.char not in ("]", "}") or not f.at_an_entry:
        return None
    if not f.in_flow:
        return Slip(f"a closing {f.char} without an opening one", f"delete the {f.char}", f.line, f.column)
    opened = f.source.line(f.began_line)[f.began_column - 1 : f.began_column]
    wanted = _CLOSERS.get(opened, "")
    return Slip(f"{opened} is closed by {f.char}: expected {wanted!r}", f"write {wanted} here", f.line, f.column) if wanted else None


def _comma_at_the_end(f: YamlStop) -> Slip | None:
    if f.char == "," and not f.in_flow and f.at_an_entry and not f.text(f.line)[f.column :].strip():
        message = "a comma at the end of a line, where an entry ends without one"
        return Slip(message, "delete the comma: commas stand only between { } and [ ]", f.line, f.column)
    return None


def _flow(f: YamlStop) -> Slip | None:
    """A brace that is not closed, or a comma that is missing."""
    opener = f.source.line(f.began_line)[f.began_column - 1 : f.began_column]
    closer = _CLOSERS.get(opener)
    if not f.in_flow or closer is None:
        return None
    outer = len(f.source.line(f.began_line)) - len(f.source.line(f.began_line).lstrip())
    ends = f.line > f.source.text.rstrip().count("\n") + 1
    lower = f.line > f.began_line and len(f.here) - len(f.here.lstrip()) <= outer
    what = "mapping" if opener == "{" else "list"
    if ends or lower:
        line = f.text(f.began_line)
        fix = f"close it with {closer}" + (
            f": {_clipped(line.strip())}{closer}" if f.before == f.began_line and line.count(opener) > line.count(closer) else ""
        )
        return Slip(
            f"the flow {what} that {opener} opens here is not closed: expected ',' or '{closer}'", fix, f.began_line, f.began_column
        )
    # libyaml stops at the colon of `b` in {a: 1 b: 2}, and at `b` in [a: 1 b].
    start = f.column - 1
    entry = re.search(r"(\"[^\"]*\"|'[^']*'|[^\s,{}\[\]:\"']+) *$", f.here[:start]) if f.char == ":" else None
    start = entry.start() if entry else start
    message = f"a comma is missing between two {'entries' if opener == '{' else 'items'} of {opener} {closer}: expected ',' or '{closer}'"
    word = re.match(r"[^\s,{}\[\]]+", f.here[start:])
    left = f.here[:start].rstrip()
    fix = f"put a comma before {word[0] if word else 'this'}" if left.strip() else f"put a comma at the end of line {f.before}"
    return Slip(message, fix, f.line, start + 1, len(word[0]) if word else 1)


def _list_beside_its_key(f: YamlStop) -> Slip | None:
    if "block sequence entries are not allowed" in f.problem:
        key = re.match(r"\s*([\w-]+):", f.here)
        name = quote(key[1]) if key else "its key"
        return Slip(f"a list of dashes cannot begin on the line of {name}", "put each `- ...` on a line of its own below", f.line, f.column)
    if "expected comment or line break" in f.problem:
        mark = f.source.line(f.began_line)[f.began_column - 1 : f.began_column]
        text = f.text(f.began_line)[f.began_column - 1 :].strip()
        if re.match(r">=?\s*[0-9]", text):
            return Slip(
                "the character > begins a text of several lines", f'put the bound in quotes: "{text}"', f.line, f.began_column, len(text)
            )
        return Slip(
            f"{mark} begins a text that stands on the lines below", f"quote the text if it should start with {mark}", f.line, f.began_column
        )
    return None


def _indentation(f: YamlStop) -> Slip | None:
    """A line that stands further in or out than those it belongs to."""
    stripped = f.here.lstrip(" ")
    indent, above = len(f.here) - len(stripped), f.source.line(f.before)
    outer = len(re.match(r"[ ]*(?:- +)*", above)[0]) if f.before else 0  # type: ignore[index]
    if "document start" in f.problem:
        first = next((n for n in range(1, f.line) if f.text(n).strip()), f.line)
        message = f"line {first} is indented, and this line is not: the indentation does not fit"
        return Slip(message, "begin every top-level key at the left margin", f.line, indent + 1)
    if not f.before or not stripped:
        return None
    begun = re.match(r"(- +)?[\"']?[A-Za-z_][\w.-]*[\"']? *:( |$)", stripped)
    if "mapping values are not allowed" in f.problem and begun and f.here.index(":") == f.column - 1:
        complete = _ENTRY.match(f.text(f.before))
        if indent > len(above) - len(above.lstrip(" ")) and complete and complete["value"] and complete["sign"] == ":":
            message = f"this line is indented by {indent}, under {quote(complete['key'])}, which has a value: a mapping is not allowed here"
            return Slip(message, f"indent it by {outer}, as {quote(complete['key'])} is", f.line, indent + 1)
    if "did not find expected" in f.problem and f.column == indent + 1 and (begun or stripped.startswith("- ")):
        wanted = "key" if "key" in f.problem else "'-'"
        known = _levels(f, stripped.startswith("- "))
        message = (
            f"expected a {wanted}: this line is indented by {indent}, which fits no line above"
            if wanted == "key"
            else (f"expected '-': this line is indented by {indent}, which fits no line above")
        )
        fix = f"indent it by {' or '.join(map(str, known))}" if known else "indent entries that belong together alike"
        return Slip(message, fix, f.line, indent + 1)
    return None


def _levels(f: YamlStop, item: bool) -> list[int]:
    """The indentations at which a key, or an item of a list, could stand here: the nearest on each side."""
    found: set[int] = set()
    inner = 10_000
    for n in range(f.line - 1, max(0, f.line - 200), -1):
        text = f.text(n)
        if not text.strip():
            continue
        lead = len(text) - len(text.lstrip(" "))
        if lead >= inner:
            continue
        inner = lead
        dashes = re.match(r" *(?:- +)*", text)
        assert dashes is not None
        found.add(lead if item and text.lstrip().startswith("- ") else len(dashes[0]) if not item else -1)
    here = len(f.here) - len(f.here.lstrip(" "))
    known = sorted(x for x in found if x >= 0)
    return [*[x for x in known if x < here][-1:], *[x for x in known if x > here][:1]]


def _second_colon(f: YamlStop) -> Slip | None:
    """A reference with its arguments, several pairs on a line, or a text with a colon."""
    if "mapping values are not allowed" not in f.problem:
        return None
    if pairs := _PAIRS.match(f.text(f.line)):
        fix = f"put braces around the pairs: {pairs['mark'] or ''}{{{_clipped(pairs['pairs'])}}}"
        return Slip("several keys on one line are a mapping without its braces", fix, f.line, f.column)
    if found := _TWO_COLONS.match(f.here):
        key, name, rest = found["key"], found["name"], found["rest"]
        if key not in ("name", "description"):
            fix = f"write `{key}: {name}` or `{key}: {{{name}: {rest or '{...}'}}}`"
            return Slip("a second colon: a mapping is not allowed here", fix, f.line, f.column)
    entry = _ENTRY.match(f.text(f.line))
    if entry and entry["sign"] == ":" and entry.end("key") + 1 < f.column and '"' not in entry["value"]:
        fix = f'quote the text if the colon belongs to it: {entry["key"]}: "{_clipped(entry["value"])}"'
        return Slip("a second colon: a mapping is not allowed here", fix, f.line, f.column)
    return None


def _lines_of_braces(f: YamlStop) -> Slip | None:
    """{...} under {...} without dashes."""
    if f.char in ("{", "[") and "did not find expected key" in f.problem and f.text(f.before).strip().startswith(f.char):
        return Slip(
            f"a second {f.char} under the first: the items of a list need dashes",
            f"begin both lines with a dash: - {f.char}...",
            f.line,
            f.column,
        )
    return None


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


_SLIPS: tuple[Callable[[YamlStop], Slip | None], ...] = (
    _conflict,
    _tab,
    _first_character,
    _colon_without_value,
    _section,
    _bullet,
    _other_comment,
    _sign,
    _quotes,
    _no_space,
    _closers,
    _comma_at_the_end,
    _flow,
    _list_beside_its_key,
    _lines_of_braces,
    _indentation,
    _second_colon,
)
"""In the order in which they are looked for: what can be nothing else comes first."""
