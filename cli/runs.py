"""`resnet-dsl runs`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from resnet_dsl.cli.options import FormatOption, QuietOption
from resnet_dsl.cli.output import note, show, show_json, show_table, write
from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.pictures.runs import curves_svg, curves_table, differences, differences_table, runs_table
from resnet_dsl.records.folder import RunFolder
from resnet_dsl.records.run import HOME, Run, find, read


def command(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[DIR|RUN]...", help="Folders that hold runs, or runs themselves; left out: runs/.", show_default=False),
    ] = None,
    metric: Annotated[
        Literal["accuracy", "loss", "lr"] | None,
        typer.Option(metavar="accuracy|loss|lr", help="Of the curves, which it asks for; left out: accuracy.", show_default=False),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE.svg", help="Draw the curves into an SVG.", show_default=False)
    ] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """List runs: how far they are and how good; what sets their recipes apart. Nothing is written into them.

    Runs given by name (runs A B) are compared: best first, with their curves by epoch.
    """
    given = folders or [HOME]
    if out is not None and not out.endswith(".svg"):
        raise refuse("usage", f"curves are drawn as SVG, not as {out}", "name a file that ends in .svg", at="--out")
    named = all(RunFolder.is_run(path) for path in given)
    compared = named or metric is not None or out is not None
    runs = read_all(given)
    summaries = [r.to_dict() for r in runs]
    if compared:
        order = sorted(range(len(runs)), key=lambda i: -(summaries[i]["best"] or -1.0))
        runs, summaries = [runs[i] for i in order], [summaries[i] for i in order]
    names = [s["run"] for s in summaries]
    curves = [r.curves(metric or "accuracy") for r in runs] if compared else []
    apart = differences(summaries, [r.spec for r in runs])
    if out is not None:
        if not any(curves):
            raise refuse("run-missing", "nothing has been measured in these runs yet", "wait for an evaluation", at="--out", exit_code=3)
        write(out, curves_svg(curves, names, metric or "accuracy"))
        note(f"wrote {out}", quiet=quiet)
    if format == "json":
        for summary, of_run in zip(summaries, curves, strict=False):
            summary["curves"] = {c.of: [list(p) for p in c.points] for c in of_run}
        show_json({"metric": (metric or "accuracy") if compared else None, "runs": summaries, "differences": dict(apart)})
        return
    if format == "csv":
        show_table(curves_table(curves, names, metric or "accuracy", format) if compared else runs_table(summaries, format), format)
        return
    width = shutil.get_terminal_size().columns
    tables = [runs_table(summaries, format, width)]
    if apart:
        tables.append(differences_table(apart))
    if compared:
        tables.append(curves_table(curves, names, metric or "accuracy", format, width))
    for i, table in enumerate(tables):
        show("\n" if i else "")
        show_table(table, format, quiet=quiet)


def read_all(given: Sequence[Path]) -> list[Run]:
    """Every run that can be read; the others are named in a warning. Raises SpecError (exit 3) where none is left."""
    found: list[Run] = []
    for folder in given:
        paths = [folder] if RunFolder.is_run(folder) else list(find(folder))
        for path in paths:
            try:
                found.append(read(path))
            except SpecError as e:
                note(f"warning: {path} is left out: {e.diagnostics[0].message}")
    if not found:
        raise refuse("run-missing", "no runs there", "train one: resnet-dsl train SPEC", at=" ".join(map(str, given)), exit_code=3)
    return found
