"""Pieces of Python text: names that are safe to write, calls that break over lines."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Sequence
from textwrap import indent

WIDTH = 88


def call(opening: str, items: Sequence[str], closing: str) -> str:
    """A bracketed list on one line where it fits and holds no line break, else an item a line."""
    line = f"{opening}{', '.join(items)}{closing}"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    return "\n".join([opening, *(indent(f"{item},", "    ") for item in items), closing])


def class_text(name: str, base: str, about: str, start: Sequence[str], forward: Sequence[str] = (), attributes: str = "") -> str:
    """A class with a constructor and, where it has lines, a `forward`; `attributes` stand before both."""
    values = f"\n\n{indent(attributes, '    ')}" if attributes else ""
    text = f'class {name}({base}):\n    """{about}"""{values}\n\n    def __init__(self):\n{indent(chr(10).join(start), " " * 8)}'
    return f"{text}\n\n    def forward(self, x):\n{indent(chr(10).join(forward), ' ' * 8)}" if forward else text


def import_lines(body: str) -> str:
    """The imports that a module's body needs."""
    lines = ["import torch"] if re.search(r"\btorch\.", body) else []
    if re.search(r"\bF\.", body):
        lines.append("import torch.nn.functional as F")
    lines.append("from torch import nn")
    return ("from collections import OrderedDict\n\n" if "OrderedDict(" in body else "") + "\n".join(lines)


def camel(name: str, fallback: str, reserved: Collection[str]) -> str:
    """A class name: `PreactBasic` for preact_basic. `fallback` leads where the name alone would not do."""
    text = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name))
    return text if text.isidentifier() and not keyword.iskeyword(text) and text not in reserved else f"{fallback}{text}"


def checked_name(name: str) -> str:
    """A name as a docstring may hold it. The language admits no other; a graph made by hand might."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(f"{name!r} cannot be a name in a module")
    return name


def checked_path(path: str) -> str:
    """A name as an attribute or the key of a container."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*|[0-9]+", path) or keyword.iskeyword(path):
        raise ValueError(f"{path!r} cannot be the name of a child of a module")
    return path
