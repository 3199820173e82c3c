"""`resnet-dsl fit`."""

from __future__ import annotations

import os
import re
from typing import Annotated, Literal, get_args

import typer

from resnet_dsl.analysis.cost import Costs
from resnet_dsl.analysis.fit import Axis, Fitted, OverBudget, fit
from resnet_dsl.cli.inspect import UNITS
from resnet_dsl.cli.options import OutOption, QuietOption, SetOption, SpecArgument, complete_spec
from resnet_dsl.cli.output import note, write
from resnet_dsl.diagnostics import did_you_mean, quote, refuse
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.extends import is_path
from resnet_dsl.language.spec import Spec
from resnet_dsl.table import short

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def command(
    spec: SpecArgument,
    params: Annotated[str | None, typer.Option(metavar="N", help="At most so many parameters: 5M.", show_default=False)] = None,
    macs: Annotated[str | None, typer.Option(metavar="N", help="At most so many MACs: 300M.", show_default=False)] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="At most what this one costs, in both.", autocompletion=complete_spec, show_default=False),
    ] = None,
    over: Annotated[str, typer.Option(metavar="width,depth", help="What may change: width, depth, or both.")] = "width",
    multiple: Annotated[int, typer.Option(min=1, max=4096, metavar="N", help="Make widths divisible by N.")] = 1,
    overrides: SetOption = None,
    out: OutOption = "-",
    quiet: QuietOption = False,
) -> None:
    """Scale a network's stages to a budget, and write the result as a spec that extends it.

    Widths are scaled by one factor and depths by another; of all such networks the dearest within the budget is taken.
    """
    axes = tuple(_axis(word.strip()) for word in over.split(","))
    budget = _budget(params, macs, like)
    parent = _parent(spec, out)
    settings = [_setting(text) for text in overrides or ()]
    start = load(spec, overrides or ())
    try:
        found = fit(start, budget, axes, multiple)
    except OverBudget as e:
        c = e.least.cost
        raise refuse(
            "budget",
            f"no network of this family keeps to {_said(budget)}: the smallest has {c.params:,} params and {c.macs:,} MACs",
            "allow more, or let more change: --over width,depth" if len(axes) < 2 else "allow more, or start from a smaller spec",
            at="--params" if "params" in budget else "--macs",
        ) from None
    write(out, _yaml(start, found, budget, parent, settings, axes))
    before = Costs(compile(start)).network
    note(
        f"{_changes(start, found)}: {before.params:,} -> {found.cost.params:,} params, {short(before.macs)} -> {short(found.cost.macs)} MACs",
        quiet=quiet,
    )
    if out != "-":
        note(f"wrote {out}", quiet=quiet)


def _axis(word: str) -> Axis:
    if word not in get_args(Axis):
        raise refuse(
            "unknown-name", f"no such thing to change: {quote(word)}", did_you_mean(word, get_args(Axis), what="an axis"), at="--over"
        )
    return word  # type: ignore[return-value]


def _budget(params: str | None, macs: str | None, like: str | None) -> dict[Literal["params", "macs"], int]:
    budget: dict[Literal["params", "macs"], int] = {}
    if like is not None:
        if params is not None or macs is not None:
            raise refuse("usage", "--like is a budget of its own", "give --like, or --params and --macs", at="--like")
        cost = Costs(compile(load(like))).network
        return {"params": cost.params, "macs": cost.macs}
    if params is not None:
        budget["params"] = _number(params, "--params")
    if macs is not None:
        budget["macs"] = _number(macs, "--macs")
    if not budget:
        raise refuse("usage", "a budget is missing", "give --params 5M, --macs 300M, or --like resnet50", at="--params")
    return budget


def _number(text: str, at: str) -> int:
    found = re.fullmatch(r"([0-9][0-9,_]{0,15}(?:\.[0-9]{1,6})?) ?([kmgt]?)", text.strip().lower().replace("b", "g"))
    value = int(float(re.sub("[,_]", "", found[1])) * 1000 ** UNITS[found[2]]) if found else 0
    if value < 1:
        raise refuse("usage", f"a budget is a number, 1 or more, not {quote(text)}", f"write {at} 5M, or 5000000", at=at)
    return value


def _parent(spec: str, out: str) -> str:
    """What `extends` says: a shipped spec's name, or the path from the new file to the spec."""
    if spec == "-":
        raise refuse("extends", "a spec from standard input cannot be extended", "save it as a file first", at="SPEC")
    if not is_path(spec):
        return spec
    folder = os.path.dirname(out) if out != "-" else ""
    path = os.path.relpath(spec, folder or ".")
    if out != "-" and os.path.realpath(out) == os.path.realpath(spec):
        raise refuse("extends", f"{out} is the spec itself, which the result extends", "choose another name", at="--out")
    if path.startswith("..") or not path.endswith(".yaml"):
        raise refuse(
            "extends",
            f"the result cannot extend {quote(spec)}: a parent ends in .yaml and lies in the folder of the spec that extends it, or below",
            f"write it there: -o {os.path.join(os.path.dirname(spec), 'fitted.yaml')}",
            at="--out",
        )
    return path.replace(os.sep, "/")


def _setting(text: str) -> tuple[str, str]:
    """An override that can be said in a spec that extends another."""
    key, _, value = text.partition("=")
    if "." in key and not re.fullmatch(r"params\.\w+", key.strip()):
        raise refuse(
            "usage",
            f"--set {key}: this cannot be said in a spec that extends another",
            "write it in a spec of your own, and fit that",
            at="--set",
        )
    return key.strip(), value.strip()


def _said(budget: dict[Literal["params", "macs"], int]) -> str:
    return " and ".join(f"{value:,} {'MACs' if what == 'macs' else what}" for what, value in budget.items())


def _numbers(spec: Spec) -> tuple[list[int], list[int]]:
    return [int(s.width.value(spec.params)) for s in spec.stages], [int(s.depth.value(spec.params)) for s in spec.stages]


def _changes(spec: Spec, found: Fitted) -> str:
    """What was changed, in words."""
    widths, depths = _numbers(spec)
    said = [f"{what} {'-'.join(map(str, before))} -> {'-'.join(map(str, after))}"
            for what, before, after in (("widths", widths, found.widths), ("depths", depths, found.depths)) if tuple(before) != after]  # fmt: skip
    return ", ".join(said) or "nothing had to change"


def _yaml(
    spec: Spec,
    found: Fitted,
    budget: dict[Literal["params", "macs"], int],
    parent: str,
    settings: list[tuple[str, str]],
    axes: tuple[Axis, ...],
) -> str:
    widths, depths = _numbers(spec)
    name = f"{spec.name}-fit"
    lines = [f"# {spec.name} scaled over {' and '.join(axes)} to at most {_said(budget)}."]
    lines += [f"name: {name}"] if _NAME.fullmatch(name) else []
    lines += [f"extends: {parent}", *(f"{k}: {v}" for k, v in settings if "." not in k)]
    params = [f"{k.removeprefix('params.')}: {v}" for k, v in settings if "." in k]
    lines += [f"params: {{{', '.join(params)}}}"] if params else []
    patches = []
    for stage, *numbers in zip(spec.stages, widths, found.widths, depths, found.depths, strict=True):
        width, new_width, depth, new_depth = numbers
        changed = [f"depth: {new_depth}"] * (depth != new_depth) + [f"width: {new_width}"] * (width != new_width)
        patches += [f"  {stage.name}: {{{', '.join(changed)}}}"] if changed else []
    lines += ["stages:", *patches] if patches else []
    c = found.cost
    return "\n".join([*lines, f"expect: {{params: {c.params}, macs: {c.macs}, depth: {c.depth}}}"]) + "\n"
