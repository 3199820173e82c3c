"""The located tree: what a YAML document holds, every value with its place. Scalars stay text until their use is known.

A tree does not change. `MappingTree.without`, `over` and `with_` give another one, which shares what stayed the same.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from resnet_dsl.diagnostics import Location, quote

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_ODD_NUMBER = re.compile(r"(0o[0-7]+|0x[0-9a-fA-F]+|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")


@dataclass(frozen=True, slots=True, eq=False)
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

    def keyed(self, at: Location) -> Scalar:
        """The same value under a key that stands at `at`."""
        return replace(self, key_at=at)


def _fixed(self: object, *args: object, **named: object) -> NoReturn:
    raise TypeError("a tree does not change: `without`, `over` and `with_` give another one")


class MappingTree(dict[str, "Tree"]):
    """A mapping with its place and the places of its keys. It is a dict because pydantic's strict models read nothing else.

    `damaged`: a key was refused and left out, so a missing key is not reported as a second mistake.
    """

    def __init__(
        self,
        at: Location,
        entries: Iterable[tuple[str, Location, Tree]] = (),
        key_at: Location | None = None,
        damaged: bool = False,
    ) -> None:
        found = list(entries)
        super().__init__((key, value if value.key_at is place else value.keyed(place)) for key, place, value in found)
        self.at: Final[Location] = at
        self.key_at: Final[Location | None] = key_at
        self.keys_at: Final[Mapping[str, Location]] = {key: place for key, place, _ in found}
        self.damaged: Final[bool] = damaged

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _fixed

    def __reduce__(self) -> tuple[object, ...]:
        return MappingTree, (self.at, list(self.entries()), self.key_at, self.damaged)

    def __repr__(self) -> str:
        return f"<MappingTree at {self.at}: {', '.join(self)[:200]}>"

    def entries(self) -> Iterator[tuple[str, Location, Tree]]:
        """Each key with its place and its value, in order."""
        return ((key, self.keys_at[key], value) for key, value in self.items())

    def keyed(self, at: Location) -> MappingTree:
        """The same mapping under a key that stands at `at`."""
        return MappingTree(self.at, self.entries(), at, self.damaged)

    def without(self, *keys: str) -> MappingTree:
        """The mapping without these keys, whether it has them or not."""
        return MappingTree(self.at, (e for e in self.entries() if e[0] not in keys), self.key_at, self.damaged)

    def over(self, below: MappingTree, *, whole: Collection[str] | None = None) -> MappingTree:
        """This mapping laid over another: where both have a key, the value here counts.

        With `whole`, two mappings under one key are laid over each other in the same way, except under the keys in `whole`.
        """

        def laid(key: str, value: Tree) -> Tree:
            old = below.get(key)
            deep = whole is not None and key not in whole and isinstance(value, MappingTree) and isinstance(old, MappingTree)
            return value.over(old, whole=whole) if deep else value  # type: ignore[union-attr, arg-type]

        entries = {e[0]: e for e in below.entries()} | {key: (key, at, laid(key, value)) for key, at, value in self.entries()}
        return MappingTree(self.at, entries.values(), self.key_at)

    def with_(self, path: Sequence[str | int], value: Tree, at: Location) -> MappingTree:
        """The mapping with `value` at a path of keys and of positions in lists, the last key at `at`.

        Mappings on the way that are missing are made there; the keys on the way keep their places.
        """
        key, *rest = path
        assert isinstance(key, str)
        place = self.keys_at.get(key, at) if rest else at
        if rest:
            old = self.get(key)
            value = (old if isinstance(old, MappingTree | SequenceTree) else MappingTree(at)).with_(rest, value, at)
        entries = {e[0]: e for e in self.entries()} | {key: (key, place, value)}
        return MappingTree(self.at, entries.values(), self.key_at)


class SequenceTree(list["Tree"]):
    """A list with its place; `damaged` where a comma split one of its items."""

    def __init__(self, at: Location, items: Iterable[Tree] = (), key_at: Location | None = None, damaged: bool = False) -> None:
        super().__init__(items)
        self.at: Final[Location] = at
        self.key_at: Final[Location | None] = key_at
        self.damaged: Final[bool] = damaged

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _fixed
    append = clear = extend = insert = pop = remove = reverse = sort = _fixed

    def __reduce__(self) -> tuple[object, ...]:
        return SequenceTree, (self.at, list(self), self.key_at, self.damaged)

    def __repr__(self) -> str:
        return f"<SequenceTree at {self.at}: {len(self):,} items>"

    def keyed(self, at: Location) -> SequenceTree:
        """The same list under a key that stands at `at`."""
        return SequenceTree(self.at, self, at, self.damaged)

    def with_(self, path: Sequence[str | int], value: Tree, at: Location) -> SequenceTree:
        """The list with `value` at a path that begins with a position; see `MappingTree.with_`."""
        i, *rest = path
        assert isinstance(i, int)
        old = self[i]
        if rest:
            assert isinstance(old, MappingTree | SequenceTree)
            value = old.with_(rest, value, at)
        return SequenceTree(self.at, [*self[:i], value, *self[i + 1 :]], self.key_at)


Tree = Scalar | MappingTree | SequenceTree


def describe(tree: Tree) -> str:
    """What stands there, for a message: `a list`, `a mapping`, `the number 3`, `the text 'x'`."""
    if isinstance(tree, MappingTree):
        return "a mapping"
    if isinstance(tree, SequenceTree):
        return "a list"
    kinds = {"null": "null (nothing)", "bool": f"the boolean {tree.text}", "text": f"the text {quote(tree.text)}"}
    return kinds.get(tree.kind, f"the number {quote(tree.text)}")


def plain(tree: Tree) -> object:
    """A tree as plain data, by YAML 1.2's core types: what a recipe's schema reads."""
    if isinstance(tree, MappingTree):
        return {k: plain(v) for k, v in tree.items()}
    if isinstance(tree, SequenceTree):
        return [plain(v) for v in tree]
    kind = tree.kind
    if kind == "int":
        return int(tree.text)
    if kind == "float":
        return float(tree.text)
    if kind == "bool":
        return tree.text == "true"
    return None if kind == "null" else tree.text
