"""Blocks, shortcut policies and sequences: the shipped and the user's, read by the same code."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources

from resnet_dsl.diagnostics import Collector, Location, Source, quote
from resnet_dsl.language.expressions import ExpressionError, Kind, parse
from resnet_dsl.language.kinds import BLOCK_NAMES, POLICY_NAMES, SEQUENCE_NAMES, STEPS
from resnet_dsl.language.reading import MAX_STEPS, Reader
from resnet_dsl.language.source import Mapping as MappingTree
from resnet_dsl.language.source import Scalar, Tree, read
from resnet_dsl.language.source import Sequence as SequenceTree
from resnet_dsl.language.spec import CONDITION, NUMBER, SIZE, Change, Definition, Slot, Step
from resnet_dsl.language.values import Callee, Scope

MAX_DEFINITIONS = 256
SECTIONS = {"blocks": "block", "shortcuts": "shortcut", "sequences": "sequence"}
_PLACES = {"block": "a block", "shortcut": "a shortcut policy", "sequence": "a sequence"}
_NAMES = {"block": BLOCK_NAMES, "shortcut": POLICY_NAMES, "sequence": SEQUENCE_NAMES}
_TAKEN = {"block": {*BLOCK_NAMES, "out"}, "shortcut": set(POLICY_NAMES), "sequence": set(SEQUENCE_NAMES)}

Definitions = dict[str, dict[str, Definition]]


def kinds(names: tuple[str, ...]) -> dict[str, Kind]:
    """The names of the language with what they are: all numbers, but for `image`."""
    return {n: "condition" if n == "image" else "number" for n in names}


@functools.cache
def library() -> Definitions:
    """The shipped definitions, read by the same code as a user's."""
    tree = MappingTree(Location(Source("the standard library", "")))
    for name in ("blocks", "shortcuts", "sequences"):
        text = resources.files("resnet_dsl.language").joinpath(f"library/{name}.yaml").read_text("utf-8")
        part = read(Source(f"library/{name}.yaml", text))
        tree.put(name, part.keys_at[name], part[name])
    resolver = DefinitionReader(tree, {f: {} for f in SECTIONS.values()})
    found = resolver.definitions(Scope({"classes": "number"}, ""), shipped=True)
    resolver.reader.problems.stop_if_any()
    return found


class DefinitionReader:
    """Reads a document's definitions. Parts whose form is wrong are passed over: `check_form` has reported them."""

    def __init__(self, tree: MappingTree, shipped: Definitions) -> None:
        self.tree = tree
        self.shipped = shipped
        tables = {f: {n: Callee(n, f, {k: s.rule.kind for k, s in d.args.items()}, True) for n, d in t.items()} for f, t in shipped.items()}
        self.reader = Reader(tables, Collector())
        self.tables = tables

    # --- definitions ---

    def definitions(self, base: Scope, *, shipped: bool = False) -> Definitions:
        """The document's own blocks, policies and sequences, checked whether or not they are used."""
        count = 0
        headers: list[tuple[str, str, Location, MappingTree | SequenceTree, Scope, dict[str, Slot], dict[str, Slot]]] = []
        for section, family in SECTIONS.items():
            group = self.tree.get(section)
            if not isinstance(group, MappingTree):
                continue
            count += len(group)
            if count > MAX_DEFINITIONS:
                at = group.keys_at[list(group)[MAX_DEFINITIONS - count - 1]] if count - MAX_DEFINITIONS <= len(group) else group.at
                self.reader.report("limit", f"{count} definitions (blocks, shortcuts, sequences) are over the limit of {MAX_DEFINITIONS}", at, "split the spec, or use arguments instead of copies")
                return {f: {} for f in SECTIONS.values()}
            for name, body in group.items():
                at = group.keys_at[name]
                taken, by = self.shipped[family], " by a built-in of this name"
                if family == "sequence" and name in STEPS:
                    taken, by = {name: None}, " by a step: a built-in"  # type: ignore[dict-item]
                if self.reader.definition_name(name, at, section, taken, by) and isinstance(body, MappingTree | SequenceTree):
                    headers.append(self._header(family, name, at, body, base))
        own: Definitions = {f: {} for f in SECTIONS.values()}
        for family, name, _, _, _, args, _ in headers:
            self.tables[family][name] = Callee(name, family, {k: s.rule.kind for k, s in args.items()}, shipped)
        graph: dict[tuple[str, str], list[tuple[str, str, Location]]] = {}
        for family, name, at, body, scope, args, let in headers:
            self.reader.calls = []
            own[family][name] = self._definition(family, name, at, body, scope, args, let, shipped)
            graph[(family, name)] = self.reader.calls
        self._refuse_cycles(graph)
        return own

    def _header(self, family: str, name: str, at: Location, body: MappingTree | SequenceTree, base: Scope) -> tuple[str, str, Location, MappingTree | SequenceTree, Scope, dict[str, Slot], dict[str, Slot]]:
        """Arguments and `let`, in order: each sees those before it."""
        self.reader.used = set()
        scope = base.plus(kinds(_NAMES[family]), f"{_PLACES[family]} ({name})")
        args: dict[str, Slot] = {}
        let: dict[str, Slot] = {}
        if isinstance(body, MappingTree):
            for section, slots in (("args", args), ("let", let)):
                group = body.get(section)
                if not isinstance(group, MappingTree):
                    continue
                for key, value in group.items():
                    where = "an argument" if section == "args" else "a let"
                    if section == "let" and key in args:
                        self.reader.report("name-taken", f"let: {quote(key)} is already taken by an argument of this name", group.keys_at[key], f"choose another name, my_{key} say")
                        continue
                    by = " by a parameter of the spec" if key in base.names and key != "classes" else " by a name of the language (built-in here)"
                    if not self.reader.definition_name(key, group.keys_at[key], where, _TAKEN[family] | set(base.names), by):
                        scope = scope.plus({key: "number"})  # what uses it is no second mistake
                        continue
                    slot = self._let_slot(key, value, scope, group, section)
                    if slot:
                        slots[key] = slot
                        scope = scope.plus({key: slot.rule.kind})
                    else:
                        scope = scope.plus({key: "number"})
        return family, name, at, body, scope, args, let

    def _let_slot(self, key: str, value: Tree, scope: Scope, group: MappingTree, section: str) -> Slot | None:
        """A default or a `let`: a number or a condition, whichever its expression is."""
        rule = NUMBER
        if isinstance(value, Scalar):
            try:
                expression = parse(value.text)
                later = [n for n in expression.names if n in group and n not in scope.names]
                if section == "let" and later:
                    round_trip = "itself" if later == [key] else f"{quote(later[0])}, which comes later"
                    self.reader.report("cycle", f"let: {quote(key)} refers to {round_trip}: a cycle, unless it stands before ({key} -> {later[0]})", value.at, "a let sees the arguments and the lets before it")
                    return None
                rule = CONDITION if expression.kind(scope.names) == "condition" else NUMBER
            except ExpressionError:
                rule = NUMBER
        elif not isinstance(value, Scalar):
            what = "default" if section == "args" else "let"
            self.reader.report("wrong-type", f"{quote(key)}: a {what} is a number or a condition (an expression), not a {'list' if isinstance(value, SequenceTree) else 'mapping'}", value.at, "write a number, true, false or an expression")
            return None
        return self.reader.slot(value, rule, key, scope)

    def _definition(self, family: str, name: str, at: Location, body: MappingTree | SequenceTree, scope: Scope, args: dict[str, Slot], let: dict[str, Slot], shipped: bool) -> Definition:
        reader = self.reader
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
                out = reader.slot(body["out"], SIZE, "out", scope) if "out" in body else Slot(parse("width"), SIZE, at, "out")
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
        self._refuse_unused(name, family, body, {**args, **let}, reader.used)
        own = {*args, *let, "out" if family == "block" else ""}
        return Definition(family, name, at, shipped, args, let, out, steps.get("before", ()), steps.get("body", ()), steps.get("after", ()),  # type: ignore[arg-type]
                          merge, change["change"], change["same"], steps.get("steps", ()), frozenset(reader.used - own))  # fmt: skip

    def steps(self, tree: Tree, what: str, scope: Scope) -> tuple[Step, ...]:
        steps = self.reader.steps(tree, what, scope)
        total = _count(steps)
        if total > MAX_STEPS:
            self.reader.report("limit", f"{total} steps in one definition ({what}) are over the limit of {MAX_STEPS}", tree.at, "use repeat, or name parts as sequences")
        return steps

    def _change(self, tree: Tree, key: str, scope: Scope) -> Change:
        if isinstance(tree, Scalar):
            if tree.kind == "text" and tree.text in ("none", "refuse"):
                return "none" if tree.text == "none" else "refuse"
            if tree.kind == "null":
                return "refuse"  # the form's check has said so
            shown = quote(tree.text)
            self.reader.report("wrong-type", f"{quote(key)} is a list of steps, none or refuse, not {shown}", tree.at, "write [] for the identity, none for no shortcut, refuse for an error, or steps in a list")
            return "refuse"
        return self.steps(tree, key, scope)

    def _refuse_unused(self, name: str, family: str, body: Tree, slots: Mapping[str, Slot], used: set[str]) -> None:
        for section in ("args", "let"):
            group = body.get(section) if isinstance(body, MappingTree) else None
            if isinstance(group, MappingTree):
                for key in group:
                    if key in slots and key not in used:
                        self.reader.report("unused-argument", f"{quote(key)} is never used: it changes nothing in {family} {name}", group.keys_at[key], "use it, or delete it")

    def _refuse_cycles(self, graph: Mapping[tuple[str, str], list[tuple[str, str, Location]]]) -> None:
        """No sequence contains itself, by whatever way round; nor does a policy."""
        state: dict[tuple[str, str], int] = {}

        def visit(node: tuple[str, str], trail: list[tuple[str, str]]) -> None:
            state[node] = 1
            for family, name, at in graph[node]:
                target = (family, name)
                if target not in graph:
                    continue
                if state.get(target) == 1:
                    ring = [*trail[trail.index(target):], target] if target in trail else [target, target]
                    shown = " -> ".join(n for _, n in ring)
                    self.reader.report("cycle", f"{family} {quote(name)} contains itself: {shown}", at, "break the circle: a definition cannot use itself")
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
