"""`resnet-dsl probe`: a command for each row of the lab's table of probes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

import resnet_dsl as rd
from resnet_dsl.cli import groups
from resnet_dsl.cli.options import (
    FormatOption,
    KeyOption,
    PrefixOption,
    QuietOption,
    SetOption,
    check_svg,
    complete_spec,
    data_option,
    seed_option,
    svg_option,
    weights_option,
)
from resnet_dsl.cli.output import answer, complain, write, wrote
from resnet_dsl.diagnostics import quote, refuse
from resnet_dsl.verbs.lab import DATA, PROBES, Assertion, Finding, Option, Probe, failures

_ABOUT = """Look inside one network: at its initial weights, at those of a run or a file, or at steps of a training.

Each probe gives a table, named figures that --assert can test, JSON and a plot. The same command gives the same numbers for the same torch build and number of threads."""


def commands(row: groups.Row) -> Any:
    """`resnet-dsl probe` with its commands."""
    return groups.group(row, Probes, _ABOUT)


def _of_network(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SPEC|RUN",
            help="A path, - for standard input, a shipped spec's name, or a run's folder.",
            autocompletion=complete_spec,
            show_default=False,
        ),
    ],
    steps: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...", help="Look after these numbers of training steps; default: at the weights as they are.", show_default=False
        ),
    ] = None,
    data: Annotated[
        str | None,
        data_option(f"{DATA}, or noise; default: the run's own, else one that fits the spec and is here, else noise."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the data is, if not in the usual places.", show_default=False)
    ] = None,
    images: Annotated[int, typer.Option("--images", "-n", min=2, max=100_000, metavar="N", help="Training images to look at.")] = 64,
    seed: Annotated[int | None, seed_option("Seed of initial weights, images and directions; default: the recipe's.")] = None,
    overrides: SetOption = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", metavar="NAME|FILE", help="How --steps train; see list recipes.", show_default=False)
    ] = None,
    weights: Annotated[Path | None, weights_option("Weights for a spec: a .safetensors or .pth file, or a run.")] = None,
    key: KeyOption = None,
    prefix: PrefixOption = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute, in fp32.")] = "auto",
) -> None:
    """What every probe of a network is asked."""


def _of_specs(
    specs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SPEC...]", help="Each a path or a shipped spec's name.", autocompletion=complete_spec, show_default=False),
    ] = None,
    overrides: SetOption = None,
) -> None:
    """What a probe of specs is asked."""


def _shown(
    assertions: Annotated[
        list[str] | None,
        typer.Option(
            "--assert",
            metavar="EXPR",
            help="Exit 1 unless this holds for the figures (repeatable): 'loss < 3'.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[str | None, svg_option("Draw a plot into an SVG.")] = None,
    format: FormatOption = "table",
    quiet: QuietOption = False,
) -> None:
    """What is done with a finding."""


class Probes(groups.Group):
    """The probes, in the order of the table."""

    sections: ClassVar[Mapping[str, tuple[Probe, ...]]] = {"Probes": PROBES}
    what = "probe"

    @staticmethod
    def build(row: Probe) -> Any:
        """The command of a probe. Its signature, which the options are read from, is put together from the table."""
        asked = _parameters(_of_network if row.of == "network" else _of_specs)
        own = {o.name: _option(o) for o in row.options}
        if "images" in asked:
            asked["images"] = asked["images"].replace(default=row.images)
        places = [*asked.values(), *own.values(), *_parameters(_shown).values()]

        def command(**given: Any) -> None:
            _run(row, {k: given.pop(k) for k in own}, given)

        command.__doc__ = f"{row.about}\n\nFormula: {row.formula}\n\nSource: {row.source}"
        command.__annotations__ = {}
        command.__signature__ = inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in places])  # type: ignore[attr-defined]
        return groups.command(row, command)


def _parameters(function: Callable[..., None]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function, eval_str=True).parameters)


def _option(o: Option) -> inspect.Parameter:
    flag = f"--{o.name.replace('_', '-')}"
    kind: Any = Literal.__getitem__(o.choices) if o.choices else type(o.default)
    declared = typer.Option(flag, metavar=o.metavar or None, help=o.help, min=o.least)
    return inspect.Parameter(o.name, inspect.Parameter.KEYWORD_ONLY, default=o.default, annotation=Annotated[kind, declared])


def _run(row: Probe, own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    expected = [Assertion.read(text) for text in given["assertions"] or ()]
    out: str | None = given["out"]
    check_svg(out, "a plot is drawn")
    if out is not None and not row.plots:
        raise refuse("usage", f"{row.name} draws nothing", "leave out --out; its table says all", at="--out")
    finding = _find(row, own, given)
    answer(finding, given["format"], quiet=given["quiet"])
    if out is not None:
        drawn = finding.svg()
        if drawn is None:
            raise refuse("not-finite", "there is nothing to draw: no value is finite", "leave out --out", at="--out", exit_code=1)
        write(out, drawn)
        wrote(out, quiet=given["quiet"])
    failed = failures(expected, finding.figures)
    for failure in failed[:-1]:
        complain(failure)
    if failed:
        raise failed[-1]


def _find(row: Probe, own: Mapping[str, Any], given: Mapping[str, Any]) -> Finding:
    overrides = tuple(given["overrides"] or ())
    if row.of == "specs":
        return rd.probe(row.name, *(given["specs"] or ()), overrides=overrides, **own)
    same = {k: given[k] for k in ("data", "data_dir", "images", "seed", "recipe", "weights", "key", "prefix", "device", "quiet")}
    return rd.probe(row.name, given["target"], steps=_steps(given["steps"]), overrides=overrides, **same, **own)


def _steps(text: str | None) -> tuple[int, ...]:
    """`--steps` as numbers."""
    words = [w.strip() for w in text.split(",")] if text is not None else []
    if not all(w.isascii() and w.isdecimal() and len(w) < 10 for w in words):
        raise refuse("usage", f"{quote(text or '')} is not a list of steps", "write --steps 0,1,3,10, say", at="--steps")
    return tuple(map(int, words))
