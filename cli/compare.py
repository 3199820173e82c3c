"""`resnet-dsl compare`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Annotated, Literal

import typer

from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, SpecArguments
from resnet_dsl.cli.output import problem, show_json, show_table
from resnet_dsl.graph import Graph, compile
from resnet_dsl.language import load
from resnet_dsl.reports import compare as report

MAX_NETWORKS = 1_000


def command(
    specs: SpecArguments,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2,...",
            show_default=False,
            help="One network for each value; given twice, for each pair. Quote or bracket a value with commas.",
        ),
    ] = None,
    by: Annotated[Literal["net", "stage"], typer.Option(help="What a row is.", metavar="net|stage")] = "net",
    overrides: SetOption = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Compare what networks cost: one row each, with the difference and the ratio to the first."""
    axes = [_axis(text) for text in vary or ()]
    total = len(specs) * prod(len(values) for _, values in axes)
    if total > MAX_NETWORKS:
        raise problem(
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
            graphs.append(compile(load(spec, [*(overrides or ()), *settings])))
            labels.append(" ".join([*([spec] if len(specs) > 1 or not settings else []), *settings]))
    found = report.compare(graphs, labels)
    if format == "json":
        show_json(found.to_dict())
    else:
        show_table(found.table(by), format, quiet=quiet)


def _axis(text: str) -> tuple[str, list[str]]:
    """The key and the values of one `--vary`."""
    key, sign, rest = text.partition("=")
    values = [v.strip() for v in split(rest)]
    if not sign or not key.strip() or not all(values):
        raise problem("usage", f"expected KEY=V1,V2,..., not {text!r}", "write --vary shortcut=A,B,C", at="--vary")
    return key.strip(), values


def split(text: str) -> Iterator[str]:
    """The parts between the commas that stand in no quotes and no brackets."""
    part, quote, depth = "", "", 0
    for c in text:
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        else:
            depth += (c in "([{") - (c in ")]}")
        if c == "," and not quote and depth == 0:
            yield part
            part = ""
        else:
            part += c
    yield part
