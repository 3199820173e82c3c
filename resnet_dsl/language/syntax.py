"""libyaml's syntax errors in plain words, each with its fix."""

from __future__ import annotations

import re

import yaml

from resnet_dsl.diagnostics import Diagnostic, Label, Location, Source, mistake

_TWO_COLONS = re.compile(r"^(?P<lead>\s*(?:- )?)(?P<key>[A-Za-z_]\w*): +(?P<name>[A-Za-z_]\w*): *(?P<rest>.*?)\s*$")

_FRIENDLY = (
    ("found character '\\t'", "a tab (U+0009) cannot start a token: YAML indents with spaces", "replace the tab by spaces"),
    ("that cannot start any token", None, "quote the value, or delete that character"),
    (
        "mapping values are not allowed",
        "a second colon: a mapping is not allowed here",
        'quote the text if the colon belongs to it, as in key: "a: b"',
    ),
    (
        "did not find expected ',' or '}'",
        "a flow mapping `{` is not closed: expected ',' or '}'",
        "close the brace, or put a comma between the entries",
    ),
    (
        "did not find expected ',' or ']'",
        "a flow list `[` is not closed: expected ',' or ']'",
        "close the bracket, or put a comma between the items",
    ),
    ("could not find expected ':'", "could not find the expected ':' of a mapping", "write `key: value`, with a space after the colon"),
    (
        "did not find expected key",
        "expected a key here: the indentation does not fit the lines above",
        "indent entries of one mapping alike",
    ),
    (
        "did not find expected '-' indicator",
        "expected '-' here: the indentation does not fit the list above",
        "indent the items of one list alike",
    ),
    ("did not find expected node content", "expected a value here", "write a value, or quote the text"),
    ("found unexpected end of stream", "the text in quotes does not end", "close the quote"),
    ("invalid Unicode character escape code", "an escape that is no Unicode character (a lone surrogate)", "delete the escape"),
    ("undefined tag handle", "tags are not used here: a spec is data", "delete the tag, or quote the value if it should start with '!'"),
    ("found unknown directive name", "directives (lines that start with %) are not used here", "delete this line"),
    (
        "incompatible YAML document",
        "the %YAML directive names a version that does not exist, and directives are not used here",
        "delete this line",
    ),
)


def syntax_error(source: Source, e: yaml.MarkedYAMLError) -> Diagnostic:
    """What is wrong with a document that is not YAML."""
    mark = e.problem_mark or e.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    problem = str(e.problem or e.context or "syntax error")
    message, help = f"not YAML: {problem}", "correct the syntax here"
    if "cannot start any token" in problem and source.line(line)[column - 1 : column] == "\t":
        problem = "found character '\\t'"
    for found, text, fix in _FRIENDLY:
        if found in problem:
            message, help = text or f"not YAML: {problem}", fix
            break
    written = source.line(line)
    slip = _TWO_COLONS.match(written)
    if slip and "mapping values" in problem:
        key, name, rest = slip["key"], slip["name"], slip["rest"]
        help = f"write `{key}: {name}` or `{key}: {{{name}: {rest or '{...}'}}}`"
    if "directive" in message:
        column = 1
    labels: tuple[Label, ...] = ()
    if e.context_mark is not None and e.context and (e.context_mark.line + 1, e.context_mark.column + 1) != (line, column):
        labels = (Label(str(e.context), Location(source, e.context_mark.line + 1, e.context_mark.column + 1)),)
    if line > source.text.count("\n") + 1 or not written:
        message += " (at the end of the file)" if line > source.text.rstrip().count("\n") + 1 else ""
    return mistake("yaml-syntax", message, help, at=Location(source, line, column), labels=labels)
