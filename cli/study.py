"""`resnet-dsl study`."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from resnet_dsl.cli.options import DataDirOption, FormatOption, QuietOption, check_svg, data_option, svg_option
from resnet_dsl.cli.output import note, show, show_json, show_table, write
from resnet_dsl.diagnostics import clean, refuse

if TYPE_CHECKING:
    from resnet_dsl.lab.study.engine import Engine
    from resnet_dsl.lab.study.planning import Choice, Plan

HOME = Path("runs/studies")
RESUMABLE = 75


def complete_study(incomplete: str) -> list[str]:
    """Shipped studies for the shell."""
    from resnet_dsl.lab.study.reading import shipped_studies

    return [name for name in shipped_studies() if name.startswith(incomplete)]


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
            help=f"The study's folder; default: one under {HOME}. Finished runs in it are kept.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Runs of each arm at each learning rate.", show_default=False)
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, metavar="N", help="Batches of each run.", show_default=False)] = None,
    data: Annotated[str | None, data_option("One of the data sets that the study names; default: the first.")] = None,
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
    supported, not supported, or cannot tell at this budget, and lies in study.json. Ctrl-C saves; the same command goes on. The shipped
    studies: resnet-dsl list studies.
    """
    if quick and long:
        raise refuse("usage", "--quick and --long exclude each other", "keep one of the two", at="--long")
    if address is not None and engine != "ray":
        raise refuse("usage", "an address is for Ray", "add --engine ray, or leave it out", at="--address")
    check_svg(plot, "it is drawn", at="plot")
    check_svg(curves, "it is drawn", at="curves")

    from resnet_dsl.lab.study import tables
    from resnet_dsl.lab.study.conduct import Halted, Means, conduct
    from resnet_dsl.lab.study.planning import Choice, plan
    from resnet_dsl.lab.study.reading import read_study
    from resnet_dsl.lab.study.result import Facts
    from resnet_dsl.training.loop.stop import StopWish

    choice = Choice("quick" if quick else "long" if long else "usual", data, data_dir, seeds, steps, limit_train, device)
    planned = plan(read_study(study), choice)
    home = out if out is not None else HOME / _name(planned)
    # A cluster knows itself how much fits on it.
    side_by_side = jobs or (None if engine == "ray" else _cores() if device == "cpu" else 1)
    with StopWish() as stop:
        facts = Facts(_command(study, choice), side_by_side, engine, device)
        means = Means(_engine(engine, side_by_side, address), facts, stop, sys.stderr, quiet, download)
        try:
            document, failed = conduct(planned, home, means)
        except Halted as e:
            again = shlex.join(["resnet-dsl", *sys.argv[1:]])
            note(f"{e} in {home}\ngo on with the same command: {clean(again)}")
            raise typer.Exit(RESUMABLE) from None
    if document["cost"]["runs"]:
        write(plot or str(home / "study.svg"), tables.dots_svg(document))
        write(curves or str(home / "curves.svg"), tables.curves_svg(document))
    _show(document, format, quiet)
    if failed:
        names = ", ".join(o.task.name for o in failed)
        raise refuse(
            "study-incomplete",
            f"{len(failed)} of {len(document['runs'])} runs could not be made: {names}\n{failed[0].error}",
            "fix that, and give the same command again: finished runs are kept",
            at=str(home),
            exit_code=max(o.exit_code for o in failed),
        )
    note(f"\nin {home}: study.json, study.svg, curves.svg, runs", quiet=quiet or format != "table")


def _show(document: dict[str, Any], format: str, quiet: bool) -> None:
    from resnet_dsl.lab.study import tables

    if format == "json":
        show_json(document)
        return
    if format == "csv":
        show_table(tables.csv_table(document), "csv", quiet=quiet)
        return
    for table in (tables.runs_table(document), tables.arms_table(document), tables.comparisons_table(document)):
        show_table(table, format, quiet=quiet)  # type: ignore[arg-type]
        show("\n")
    show(tables.verdict_text(document))


def _engine(name: str, jobs: int | None, address: str | None) -> Engine:
    if name == "ray":
        from resnet_dsl.lab.study.ray_engine import RayEngine

        return RayEngine(jobs, address)
    from resnet_dsl.lab.study.local import LocalEngine

    return LocalEngine(jobs or 1)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _name(planned: Plan) -> str:
    """The folder's name: what sets apart the runs of one study, but for seeds, which only add to each other."""
    c = planned.choice
    parts = [planned.study.name, *([c.setting] if c.setting != "usual" else [])]
    parts += [planned.data] if planned.data != next(iter(planned.study.data)) else []
    parts += [f"{c.steps}-steps"] if c.steps else []
    parts += [f"{c.limit_train}-images"] if c.limit_train else []
    return "-".join(parts)


def _command(study: str, choice: Choice) -> str:
    """The command that gives the same numbers, without the folders of this machine."""
    parts = ["resnet-dsl", "study", Path(study).name if os.sep in study else study]
    parts += [f"--{choice.setting}"] if choice.setting != "usual" else []
    given = {"data": choice.data, "seeds": choice.seeds, "steps": choice.steps, "limit-train": choice.limit_train}
    for key, value in given.items():
        parts += [f"--{key}", str(value)] if value is not None else []
    return shlex.join([*parts, *(["--device", choice.device] if choice.device != "cpu" else [])])
