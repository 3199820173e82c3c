"""Trees to numbers, conditions and names, each checked where it stands."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resnet_dsl.diagnostics import Collector, Location, quote
from resnet_dsl.language.document import at_value, null_value
from resnet_dsl.language.expressions import ExpressionError, Kind, parse
from resnet_dsl.language.forms import boolean_help
from resnet_dsl.language.habits import number_meant, word_meant
from resnet_dsl.language.kinds import ACTS, LANGUAGE_NAMES, MODULE_ATTRIBUTES, RESERVED, STEPS
from resnet_dsl.language.spec import Slot
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe
from resnet_dsl.ops.arguments import ValueRule

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
MODULE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_PAIR_IN_TEXT = re.compile(r"\s*([0-9]+)\s*[xX,*]\s*([0-9]+)\s*\Z")
_BOOLEAN_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "y", "n"})


@dataclass(frozen=True, slots=True)
class NameScope:
    """The names that an expression may use at a place, and what the place is called in a message."""

    names: Mapping[str, Kind]
    place: str
    open: bool = False
    """Some of the names could not be read, so an unknown name is not reported."""

    def plus(self, names: Mapping[str, Kind], place: str = "") -> NameScope:
        """The scope with more names."""
        return NameScope({**self.names, **names}, place or self.place, self.open)


@dataclass(frozen=True, slots=True)
class Callee:
    """What is known of a definition before its steps are read: its name, family and arguments.

    The kind of an argument is None where its default is broken; `open`: not even the names could be read.
    """

    name: str
    family: str
    args: Mapping[str, Kind | None]
    open: bool = False


Tables = Mapping[str, Mapping[str, Callee]]
"""Family (block, shortcut, sequence) to the definitions by name."""

NOUN = {"block": "block", "shortcut": "shortcut policy", "sequence": "sequence", "norm": "norm", "act": "act", "merge": "merge"}


@dataclass
class ValueReader:
    """Reads numbers, conditions and names; `problems` holds what is wrong, `used` the names that expressions read.

    A value that could not be read is None. Its cause has been reported, so callers skip it.
    """

    tables: Tables
    problems: Collector = field(default_factory=Collector)
    used: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    """Families whose definitions could not be read, so an unknown name of theirs is not reported."""
    guarded: bool = False
    """Within the arguments of a step that has a `when`: their values are checked only where the step is kept."""

    # --- numbers and conditions ---

    def slot(self, tree: Tree, rule: ValueRule, what: str, scope: NameScope) -> Slot | None:
        """A number or condition: a literal is checked at once, an expression where its names have values."""
        if not isinstance(tree, Scalar):
            pair = " (one number, not a pair)" if isinstance(tree, SequenceTree) and len(tree) == 2 else ""
            self.problems.report(
                "wrong-type",
                f"{quote(what)} must be {rule.wanted}, not {describe(tree)}{pair}",
                "write a number or an expression" if rule.kind == "number" else boolean_help(tree),
                at=tree.at,
            )
            return None
        if tree.kind == "null":
            self.problems.add(null_value(what, tree))
            return None
        if tree.kind == "number" and tree.text.lstrip("+-").lower() in (".inf", ".nan"):
            self.problems.report(
                "wrong-type", f"{quote(what)} must be {rule.wanted} and finite, not {quote(tree.text)}", "write a finite number", at=tree.at
            )
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
            self.problems.report(
                "expression-kind",
                f"{quote(what)} {message}",
                boolean_help(tree) if rule.kind == "condition" and expression.literal is not None else wrong[2],
                at=tree.at,
            )
            return None
        if expression.literal is not None and not self.guarded and (complaint := rule.complaint(expression.literal)):
            self.problems.report(complaint[0], f"{quote(what)} {complaint[1]}", complaint[2], at=tree.at)
            return None
        self.used |= expression.names
        return Slot(expression, rule, tree.at, what)

    def _expression_problem(self, e: ExpressionError, tree: Scalar, rule: ValueRule, what: str, scope: NameScope) -> None:
        if e.code == "unknown-variable":
            if scope.open:
                return
            word = e.message
            if rule.kind == "number" and word not in scope.names and (meant := number_meant(tree.text)) is not None:
                message = f"unknown name {quote(word)}: {quote(what)} must be {rule.wanted}"
                self.problems.report("unknown-variable", message, f"write {meant}", at=tree.at)
                return
            boolean = word.lower() in _BOOLEAN_WORDS
            if boolean and rule.kind == "condition":
                self.problems.report(
                    "unknown-variable",
                    f"{quote(what)} must be true or false, but {quote(word)} is text, an unknown name here",
                    boolean_help(tree),
                    at=tree.at,
                )
                return
            help = self.problems.near(word, [*scope.names, "true", "false"] if boolean else scope.names, what=f"a name in {scope.place}")
            elsewhere = f" (it is known elsewhere, not in {scope.place})" if word in LANGUAGE_NAMES or word == "index" else ""
            if not scope.names and not boolean:
                help = f"write a number, or define it: params: {{{word}: ...}}"
            elif elsewhere and not help.startswith("did"):
                help = f"in {scope.place} use only: {', '.join(scope.names)}"
            kind_hint = f"; {quote(what)} must be {rule.wanted}" if tree.text.strip() == word else ""
            self.problems.report(
                "unknown-variable", f"unknown name {quote(word)} in the expression{elsewhere}{kind_hint}", help, at=tree.at
            )
            return
        help = e.help
        is_pair = what in ("kernel", "stride", "padding", "dilation") and _PAIR_IN_TEXT.match(tree.text)
        meant = number_meant(tree.text) if rule.kind == "number" and not is_pair else None
        if meant is not None:
            # What is written is no expression, and what is meant is plain.
            self.problems.report(e.code, f"{quote(what)} must be {rule.wanted}, not {describe(tree)}", f"write {meant}", at=tree.at)
            return
        slip = _PAIR_IN_TEXT.match(tree.text)
        if slip and what in ("kernel", "stride", "padding", "dilation"):
            help = f"write {slip[1]} or [{slip[1]}, {slip[2]}]" if slip[1] == slip[2] else f"write [{slip[1]}, {slip[2]}]"
        message = e.message
        if e.code == "expression-syntax":
            message = f"{quote(what)} must be {rule.wanted}, but the expression {quote(tree.text)} cannot be read: {e.message}"
            if tree.flow and tree.plain and "not closed" in e.message:
                help = f'quote the expression: "{tree.text}...": inside {{ }} and [ ] a comma ends a value'
        else:
            message = f"{quote(what)}: {message}"
        self.problems.report(e.code, message, help, at=tree.at)

    def pair(self, tree: Tree, rule: ValueRule, what: str, scope: NameScope) -> tuple[Slot, Slot] | None:
        """A number for both sides, or [height, width]."""
        if not isinstance(tree, SequenceTree):
            one = self.slot(tree, rule, what, scope)
            return (one, one) if one else None
        if tree.damaged:
            return None
        if len(tree) != 2:
            self.problems.report(
                "wrong-type",
                f"{quote(what)} takes one number or a pair of two [height, width], not a list of {len(tree) or 'none: it is empty'}",
                "write 3 or [3, 3]",
                at=tree.at,
            )
            return None
        first, second = (self.slot(t, rule, what, scope) for t in tree)
        return (first, second) if first and second else None

    # --- names ---

    def word(self, tree: Tree, what: str, choices: Iterable[str]) -> str | None:
        """One of a few words."""
        known = list(choices)
        if not isinstance(tree, Scalar) or tree.kind == "null" or tree.text not in known:
            shown = quote(tree.text) if isinstance(tree, Scalar) and tree.kind != "null" else describe(tree)
            self.problems.report(
                "unknown-name",
                f"{quote(what)} is one of {', '.join(known)}, not {shown}",
                self.problems.near(tree.text, known, what=what) if isinstance(tree, Scalar) else f"write one of {', '.join(known)}",
                at=at_value(tree),
            )
            return None
        return tree.text

    def module_name(self, tree: Tree, what: str) -> str | None:
        """A name that becomes an attribute of a torch module (docs/language.md, Module names)."""
        if isinstance(tree, Scalar) and tree.kind == "null" and what == "name":
            return None  # the form's check has said so
        if not isinstance(tree, Scalar) or tree.kind != "text":
            self.problems.report(
                "bad-name",
                f"{quote(what)} must be a name (text, an identifier), not {describe(tree)}",
                "write a word such as conv1",
                at=at_value(tree),
            )
            return None
        text = tree.text
        if not MODULE_NAME.match(text) or len(text) > 64:
            self.problems.report(
                "bad-name",
                f"{quote(what)} is not a valid identifier: {quote(text)}; it may hold letters, digits and '_', starts with a letter, and has at most 64 characters",
                "write a word such as conv1",
                at=tree.at,
            )
        elif keyword.iskeyword(text):
            self.problems.report(
                "bad-name",
                f"{quote(text)} is a keyword of Python and reserved: model.{text} would not be an expression",
                f"choose another name, {text}_ say",
                at=tree.at,
            )
        elif text in MODULE_ATTRIBUTES:
            self.problems.report(
                "bad-name",
                f"{quote(text)} is reserved: every torch module has an attribute of this name already",
                f"choose another name, {text}_ say",
                at=tree.at,
            )
        else:
            return text
        return None

    def definition_name(self, name: str, at: Location, what: str, taken: Iterable[str] = (), by: str = "") -> bool:
        """True where this name may be given to a definition, an argument, a `let` or a parameter; else says why not."""
        if not IDENTIFIER.match(name) or len(name) > 64:
            shown = "it is empty" if not name else quote(name)
            self.problems.report(
                "bad-name",
                f"{what}: the name is not an identifier (ASCII letters, digits and '_', not a digit first, at most 64 characters): {shown}",
                "write a word such as my_block",
                at=at,
            )
        elif name in RESERVED:
            self.problems.report(
                "bad-name", f"{what}: {quote(name)} is a reserved word of the language", f"choose another name, {name}_ say", at=at
            )
        elif name in set(taken):
            self.problems.report("name-taken", f"{what}: {quote(name)} is already taken{by}", f"choose another name, my_{name} say", at=at)
        else:
            return True
        return False

    def named(
        self, tree: Tree, what: str, known: Mapping[str, object], shown: tuple[str, ...] = ()
    ) -> tuple[str, Location, Tree | None] | None:
        """The two forms of a reference, a name or {name: args}: the name, its place, the arguments."""
        forms = f"write `{what}: name` or `{what}: {{name: {{argument: value}}}}`"
        if isinstance(tree, MappingTree) and tree.damaged:
            return None
        if isinstance(tree, MappingTree) and len(tree) == 1:
            ((name, args),) = tree.items()
            at = tree.keys_at[name]
            if isinstance(args, Scalar) and args.kind == "null":
                self.problems.report(
                    "null",
                    f"{quote(name)} has no arguments after its colon (null): arguments are a mapping",
                    f"write `{name}` without the colon, or {{{name}: {{argument: value}}}}",
                    at=at_value(args),
                )
                return None
        elif isinstance(tree, Scalar) and tree.kind == "text":
            name, at, args = tree.text, tree.at, None
        else:
            if isinstance(tree, Scalar) and tree.kind == "null":
                self.problems.add(null_value(what, tree))
            elif isinstance(tree, MappingTree):
                self.problems.report(
                    "wrong-type", f"{quote(what)} must be one name with its arguments, not a mapping of {len(tree)} keys", forms, at=tree.at
                )
            else:
                if what == "block" and isinstance(tree, Scalar) and tree.kind == "int":
                    forms = f"did you mean depth: {tree.text}? `block` is the kind of block, basic or bottleneck, say"
                self.problems.report("wrong-type", f"{quote(what)} must be a name (a reference), not {describe(tree)}", forms, at=tree.at)
            return None
        if name not in known and what in self.unread:
            return None
        if name not in known:
            noun = NOUN.get(what, what)
            if what in ("stem", "head") and name in STEPS:
                self.problems.report(
                    "unknown-name",
                    f"{quote(what)} is a list of steps or a sequence's name, but {quote(name)} is a single step",
                    f"write it as a list: {what}: [{name}: ...]" if args is not None else f"write it as a list: {what}: [{name}]",
                    at=at,
                )
                return None
            if (word := word_meant(name, known)) is not None:
                self.problems.report("unknown-name", f"unknown {noun} {quote(name)}: {word[1]}", f"write {what}: {word[0]}", at=at)
                return None
            if what == "head" and name in ACTS:
                message = f"unknown head {quote(name)}: it is an activation, and the loss applies softmax itself"
                self.problems.report("unknown-name", message, "write head: classifier, which ends in plain scores", at=at)
                return None
            others = [f for f, t in self.tables.items() if name in t and f != what]
            elsewhere = f" ({quote(name)} is a {NOUN[others[0]]})" if others else ""
            self.problems.report(
                "unknown-name", f"unknown {noun} {quote(name)}{elsewhere}", self.problems.near(name, shown or known, what=noun), at=at
            )
            return None
        return name, at, args
