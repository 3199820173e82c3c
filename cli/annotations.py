"""Diagnostics for other programs: GitHub's workflow commands, and SARIF."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote as percent_encoded

from resnet_dsl import __version__
from resnet_dsl.diagnostics import COMMAND_LINE, Diagnostic, Location, inline

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


class Explained(Protocol):
    """What is said of a code: its title, and why it is one."""

    @property
    def title(self) -> str:
        """One line."""

    @property
    def why(self) -> str:
        """A paragraph."""


def github(d: Diagnostic) -> str:
    """A workflow command, which GitHub shows at the line of a pull request."""
    d = d.spoken(COMMAND_LINE)
    at = d.location
    places = [f"file={_escaped(inline(at.source.name), ':,')}"]
    if at.line:
        places += [f"line={at.line}", f"col={at.column}", f"endColumn={at.column + at.length}"]
    text = _escaped(f"{d.message}\nhelp: {d.help}")
    return f"::{d.level} {','.join(places)},title={_escaped(d.code, ':,')}::{text}\n"


def _escaped(text: str, also: str = "") -> str:
    for c in "%\r\n" + also:
        text = text.replace(c, f"%{ord(c):02X}")
    return text


def sarif(diagnostics: Iterable[Diagnostic], known: Mapping[str, Explained]) -> dict[str, Any]:
    """A SARIF 2.1.0 log with one run. `known` explains the codes; those that were found become its rules."""
    found = [d.spoken(COMMAND_LINE) for d in diagnostics]
    codes = sorted({d.code for d in found})
    rules = [{"id": code, **(_rule(known[code]) if code in known else {})} for code in codes]
    driver = {"name": "resnet-dsl", "version": __version__, "rules": rules}
    results = [{
        "ruleId": d.code,
        "ruleIndex": codes.index(d.code),
        "level": d.level,
        "message": {"text": f"{d.message}\nhelp: {d.help}"},
        "locations": [_place(d.location)],
        "relatedLocations": [{**_place(x.location), "message": {"text": x.text}} for x in d.labels],
    } for d in found]  # fmt: skip
    # Our columns count characters; SARIF's count UTF-16 units where nothing is said.
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(explained: Explained) -> dict[str, Any]:
    return {"shortDescription": {"text": explained.title}, "fullDescription": {"text": explained.why}}


def _place(at: Location) -> dict[str, Any]:
    """The file and the stretch of it. A text without a file (standard input, an option) is called by its name."""
    path = Path(at.source.name)
    uri = path.as_uri() if path.is_absolute() else percent_encoded(os.fsencode(path.as_posix()))
    place: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if at.line:
        place["region"] = {"startLine": at.line, "startColumn": at.column, "endColumn": at.column + at.length}
    return {"physicalLocation": place}
