"""A study file, read: located tree, checked form, and what is merged out of it. No torch here.

An arm is a spec. It extends the study's `network` by the rules of `extends` unless it extends something else; over it are laid the
keys that the data and the setting (`quick`, `long`) bring, by the same rules.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.datasets.naming import is_own, named, recorded
from resnet_dsl.diagnostics import Collector, Diagnostic, Location, Source, SpecError, did_you_mean, mistake, quote, quote_path, refuse
from resnet_dsl.lab.study.form import Budget, ClaimSource, Hypothesis, Rule, Setting, StudyForm
from resnet_dsl.language.document import at_value, unknown_key
from resnet_dsl.language.extends import Loaded, load_document, merge_specs
from resnet_dsl.language.files import read_file
from resnet_dsl.language.forms import NAME
from resnet_dsl.language.recipe import Recipe
from resnet_dsl.language.recipes import combine, find, listed, wrong
from resnet_dsl.language.resolve import resolve
from resnet_dsl.language.source import read
from resnet_dsl.language.spec import Spec
from resnet_dsl.language.tree import MappingTree, Scalar, SequenceTree, Tree, describe, plain

TAIL, JUDGED = 100, 2000
"""The defaults of `tail` and `judged`."""

DECIDED: Mapping[str, str] = {"lr": "learning_rates", "seed": "seeds", "steps": "steps", "epochs": "steps"}
"""Keys of a recipe, and the keys of a study that decide them."""

NEEDED: Mapping[Rule, frozenset[str]] = {
    "greater": frozenset({"minus"}), "at_most": frozenset({"minus", "margin"}), "equivalent": frozenset({"minus", "margin"}),
    "between": frozenset({"over", "low", "high"}),
}  # fmt: skip
"""The keys that a rule needs."""

OF_RULES = frozenset({"minus", "over", "margin", "low", "high"})


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """A study file: its keys as values (`says`), and the trees of what is read elsewhere.

    `data` holds, for each data set it may run on, the keys of a spec that fit networks to it, and under `train` keys of the recipe. `root` is
    the folder of the file, None for a shipped study: specs and recipes in it lie there, and paths of data begin there.
    """

    name: str
    says: StudyForm
    tree: MappingTree
    data: Mapping[str, MappingTree]
    root: Path | None

    def budget(self, setting: Setting) -> Budget:
        """How much is spent under a setting, every key filled in but `steps`, `limit_train`, `recipe` and `network`."""
        over = {"usual": Budget(), "quick": self.says.quick, "long": self.says.long}[setting]
        found = {key: getattr(self.says, key) for key in Budget.model_fields} | over.model_dump(exclude_unset=True)
        return Budget(**({"tail": TAIL, "judged": JUDGED} | {k: v for k, v in found.items() if v is not None}))

    def arms(self, setting: Setting, data: str) -> dict[str, Spec]:
        """The arms' specs by name. Raises SpecError with the mistakes of the first that has some."""
        block = self.tree.get(setting)
        own = block.get("network") if isinstance(block, MappingTree) else None
        return {name: self._arm(name, [t for t in (self.data.get(data), own) if isinstance(t, MappingTree)]) for name in self.says.arms}

    def _arm(self, name: str, laid_over: Sequence[MappingTree]) -> Spec:
        arms, network = self.tree["arms"], self.tree.get("network")
        assert isinstance(arms, MappingTree)
        tree = arms[name]
        assert isinstance(tree, MappingTree)
        parent = tree.get("extends")
        if parent is not None:
            tree = merge_specs(self._parent(parent), tree)
        elif isinstance(network, MappingTree):
            above = network.get("extends")
            tree = merge_specs(network if above is None else merge_specs(self._parent(above), network), tree)
        for keys in laid_over:
            tree = merge_specs(tree, keys)
        # An arm is called by its name in the study; how it is trained is for the study to say.
        return resolve(Loaded(tree.without("extends", "name", "train"), name, self.root, Collector()))

    def _parent(self, value: Tree) -> MappingTree:
        if not isinstance(value, Scalar) or value.kind != "text":
            message = f"'extends' must be one string (text), not {describe(value)}"
            raise refuse("extends", message, "write extends: resnet20", at=at_value(value))
        if not value.text.endswith(".yaml"):
            return load_document(value.text).tree
        path = Path(os.path.dirname(value.at.source.name)) / value.text
        if self.root is None or os.path.isabs(value.text) or not Path(os.path.realpath(path)).is_relative_to(self.root):
            message = f"'extends': the path {quote_path(value.text)} is not allowed: it is relative and stays inside the study's folder"
            raise refuse("extends", message, "copy the spec beside the study", at=at_value(value))
        return load_document(str(path)).tree

    def recipes(self, setting: Setting, data: str, budget: Budget) -> dict[float, Recipe]:
        """The recipe of each learning rate; seeds are left to the runs. Raises SpecError."""
        block = self.tree.get(setting)
        own = block.get("recipe") if isinstance(block, MappingTree) else None
        base = self.tree.get("recipe") if not isinstance(own, Scalar) else own
        keys = self.data.get(data)
        over = [t for t in (own, None if keys is None else keys.get("train")) if isinstance(t, MappingTree)]
        return {rate: self._recipe(base, over, rate, budget.steps) for rate in budget.learning_rates or ()}

    def _recipe(self, base: Tree | None, over: Sequence[MappingTree], rate: float, steps: int | None) -> Recipe:
        at = self.tree.keys_at["learning_rates"]
        decided = reduce(lambda below, keys: keys.over(below), over, MappingTree(at)).with_(["lr"], Scalar(f"{rate:.17g}", True, at), at)
        if steps is not None:
            decided = decided.with_(["steps"], Scalar(str(steps), True, at), at)
        recipe = combine(base, self.root, None, decided)
        if steps is not None and recipe.log_every > steps:
            # A run without one line of its log would have no training error.
            recipe = recipe.model_copy(update={"log_every": steps})
        return recipe


def shipped_studies() -> dict[str, Path]:
    """The shipped studies by name."""
    return {p.stem: p for p in sorted(Path(str(resources.files("resnet_dsl.studies"))).glob("*.yaml"))}


def read_study(name: str) -> Study:
    """A study by its path or by the name of a shipped one. Raises SpecError with every mistake of its form, located."""
    if name.endswith((".yaml", ".yml")) or os.sep in name:
        source, stem, root = read_file(name), Path(name).stem, Path(name).parent.resolve()
    else:
        known = shipped_studies()
        if name not in known:
            help = did_you_mean(name, known, what="a shipped study")
            raise refuse("unknown-name", f"no such study: {quote_path(name)} is no shipped study, and no .yaml file", help, at=name)
        source, stem, root = Source(f"{name}.yaml", read_file(str(known[name])).text), name, None
    tree = read(source)
    found = Collector()
    says: StudyForm | None = None
    try:
        says = StudyForm.model_validate(plain(tree))
    except ValidationError as e:
        errors = e.errors(include_url=False)
        for error in errors:
            # A list whose items are wrong is not empty.
            if error["type"] != "too_short" or not any(o["loc"][:-1][: len(error["loc"])] == error["loc"] for o in errors):
                found.add(_translate(error, tree))
    found.stop_if_any()
    assert says is not None
    data = _data(tree["data"], root, found)
    _check_together(says, tree, found)
    found.stop_if_any()
    return Study(stem, says, tree, data, root)


def _data(tree: Tree, root: Path | None, found: Collector) -> dict[str, MappingTree]:
    sets: dict[str, Tree] = dict(tree) if isinstance(tree, MappingTree) else {}
    if isinstance(tree, Scalar):
        sets = {tree.text: MappingTree(tree.at)}
    if not sets:
        _report(found, "data", "must be a data set's name, or names with keys of a spec", "write data: fashion-mnist", at=tree)
    for name, keys in sets.items():
        if name not in SOURCES:
            at = tree.keys_at[name] if isinstance(tree, MappingTree) else tree.at
            try:
                named(recorded(beside(name, root)))
            except SpecError as e:
                (one,) = e.diagnostics
                found.report(one.code, f"{quote(name)} is no data set" if one.code == "unknown-name" else one.message, one.help, at=at)
        if not isinstance(keys, MappingTree):
            _report(found, name, f"must be a mapping of a spec's keys, not {describe(keys)}", f"write {name}: {{}}", at=keys)
        elif (train := keys.get("train")) is not None:
            if not isinstance(train, MappingTree):
                _report(found, "train", f"must be keys of a recipe, not {describe(train)}", "write {eval_every: 10}", at=train)
            _check_decided_elsewhere(train, found)
    return {name: keys for name, keys in sets.items() if isinstance(keys, MappingTree)}


def beside(name: str, root: Path | None) -> str:
    """Data as a study file names it: a path begins at the folder of the file."""
    if name in SOURCES or root is None:
        return name
    parts = [str(root / part.strip()) for part in name.split(",")]
    return ",".join(parts) if is_own(",".join(parts)) else name


def _check_together(says: StudyForm, tree: MappingTree, found: Collector) -> None:
    """Report what only shows when keys are seen together."""
    for key in ("seeds", "learning_rates"):
        if getattr(says, key) is None:
            found.report("missing-key", f"{quote(key)} missing: a study needs it", f"add `{key}: ...`", at=tree.at)
    arms = tree["arms"]
    assert isinstance(arms, MappingTree)
    folders: dict[str, str] = {}
    for name, arm in arms.items():
        _check_arm(name, arm, arms.keys_at[name], found)
        if (other := folders.setdefault(name.casefold(), name)) != name:
            message = f"arms {quote(other)} and {quote(name)} differ in upper and lower case alone: on some disks their folders are one"
            found.report("bad-name", message, "give one of them another name", at=arms.keys_at[name])
    for where in (tree, tree.get("quick"), tree.get("long")):
        if isinstance(where, MappingTree):
            _check_budget(where, found)
    decide = [(h, at) for h, at in zip(says.decide, _items(tree["decide"]), strict=True) if isinstance(at, MappingTree)]
    for h, at in decide:
        _check_hypothesis(h, at, arms, found)
    if says.level is None:
        users = [at["measure"] for h, at in decide if h.measure == "steps_to"]
        users += [tree["measures"]] if "steps_to" in says.measures else []
        for user in users:
            found.report("study", "steps_to counts steps to a level, and there is none", "add level: 0.8, a loss", at=user.at)


def _items(tree: Tree) -> list[Tree]:
    return list(tree) if isinstance(tree, SequenceTree) else []


def _check_arm(name: str, arm: Tree, at: Location, found: Collector) -> None:
    if not NAME.match(name):
        message = f"{quote(name)} cannot name an arm, whose runs' folders are called by it"
        found.report("bad-name", message, "use letters, digits, '_', '.' and '-', a letter or digit first", at=at)
    if not isinstance(arm, MappingTree):
        _report(found, name, f"must be a spec (a mapping), not {describe(arm)}", "write {shortcut: none}, or {extends: resnet20}", at=arm)
    elif "train" in arm:
        _report(found, "train", "has no place in an arm: all are trained alike", "say it under recipe", at=arm["train"])


def _check_budget(where: MappingTree, found: Collector) -> None:
    network, recipe = where.get("network"), where.get("recipe")
    if network is not None and not isinstance(network, MappingTree):
        _report(found, "network", f"must be a mapping of a spec's keys, not {describe(network)}", "write {shortcut: none}", at=network)
    if recipe is not None and not isinstance(recipe, MappingTree) and not (isinstance(recipe, Scalar) and recipe.kind == "text"):
        _report(found, "recipe", f"must be a recipe's name or keys of one, not {describe(recipe)}", "write {batch: 64}", at=recipe)
    _check_decided_elsewhere(recipe, found)
    rates = where.get("learning_rates")
    seen: set[object] = set()
    for rate in rates if isinstance(rates, SequenceTree) else ():
        if plain(rate) in seen:
            _report(found, "learning_rates", f"lists {plain(rate)} twice", "keep each once", at=rate)
        seen.add(plain(rate))


def _check_decided_elsewhere(recipe: Tree | None, found: Collector) -> None:
    """Report keys of a recipe that the study's own keys decide."""
    for key, own in DECIDED.items():
        if isinstance(recipe, MappingTree) and key in recipe:
            message = f"{quote(key)} is not for the recipe of a study"
            found.report("study", message, f"use the study's own key {own}", at=recipe.keys_at[key])


def _check_hypothesis(h: Hypothesis, at: MappingTree, arms: MappingTree, found: Collector) -> None:
    for key in ("of", "minus", "over"):
        if (name := getattr(h, key)) is not None and name not in arms:
            found.report("unknown-name", f"there is no arm {quote(name)}", did_you_mean(name, arms, what="an arm"), at=at[key].at)
    given, needed = set(h.model_fields_set), NEEDED[h.rule]
    for key in sorted(needed - given):
        found.report("missing-key", f"{quote(key)} missing: the rule {h.rule} needs it", f"add `{key}: ...`", at=at.at)
    taken = needed | ({"margin"} if h.rule == "greater" else set())
    for key in sorted((OF_RULES & given) - taken):
        found.report("study", f"{quote(key)} does not go with the rule {h.rule}", f"leave {key} out", at=at.keys_at[key])
    if h.rule in ("at_most", "equivalent") and "margin" in given and h.margin == 0:
        message = "must be above 0: no interval lies within nothing"
        _report(found, "margin", message, "write the largest difference that does not count", at=at["margin"])
    if h.low is not None and h.high is not None and h.low >= h.high:
        _report(found, "low", "must be below high", "swap the two", at=at["low"])
    if h.of in (h.minus, h.over):
        _report(found, "of", "is compared with itself", "name two arms", at=at["of"])


_NOUNS: Mapping[type[BaseModel], str] = {
    StudyForm: "a key of a study", Budget: "a key of quick and long", Hypothesis: "a key of a comparison", ClaimSource: "a key of source",
}  # fmt: skip


def _translate(e: ErrorDetails, tree: MappingTree) -> Diagnostic:
    """One of pydantic's errors at its place, in plain words."""
    keys = [str(k) for k in e["loc"]]
    if e["type"] == "missing":
        where = find(keys[:-1], [tree]) if len(keys) > 1 else tree
        noun = _NOUNS[_form(keys[:-1])].removeprefix("a key of ")
        at = where.at if where is not None else tree.at
        return mistake("missing-key", f"{quote(keys[-1])} missing: {noun} needs it", f"add `{keys[-1]}: ...`", at=at)
    value = find(keys, [tree])
    if value is None:
        return mistake("study", "the study is not valid", "compare it with a shipped one: resnet-dsl list studies", at=tree.at)
    if e["type"] == "extra_forbidden":
        form = _form(keys[:-1])
        return unknown_key(keys[-1], value, form.model_fields, _NOUNS[form])
    ctx: Mapping[str, Any] = e.get("ctx", {})
    key = listed(keys)
    if e["type"] in ("too_short", "string_too_short"):
        key, message, help = keys[-1], "is empty", "give it a value"
    elif e["type"] in ("too_long", "string_too_long"):
        key, message, help = keys[-1], f"is too long: the limit is {ctx['max_length']:,}", "shorten it"
    else:
        message, help = wrong(e["type"], ctx, value)
    return mistake("study", f"{quote(key)} {message}", help, at=at_value(value))


def _form(keys: Sequence[str]) -> type[BaseModel]:
    forms: Mapping[str, type[BaseModel]] = {"quick": Budget, "long": Budget, "decide": Hypothesis, "source": ClaimSource}
    return forms.get(keys[0] if keys else "", StudyForm)


def _report(found: Collector, key: str, message: str, help: str, *, at: Tree) -> None:
    """A mistake in the value of a key."""
    found.report("study", f"{quote(key)} {message}", help, at=at_value(at))
