"""`resnet-dsl study`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

import resnet_dsl as rd
from resnet_dsl.cli.options import DataDirOption, FormatOption, QuietOption, data_option, svg_option
from resnet_dsl.cli.output import answer, note
from resnet_dsl.diagnostics import clean, refuse
from resnet_dsl.verbs.lab import STUDIES_HOME, StudyInterrupted, studies

RESUMABLE = 75


def complete_study(incomplete: str) -> list[str]:
    """Shipped studies for the shell."""
    return [name for name in studies() if name.startswith(incomplete)]


def command(
    study: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME", help="A study's YAML file, or a shipped study's name.", autocompletion=complete_study, show_default=False
        ),
    ],
    quick: Annotated[bool, typer.Option("--quick", help="The study's quick setting: minutes on a small machine.")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="The study's long setting: the paper's schedule, for a GPU or a long weekend.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help=f"The study's folder; default: one under {STUDIES_HOME}. Finished runs in it are kept.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Runs of each arm at each learning rate.", show_default=False)
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Batches of each run.", show_default=False)] = None,
    data: Annotated[
        str | None, data_option("One of the data sets that the study names, or your own as in train; default: the first.")
    ] = None,
    data_dir: DataDirOption = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data if it is missing.")] = False,
    limit_train: Annotated[
        int | None, typer.Option("--limit-train", min=1, metavar="N", help="Use only N training images.", show_default=False)
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="cpu|cuda|mps|auto", help="Where to compute; on the CPU results are the same bit for bit.")
    ] = "cpu",
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, max=1024, metavar="N", help="Runs side by side; default: one per core.", show_default=False),
    ] = None,
    engine: Annotated[
        Literal["local", "ray"], typer.Option(metavar="local|ray", help="Where the runs are made: in processes here, or on a Ray cluster.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="With --engine ray: a running cluster; default: one is started here.", show_default=False),
    ] = None,
    plot: Annotated[str | None, svg_option("Draw every run, means and intervals.", "--plot", "-o")] = None,
    curves: Annotated[str | None, svg_option("Draw training error over steps.", "--curves")] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """Compare networks by many runs, and decide a claim by a rule that was fixed before them.

    Every arm gets the same learning rates and seeds; runs of one seed see the same batches and share initial values. The result is
    supported, not supported, or cannot tell at this budget, and is in study.json. Ctrl-C saves; the same command resumes. The shipped
    studies: resnet-dsl list studies.
    """
    if quick and long:
        raise refuse("usage", "--quick and --long exclude each other", "keep one of the two", at="--long")
    setting: Literal["usual", "quick", "long"] = "quick" if quick else "long" if long else "usual"
    try:
        found = rd.study(
            study, setting, out=out, seeds=seeds, steps=steps, data=data, data_dir=data_dir, download=download, limit_train=limit_train,
            device=device, jobs=jobs, engine=engine, address=address, plot=plot, curves=curves, quiet=quiet,
        )  # fmt: skip
    except StudyInterrupted as e:
        again = shlex.join(["resnet-dsl", *sys.argv[1:]])
        note(f"{e}\ngo on with the same command: {clean(again)}")
        raise typer.Exit(RESUMABLE) from None
    answer(found, format, quiet=quiet)
    found.require_complete()
    note(f"\nin {found.folder}: study.json, study.svg, curves.svg, runs", quiet=quiet or format != "table")
