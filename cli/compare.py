"""`resnet-dsl compare`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Annotated, Literal

import typer

from resnet_dsl.analysis import compare as report
from resnet_dsl.analysis.papers import paper_table, presets
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, complete_spec
from resnet_dsl.cli.output import note, show_json, show_table
from resnet_dsl.diagnostics import did_you_mean, quote, refuse
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load

MAX_NETWORKS = 1_000
PRESETS = tuple(presets())


def complete_preset(incomplete: str) -> list[str]:
    """Presets for the shell."""
    return [name for name in PRESETS if name.startswith(incomplete)]


def command(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SPEC...", help="Each a path, -, or a shipped spec's name.", autocompletion=complete_spec, show_default=False
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2,...",
            show_default=False,
            help="One network for each value; given twice, for each pair. Quote or bracket a value with commas.",
        ),
    ] = None,
    by: Annotated[Literal["net", "stage"], typer.Option(help="What a row is.", metavar="net|stage")] = "net",
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help=f"Rows by {', '.join(report.SORTS)}; -KEY for the largest first.", show_default=False)
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"A paper's table beside ours: {', '.join(PRESETS)}.", autocompletion=complete_preset, show_default=False
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="A plot: svg, png or html, by the ending.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Compare what networks cost: one row each, with the difference and the ratio to the first."""
    if preset is not None:
        _preset(preset, bool(specs or vary or out or sort))
        table = paper_table(preset, overrides or ())
        show_json(table.to_dict()) if format == "json" else show_table(table.table(), format, quiet=quiet)
        return
    if not specs:
        raise refuse("usage", "there is no network to compare", "name some specs, or write --preset he2015-table1", at="SPEC")
    found = report.compare(*_networks(specs, vary or [], overrides or []))
    if sort is not None:
        key = sort.removeprefix("-")
        if key not in report.SORTS:
            raise refuse("unknown-name", f"no such key: {quote(key)}", did_you_mean(key, report.SORTS, what="a key"), at="--sort")
        found = found.sorted(key, largest_first=sort.startswith("-"))
    if out is not None:
        from resnet_dsl.pictures.costplot import save

        note(f"wrote {save(found, out)}", quiet=quiet)
    elif format == "json":
        show_json(found.to_dict())
    else:
        show_table(found.table(by), format, quiet=quiet)


def _preset(name: str, more: bool) -> None:
    if name not in PRESETS:
        raise refuse("unknown-name", f"no such preset: {quote(name)}", did_you_mean(name, PRESETS, what="a preset"), at="--preset")
    if more:
        raise refuse("usage", "a preset has its own networks and order", "leave out SPEC, --vary, --sort and --out", at="--preset")


def _networks(specs: list[str], vary: list[str], overrides: list[str]) -> tuple[list[Graph], list[str]]:
    """The networks with their labels: every spec with every combination of values."""
    axes = [_axis(text) for text in vary]
    total = len(specs) * prod(len(values) for _, values in axes)
    if total > MAX_NETWORKS:
        raise refuse(
            "limit",
            f"that would be {total:,} networks, over the limit of {MAX_NETWORKS:,}",
            "vary fewer keys, or fewer values",
            at="--vary",
        )
    graphs: list[Graph] = []
    labels = []
    for spec in specs:
        for values in product(*(values for _, values in axes)):
            settings = [f"{key}={value}" for (key, _), value in zip(axes, values, strict=True)]
            graphs.append(compile(load(spec, [*overrides, *settings])))
            labels.append(" ".join([*([spec] if len(specs) > 1 or not settings else []), *settings]))
    return graphs, labels


def _axis(text: str) -> tuple[str, list[str]]:
    """The key and the values of one `--vary`."""
    key, sign, rest = text.partition("=")
    values = [v.strip() for v in split(rest)]
    if not sign or not key.strip() or not all(values):
        raise refuse("usage", f"expected KEY=V1,V2,..., not {text!r}", "write --vary shortcut=A,B,C", at="--vary")
    return key.strip(), values


def split(text: str) -> Iterator[str]:
    """The parts between the commas that stand in no quotes and no brackets."""
    part, mark, depth = "", "", 0
    for c in text:
        if mark:
            mark = "" if c == mark else mark
        elif c in "'\"":
            mark = c
        else:
            depth += (c in "([{") - (c in ")]}")
        if c == "," and not mark and depth == 0:
            yield part
            part = ""
        else:
            part += c
    yield part
