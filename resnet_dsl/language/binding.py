"""The arguments of a step or a kind against its signature: each is read by its form, and mistakes are gathered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from resnet_dsl.diagnostics import MAX_SHOWN, Collector, Diagnostic, Location, mistake, quote, suggest
from resnet_dsl.language.document import at_value, null_value, unknown_key
from resnet_dsl.language.spec import Reference, Slot, Step, constant
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe
from resnet_dsl.language.values import IDENTIFIER, NameScope
from resnet_dsl.ops.arguments import Arg, Form, ValueRule


class ArgumentReader(Protocol):
    """What binding needs of the reader of steps and values."""

    problems: Collector

    def slot(self, tree: Tree, rule: ValueRule, what: str, scope: NameScope) -> Slot | None:
        """A number or condition."""

    def pair(self, tree: Tree, rule: ValueRule, what: str, scope: NameScope) -> tuple[Slot, Slot] | None:
        """A number for both sides, or [height, width]."""

    def word(self, tree: Tree, what: str, choices: Iterable[str]) -> str | None:
        """One of a few words."""

    def steps(self, tree: Tree, what: str, scope: NameScope) -> tuple[Step, ...]:
        """A list of steps."""

    def reference(self, tree: Tree, family: str, scope: NameScope, shown: tuple[str, ...] = ()) -> Reference | None:
        """A name with its arguments."""


@dataclass
class _Bound:
    """The arguments of one step so far, sorted by form."""

    reader: ArgumentReader
    name: str
    at: Location
    scope: NameScope
    args: dict[str, Slot] = field(default_factory=dict)
    pairs: dict[str, tuple[Slot, Slot]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    steps: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    paths: tuple[tuple[Step, ...], ...] = ()
    paths_at: tuple[Location, ...] = ()
    shortcut: Reference | tuple[Step, ...] | None = None
    merge: Reference | None = None

    def step(self) -> Step:
        """The step with these arguments."""
        return Step(
            self.name,
            self.at,
            args=self.args,
            pairs=self.pairs,
            words=self.words,
            steps=self.steps,
            paths=self.paths,
            paths_at=self.paths_at,
            shortcut=self.shortcut,
            merge=self.merge,
        )


def bind(reader: ArgumentReader, given: MappingTree, signature: Mapping[str, Arg], name: str, at: Location, scope: NameScope) -> Step:
    """Arguments sorted by form, with the defaults that are known without an input."""
    for key, value in given.items():
        if key not in signature:
            reader.problems.add(unknown_argument(key, value, signature, quote(name), search=len(reader.problems.found) < MAX_SHOWN))
    meant = {suggest(k, signature) for k in islice((k for k in given if k not in signature), MAX_SHOWN)}
    for key, arg in signature.items():
        if arg.required and key not in given and key not in meant and not given.damaged:
            wanted = "a list of steps" if arg.form in ("steps", "paths") else "a value"
            message = f"{quote(name)} needs {quote(key)} ({wanted}), which has no default"
            reader.problems.report("missing-argument", message, f"write `{name}: {{{key}: ...}}`", at=at)
    bound = _Bound(reader, name, at, scope)
    for key, arg in signature.items():
        tree = given.get(key)
        if tree is not None:
            _BINDERS[arg.form](bound, key, arg, tree)
        elif arg.default is not None:
            _default(bound, key, arg)
    return bound.step()


def unknown_argument(key: str, value: Tree, known: Mapping[str, object], noun: str, *, search: bool = True) -> Diagnostic:
    """What is said of an argument that `noun` does not take; the near one is searched for where asked to."""
    at = value.key_at or value.at
    if isinstance(value, Scalar) and value.is_empty and ":" in key:
        return unknown_key(key, value, known, noun)
    takes = f"{noun} takes no arguments" if not known else f"{noun} takes no such argument"
    extra = [*known, "as", "when"] if noun.startswith("'") else list(known)
    near = suggest(key, extra) if search else None
    help = (
        f"did you mean '{near}'?"
        if near
        else (f"it takes {', '.join(known)}" if known else f"write {noun.split()[-1].strip(chr(39))} alone")
    )
    return mistake("unknown-argument", f"unknown argument {quote(key)}: {takes}", help, at=at)


def _default(bound: _Bound, key: str, arg: Arg) -> None:
    if isinstance(arg.default, str):
        if arg.form in ("word", "padding"):
            bound.words[key] = arg.default
    elif arg.default is not None and arg.form in ("value", "pair"):
        one = constant(arg.default, arg.rule, bound.at, key)
        if arg.form == "value":
            bound.args[key] = one
        else:
            bound.pairs[key] = (one, one)


# --- one binder for each form --------------------------------------------------------------------------------


def _value(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    if slot := bound.reader.slot(tree, arg.rule, key, bound.scope):
        bound.args[key] = slot


def _pair(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    if pair := bound.reader.pair(tree, arg.rule, key, bound.scope):
        bound.pairs[key] = pair


def _padding(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    """A pair, or the word `same`."""
    if not isinstance(tree, Scalar):
        _pair(bound, key, arg, tree)
    elif tree.text == "same":
        bound.words[key] = "same"
    elif tree.kind == "null":
        bound.reader.problems.add(null_value(key, tree))
    elif IDENTIFIER.match(tree.text) and tree.text not in bound.scope.names:
        near = suggest(tree.text, ["same", *bound.scope.names]) if tree.kind == "text" else None
        fix = "write padding: 0" if tree.text.lower() == "valid" else f"did you mean '{near}'?" if near else "write 1, [1, 2] or same"
        message = f"{quote(key)} is a number, [height, width] or the word same, not {describe(tree)}"
        bound.reader.problems.report("unknown-name", message, fix, at=tree.at)
    else:
        _pair(bound, key, arg, tree)


def _word(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    if word := bound.reader.word(tree, key, arg.choices):
        bound.words[key] = word


def _steps(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    scope = bound.scope.plus({"index": "number"}) if arg.counts else bound.scope
    bound.steps[key] = bound.reader.steps(tree, key, scope)


def _paths(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    if not isinstance(tree, SequenceTree) or not tree:
        what = "empty: there are no paths" if isinstance(tree, SequenceTree) else describe(tree)
        message = f"'paths' must be a list of at least one list of steps, not {what}"
        bound.reader.problems.report("wrong-type", message, "write paths: [[...], [...]]", at=tree.at)
        return
    odd = [path for path in tree if not isinstance(path, SequenceTree)]
    if odd:
        bound.reader.problems.report(
            "wrong-type",
            f"'paths' must be a list of lists of steps, but one path is {describe(odd[0])}",
            "write paths: [[...], [...]]: each path is a list of its own, [] for the identity",
            at=tree.at if len(odd) == len(tree) > 1 else at_value(odd[0]),
        )
        return
    bound.paths = tuple(bound.reader.steps(path, "paths", bound.scope) for path in tree)
    bound.paths_at = tuple(path.at for path in tree)


def _shortcut(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    reader = bound.reader
    bound.shortcut = (
        reader.steps(tree, key, bound.scope) if isinstance(tree, SequenceTree) else reader.reference(tree, "shortcut", bound.scope)
    )


def _merge(bound: _Bound, key: str, arg: Arg, tree: Tree) -> None:
    bound.merge = merge = bound.reader.reference(tree, "merge", bound.scope, arg.choices)
    if merge is not None and arg.choices and merge.name not in arg.choices:
        bound.reader.problems.report(
            "unknown-name",
            f"{bound.name} cannot merge by {merge.name}: it gates one body against one shortcut",
            "use add, mul or concat, or a residual",
            at=merge.at,
        )


_BINDERS: Mapping[Form, Callable[[_Bound, str, Arg, Tree], None]] = {
    "value": _value,
    "pair": _pair,
    "padding": _padding,
    "word": _word,
    "steps": _steps,
    "paths": _paths,
    "shortcut": _shortcut,
    "merge": _merge,
}
