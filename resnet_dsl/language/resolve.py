"""A merged document to a `Spec`: definitions first, then what uses them. All mistakes of all files are gathered."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from importlib import resources

from resnet_dsl.diagnostics import Collector, Diagnostic, Label, Location, Source, SpecError, quote
from resnet_dsl.language.document import check_form
from resnet_dsl.language.expressions import ExpressionError, Kind, Result, parse
from resnet_dsl.language.kinds import (
    BLOCK_NAMES,
    LANGUAGE_NAMES,
    POLICY_NAMES,
    SEQUENCE_NAMES,
    STAGE_LIST_NAMES,
    STEPS,
)
from resnet_dsl.language.reading import MAX_STEPS, Callable_, Reader, Scope
from resnet_dsl.language.source import Mapping as MappingTree
from resnet_dsl.language.source import Scalar, Tree, read
from resnet_dsl.language.source import Sequence as SequenceTree
from resnet_dsl.language.spec import (
    CLASSES,
    CONDITION,
    COUNT,
    DEPTH,
    NUMBER,
    SIZE,
    WINDOW,
    Change,
    Definition,
    Expectation,
    Reference,
    Slot,
    SlotError,
    Spec,
    Stage,
    Step,
    constant,
)

MAX_STAGES = 1_000
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
    resolver = _Resolver(tree, {f: {} for f in SECTIONS.values()})
    found = resolver.definitions(Scope({"classes": "number"}, ""), shipped=True)
    resolver.reader.problems.stop_if_any()
    return found


def resolve(tree: MappingTree, stem: str, extends: tuple[str, ...], *, overridden: bool = False) -> Spec:
    """The spec that a merged document says. Raises SpecError with everything that is wrong.

    `stem` is the file's, which names a network that does not say how it is called. `overridden`: figures that the
    author expects are not those of this network.
    """
    resolver = _Resolver(tree, library())
    for d in check_form(tree):
        resolver.reader.problems.add(d)
    spec = resolver.spec(re.sub(r"[^A-Za-z0-9_.-]|^(?=[^A-Za-z0-9])", "-", stem)[:64].lstrip("_.-") or "net", extends, overridden)
    resolver.reader.problems.stop_if_any()
    assert spec is not None
    return spec


class _Resolver:
    """One pass over a document. Parts whose form is wrong are passed over: `check_form` has reported them."""

    def __init__(self, tree: MappingTree, shipped: Definitions) -> None:
        self.tree = tree
        self.shipped = shipped
        tables = {f: {n: Callable_(n, f, {k: s.rule.kind for k, s in d.args.items()}, True) for n, d in t.items()} for f, t in shipped.items()}
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
            self.tables[family][name] = Callable_(name, family, {k: s.rule.kind for k, s in args.items()}, shipped)
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
                    if not self.reader.definition_name(key, group.keys_at[key], where, _TAKEN[family] | {"index"} - ({"index"} if family == "block" else set()), " by a name of the language (built-in here)"):
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
            steps["steps"] = self._steps(body, name, scope)
        else:
            if family == "block":
                out = reader.slot(body["out"], SIZE, "out", scope) if "out" in body else constant_width(at)
                scope = scope.plus({"out": "number"})
            for key in ("before", "body", "after", "steps"):
                if key in body and key in (("steps",) if family == "sequence" else ("before", "body", "after")):
                    steps[key] = self._steps(body[key], key, scope)
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

    def _steps(self, tree: Tree, what: str, scope: Scope) -> tuple[Step, ...]:
        steps = self.reader.steps(tree, what, scope)
        total = _count(steps)
        if total > MAX_STEPS:
            self.reader.report("limit", f"{total} steps in one definition ({what}) are over the limit of {MAX_STEPS}", tree.at, "use repeat, or name parts as sequences")
        return steps

    def _change(self, tree: Tree, key: str, scope: Scope) -> Change:
        if isinstance(tree, Scalar):
            if tree.kind == "text" and tree.text in ("none", "refuse"):
                return "none" if tree.text == "none" else "refuse"
            shown = quote(tree.text) if tree.text else "nothing"
            self.reader.report("wrong-type", f"{quote(key)} is a list of steps, none or refuse, not {shown}", tree.at, "write [] for the identity, none for no shortcut, refuse for an error, or steps in a list")
            return "refuse"
        return self._steps(tree, key, scope)

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

    # --- the network ---

    def spec(self, name: str, extends: tuple[str, ...], overridden: bool) -> Spec | None:
        """The whole spec, or None where something is wrong."""
        tree, reader = self.tree, self.reader
        params = self._params()
        base = Scope({k: "condition" if isinstance(v, bool) else "number" for k, v in params.items()}, "a spec's own numbers (params)")
        classes = self._number("classes", tree.get("classes"), CLASSES, base, params)
        inputs = self._input(base, params)
        scope = base.plus({"classes": "number"})
        own = self.definitions(scope)
        top: dict[str, Reference | None] = {}
        per_block = scope.plus(kinds(BLOCK_NAMES), "the arguments of a reference")
        for key, family, where in (("norm", "norm", scope), ("act", "act", scope), ("block", "block", per_block), ("shortcut", "shortcut", per_block), ("merge", "merge", per_block)):
            top[key] = reader.reference(tree[key], family, where) if key in tree else None
        ends = scope.plus(kinds(SEQUENCE_NAMES), "a stem or head")
        stem = self._ends("stem", ends)
        head = self._ends("head", ends) if "head" in tree else (Step("classifier", tree.at, is_sequence=True),)
        stages = self._stages(top, scope, per_block)
        if reader.problems.found or classes is None or inputs is None:
            return None
        description = tree.get("description")
        init = tree.get("init")
        table = {f: {**self.shipped[f], **own[f]} for f in own}
        given_name = tree.get("name")
        return Spec(
            name=given_name.text if isinstance(given_name, Scalar) else name,
            description=description.text if isinstance(description, Scalar) else "",
            input=inputs, classes=classes, params={**params, "classes": classes},
            norm=top["norm"] or Reference("batch", {}, tree.at), act=top["act"] or Reference("relu", {}, tree.at),
            stem=stem, stages=tuple(stages), head=head,
            blocks=table["block"], shortcuts=table["shortcut"], sequences=table["sequence"], merge=top["merge"],
            init_weights=_text(init, "weights", "he"), zero_last=_text(init, "zero_last", "false") == "true",
            expect=self._expect(), train=plain(tree["train"]) if "train" in tree else None,
            at=tree.at, head_at=tree["head"].at if "head" in tree else tree.at, extends=extends, overridden=overridden, tree=tree,
        )  # fmt: skip

    def _params(self) -> dict[str, Result]:
        group = self.tree.get("params")
        values: dict[str, Result] = {}
        if isinstance(group, MappingTree):
            scope = Scope({}, "params (those before it)")
            for key, value in group.items():
                if self.reader.definition_name(key, group.keys_at[key], "params", LANGUAGE_NAMES, " by a name of the language (built-in)"):
                    number = self._number(key, value, NUMBER, scope, values, whole=False)
                    values[key] = 1 if number is None else number
                    scope = scope.plus({key: "number"})
        return values

    def _number(self, key: str, tree: Tree | None, rule: object, scope: Scope, env: Mapping[str, Result], *, whole: bool = True) -> int | None:
        """A number that is known at once."""
        if tree is None:
            return None
        slot = self.reader.slot(tree, rule, key, scope)  # type: ignore[arg-type]
        if slot is None:
            return None
        try:
            value = slot.value(env)
        except SlotError as e:
            self.reader.report(e.code, e.message, slot.at, e.help)
            return None
        return int(value) if whole else value  # type: ignore[return-value]

    def _input(self, base: Scope, params: Mapping[str, Result]) -> tuple[int, ...] | None:
        group = self.tree.get("input")
        if not isinstance(group, MappingTree):
            return None
        keys = ("features",) if "features" in group and "channels" not in group else ("channels", "height", "width")
        values = [self._number(k, group.get(k), SIZE, base, params) for k in keys]
        return tuple(v for v in values if v is not None) if None not in values else None

    def _ends(self, key: str, scope: Scope) -> tuple[Step, ...]:
        """stem or head: a list of steps, or a sequence by name."""
        tree = self.tree.get(key)
        if tree is None or (isinstance(tree, Scalar) and tree.kind == "null"):
            return ()
        if isinstance(tree, SequenceTree):
            return self._steps(tree, key, scope)
        found = self.reader.named(tree, key, self.tables["sequence"])
        if found is None:
            return ()
        name, at, args = found
        given = self.reader.arguments(args, name, at)
        if given is None:
            return ()
        return (Step(name, at, is_sequence=True, args=self.reader.given(given, self.tables["sequence"][name], scope)),)

    def _stages(self, top: Mapping[str, Reference | None], scope: Scope, per_block: Scope) -> list[Stage]:
        group = self.tree.get("stages")
        if not isinstance(group, SequenceTree):
            return []
        if not group:
            self.reader.report("wrong-type", "'stages' is empty: a network needs at least one stage", group.at, "write a list: - {depth: 2, width: 64}")
        if len(group) > MAX_STAGES:
            self.reader.report("limit", f"{len(group):,} stages are over the limit of {MAX_STAGES:,}", group[MAX_STAGES].at, "give the stages more depth")
            return []
        names: dict[str, Location] = {}
        stages = [self._stage(i, t, top, scope, per_block, names) for i, t in enumerate(group, 1) if isinstance(t, MappingTree)]
        return [s for s in stages if s is not None]

    def _stage(self, i: int, tree: MappingTree, top: Mapping[str, Reference | None], scope: Scope, per_block: Scope, names: dict[str, Location]) -> Stage | None:
        reader = self.reader
        numbers = Scope(scope.names, "a stage's depth, width and stride (params only)")
        slots = {key: reader.slot(tree[key], rule, key, numbers) for key, rule in (("depth", DEPTH), ("width", SIZE), ("stride", WINDOW)) if key in tree}
        name_tree = tree.get("name")
        name: str | None = f"layer{i}"
        name_at = tree.at
        if name_tree is not None:
            name, name_at = reader.module_name(name_tree, "name"), name_tree.at
        if name is not None:
            if name in names:
                reader.report("name-taken", f"two stages are called {quote(name)}: the name is already taken", name_at, "give each stage a name of its own", Label("first used here", names[name]))
            names[name] = name_at
        own: dict[str, Reference | None] = {}
        for key in ("block", "shortcut", "merge"):
            own[key] = reader.reference(tree[key], key, per_block) if key in tree else top.get(key)
        inner = scope.plus(kinds(STAGE_LIST_NAMES), "a stage's list")
        lists = {key: self._steps(tree[key], key, inner) if key in tree else () for key in ("before", "after")}
        depth, width, stride = slots.get("depth"), slots.get("width"), slots.get("stride") or constant(1, COUNT, tree.at, "stride")
        if name is None or depth is None or width is None or own["block"] is None or own["shortcut"] is None:
            return None
        return Stage(name, tree.at, name_at, depth, width, stride, own["block"], own["shortcut"], own["merge"], lists["before"], lists["after"])

    def _expect(self) -> tuple[Expectation, ...]:
        group = self.tree.get("expect")
        if not isinstance(group, MappingTree):
            return ()
        return tuple(Expectation(k, int(v.text), v.at) for k, v in group.items() if isinstance(v, Scalar))  # type: ignore[arg-type]


def constant_width(at: Location) -> Slot:
    """A block's `out` where it is left out."""
    return Slot(parse("width"), SIZE, at, "out")


def _text(tree: Tree | None, key: str, default: str) -> str:
    value = tree.get(key) if isinstance(tree, MappingTree) else None
    return value.text if isinstance(value, Scalar) else default


def _count(steps: tuple[Step, ...]) -> int:
    total = 0
    for s in steps:
        total += 1 + sum(_count(inner) for inner in (*s.steps.values(), *s.paths))
        total += _count(s.shortcut) if isinstance(s.shortcut, tuple) else 0
    return total


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


__all__ = ["Definitions", "Diagnostic", "SpecError", "kinds", "library", "plain", "resolve"]
