"""Blocks, shortcut policies and sequences: the shipped and the user's, read by the same code."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resnet_dsl.diagnostics import Collector, Location, Source, quote
from resnet_dsl.language.expressions import ExpressionError, Kind, parse
from resnet_dsl.language.files import PACKAGE
from resnet_dsl.language.kinds import BLOCK_NAMES, HIDDEN, POLICY_NAMES, SEQUENCE_NAMES, STEPS
from resnet_dsl.language.reading import MAX_STEPS, Reader
from resnet_dsl.language.source import read
from resnet_dsl.language.spec import Change, Definition, Family, Slot, Step
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree
from resnet_dsl.language.values import Callee, NameScope
from resnet_dsl.ops.arguments import CONDITION, NUMBER, SIZE

MAX_DEFINITIONS = 256
SECTIONS: Mapping[str, Family] = {"blocks": "block", "shortcuts": "shortcut", "sequences": "sequence"}
_PLACES = {"block": "a block", "shortcut": "a shortcut policy", "sequence": "a sequence"}
_NAMES = {"block": BLOCK_NAMES, "shortcut": POLICY_NAMES, "sequence": SEQUENCE_NAMES}
_TAKEN = {"block": {*BLOCK_NAMES, "out"} - HIDDEN, "shortcut": set(POLICY_NAMES), "sequence": set(SEQUENCE_NAMES)}

Definitions = dict[str, dict[str, Definition]]


def kinds(names: tuple[str, ...]) -> dict[str, Kind]:
    """The names of the language with what they are: all numbers except `image`."""
    return {n: "condition" if n == "image" else "number" for n in names}


@functools.cache
def library() -> Definitions:
    """The shipped definitions, read by the same code as a user's."""
    parts = []
    for name in ("blocks", "shortcuts", "sequences"):
        text = (PACKAGE / "language" / "library" / f"{name}.yaml").read_text("utf-8")
        part = read(Source(f"library/{name}.yaml", text))
        parts.append((name, part.keys_at[name], part[name]))
    tree = MappingTree(Location(Source("the standard library", "")), parts)
    resolver = DefinitionReader(tree, {f: {} for f in SECTIONS.values()})
    found = resolver.definitions(NameScope({"classes": "number"}, ""), shipped=True)
    resolver.reader.problems.stop_if_any()
    return found


@dataclass
class _Header:
    """A definition before its steps are read. `kinds` are its arguments, None where the default is broken and only the name is known."""

    family: Family
    name: str
    at: Location
    body: Tree
    scope: NameScope
    args: dict[str, Slot] = field(default_factory=dict)
    let: dict[str, Slot] = field(default_factory=dict)
    kinds: dict[str, Kind | None] = field(default_factory=dict)
    broken: bool = False


class DefinitionReader:
    """Reads a document's definitions. Parts of the wrong form are skipped: `check_form` has reported them."""

    def __init__(self, tree: MappingTree, shipped: Definitions) -> None:
        self.tree = tree
        self.shipped = shipped
        tables = {f: {n: Callee(n, f, {k: s.rule.kind for k, s in d.args.items()}) for n, d in t.items()} for f, t in shipped.items()}
        self.reader = Reader(tables, Collector())
        self.tables = tables

    def definitions(self, base: NameScope, *, shipped: bool = False) -> Definitions:
        """The document's own blocks, policies and sequences, checked whether or not they are used."""
        own: Definitions = {f: {} for f in SECTIONS.values()}
        if self._too_many():
            return own
        headers: list[_Header] = []
        for section, family in SECTIONS.items():
            group = self.tree.get(section)
            if group is not None and not isinstance(group, MappingTree):
                self.reader.unread.add(family)
            elif group is not None:
                headers += [self._header(section, family, name, group.keys_at[name], body, base) for name, body in group.items()]
        for h in headers:
            self.tables[h.family][h.name] = Callee(h.name, h.family, h.kinds, h.scope.open)
        graph: dict[tuple[str, str], list[tuple[str, str, Location]]] = {}
        for h in headers:
            self.reader.calls = []
            if isinstance(h.body, MappingTree | SequenceTree):
                own[h.family][h.name] = self._definition(h, h.body, shipped)
            graph[(h.family, h.name)] = self.reader.calls
        self._refuse_cycles(graph)
        return own

    def _too_many(self) -> bool:
        names = [at for s in SECTIONS if isinstance(group := self.tree.get(s), MappingTree) for at in group.keys_at.values()]
        if len(names) > MAX_DEFINITIONS:
            message = f"{len(names)} definitions (blocks, shortcuts, sequences) are over the limit of {MAX_DEFINITIONS}"
            self.reader.problems.report("limit", message, "split the spec, or use arguments instead of copies", at=names[MAX_DEFINITIONS])
        return len(names) > MAX_DEFINITIONS

    def _header(self, section: str, family: Family, name: str, at: Location, body: Tree, base: NameScope) -> _Header:
        """Arguments and `let`, in order: each sees those before it. A broken one still declares its name."""
        before = len(self.reader.problems.found)
        taken, by = set(self.shipped[family]), " by a built-in of this name"
        if family == "sequence" and name in STEPS:
            taken, by = set(STEPS), " by a step: a built-in"
        self.reader.definition_name(name, at, section, taken, by)
        header = _Header(family, name, at, body, base.plus(kinds(_NAMES[family]), f"{_PLACES[family]} ({name})"))
        if not isinstance(body, MappingTree):
            header.scope = replace(header.scope, open=not isinstance(body, SequenceTree))
            return header
        for key in ("args", "let"):
            group = body.get(key)
            if isinstance(group, MappingTree):
                self._declare(header, key, group, base)
            elif group is not None:
                header.scope = replace(header.scope, open=True)
        header.broken = len(self.reader.problems.found) > before
        return header

    def _declare(self, header: _Header, section: str, group: MappingTree, base: NameScope) -> None:
        slots = header.args if section == "args" else header.let
        for key, value in group.items():
            at = group.keys_at[key]
            if section == "let" and key in header.kinds:
                self.reader.problems.report(
                    "name-taken",
                    f"let: {quote(key)} is already taken by an argument of this name",
                    f"choose another name, my_{key} say",
                    at=at,
                )
                continue
            by = " by a parameter of the spec" if key in base.names and key != "classes" else " by a name of the language (built-in here)"
            named = self.reader.definition_name(
                key, at, "an argument" if section == "args" else "a let", _TAKEN[header.family] | set(base.names), by
            )
            slot = self._let_slot(key, value, header.scope, group, section) if named else None
            if slot is not None:
                slots[key] = slot
            if section == "args":
                header.kinds[key] = slot.rule.kind if slot is not None else None
            header.scope = header.scope.plus({key: slot.rule.kind if slot is not None else "number"})

    def _let_slot(self, key: str, value: Tree, scope: NameScope, group: MappingTree, section: str) -> Slot | None:
        """A default or a `let`: a number or a condition, whichever its expression is."""
        rule = NUMBER
        if isinstance(value, Scalar):
            try:
                expression = parse(value.text)
                later = [n for n in expression.names if n in group and n not in scope.names]
                if section == "let" and later:
                    round_trip = "itself" if later == [key] else f"{quote(later[0])}, which comes later"
                    self.reader.problems.report(
                        "cycle",
                        f"let: {quote(key)} refers to {round_trip}: a cycle, unless it stands before ({key} -> {later[0]})",
                        "a let sees the arguments and the lets before it",
                        at=value.at,
                    )
                    return None
                rule = CONDITION if expression.kind(scope.names) == "condition" else NUMBER
            except ExpressionError:
                rule = NUMBER
        elif not isinstance(value, Scalar):
            what = "default" if section == "args" else "let"
            self.reader.problems.report(
                "wrong-type",
                f"{quote(key)}: a {what} is a number or a condition (an expression), not a {'list' if isinstance(value, SequenceTree) else 'mapping'}",
                "write a number, true, false or an expression",
                at=value.at,
            )
            return None
        return self.reader.slot(value, rule, key, scope)

    def _definition(self, header: _Header, body: MappingTree | SequenceTree, shipped: bool) -> Definition:
        reader, family, name, scope, args, let = self.reader, header.family, header.name, header.scope, header.args, header.let
        before = len(reader.problems.found)
        reader.used = set()
        for slot in (*args.values(), *let.values()):
            reader.used |= slot.expression.names
        steps: dict[str, tuple[Step, ...]] = {}
        out, merge = None, None
        change: dict[str, Change] = {"change": "refuse", "same": ()}
        if isinstance(body, SequenceTree):
            steps["steps"] = self.steps(body, name, scope)
        else:
            if family == "block":
                out = reader.slot(body["out"], SIZE, "out", scope) if "out" in body else Slot(parse("width"), SIZE, header.at, "out")
                scope = scope.plus({"out": "number"})
            for key in ("before", "body", "after", "steps"):
                if key in body and key in (("steps",) if family == "sequence" else ("before", "body", "after")):
                    steps[key] = self.steps(body[key], key, scope)
            if family == "block" and "merge" in body:
                merge = reader.reference(body["merge"], "merge", scope)
            if family == "shortcut":
                for key in ("change", "same"):
                    if key in body:
                        change[key] = self._change(body[key], key, scope)
        if not header.broken and len(reader.problems.found) == before:
            self._refuse_unused(name, family, body, {**args, **let}, reader.used)
        return Definition(family, name, header.at, shipped, args, let, out, steps.get("before", ()), steps.get("body", ()), steps.get("after", ()),
                          merge, change["change"], change["same"], steps.get("steps", ()), frozenset(reader.used - {*args, *let}))  # fmt: skip

    def steps(self, tree: Tree, what: str, scope: NameScope) -> tuple[Step, ...]:
        """A definition's list of steps, at most MAX_STEPS of them."""
        steps = self.reader.steps(tree, what, scope)
        total = _count(steps)
        if total > MAX_STEPS:
            self.reader.problems.report(
                "limit",
                f"{total} steps in one definition ({what}) are over the limit of {MAX_STEPS}",
                "use repeat, or name parts as sequences",
                at=tree.at,
            )
        return steps

    def _change(self, tree: Tree, key: str, scope: NameScope) -> Change:
        if isinstance(tree, Scalar):
            if tree.kind == "text" and tree.text in ("none", "refuse"):
                return "none" if tree.text == "none" else "refuse"
            if tree.kind == "null":
                return "refuse"  # the form's check has said so
            shown = quote(tree.text)
            self.reader.problems.report(
                "wrong-type",
                f"{quote(key)} is a list of steps, none or refuse, not {shown}",
                "write [] for the identity, none for no shortcut, refuse for an error, or steps in a list",
                at=tree.at,
            )
            return "refuse"
        return self.steps(tree, key, scope)

    def _refuse_unused(self, name: str, family: str, body: Tree, slots: Mapping[str, Slot], used: set[str]) -> None:
        for section in ("args", "let"):
            group = body.get(section) if isinstance(body, MappingTree) else None
            if isinstance(group, MappingTree):
                for key in group:
                    if key in slots and key not in used:
                        self.reader.problems.report(
                            "unused-argument",
                            f"{quote(key)} is never used: it changes nothing in {family} {name}",
                            "use it, or delete it",
                            at=group.keys_at[key],
                        )

    def _refuse_cycles(self, graph: Mapping[tuple[str, str], list[tuple[str, str, Location]]]) -> None:
        """Refuses a sequence or a policy that contains itself, directly or through others."""
        state: dict[tuple[str, str], int] = {}

        def visit(node: tuple[str, str], trail: list[tuple[str, str]]) -> None:
            state[node] = 1
            for family, name, at in graph[node]:
                target = (family, name)
                if target not in graph:
                    continue
                if state.get(target) == 1:
                    ring = [*trail[trail.index(target) :], target] if target in trail else [target, target]
                    shown = " -> ".join(n for _, n in ring)
                    self.reader.problems.report(
                        "cycle",
                        f"{family} {quote(name)} contains itself: {shown}",
                        "break the circle: a definition cannot use itself",
                        at=at,
                    )
                elif target not in state:
                    visit(target, [*trail, target])
            state[node] = 2

        for node in graph:
            if node not in state:
                visit(node, [node])


def _count(steps: tuple[Step, ...]) -> int:
    total = 0
    for s in steps:
        total += 1 + sum(_count(inner) for inner in (*s.steps.values(), *s.paths))
        total += _count(s.shortcut) if isinstance(s.shortcut, tuple) else 0
    return total
