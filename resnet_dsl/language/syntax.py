"""libyaml's syntax errors in plain words, each with its fix.

First the common slips, by what was typed on the lines around the error (`slips`); else libyaml's own words, translated.
"""

from __future__ import annotations

import yaml

from resnet_dsl.diagnostics import Diagnostic, Label, Location, Source, mistake
from resnet_dsl.language.slips import Slip, YamlStop, slip

_FRIENDLY = (
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
    ("invalid Unicode character escape code", "an escape that is no Unicode character (a lone surrogate)", "delete the escape"),
    ("undefined tag handle", "tags are not used here: a spec is data", "delete the tag, or quote the value if it should start with '!'"),
    ("found unknown directive name", "directives (lines that start with %) are not used here", "delete this line"),
    (
        "incompatible YAML document",
        "the %YAML directive names a version that does not exist, and directives are not used here",
        "delete this line",
    ),
)


def syntax_error(source: Source, e: yaml.MarkedYAMLError, *, is_document: bool = True) -> Diagnostic:
    """What is wrong with a document, or with one value, that is not YAML. The slips are those of documents."""
    mark, context = e.problem_mark or e.context_mark, e.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    problem = str(e.problem or e.context or "syntax error")
    began = (context.line + 1, context.column + 1) if context is not None and e.context else None
    known = slip(YamlStop(source, problem, line, column, *(began or (line, column)))) if is_document else None
    found = known or _told(source, problem, line, column)
    labels: tuple[Label, ...] = ()
    if began is not None and began != (found.line, found.column) and not found.own:
        labels = (Label(str(e.context), Location(source, *began)),)
    at = Location(source, found.line, found.column, max(1, found.length))
    return mistake("yaml-syntax", found.message, found.help, at=at, labels=labels)


def _told(source: Source, problem: str, line: int, column: int) -> Slip:
    """libyaml's words, translated where they are known."""
    message, help = f"not YAML: {problem}", "see `resnet-dsl explain yaml-syntax` for the rules"
    for found, text, fix in _FRIENDLY:
        if found in problem:
            message, help = text or f"not YAML: {problem}", fix
            break
    if "directive" in message:
        column = 1
    if line > source.text.rstrip().count("\n") + 1:
        message += " (at the end of the file)"
    return Slip(message, help, line, column, own=False)
