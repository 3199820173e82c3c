"""The located tree: what a YAML document holds, every value with its place. Scalars stay text until their use is known."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resnet_dsl.diagnostics import Location, quote

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_ODD_NUMBER = re.compile(r"(0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")


@dataclass(slots=True, eq=False)
class Scalar:
    """One scalar as it was written: `text` is its value, `plain` is whether it stood without quotes."""

    text: str
    plain: bool
    at: Location
    key_at: Location | None = None
    flow: bool = False

    @property
    def kind(self) -> str:
        """The YAML 1.2 core type: null, bool, int, float, number (a form that the language refuses) or text."""
        if not self.plain:
            return "text"
        t = self.text
        if t in ("", "~", "null", "Null", "NULL"):
            return "null"
        if t in ("true", "false"):
            return "bool"
        if _INT.match(t):
            return "int"
        if _FLOAT.match(t):
            return "float"
        return "number" if _ODD_NUMBER.match(t) else "text"

    @property
    def is_empty(self) -> bool:
        """Nothing was written here."""
        return self.plain and not self.text


class Mapping(dict[str, "Tree"]):
    """A mapping with its place and the places of its keys."""

    def __init__(self, at: Location, key_at: Location | None = None) -> None:
        super().__init__()
        self.at, self.key_at = at, key_at
        self.keys_at: dict[str, Location] = {}
        self.damaged = False
        """A key was refused and left out: what is missing is no second mistake."""

    def put(self, key: str, at: Location, value: Tree) -> None:
        """Set an entry; the value remembers where its key stands."""
        self[key] = value
        self.keys_at[key] = at
        value.key_at = at


class Sequence(list["Tree"]):
    """A list with its place; `damaged` where a comma split one of its items."""

    def __init__(self, at: Location, key_at: Location | None = None) -> None:
        super().__init__()
        self.at, self.key_at = at, key_at
        self.damaged = False


Tree = Scalar | Mapping | Sequence


def describe(tree: Tree) -> str:
    """What stands there, for a message: `a list`, `a mapping`, `the number 3`, `the text 'x'`."""
    if isinstance(tree, Mapping):
        return "a mapping"
    if isinstance(tree, Sequence):
        return "a list"
    kinds = {"null": "null (nothing)", "bool": f"the boolean {tree.text}", "text": f"the text {quote(tree.text)}"}
    return kinds.get(tree.kind, f"the number {quote(tree.text)}")


def plain(tree: Tree) -> object:
    """A tree as plain data, by YAML 1.2's core types: what a recipe's schema reads."""
    if isinstance(tree, Mapping):
        return {k: plain(v) for k, v in tree.items()}
    if isinstance(tree, Sequence):
        return [plain(v) for v in tree]
    kind = tree.kind
    if kind == "int":
        return int(tree.text)
    if kind == "float":
        return float(tree.text)
    if kind == "bool":
        return tree.text == "true"
    return None if kind == "null" else tree.text
