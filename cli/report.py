"""`resnet-dsl report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from resnet_dsl.cli import line
from resnet_dsl.cli.options import DataDirOption, QuietOption, ThemeOption
from resnet_dsl.cli.output import note, show, wrote
from resnet_dsl.diagnostics import SpecError, refuse
from resnet_dsl.files import write_output
from resnet_dsl.pictures.page.run import METRICS, Shown, page
from resnet_dsl.pictures.runs import find_runs, reason
from resnet_dsl.records.assessment import Sampled


def command(
    runs: Annotated[list[Path], line.Argument(metavar="RUN...", help="Run folders, or folders that hold runs.", show_default=False)],
    out: Annotated[str, line.Option("--out", "-o", metavar="FILE.html", help="Where to write; - is standard output.")],
    predictions: Annotated[
        bool,
        line.Option("--predictions/--no-predictions", help="Run the networks on their test images, which needs torch, or not."),
    ] = True,
    data_dir: DataDirOption = None,
    theme: ThemeOption = "light",
    quiet: QuietOption = False,
) -> None:
    """Write a page about runs: results, curves, the confusion matrix, sample predictions, the networks.

    It is one file that loads nothing. Where a run has no weights yet, or its data is not found, the page says so.
    """
    if out != "-" and not out.lower().endswith(".html"):
        raise refuse("usage", f"a report is a page, not {out}", "name a file that ends in .html", at="--out")
    if data_dir is not None and not predictions:
        raise refuse("usage", "without predictions no data is read", "leave out --data-dir or --no-predictions", at="--data-dir")
    shown = []
    for run in find_runs(runs, lambda text: note(f"warning: {text}")):
        try:
            graph = run.graph
        except SpecError as e:
            note(f"warning: {run.path} is left out: {reason(e, run.path)}")
            continue
        found = _predictions(run.path, data_dir) if predictions else None
        shown.append(Shown(run.overview, run.spec_text, graph, {m: run.curves(m) for m in METRICS}, found))
    if not shown:
        raise refuse("run-missing", "no runs there", "train one: resnet-dsl train SPEC", at=" ".join(map(str, runs)), exit_code=3)
    text = page(shown, theme)
    if out == "-":
        show(text)
    else:
        write_output(out, text)
        wrote(out, quiet=quiet)


def _predictions(path: Path, data_dir: Path | None) -> Sampled | str:
    """What a run makes of its test images, or why that is not known."""
    from resnet_dsl.using import samples

    try:
        return samples.predictions(path, data_dir)
    except SpecError as e:
        first = e.diagnostics[0]
        note(f"warning: {path}: no predictions: {first.message}")
        return f"{first.location}: {first.message}; {first.help}"
