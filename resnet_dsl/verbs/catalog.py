"""What is shipped, by the names that specs and commands take: specs, blocks, steps, recipes, data, studies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.definitions import library
from resnet_dsl.language.files import aliases, shipped_specs
from resnet_dsl.language.kinds import ACTS, MERGES, NORMS, STEPS
from resnet_dsl.language.schema import change_outline, outline
from resnet_dsl.language.spec import Definition
from resnet_dsl.ops.arguments import Arg, Signature, number_text
from resnet_dsl.table import Answer, Column, Layout, Table, short

What = Literal["specs", "aliases", "blocks", "shortcuts", "sequences", "ops", "norms", "acts", "merges", "recipes", "data", "studies"]


@dataclass(frozen=True, slots=True, repr=False)
class Catalog(Answer):
    """What is shipped of one kind, one row for each name."""

    what: What
    rows: Table

    def tables(self, format: Layout = "table") -> Sequence[Table]:
        """One table; the specs in one for each of their folders where a person reads them."""
        # A heading says what would take a column that the descriptions need.
        return _by_group(self.rows) if self.what == "specs" and format in ("table", "html") else [self.rows]

    def to_dict(self) -> list[dict[str, Any]]:
        """One object per row."""
        return [dict(zip([c.key for c in self.rows.columns], row, strict=True)) for row in self.rows.rows]

    def summary(self) -> str:
        """How many there are, and the first names."""
        names = [str(row[0]) for row in self.rows.rows]
        return f"{len(names)} {self.what}: {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"


def catalog(what: What = "specs") -> Catalog:
    """What is shipped of one kind, with its arguments and what it is."""
    return Catalog(what, _TABLES[what]())


def _specs() -> Table:
    rows = []
    for name, path in sorted(shipped_specs().items(), key=_natural):
        spec = load(name)
        cost = Costs(compile(spec)).network
        also = ", ".join(alias for alias, own in aliases().items() if own == name)
        rows.append([name, path.parent.name, spec.description, cost.params, cost.macs, also or None])
    columns = (
        Column("name", "name"), Column("group", "group"), Column("description", "what it is", wrap=True),
        Column("params", "params", short, True), Column("macs", "MACs", short, True), Column("aliases", "also", wrap=True),
    )  # fmt: skip
    return Table(columns, rows, notes=(_USE, "Other libraries' names of the same networks can be used too: resnet-dsl list aliases"))


def _aliases() -> Table:
    rows = [[alias, name] for alias, name in sorted(aliases().items())]
    tags = "A tag of timm's weights may follow any name: resnet50.tv_in1k"
    return Table((_HEAD[0], Column("spec", "shipped spec")), rows, notes=(_USE, tags))


def _by_group(table: Table) -> list[Table]:
    """A table for each value of the second column, without that column and the last; the notes under the last."""
    groups = [(g, [[row[0], *row[2:-1]] for row in rows]) for g, rows in groupby(table.rows, key=itemgetter(1))]
    last = groups[-1][0]
    columns = (table.columns[0], *table.columns[2:-1])
    return [Table(columns, rows, title=str(group), notes=table.notes if group == last else ()) for group, rows in groups]


def _blocks() -> Table:
    rows = [[*_head(d), outline([*d.before, *d.body]) or None] for d in library()["block"].values()]
    return Table(
        (*_HEAD, Column("body", "before and body", wrap=True)),
        rows,
        notes=("In a spec: block: bottleneck, or block: {bottleneck: {groups: 32}}",),
    )


def _shortcuts() -> Table:
    rows = [[*_head(d), change_outline(d.same), change_outline(d.change)] for d in library()["shortcut"].values()]
    columns = (*_HEAD, Column("same", "where the shape stays"), Column("change", "where it changes", wrap=True))
    return Table(columns, rows, notes=("In a spec: shortcut: B, or shortcut: {B: {norm: false}}",))


def _sequences() -> Table:
    rows = [[*_head(d), outline(d.steps)] for d in library()["sequence"].values()]
    return Table(
        (*_HEAD, Column("steps", "steps", wrap=True)),
        rows,
        notes=("In a spec: stem: imagenet, head: classifier, or as a step: - se: {ratio: 8}",),
    )


def _signatures(table: Mapping[str, Signature]) -> Callable[[], Table]:
    def made() -> Table:
        rows = [[n, ", ".join(_argument(k, a) for k, a in s.args.items()) or None, s.about] for n, s in table.items()]
        return Table(
            (*_HEAD, Column("about", "what it does", wrap=True)),
            rows,
            notes=("An argument without a value has to be given, or follows from what enters.",),
        )

    return made


def _recipes() -> Table:
    from resnet_dsl.language.recipes import recipe_named, shipped_recipes

    rows = [[n, recipe_named(n).description] for n in shipped_recipes()]
    return Table(
        (_HEAD[0], Column("about", "what it is for", wrap=True)),
        rows,
        notes=("Train with one: resnet-dsl train resnet20-digits --data digits --recipe quick",),
    )


def _data() -> Table:
    from resnet_dsl.datasets.catalog import SOURCES
    from resnet_dsl.datasets.naming import FORMS
    from resnet_dsl.datasets.search import find

    rows = []
    for name, source in SOURCES.items():
        here = "in the package" if source.shape else "named by its path"
        if source.layouts:
            try:
                here = str(find(source, None).folder)
            except SpecError:
                here = "not found"
        rows.append([name, here, source.summary])
    rows += [[form, "named by its path" if ":" not in form else "your own code", what] for form, what in FORMS.items()]
    return Table((_HEAD[0], Column("here", "on this machine"), Column("about", "what it is", wrap=True)), rows)


def _studies() -> Table:
    from resnet_dsl.lab.study.reading import read_study, shipped_studies

    rows = [[name, read_study(name).says.title] for name in shipped_studies()]
    return Table((_HEAD[0], Column("about", "what it compares", wrap=True)), rows, notes=("Run one: resnet-dsl study degradation --quick",))


_TABLES: Mapping[What, Callable[[], Table]] = {
    "specs": _specs,
    "aliases": _aliases,
    "blocks": _blocks,
    "shortcuts": _shortcuts,
    "sequences": _sequences,
    "ops": _signatures(STEPS),
    "norms": _signatures(NORMS),
    "acts": _signatures(ACTS),
    "merges": _signatures(MERGES),
    "recipes": _recipes,
    "data": _data,
    "studies": _studies,
}

_USE = "A name can be used where a command takes a SPEC: resnet-dsl inspect resnet50"

_HEAD = (Column("name", "name"), Column("arguments", "arguments and defaults", wrap=True))


def _natural(item: tuple[str, Path]) -> tuple[str, list[tuple[int, str]]]:
    """Groups in order, and resnet20 before resnet110."""
    name, path = item
    return path.parent.name, [(int(p), "") if p.isdigit() else (0, p) for p in re.split(r"([0-9]+)", name)]


def _head(d: Definition) -> list[object]:
    return [d.name, ", ".join(f"{k}: {s.expression.text}" for k, s in d.args.items()) or None]


def _argument(name: str, a: Arg) -> str:
    if a.default is None:
        return name
    if isinstance(a.default, bool):
        return f"{name}: {str(a.default).lower()}"
    return f"{name}: {a.default if isinstance(a.default, str) else number_text(a.default)}"
