"""A spec scaled to a budget: what was asked, what was found, and the spec that says it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from resnet_dsl.analysis.cost import Cost, Costs
from resnet_dsl.analysis.fit import Axis, OverBudget, Scaled
from resnet_dsl.analysis.fit import fit as scale
from resnet_dsl.analysis.quantities import budget as number
from resnet_dsl.analysis.variants import variant
from resnet_dsl.diagnostics import Argument, did_you_mean, quote, refuse
from resnet_dsl.files import write_output
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language.extends import is_path
from resnet_dsl.language.forms import NAME
from resnet_dsl.language.spec import Spec
from resnet_dsl.table import Answer, Column, Layout, Table, count, short, signed

Limits = dict[Literal["params", "macs"], int]


@dataclass(frozen=True, repr=False)
class Fitted(Answer):
    """A spec scaled to a budget. `scaled` has the widths and depths that were found, and what they cost.

    `start` is the spec that was scaled, `parent` its path or shipped name, which the result extends, and `settings` are the
    overrides that it had. `out` is where the result is to lie; `-` is the working folder.
    """

    start: Spec
    parent: str
    settings: tuple[tuple[str, str], ...]
    budget: Limits
    over: tuple[Axis, ...]
    scaled: Scaled
    out: str = "-"

    @property
    def cost(self) -> Cost:
        """What the result costs, counted on its compiled graph."""
        return self.scaled.cost

    @cached_property
    def graph(self) -> Graph:
        """The result, compiled."""
        return compile(variant(self.start, widths=dict(enumerate(self.scaled.widths)), depths=self.scaled.depths))

    @property
    def spec_text(self) -> str:
        """The result as a spec that lies at `out`."""
        return self.text(self.out)

    @property
    def changes(self) -> str:
        """What was changed, in words, and the costs before and after."""
        before, after = Costs(compile(self.start)).network, self.cost
        costs = f"{before.params:,} -> {after.params:,} params, {short(before.macs)} -> {short(after.macs)} MACs"
        widths, depths = numbers(self.start)
        said = [
            f"{what} {'-'.join(map(str, old))} -> {'-'.join(map(str, new))}"
            for what, old, new in (("widths", widths, self.scaled.widths), ("depths", depths, self.scaled.depths))
            if tuple(old) != new
        ]
        return f"{', '.join(said) or 'nothing had to change'}: {costs}"

    def text(self, path: str | os.PathLike[str]) -> str:
        """The result as a spec that lies at `path` and extends the one that was scaled.

        Raises SpecError where it cannot extend it from there.
        """
        name, c = f"{self.start.name}-fit", self.cost
        lines = [f"# {self.start.name} scaled over {' and '.join(self.over)} to at most {said(self.budget)}."]
        lines += [f"name: {name}"] if NAME.match(name) else []
        lines += [f"extends: {extended(self.parent, os.fspath(path))}", *(f"{k}: {v}" for k, v in self.settings if "." not in k)]
        params = [f"{k.removeprefix('params.')}: {v}" for k, v in self.settings if "." in k]
        lines += [f"params: {{{', '.join(params)}}}"] if params else []
        patches = list(self._patches())
        lines += ["stages:", *patches] if patches else []
        return "\n".join([*lines, f"expect: {{params: {c.params}, macs: {c.macs}, depth: {c.depth}}}"]) + "\n"

    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the result as a spec, to `out` or another path; gives the path. Raises SpecError as `text` does, or exit code 3."""
        target = self.out if path is None else path
        return write_output(target, self.text(target), at=Argument("out"))

    def summary(self) -> str:
        """The network, and what was changed."""
        return f"{self.start.name}: {self.changes}"

    def tables(self, format: Layout = "table") -> list[Table]:
        """One row per stage: width and depth before and after."""
        columns = (
            Column("stage", "stage"), Column("width", "width", count, True), Column("new_width", "new", count, True),
            Column("delta_width", "difference", signed(count), True), Column("depth", "depth", count, True),
            Column("new_depth", "new", count, True), Column("delta_depth", "difference", signed(count), True),
        )  # fmt: skip
        stages = zip(self.start.stages, *numbers(self.start), self.scaled.widths, self.scaled.depths, strict=True)
        rows = [[s.name, width, wide, wide - width, depth, deep, deep - depth] for s, width, depth, wide, deep in stages]
        return [Table(columns, rows, self.start.name, notes=(self.changes,))]

    def render(self, format: Layout = "table", *, bold: bool = False, width: int = 80, quiet: bool = False) -> str:
        """The spec, as `fit` prints it; other formats hold the stages' widths and depths."""
        return self.spec_text if format == "table" else super().render(format, quiet=quiet)

    def to_dict(self) -> dict[str, object]:
        """What was found: widths, depths and costs, with the budget."""
        c = self.cost
        return {
            "name": self.start.name, "budget": dict(self.budget), "over": list(self.over), "widths": list(self.scaled.widths),
            "depths": list(self.scaled.depths), "params": c.params, "macs": c.macs, "depth": c.depth,
        }  # fmt: skip

    def _patches(self) -> Iterable[str]:
        for stage, width, depth, wide, deep in zip(
            self.start.stages, *numbers(self.start), self.scaled.widths, self.scaled.depths, strict=True
        ):
            changed = [f"depth: {deep}"] * (depth != deep) + [f"width: {wide}"] * (width != wide)
            if changed:
                yield f"  {stage.name}: {{{', '.join(changed)}}}"


def fit(
    start: Spec, parent: str, settings: tuple[tuple[str, str], ...], budget: Limits, over: tuple[Axis, ...], multiple: int, out: str = "-"
) -> Fitted:
    """The dearest network within the budget, of those with the stages of `start` scaled. Raises SpecError where there is none."""
    try:
        return Fitted(start, parent, settings, budget, over, scale(start, budget, over, multiple), out)
    except OverBudget as e:
        c = e.least.cost
        raise refuse(
            "budget",
            f"no network of this family keeps to {said(budget)}: the smallest has {c.params:,} params and {c.macs:,} MACs",
            f"allow more, or let more change: {Argument('over', 'width,depth')}"
            if len(over) < 2
            else "allow more, or start from a smaller spec",
            at=Argument("params" if "params" in budget else "macs"),
        ) from None


def limits(params: str | int | None, macs: str | int | None, like: Graph | None) -> Limits:
    """What a network may cost: numbers such as 5M, or what another network costs. Raises SpecError."""
    if like is not None:
        if params is not None or macs is not None:
            at = Argument("like")
            raise refuse("usage", f"{at} is a budget of its own", f"give {at}, or {Argument('params')} and {Argument('macs')}", at=at)
        cost = Costs(like).network
        return {"params": cost.params, "macs": cost.macs}
    found: Limits = {}
    if params is not None:
        found["params"] = number(params, "params")
    if macs is not None:
        found["macs"] = number(macs, "macs")
    if not found:
        ways = f"{Argument('params', '5M')}, {Argument('macs', '300M')}, or {Argument('like', 'resnet50')}"
        raise refuse("usage", "a budget is missing", f"give {ways}", at=Argument("params"))
    return found


def said(budget: Limits) -> str:
    """A budget in words."""
    return " and ".join(f"{value:,} {'MACs' if what == 'macs' else what}" for what, value in budget.items())


def numbers(spec: Spec) -> tuple[list[int], list[int]]:
    """The widths and depths of a spec's stages."""
    return [int(s.width.value(spec.params)) for s in spec.stages], [int(s.depth.value(spec.params)) for s in spec.stages]


def axes(over: str | Sequence[str]) -> tuple[Axis, ...]:
    """What may change: "width,depth", or a list. Raises SpecError with a suggestion."""
    known: dict[str, Axis] = {axis: axis for axis in get_args(Axis)}
    words = [word.strip() for word in (over.split(",") if isinstance(over, str) else over)]
    for word in words:
        if word not in known:
            help = did_you_mean(word, known, what="an axis")
            raise refuse("unknown-name", f"no such thing to change: {quote(word)}", help, at=Argument("over"))
    return tuple(known[word] for word in words)


def extended(parent: str, out: str) -> str:
    """What `extends` says in a spec at `out`: a shipped spec's name, or the path to the spec. Raises SpecError where it cannot."""
    if parent == "-":
        raise refuse("extends", "a spec from standard input cannot be extended", "save it as a file first", at="SPEC")
    if not is_path(parent):
        return parent
    folder = os.path.dirname(out) if out != "-" else ""
    path = os.path.relpath(parent, folder or ".")
    if out != "-" and os.path.realpath(out) == os.path.realpath(parent):
        raise refuse("extends", f"{out} is the spec itself, which the result extends", "choose another name", at=Argument("out"))
    if path.startswith("..") or not path.endswith(".yaml"):
        raise refuse(
            "extends",
            f"the result cannot extend {quote(parent)}: a parent ends in .yaml and is in the folder of the spec that extends it, or below",
            f"write it there: -o {os.path.join(os.path.dirname(parent), 'fitted.yaml')}",
            at=Argument("out"),
        )
    return path.replace(os.sep, "/")


def setting(text: str) -> tuple[str, str]:
    """The key and value of an override that can be said in a spec that extends another. Raises SpecError for any other."""
    key, _, value = text.partition("=")
    if "." in key and not re.fullmatch(r"params\.\w+", key.strip()):
        at = Argument("overrides", option="set")
        raise refuse(
            "usage",
            f"{Argument('overrides', key, option='set')}: this cannot be said in a spec that extends another",
            "write it in a spec of your own, and fit that",
            at=at,
        )
    return key.strip(), value.strip()
