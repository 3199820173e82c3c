"""Documents that are no specs: what they are, and which command reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping

from resnet_dsl.diagnostics import Argument, Diagnostic, Location, Source, call, either, mistake
from resnet_dsl.language.document import REQUIRED
from resnet_dsl.language.tree import MappingTree

_RUN, _STUDY = "a record of a run", "a record of a study"
_RECORDS: Mapping[str, str] = {
    **dict.fromkeys(("run.json", "results.json", "env.json", "metrics.jsonl", "metrics.csv", "command.txt"), _RUN),
    **dict.fromkeys(("study.json", "plan.json", "measures.json"), _STUDY),
}
"""What the files are that training and studies write."""
_OF_STUDIES = frozenset({"arms", "decide", "claim", "measures", "learning_rates", "judged"})
_OF_SPECS = frozenset({*REQUIRED, "extends", "block", "shortcut", "blocks", "params"}) - {"classes"}


def record(path: str) -> Diagnostic | None:
    """What is said of a record of a run or of a study, which a program wrote and no command takes by itself."""
    what = _RECORDS.get(os.path.basename(path))
    if what is None:
        return None
    folder = os.path.dirname(path) or "."
    way = call("inspect", folder) if what == _RUN else call("report", folder)
    return mistake("not-a-spec", f"this is {what}, not a spec", f"name the folder: {way}", at=Location(Source(path, "")))


def other_document(tree: MappingTree) -> Diagnostic | None:
    """What a document is where it is no spec: a study, a recipe, a schema. None for a spec, and for what is nothing known."""
    keys, name = set(tree), tree.at.source.name
    if {"arms", "decide"} & keys and len(keys & _OF_STUDIES) >= 2:
        return mistake("not-a-spec", "this is a study, not a spec", f"conduct it: {call('study', name)}", at=tree.at)
    if keys & _OF_SPECS:
        return None
    if "$defs" in keys or "$schema" in keys:
        help = either("`rd.schema()` writes it, and editors read it", "`resnet-dsl schema` writes it, and editors read it")
        return mistake("not-a-spec", "this is a JSON Schema, not a spec", help, at=tree.at)
    if _is_recipe(keys):
        help = f"train a network with it: {call('train', 'SPEC', Argument('recipe', name))}"
        return mistake("not-a-spec", "this is a training recipe, not a spec", help, at=tree.at)
    return None


def _is_recipe(keys: set[str]) -> bool:
    """At least two keys of a recipe and most of the keys, so that a misspelt one does not hide it."""
    from resnet_dsl.language.recipe import Recipe  # a recipe's model is built only where one may be read

    known = keys & set(Recipe.model_fields) - {"description"}
    return (len(known) >= 2 and 2 * len(known) > len(keys - {"description"})) or (bool(known) and known == keys - {"description"})
