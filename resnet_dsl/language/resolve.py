"""A merged document to a `Spec`: definitions first, then what uses them. All mistakes of all files are gathered."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from resnet_dsl.diagnostics import Label, Location, SpecError, quote
from resnet_dsl.language import expectations
from resnet_dsl.language.definitions import DefinitionReader, kinds, library
from resnet_dsl.language.document import check_form, corrected
from resnet_dsl.language.expectations import FIGURES, Expectation, ExpectationError, ExpectedShape
from resnet_dsl.language.expressions import Kind, Result
from resnet_dsl.language.extends import Loaded
from resnet_dsl.language.kinds import BLOCK_NAMES, LANGUAGE_NAMES, SEQUENCE_NAMES, STAGE_LIST_NAMES
from resnet_dsl.language.spec import Reference, SlotError, Spec, Stage, Step, Train, constant
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe
from resnet_dsl.language.values import NameScope
from resnet_dsl.ops.arguments import CLASSES, COUNT, DEPTH, FIGURE, NUMBER, SIZE, WINDOW, ValueRule

MAX_STAGES = 1_000


def resolve(document: Loaded) -> Spec:
    """The spec of a merged document. Raises SpecError with everything that is wrong.

    A network without a `name` is called as its file is.
    """
    resolver = _Resolver(corrected(document.tree), library())
    for d in check_form(document.tree):
        resolver.reader.problems.add(d)
    spec = resolver.spec(document)
    resolver.reader.problems.led_by(document.problems)
    resolver.reader.problems.stop_if_any()
    assert spec is not None
    return spec


class _Resolver(DefinitionReader):
    """One pass over a document."""

    def spec(self, document: Loaded) -> Spec | None:
        """The whole spec, or None where something is wrong."""
        tree, reader = self.tree, self.reader
        params = self._params()
        unread = "params" in tree and not isinstance(tree["params"], MappingTree)
        base = NameScope(dict.fromkeys(params, "number"), "a spec's own numbers (params)", unread)
        classes = self._number("classes", tree.get("classes"), CLASSES, base, params)
        inputs = self._input(base, params)
        scope = base.plus({"classes": "number"})
        own = self.definitions(scope)
        top: dict[str, Reference | None] = {}
        per_block = scope.plus(kinds(BLOCK_NAMES), "the arguments of a reference")
        for key, family, where in (
            ("norm", "norm", scope),
            ("act", "act", scope),
            ("block", "block", per_block),
            ("shortcut", "shortcut", per_block),
            ("merge", "merge", per_block),
        ):
            top[key] = reader.reference(tree[key], family, where) if key in tree else None
        ends = scope.plus(kinds(SEQUENCE_NAMES), "a stem or head")
        stem = self._ends("stem", ends)
        expect, expect_shapes = self._expect(base, params), self._expect_shapes()
        head = self._ends("head", ends) if "head" in tree else (Step("classifier", tree.at, is_sequence=True),)
        stages = self._stages(top, scope, per_block)
        self._check_train(document)
        if reader.problems.found or classes is None or inputs is None:
            return None
        description = tree.get("description")
        init = tree.get("init")
        table = {f: {**self.shipped[f], **own[f]} for f in own}
        given_name = tree.get("name")
        return Spec(
            name=given_name.text if isinstance(given_name, Scalar) else _fit_name(document.stem),
            description=description.text if isinstance(description, Scalar) else "",
            input=inputs, classes=int(classes), params={**params, "classes": classes},
            norm=top["norm"] or Reference("batch", {}, tree.at), act=top["act"] or Reference("relu", {}, tree.at),
            stem=stem, stages=tuple(stages), head=head, output_stride=reader.slot(tree["output_stride"], WINDOW, "output_stride", base) if "output_stride" in tree else None,
            blocks=table["block"], shortcuts=table["shortcut"], sequences=table["sequence"], merge=top["merge"],
            init_weights=_text(init, "weights", "he"), zero_last=_text(init, "zero_last", "false") == "true",
            expect=expect, expect_shapes=expect_shapes, train=Train(tree.get("train"), document.root, document.train),
            at=tree.at, head_at=tree["head"].at if "head" in tree else tree.at, overridden=document.overridden, folded=document.folded, tree=tree,
        )  # fmt: skip

    def _params(self) -> dict[str, Result]:
        group = self.tree.get("params")
        values: dict[str, Result] = {}
        if isinstance(group, MappingTree):
            names: dict[str, Kind] = {}  # grows: a scope of its own for each parameter would cost their square
            scope = NameScope(names, "params (those before it)")
            for key, value in group.items():
                if self.reader.definition_name(key, group.keys_at[key], "params", LANGUAGE_NAMES, " by a name of the language (built-in)"):
                    number = self._number(key, value, NUMBER, scope, values)
                    values[key] = 1 if number is None else number
                    names[key] = "number"
        return values

    def _number(self, key: str, tree: Tree | None, rule: ValueRule, scope: NameScope, env: Mapping[str, Result]) -> Result | None:
        """Evaluates a number now; None where it could not be read."""
        if tree is None:
            return None
        slot = self.reader.slot(tree, rule, key, scope)
        if slot is None:
            return None
        try:
            value = slot.value(env)
        except SlotError as e:
            self.reader.problems.report(e.code, e.message, e.help, at=slot.at)
            return None
        return value

    def _input(self, base: NameScope, params: Mapping[str, Result]) -> tuple[int, ...] | None:
        group = self.tree.get("input")
        if not isinstance(group, MappingTree):
            return None
        keys = ("features",) if "features" in group and "channels" not in group else ("channels", "height", "width")
        values = [self._number(k, group.get(k), SIZE, base, params) for k in keys]
        return tuple(int(v) for v in values if v is not None) if None not in values else None

    def _ends(self, key: str, scope: NameScope) -> tuple[Step, ...]:
        """stem or head: a list of steps, or a sequence by name."""
        tree = self.tree.get(key)
        if tree is None or (isinstance(tree, Scalar) and tree.kind == "null"):
            return ()
        if isinstance(tree, SequenceTree):
            return self.steps(tree, key, scope)
        found = self.reader.named(tree, key, self.tables["sequence"])
        if found is None:
            return ()
        name, at, args = found
        given = self.reader.arguments(args, name, at)
        if given is None:
            return ()
        return (Step(name, at, is_sequence=True, args=self.reader.given(given, self.tables["sequence"][name], scope)),)

    def _stages(self, top: Mapping[str, Reference | None], scope: NameScope, per_block: NameScope) -> list[Stage]:
        group = self.tree.get("stages")
        if not isinstance(group, SequenceTree):
            return []
        if not group:
            self.reader.problems.report(
                "wrong-type", "'stages' is empty: a network needs at least one stage", "write a list: - {depth: 2, width: 64}", at=group.at
            )
        if len(group) > MAX_STAGES:
            self.reader.problems.report(
                "limit",
                f"{len(group):,} stages are over the limit of {MAX_STAGES:,}",
                "give the stages more depth",
                at=group[MAX_STAGES].at,
            )
            return []
        names: dict[str, Location] = {}
        stages = [self._stage(i, t, top, scope, per_block, names) for i, t in enumerate(group, 1) if isinstance(t, MappingTree)]
        return [s for s in stages if s is not None]

    def _stage(
        self,
        i: int,
        tree: MappingTree,
        top: Mapping[str, Reference | None],
        scope: NameScope,
        per_block: NameScope,
        names: dict[str, Location],
    ) -> Stage | None:
        reader = self.reader
        numbers = replace(scope, place="a stage's depth, width, stride and dilation (params only)")
        slots = {key: reader.slot(tree[key], rule, key, numbers) for key, rule in (("depth", DEPTH), ("width", SIZE)) if key in tree}
        sides = {key: reader.pair(tree[key], WINDOW, key, numbers) for key in ("stride", "dilation") if key in tree}
        name_tree = tree.get("name")
        name: str | None = f"layer{i}"
        name_at: Location | None = None
        if name_tree is not None:
            name, name_at = reader.module_name(name_tree, "name"), name_tree.at
        if name is not None:
            if name in names:
                reader.problems.report(
                    "name-taken",
                    f"two stages are called {quote(name)}: the name is already taken",
                    "give each stage a name of its own",
                    at=name_at or tree.at,
                    labels=(Label("first used here", names[name]),),
                )
            names[name] = name_at or tree.at
        own: dict[str, Reference | None] = {}
        for key in ("block", "shortcut", "merge"):
            own[key] = reader.reference(tree[key], key, per_block) if key in tree else top.get(key)
        inner = scope.plus(kinds(STAGE_LIST_NAMES), "a stage's list")
        lists = {key: self.steps(tree[key], key, inner) if key in tree else () for key in ("before", "after")}
        depth, width, one = slots.get("depth"), slots.get("width"), constant(1, COUNT, tree.at, "stride")
        if name is None or depth is None or width is None or own["block"] is None or own["shortcut"] is None:
            return None
        return Stage(
            name, tree.at, name_at, depth, width, sides.get("stride") or (one, one), sides.get("dilation"),
            own["block"], own["shortcut"], own["merge"], lists["before"], lists["after"],
        )  # fmt: skip

    def _check_train(self, document: Loaded) -> None:
        """A recipe is checked with the spec that names or holds it."""
        train = self.tree.get("train")
        named = isinstance(train, MappingTree) or (isinstance(train, Scalar) and train.kind == "text" and train.text)
        if named or document.train is not None:
            from resnet_dsl.language.recipes import combine  # a recipe's models are built only where one is read

            try:
                combine(train if named else None, document.root, document.recipe, document.train)
            except SpecError as e:
                for d in e.diagnostics:
                    self.reader.problems.add(d)

    def _expect(self, base: NameScope, params: Mapping[str, Result]) -> tuple[Expectation, ...]:
        group = self.tree.get("expect")
        if not isinstance(group, MappingTree):
            return ()
        found = (self._figure(key, group[key], base, params) for key in FIGURES if key in group)
        return tuple(e for e in found if e is not None)

    def _figure(self, key: str, tree: Tree, base: NameScope, params: Mapping[str, Result]) -> Expectation | None:
        """A number, a bound or a range."""
        if isinstance(tree, Scalar) and expectations.is_requirement(tree.text):
            try:
                return Expectation(key, *expectations.bounds(tree.text), tree.at)
            except ExpectationError as e:
                self.reader.problems.report("wrong-type", f"{quote(key)} {e.message}", e.help, at=tree.at)
                return None
        value = self._number(key, tree, FIGURE, base, params)
        return None if value is None else Expectation(key, int(value), int(value), tree.at)

    def _expect_shapes(self) -> tuple[ExpectedShape, ...]:
        group = self.tree.get("expect")
        shapes = group.get("shapes") if isinstance(group, MappingTree) else None
        found = []
        for name, tree in shapes.items() if isinstance(shapes, MappingTree) else ():
            sides = [tree] if isinstance(tree, Scalar) else list(tree) if isinstance(tree, SequenceTree) else []
            text = "x".join(s.text for s in sides if isinstance(s, Scalar))
            try:
                found.append(ExpectedShape(name, expectations.shape(text), tree.at))
            except ExpectationError as e:
                said = e.message if text else f"is a shape, channels x height x width, not {describe(tree)}"
                self.reader.problems.report("wrong-type", f"{quote(name)} {said}", e.help, at=tree.at)
        return tuple(found)


def _fit_name(stem: str) -> str:
    """A file's stem as a network's name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", stem)[:64].lstrip("_.-") or "net"


def _text(tree: Tree | None, key: str, default: str) -> str:
    value = tree.get(key) if isinstance(tree, MappingTree) else None
    return value.text if isinstance(value, Scalar) else default
