"""Trees to steps and references: every name looked up in a table, every argument against its signature.

A `Reader` records mistakes and continues, so one run shows all mistakes of a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from resnet_dsl.diagnostics import MAX_SHOWN, Location, quote
from resnet_dsl.language.binding import bind, unknown_argument
from resnet_dsl.language.document import at_value
from resnet_dsl.language.kinds import ACTS, KINDS, MERGES, NORMS, STEPS
from resnet_dsl.language.spec import Reference, Slot, Step
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe
from resnet_dsl.language.values import NOUN, Callee, NameScope, ValueReader
from resnet_dsl.ops.arguments import CONDITION, Arg, Signature, ValueRule

MAX_STEPS = 256
_LISTS = frozenset({"steps", "body", "paths"})
_SHORT = frozenset({"norm", "act"})
"""Steps whose one word stands for `{kind: word}`."""


@dataclass
class Reader(ValueReader):
    """Reads steps and references; `calls` are the definitions that were called, for finding circles."""

    calls: list[tuple[str, str, Location]] = field(default_factory=list)

    # --- references ---

    def reference(self, tree: Tree, family: str, scope: NameScope, shown: tuple[str, ...] = ()) -> Reference | None:
        """A block, shortcut policy or sequence, or a norm, act or merge kind; `shown` are the names to offer here."""
        signatures: Mapping[str, Mapping[str, Signature]] = {"norm": NORMS, "act": ACTS, "merge": MERGES}
        known: Mapping[str, object] = signatures.get(family) or self.tables[family]
        found = self.named(tree, family, known, shown)
        if found is None:
            return None
        name, at, args = found
        given = self.arguments(args, name, at)
        if given is None:
            return None
        if family in signatures:
            return self._kind_reference(name, at, signatures[family][name], given, scope)
        if family == "shortcut":
            self.calls.append((family, name, at))
        return Reference(name, self.given(given, self.tables[family][name], scope), at)

    def _kind_reference(self, name: str, at: Location, signature: Signature, given: MappingTree, scope: NameScope) -> Reference:
        bound = bind(self, given, signature.args, name, at, scope)
        return Reference(name, bound.args, at, bound.pairs, bound.words)

    def given(self, given: MappingTree, target: Callee, scope: NameScope) -> dict[str, Slot]:
        """Arguments for a definition: numbers or conditions as its defaults are."""
        slots: dict[str, Slot] = {}
        for key, value in given.items():
            if target.open:
                continue
            if key not in target.args:
                noun, search = f"{NOUN[target.family]} {target.name}", len(self.problems.found) < MAX_SHOWN
                self.problems.add(unknown_argument(key, value, target.args, noun, search=search))
                continue
            if target.args[key] is None:
                continue
            rule = CONDITION if target.args[key] == "condition" else ValueRule()
            slot = self.slot(value, rule, key, scope)
            if slot:
                slots[key] = slot
        return slots

    def arguments(self, tree: Tree | None, name: str, at: Location) -> MappingTree | None:
        """The mapping of arguments after a name. Reports anything else, with how to write it."""
        if tree is None:
            return MappingTree(at)
        if isinstance(tree, MappingTree):
            return tree
        takes = STEPS[name].args if name in STEPS else {}
        first = next((k for k, a in takes.items() if a.required), next(iter(takes), None))
        if isinstance(tree, Scalar) and tree.kind == "null":
            needed = first if any(a.required for a in takes.values()) else None
            bare = f"write `- {name}: {{{needed}: ...}}`" if needed else f"write `- {name}` without the colon"
            self.problems.report(
                "null", f"{quote(name)} has a colon but no arguments (null)", f"{bare}, or indent the arguments under it", at=at
            )
        elif name == "chain":
            self.problems.report(
                "wrong-type",
                f"'chain' takes a list of steps or a mapping of arguments, not {describe(tree)}",
                "write `chain: [...]`, or `chain: {steps: [...], as: name}`",
                at=tree.at,
            )
        else:
            value = (
                tree.text
                if isinstance(tree, Scalar) and tree.kind in ("int", "float", "text") and first not in _LISTS
                else "[...]"
                if first in _LISTS
                else "..."
            )
            fix = f"write `{name}: {{{first}: {value}}}`" if first else f"write `{name}: {{argument: value}}`"
            if name in STEPS and not STEPS[name].args and name not in KINDS:
                fix = f"write `- {name}`: it takes no arguments"
            self.problems.report(
                "wrong-type", f"the arguments of {quote(name)} must be a mapping of names to values, not {describe(tree)}", fix, at=tree.at
            )
        return None

    # --- steps ---

    def steps(self, tree: Tree, what: str, scope: NameScope) -> tuple[Step, ...]:
        """A list of steps. Those that cannot be read are reported and left out."""
        if not isinstance(tree, SequenceTree):
            noun = quote(what)
            if isinstance(tree, Scalar) and tree.kind == "null":
                self.problems.report(
                    "null",
                    f"{noun} has no value (null, empty), but must be a list of steps",
                    "write [] for an empty list",
                    at=at_value(tree),
                )
            else:
                self.problems.report(
                    "wrong-type",
                    f"{noun} must be a list of steps, not {describe(tree)}",
                    "write [step, step], or one `- step` a line",
                    at=tree.at,
                )
            return ()
        found = [self.step(t, scope) for t in tree]
        return tuple(s for s in found if s is not None)

    def step(self, tree: Tree, scope: NameScope) -> Step | None:
        """One step: a name, or {name: args}."""
        if isinstance(tree, MappingTree) and tree.damaged:
            return None
        if isinstance(tree, MappingTree) and len(tree) != 1:
            keys = list(tree)
            if keys and set(keys[1:]) <= {"as", "when"}:
                self.problems.report(
                    "step-form",
                    f"{' and '.join(quote(k) for k in keys[1:])} must stand inside the step's arguments, not beside its name",
                    f"write - {keys[0]}: {{{keys[1]}: ...}}",
                    at=tree.keys_at[keys[1]],
                )
            elif keys and isinstance(tree[keys[0]], Scalar) and tree[keys[0]].is_empty:  # type: ignore[union-attr]
                self.problems.report(
                    "step-form",
                    f"the arguments of {quote(keys[0])} are not indented under it: a step has exactly one name",
                    f"indent {', '.join(quote(k) for k in keys[1:])} further than {quote(keys[0])}, or write - {keys[0]}: {{...}}",
                    at=tree.at,
                )
            else:
                self.problems.report(
                    "step-form",
                    f"a step is exactly one name with its arguments, not a mapping of {len(keys)} keys",
                    "write one `- name: {argument: value}` for each step",
                    at=tree.at,
                )
            return None
        if isinstance(tree, SequenceTree):
            self.problems.report("step-form", "a step is a name, not a list", "use chain: [...] to group steps", at=tree.at)
            return None
        if isinstance(tree, Scalar) and tree.kind != "text":
            if tree.kind == "null":
                self.problems.report("null", "a step is missing here (null)", "write a step's name, or delete the dash", at=tree.at)
            else:
                self.problems.report("step-form", f"a step is a name (text), not {describe(tree)}", "write a step's name", at=tree.at)
            return None
        if isinstance(tree, Scalar):
            name, at, args = tree.text, tree.at, None
        else:
            assert isinstance(tree, MappingTree)
            ((name, args),) = tree.items()
            at = tree.keys_at[name]
        sequences = self.tables["sequence"]
        if name not in STEPS and name not in sequences:
            if "sequence" in self.unread:
                return None
            self._unknown_step(name, at)
            return None
        return self._known_step(name, at, args, scope)

    def _unknown_step(self, name: str, at: Location) -> None:
        if ":" in name:
            self.problems.report(
                "step-form",
                f"{quote(name)} is read as one word: there is no space after its colon",
                f"put a space after the colon: {name.replace(':', ': ', 1)}",
                at=at,
            )
            return
        known = [*STEPS, *self.tables["sequence"]]
        for family in ("block", "shortcut"):
            if name in self.tables[family]:
                self.problems.report(
                    "unknown-step",
                    f"{quote(name)} is a {NOUN[family]}, not a step: a {NOUN[family]} cannot stand in a list, not even in itself",
                    f"use it as `{family}: {name}`, or make a sequence of its steps",
                    at=at,
                )
                return
        if name in ACTS:
            self.problems.report(
                "unknown-step",
                f"unknown step {quote(name)}: it is an activation's name",
                "delete it where it is the last step: the loss applies softmax itself; elsewhere write `- act: softmax`"
                if name == "softmax"
                else f"write `- act: {name}`, or `- act` for the spec's own",
                at=at,
            )
            return
        self.problems.report("unknown-step", f"unknown step {quote(name)}", self.problems.near(name, known, what="a step"), at=at)

    def _known_step(self, name: str, at: Location, tree: Tree | None, scope: NameScope) -> Step | None:
        if name in _SHORT and isinstance(tree, Scalar) and tree.kind == "text":
            kind = self.reference(tree, name, scope)
            return Step(name, at, kind=kind) if kind else None
        if name == "chain" and isinstance(tree, SequenceTree):
            return Step(name, at, steps={"steps": self.steps(tree, "steps", scope)})
        given = self.arguments(tree, name, at)
        if given is None:
            return None
        common, rest = _split(given)
        alias = self.module_name(common["as"], "as") if "as" in common else None
        when = self.slot(common["when"], CONDITION, "when", scope) if "when" in common else None
        around, self.guarded = self.guarded, self.guarded or when is not None
        step = self._arguments_of(name, at, rest, scope)
        self.guarded = around
        alias_at = common["as"].at if "as" in common else None
        return replace(step, alias=alias, alias_at=alias_at, when=when)

    def _arguments_of(self, name: str, at: Location, rest: MappingTree, scope: NameScope) -> Step:
        if name in STEPS:
            return self._kind_step(name, at, rest, scope) if name in KINDS else bind(self, rest, STEPS[name].args, name, at, scope)
        self.calls.append(("sequence", name, at))
        return Step(name, at, is_sequence=True, args=self.given(rest, self.tables["sequence"][name], scope))

    def _kind_step(self, name: str, at: Location, given: MappingTree, scope: NameScope) -> Step:
        """norm and act: a kind with its own arguments; without `kind` the spec's own, whose arguments may be changed."""
        table = KINDS[name]
        rest = given.without("kind")
        if "kind" in given:
            found = self.named(given["kind"], name, table)
            if found is None:
                return Step(name, at)
            return Step(name, at, kind=self._kind_reference(found[0], found[1], table[found[0]], rest, scope))
        if not rest:
            return Step(name, at)
        everything = {k: a for s in table.values() for k, a in s.args.items()}
        kinds = [k for k in rest if k in table and k not in everything]
        if kinds:
            self.problems.report(
                "step-form",
                f"{quote(name)} takes its kind as an argument, not as a reference: {kinds[0]}",
                f"write - {name}: {{kind: {kinds[0]}, ...}}, or - {name}: {kinds[0]}",
                at=rest.keys_at[kinds[0]],
            )
            return Step(name, at)
        bound = bind(self, rest, everything | {"kind": Arg("word", "")}, name, at, scope)
        given_only = {k: s for k, s in bound.args.items() if k in rest}
        return Step(name, at, kind=Reference("", given_only, at))


def _split(given: MappingTree) -> tuple[dict[str, Tree], MappingTree]:
    """`as` and `when`, which every step takes, apart from the step's own arguments."""
    common = {k: given[k] for k in ("as", "when") if k in given}
    return common, given.without(*common)
