"""`resnet-dsl compare`."""

from __future__ import annotations

from typing import Annotated

import resnet_dsl as rd
from resnet_dsl.analysis.compare import SORTS, By
from resnet_dsl.analysis.papers import presets
from resnet_dsl.cli import line
from resnet_dsl.cli.options import FormatOption, QuietOption, SetOption, complete_spec
from resnet_dsl.cli.output import answer, wrote
from resnet_dsl.diagnostics import refuse
from resnet_dsl.verbs import networks

PRESETS = tuple(presets())


def complete_preset(incomplete: str) -> list[str]:
    """Presets for the shell."""
    return [name for name in PRESETS if name.startswith(incomplete)]


def command(
    specs: Annotated[
        list[str] | None,
        line.Argument(
            metavar="SPEC...", help="Each a path, -, or a shipped spec's name.", autocompletion=complete_spec, show_default=False
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        line.Option(
            metavar="KEY=V1,V2,...",
            show_default=False,
            help="One network for each value; given twice, for each pair. Quote or bracket a value with commas.",
        ),
    ] = None,
    by: Annotated[By, line.Option(help="What each row is.", metavar="net|stage")] = "net",
    sort: Annotated[
        str | None, line.Option(metavar="KEY", help=f"Rows by {', '.join(SORTS)}; -KEY for the largest first.", show_default=False)
    ] = None,
    preset: Annotated[
        str | None,
        line.Option(
            metavar="NAME", help=f"A paper's table beside ours: {', '.join(PRESETS)}.", autocompletion=complete_preset, show_default=False
        ),
    ] = None,
    out: Annotated[
        str | None, line.Option("--out", "-o", metavar="FILE", help="A plot: svg, png or html, by the ending.", show_default=False)
    ] = None,
    overrides: SetOption = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Compare what networks cost: one row each, with the difference and the ratio to the first."""
    if preset is not None:
        table = networks.paper_table(preset, overrides or ())
        if specs or vary or out or sort:
            raise refuse("usage", "a preset has its own networks and order", "leave out SPEC, --vary, --sort and --out", at="--preset")
        answer(table, format, quiet=quiet)
        return
    found = rd.compare(specs or (), vary=vary or (), overrides=overrides or (), by=by, sort=sort)
    if out is None:
        answer(found, format, quiet=quiet)
    else:
        wrote(networks.plot(found).save(out), quiet=quiet)
