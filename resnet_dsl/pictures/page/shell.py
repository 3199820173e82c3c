"""A page from sections: one HTML file with its style, its program and its data in it, which may load nothing else."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files

from resnet_dsl.diagnostics import clean

SCRIPTS = ("table.js", "model.js", "layout.js", "pane.js", "viewer.js", "start.js")
"""The page's program, in order: each needs only those before it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page: `key` is its id, `body` finished HTML of ours, `data` what the page's program shows in it (JSON).

    A `wide` one fills the window, others are set as text.
    """

    key: str
    title: str
    body: str
    data: object = None
    wide: bool = False


def render(title: str, sections: Sequence[Section], theme: str = "light", description: str = "") -> str:
    """The page's HTML. A policy in its head forbids the browser to load or send anything."""
    style = _template("page.css")
    script = "(() => {\n'use strict';\n" + "\n".join(map(_template, SCRIPTS)) + "})();\n"
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    values = {
        "title": text(title),
        "description": text(description),
        "policy": policy,
        "theme": theme,
        "style": style,
        "navigation": _navigation(sections),
        "sections": "\n".join(map(_section, sections)),
        "script": script,
    }
    return _filled(_template("page.html"), values)


def text(words: str) -> str:
    """Text as HTML."""
    return escape(clean(words))


def _section(section: Section) -> str:
    data = ""
    if section.data is not None:
        # A `<` in the data could end the element that holds it.
        content = json.dumps(section.data, separators=(",", ":")).replace("<", "\\u003c")
        data = f'<script type="application/json" id="{section.key}-data">{content}</script>\n'
    kind = "wide" if section.wide else "plain"
    heading = f'<h2 id="{section.key}-title">{text(section.title)}</h2>\n'
    return f'<section id="{section.key}" class="{kind}" aria-labelledby="{section.key}-title">\n{heading}{section.body}\n{data}</section>'


def _navigation(sections: Sequence[Section]) -> str:
    if len(sections) < 2:
        return ""
    links = "".join(f'<a href="#{s.key}">{text(s.title)}</a>' for s in sections)
    return f'<nav aria-label="Sections">{links}</nav>'


def _filled(template: str, values: dict[str, str]) -> str:
    """The template with each `{{name}}` once replaced; what is filled in is not looked at again."""
    parts = template.split("{{")
    found = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}}")
        found += [values[name], rest]
    return "".join(found)


def _template(name: str) -> str:
    return (files("resnet_dsl.pictures.page") / "template" / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return b64encode(sha256(content.encode()).digest()).decode()
