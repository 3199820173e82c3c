"""Trees to steps, references and slots: every name looked up in a table, every argument against its signature.

A `Reader` gathers what is wrong and goes on, so that one run shows all of a file's mistakes; what could not be read is
None and is passed over in silence, since its cause has been reported.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resnet_dsl.diagnostics import Collector, Diagnostic, Label, Location, did_you_mean, quote, suggest
from resnet_dsl.language.document import at_value, boolean_help, null_value, unknown_key
from resnet_dsl.language.expressions import ExpressionError, Kind, parse
from resnet_dsl.language.kinds import ACTS, KINDS, LANGUAGE_NAMES, MERGES, MODULE_ATTRIBUTES, NORMS, RESERVED, STEPS, Arg, Signature
from resnet_dsl.language.source import Mapping as MappingTree
from resnet_dsl.language.source import Scalar, Tree, describe
from resnet_dsl.language.source import Sequence as SequenceTree
from resnet_dsl.language.spec import CONDITION, Reference, Rule, Slot, Step, constant

MAX_STEPS = 256
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MODULE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_PAIR_IN_TEXT = re.compile(r"\s*([0-9]+)\s*[xX,*]\s*([0-9]+)\s*\Z")
_BOOLEAN_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "y", "n"})
_SHORT = frozenset({"norm", "act"})
"""Steps whose one word stands for `{kind: word}`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that an expression may use at a place, and what the place is called in a message."""

    names: Mapping[str, Kind]
    place: str

    def plus(self, names: Mapping[str, Kind], place: str = "") -> Scope:
        """The scope with more names."""
        return Scope({**self.names, **names}, place or self.place)


@dataclass(frozen=True, slots=True)
class Callable_:
    """What is known of a definition before its steps are read: its name, family and arguments."""

    name: str
    family: str
    args: Mapping[str, Kind]
    shipped: bool


Tables = Mapping[str, Mapping[str, Callable_]]
"""Family (block, shortcut, sequence) to the definitions by name."""

_NOUN = {"block": "block", "shortcut": "shortcut policy", "sequence": "sequence", "norm": "norm", "act": "act", "merge": "merge"}


@dataclass
class Reader:
    """Reads trees in the light of the tables of definitions; `problems` holds what is wrong."""

    tables: Tables
    problems: Collector = field(default_factory=Collector)
    used: set[str] = field(default_factory=set)
    calls: list[tuple[str, str, Location]] = field(default_factory=list)

    def report(self, code: str, message: str, at: Location, help: str, *labels: Label) -> None:
        """Keep a diagnostic."""
        self.problems.add(Diagnostic(code, message, at, help, labels))

    # --- numbers and conditions ---

    def slot(self, tree: Tree, rule: Rule, what: str, scope: Scope) -> Slot | None:
        """A number or condition: a literal is checked at once, an expression where its names have values."""
        if not isinstance(tree, Scalar):
            pair = " (one number, not a pair)" if isinstance(tree, SequenceTree) and len(tree) == 2 else ""
            self.report("wrong-type", f"{quote(what)} must be {rule.wanted}, not {describe(tree)}{pair}", tree.at, "write a number or an expression" if rule.kind == "number" else boolean_help(tree))
            return None
        if tree.kind == "null":
            self.problems.add(null_value(what, tree))
            return None
        if tree.kind == "number" and tree.text.lstrip("+-").lower() in (".inf", ".nan"):
            self.report("wrong-type", f"{quote(what)} must be {rule.wanted} and finite, not {quote(tree.text)}", tree.at, "write a finite number")
            return None
        try:
            expression = parse(tree.text)
            kind = expression.kind(scope.names)
        except ExpressionError as e:
            self._expression_problem(e, tree, rule, what, scope)
            return None
        if kind != rule.kind:
            wrong = rule.complaint(True if kind == "condition" else 1) if expression.literal is None else rule.complaint(expression.literal)
            assert wrong is not None
            message = wrong[1] if expression.literal is not None else f"must be {rule.wanted}, but {quote(tree.text)} is a {kind}"
            self.report("expression-kind", f"{quote(what)} {message}", tree.at, boolean_help(tree) if rule.kind == "condition" and expression.literal is not None else wrong[2])
            return None
        if expression.literal is not None and (complaint := rule.complaint(expression.literal)):
            self.report(complaint[0], f"{quote(what)} {complaint[1]}", tree.at, complaint[2])
            return None
        self.used |= expression.names
        return Slot(expression, rule, tree.at, what)

    def _expression_problem(self, e: ExpressionError, tree: Scalar, rule: Rule, what: str, scope: Scope) -> None:
        if e.code == "unknown-variable":
            word = e.message
            boolean = word.lower() in _BOOLEAN_WORDS
            if boolean and rule.kind == "condition":
                self.report("unknown-variable", f"{quote(what)} must be true or false, but {quote(word)} is text, an unknown name here", tree.at, boolean_help(tree))
                return
            help = did_you_mean(word, [*scope.names, "true", "false"] if boolean else scope.names, what=f"a name in {scope.place}")
            elsewhere = f" (it is known elsewhere, not in {scope.place})" if word in LANGUAGE_NAMES or word == "index" else ""
            if elsewhere and not help.startswith("did"):
                help = f"in {scope.place} use only: {', '.join(scope.names)}" if scope.names else f"in {scope.place} write a plain number"
            kind_hint = f"; {quote(what)} must be {rule.wanted}" if tree.text.strip() == word else ""
            self.report("unknown-variable", f"unknown name {quote(word)} in the expression{elsewhere}{kind_hint}", tree.at, help)
            return
        help = e.help
        slip = _PAIR_IN_TEXT.match(tree.text)
        if slip and what in ("kernel", "stride", "padding", "dilation"):
            help = f"write {slip[1]} or [{slip[1]}, {slip[2]}]" if slip[1] == slip[2] else f"write [{slip[1]}, {slip[2]}]"
        message = e.message
        if e.code == "expression-syntax":
            message = f"{quote(what)} must be {rule.wanted}, but the expression {quote(tree.text)} cannot be read: {e.message}"
            if tree.flow and tree.plain and "not closed" in e.message:
                help = f'quote the expression: "{tree.text}...": inside {{ }} and [ ] a comma ends a value'
        elif not message.startswith(("the ", "an ")):
            message = f"{quote(what)}: {message}"
        self.report(e.code, message, tree.at, help)

    def pair(self, tree: Tree, rule: Rule, what: str, scope: Scope) -> tuple[Slot, Slot] | None:
        """A number for both sides, or [height, width]."""
        if not isinstance(tree, SequenceTree):
            one = self.slot(tree, rule, what, scope)
            return (one, one) if one else None
        if len(tree) != 2:
            self.report("wrong-type", f"{quote(what)} takes one number or a pair of two [height, width], not a list of {len(tree) or 'none: it is empty'}", tree.at, "write 3 or [3, 3]")
            return None
        first, second = (self.slot(t, rule, what, scope) for t in tree)
        return (first, second) if first and second else None

    # --- names ---

    def word(self, tree: Tree, what: str, choices: Iterable[str]) -> str | None:
        """One of a few words."""
        known = list(choices)
        if not isinstance(tree, Scalar) or tree.kind == "null" or tree.text not in known:
            shown = quote(tree.text) if isinstance(tree, Scalar) and tree.kind != "null" else describe(tree)
            self.report("unknown-name", f"{quote(what)} is one of {', '.join(known)}, not {shown}", at_value(tree), did_you_mean(tree.text, known, what=what) if isinstance(tree, Scalar) else f"write one of {', '.join(known)}")
            return None
        return tree.text

    def module_name(self, tree: Tree, what: str) -> str | None:
        """A name that becomes an attribute of a torch module (LANGUAGE section 9)."""
        if not isinstance(tree, Scalar) or tree.kind != "text":
            self.report("bad-name", f"{quote(what)} must be a name (text, an identifier), not {describe(tree)}", at_value(tree), 'write a word such as conv1')
            return None
        text = tree.text
        if not MODULE_NAME.match(text) or len(text) > 64:
            self.report("bad-name", f"{quote(what)} is not a valid identifier: {quote(text)}; it may hold letters, digits and '_', starts with a letter, and has at most 64 characters", tree.at, "write a word such as conv1")
        elif keyword.iskeyword(text):
            self.report("bad-name", f"{quote(text)} is a keyword of Python and reserved: model.{text} would not be an expression", tree.at, f"choose another name, {text}_ say")
        elif text in MODULE_ATTRIBUTES:
            self.report("bad-name", f"{quote(text)} is reserved: every torch module has an attribute of this name already", tree.at, f"choose another name, {text}_ say")
        else:
            return text
        return None

    def definition_name(self, name: str, at: Location, what: str, taken: Iterable[str] = (), by: str = "") -> bool:
        """Is this a fit name for a definition, an argument, a `let` or a parameter?"""
        if not IDENTIFIER.match(name) or len(name) > 64:
            shown = "it is empty" if not name else quote(name)
            self.report("bad-name", f"{what}: the name is not an identifier (ASCII letters, digits and '_', not a digit first, at most 64 characters): {shown}", at, "write a word such as my_block")
        elif name in RESERVED:
            self.report("bad-name", f"{what}: {quote(name)} is a reserved word of the language", at, f"choose another name, {name}_ say")
        elif name in set(taken):
            self.report("name-taken", f"{what}: {quote(name)} is already taken{by}", at, f"choose another name, my_{name} say")
        else:
            return True
        return False

    # --- references ---

    def named(self, tree: Tree, what: str, known: Mapping[str, object]) -> tuple[str, Location, Tree | None] | None:
        """The two forms of a reference, a name or {name: args}: the name, its place, the arguments."""
        forms = f"write `{what}: name` or `{what}: {{name: {{argument: value}}}}`"
        if isinstance(tree, MappingTree) and len(tree) == 1:
            ((name, args),) = tree.items()
            at = tree.keys_at[name]
            if isinstance(args, Scalar) and args.kind == "null":
                self.report("null", f"{quote(name)} has no arguments after its colon (null): arguments are a mapping", at_value(args), f"write `{name}` without the colon, or {{{name}: {{argument: value}}}}")
                return None
        elif isinstance(tree, Scalar) and tree.kind == "text":
            name, at, args = tree.text, tree.at, None  # type: ignore[assignment]
        else:
            if isinstance(tree, Scalar) and tree.kind == "null":
                self.problems.add(null_value(what, tree))
            elif isinstance(tree, MappingTree):
                self.report("wrong-type", f"{quote(what)} must be one name with its arguments, not a mapping of {len(tree)} keys", tree.at, forms)
            else:
                self.report("wrong-type", f"{quote(what)} must be a name (a reference), not {describe(tree)}", tree.at, forms)
            return None
        if name not in known:
            noun = _NOUN.get(what, what)
            others = [f for f, t in self.tables.items() if name in t and f != what]
            elsewhere = f" ({quote(name)} is a {_NOUN[others[0]]})" if others else ""
            self.report("unknown-name", f"unknown {noun} {quote(name)}{elsewhere}", at, did_you_mean(name, known, what=noun))
            return None
        return name, at, args

    def reference(self, tree: Tree, family: str, scope: Scope) -> Reference | None:
        """A block, shortcut policy or sequence, or a norm, act or merge kind."""
        signatures: Mapping[str, Mapping[str, Signature]] = {"norm": NORMS, "act": ACTS, "merge": MERGES}
        known: Mapping[str, object] = signatures.get(family) or self.tables[family]
        found = self.named(tree, family, known)
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

    def _kind_reference(self, name: str, at: Location, signature: Signature, given: MappingTree, scope: Scope) -> Reference:
        bound = self.bind(given, signature.args, name, at, scope, complete=False)
        return Reference(name, bound.args, at, bound.pairs, bound.words)

    def given(self, given: MappingTree, target: Callable_, scope: Scope) -> dict[str, Slot]:
        """Arguments for a definition: numbers or conditions as its defaults are."""
        slots: dict[str, Slot] = {}
        for key, value in given.items():
            if key not in target.args:
                self.problems.add(_unknown_argument(key, value, target.args, f"{_NOUN[target.family]} {target.name}"))
                continue
            rule = CONDITION if target.args[key] == "condition" else Rule()
            slot = self.slot(value, rule, key, scope)
            if slot:
                slots[key] = slot
        return slots

    def arguments(self, tree: Tree | None, name: str, at: Location) -> MappingTree | None:
        """The mapping of arguments after a name; what else may stand there is explained."""
        if tree is None:
            return MappingTree(at)
        if isinstance(tree, MappingTree):
            return tree
        first = next((k for k, a in STEPS[name].args.items() if a.required), None) if name in STEPS else None
        if isinstance(tree, Scalar) and tree.kind == "null":
            self.report("null", f"{quote(name)} has a colon but no arguments (null)", at, f"write `- {name}` without the colon, or indent the arguments under it")
        elif first in ("steps", "body", "paths"):
            self.report("wrong-type", f"{quote(name)} takes a list of steps or a mapping of arguments, not {describe(tree)}", tree.at, f"write `{name}: {{{first}: [...]}}`")
        else:
            value = tree.text if isinstance(tree, Scalar) else "..."
            mend = f"write `{name}: {{{first}: {value}}}`" if first else f"write `{name}: {{argument: value}}`"
            self.report("wrong-type", f"the arguments of {quote(name)} must be a mapping of names to values, not {describe(tree)}", tree.at, mend)
        return None

    # --- arguments against a signature ---

    def bind(self, given: MappingTree, signature: Mapping[str, Arg], name: str, at: Location, scope: Scope, *, complete: bool = True) -> Step:
        """Arguments sorted by form. Defaults are filled in when `complete`; a kind's are filled in where it is used."""
        args: dict[str, Slot] = {}
        pairs: dict[str, tuple[Slot, Slot]] = {}
        words: dict[str, str] = {}
        steps: dict[str, tuple[Step, ...]] = {}
        extra: dict[str, object] = {}
        for key, value in given.items():
            if key not in signature:
                self.problems.add(_unknown_argument(key, value, signature, quote(name)))
        lacking = [k for k, a in signature.items() if a.required and k not in given]
        meant = {suggest(k, signature) for k in given if k not in signature}
        for key in lacking:
            if key not in meant:
                wanted = "a list of steps" if signature[key].form in ("steps", "paths") else "a value"
                self.report("missing-argument", f"{quote(name)} needs {quote(key)} ({wanted}), which has no default", at, f"write `{name}: {{{key}: ...}}`")
        for key, arg in signature.items():
            tree = given.get(key)
            if tree is None:
                if arg.form == "word" or (arg.form == "padding" and isinstance(arg.default, str)):
                    words[key] = str(arg.default)
                elif arg.form == "value" and arg.default is not None and not isinstance(arg.default, str):
                    args[key] = constant(arg.default, arg.rule, at, key)
                elif arg.form == "pair" and arg.default is not None and not isinstance(arg.default, str):
                    one = constant(arg.default, arg.rule, at, key)
                    pairs[key] = (one, one)
                continue
            if arg.form == "value" and (slot := self.slot(tree, arg.rule, key, scope)):
                args[key] = slot
            elif arg.form == "pair" and (pair := self.pair(tree, arg.rule, key, scope)):
                pairs[key] = pair
            elif arg.form == "padding":
                if isinstance(tree, Scalar) and tree.text == "same":
                    words[key] = "same"
                elif isinstance(tree, Scalar) and IDENTIFIER.match(tree.text) and tree.text not in scope.names:
                    self.report("unknown-name", f"{quote(key)} is a number, [height, width] or the word same, not {quote(tree.text)}", tree.at, did_you_mean(tree.text, ["same", *scope.names], what=key))
                elif pair := self.pair(tree, arg.rule, key, scope):
                    pairs[key] = pair
            elif arg.form == "word" and (word := self.word(tree, key, arg.choices)):
                words[key] = word
            elif arg.form == "steps":
                inner = scope.plus({"index": "number"}) if name == "repeat" else scope
                steps[key] = self.steps(tree, key, inner)
            elif arg.form in ("paths", "shortcut", "merge"):
                extra[key] = tree
        return self._combinator(Step(name, at, args=args, pairs=pairs, words=words, steps=steps), extra, scope)

    def _combinator(self, step: Step, extra: Mapping[str, object], scope: Scope) -> Step:
        """The arguments that only combinators have: paths, shortcut, merge."""
        if not extra:
            return step
        paths: list[tuple[Step, ...]] = []
        at: list[Location] = []
        shortcut: Reference | tuple[Step, ...] | None = None
        merge: Reference | None = None
        for key, tree in extra.items():
            assert isinstance(tree, Scalar | MappingTree | SequenceTree)
            if key == "paths":
                if not isinstance(tree, SequenceTree) or not tree:
                    what = "empty: there are no paths" if isinstance(tree, SequenceTree) else describe(tree)
                    self.report("wrong-type", f"'paths' must be a list of at least one list of steps, not {what}", tree.at, "write paths: [[...], [...]]")
                    continue
                if not all(isinstance(path, SequenceTree) for path in tree):
                    odd = next(path for path in tree if not isinstance(path, SequenceTree))
                    null = isinstance(odd, Scalar) and odd.kind == "null"
                    self.report("wrong-type", f"'paths' must be a list of lists of steps, but one path is {describe(odd)}", at_value(odd) if null else tree.at, "write paths: [[...], [...]]: each path is a list of its own, [] for the identity")
                    continue
                for path in tree:
                    paths.append(self.steps(path, "paths", scope))
                    at.append(path.at)
            elif key == "shortcut":
                shortcut = self.steps(tree, key, scope) if isinstance(tree, SequenceTree) else self.reference(tree, "shortcut", scope)
            else:
                merge = self.reference(tree, "merge", scope)
                if merge and step.name == "branches" and merge.name == "highway":
                    self.report("unknown-name", "branches cannot merge by highway: it gates one body against one shortcut", merge.at, "use add, mul or concat, or a residual")
        return Step(step.name, step.at, args=step.args, pairs=step.pairs, words=step.words, steps=step.steps,
                    paths=tuple(paths), paths_at=tuple(at), shortcut=shortcut, merge=merge)  # fmt: skip

    # --- steps ---

    def steps(self, tree: Tree, what: str, scope: Scope) -> tuple[Step, ...]:
        """A list of steps; those that cannot be read are left out, having been reported."""
        if not isinstance(tree, SequenceTree):
            noun = quote(what)
            if isinstance(tree, Scalar) and tree.kind == "null":
                self.report("null", f"{noun} has no value (null, empty), but must be a list of steps", at_value(tree), "write [] for an empty list")
            else:
                self.report("wrong-type", f"{noun} must be a list of steps, not {describe(tree)}", tree.at, "write [step, step], or one `- step` a line")
            return ()
        found = [self.step(t, scope) for t in tree]
        return tuple(s for s in found if s is not None)

    def step(self, tree: Tree, scope: Scope) -> Step | None:
        """One step: a name, or {name: args}."""
        if isinstance(tree, MappingTree) and len(tree) != 1:
            keys = list(tree)
            if keys and isinstance(tree[keys[0]], Scalar) and tree[keys[0]].is_empty:  # type: ignore[union-attr]
                self.report("step-form", f"the arguments of {quote(keys[0])} are not indented under it: a step has exactly one name", tree.at, f"indent {', '.join(quote(k) for k in keys[1:])} further than {quote(keys[0])}, or write - {keys[0]}: {{...}}")
            else:
                self.report("step-form", f"a step is exactly one name with its arguments, not a mapping of {len(keys)} keys", tree.at, "write one `- name: {argument: value}` for each step")
            return None
        if isinstance(tree, SequenceTree):
            self.report("step-form", "a step is a name, not a list", tree.at, "use chain: [...] to group steps")
            return None
        if isinstance(tree, Scalar) and tree.kind != "text":
            if tree.kind == "null":
                self.report("null", "a step is missing here (null)", tree.at, "write a step's name, or delete the dash")
            else:
                self.report("step-form", f"a step is a name (text), not {describe(tree)}", tree.at, "write a step's name")
            return None
        if isinstance(tree, Scalar):
            name, at, args = tree.text, tree.at, None
        else:
            assert isinstance(tree, MappingTree)
            ((name, args),) = tree.items()
            at = tree.keys_at[name]
        sequences = self.tables["sequence"]
        if name not in STEPS and name not in sequences:
            self._unknown_step(name, at)
            return None
        return self._known_step(name, at, args, scope)

    def _unknown_step(self, name: str, at: Location) -> None:
        known = [*STEPS, *self.tables["sequence"]]
        for family in ("block", "shortcut"):
            if name in self.tables[family]:
                self.report("unknown-step", f"{quote(name)} is a {_NOUN[family]}, not a step: a {_NOUN[family]} cannot stand in a list, not even in itself", at, f"use it as `{family}: {name}`, or make a sequence of its steps")
                return
        if name in ACTS:
            self.report("unknown-step", f"unknown step {quote(name)}: it is an activation's name", at, f"write `- act: {name}`, or `- act` for the spec's own")
            return
        self.report("unknown-step", f"unknown step {quote(name)}", at, did_you_mean(name, known, what="a step"))

    def _known_step(self, name: str, at: Location, tree: Tree | None, scope: Scope) -> Step | None:
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
        if name in STEPS:
            step = self._kind_step(name, at, rest, scope) if name in KINDS else self.bind(rest, STEPS[name].args, name, at, scope)
        else:
            self.calls.append(("sequence", name, at))
            step = Step(name, at, is_sequence=True, args=self.given(rest, self.tables["sequence"][name], scope))
        alias_at = common["as"].at if "as" in common else None
        return Step(step.name, at, step.is_sequence, alias, alias_at, when, step.args, step.pairs, step.words, step.kind, step.steps,
                    step.paths, step.paths_at, step.shortcut, step.merge)  # fmt: skip

    def _kind_step(self, name: str, at: Location, given: MappingTree, scope: Scope) -> Step:
        """norm and act: a kind with its own arguments; without `kind` the spec's own, whose arguments may be changed."""
        table = KINDS[name]
        rest = MappingTree(given.at, given.key_at)
        for key, value in given.items():
            if key != "kind":
                rest.put(key, given.keys_at[key], value)
        if "kind" in given:
            found = self.named(given["kind"], name, table)
            if found is None:
                return Step(name, at)
            return Step(name, at, kind=self._kind_reference(found[0], found[1], table[found[0]], rest, scope))
        if not rest:
            return Step(name, at)
        everything = {k: a for s in table.values() for k, a in s.args.items()}
        bound = self.bind(rest, everything | {"kind": Arg("word", "")}, name, at, scope, complete=False)
        given_only = {k: s for k, s in bound.args.items() if k in rest}
        return Step(name, at, kind=Reference("", given_only, at))


def _split(given: MappingTree) -> tuple[dict[str, Tree], MappingTree]:
    """`as` and `when`, which every step takes, apart from the step's own arguments."""
    common = {k: given[k] for k in ("as", "when") if k in given}
    rest = MappingTree(given.at, given.key_at)
    for key, value in given.items():
        if key not in common:
            rest.put(key, given.keys_at[key], value)
    return common, rest


def _unknown_argument(key: str, value: Tree, known: Mapping[str, object], noun: str) -> Diagnostic:
    at = value.key_at or value.at
    if isinstance(value, Scalar) and value.is_empty and ":" in key:
        return unknown_key(key, value, known, noun)
    takes = f"{noun} takes no arguments" if not known else f"{noun} takes no such argument"
    extra = [*known, "as", "when"] if noun.startswith("'") else list(known)
    near = suggest(key, extra)
    help = f"did you mean '{near}'?" if near else (f"it takes {', '.join(known)}" if known else f"write {noun.split()[-1].strip(chr(39))} alone")
    return Diagnostic("unknown-argument", f"unknown argument {quote(key)}: {takes}", at, help)
