"""The arguments and options that commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from resnet_dsl.datasets.naming import METAVAR
from resnet_dsl.diagnostics import Argument, inline, refuse
from resnet_dsl.pictures.drawing.theme import ThemeName
from resnet_dsl.table import Format


def complete_spec(incomplete: str) -> list[str]:
    """Shipped specs for the shell; files are completed by the shell itself where no name fits."""
    from resnet_dsl.language.files import aliases, shipped_specs

    return [name for name in (*shipped_specs(), *aliases()) if name.startswith(incomplete)]


_SPEC = "a path, - for standard input, or a shipped spec's name"

SpecArgument = Annotated[
    str, typer.Argument(metavar="SPEC", help=f"{_SPEC.capitalize()}.", autocompletion=complete_spec, show_default=False)
]
SpecArguments = Annotated[
    list[str], typer.Argument(metavar="SPEC...", help=f"Each {_SPEC}.", autocompletion=complete_spec, show_default=False)
]
TrainedArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN|SPEC",
        help="A run's folder, a spec together with --weights, or a .safetensors file that holds its spec.",
        autocompletion=complete_spec,
        show_default=False,
    ),
]


def data_option(help: str) -> Any:
    """`--data`, whose default every command has its own words for."""
    return typer.Option("--data", "-d", metavar=METAVAR, help=help, show_default=False)


def seed_option(help: str, least: int | None = 0) -> Any:
    """`--seed`; `help` says of what."""
    return typer.Option("--seed", min=least, metavar="N", help=help, show_default=False)


def weights_option(help: str) -> Any:
    """`--weights`; `help` says of what."""
    return typer.Option("--weights", "-w", metavar="FILE", help=help, show_default=False)


def precision_option(help: str) -> Any:
    """`--precision`; `help` says what it is where it is left out."""
    return typer.Option("--precision", metavar="|".join(get_args(Precision)), help=help, show_default=False)


def svg_option(help: str, *names: str) -> Any:
    """A plot's file, `--out` unless it has other names."""
    return typer.Option(*(names or ("--out", "-o")), metavar="FILE.svg", help=help, show_default=False)


def check_svg(path: str | None, what: str, at: str = "out") -> None:
    """Refuse another ending than .svg; `what` is said of the plot: `curves are drawn`."""
    if path is not None and not path.endswith(".svg"):
        raise refuse("usage", f"{what} as SVG, not as {inline(path)}", "name a file that ends in .svg", at=Argument(at))


PrefixOption = Annotated[
    str | None,
    typer.Option(
        "--prefix", metavar="PREFIX", help="What stands before the network's names, where the file holds several.", show_default=False
    ),
]
HeadOption = Annotated[
    Literal["new"] | None,
    typer.Option("--head", metavar="new", help="The layer that gives the classes is new; the rest is the file's.", show_default=False),
]
FirstConvOption = Annotated[
    Literal["sum"] | None,
    typer.Option(
        "--first-conv",
        metavar="sum",
        help="For other input channels: sum the kernels for one, repeat and scale them for more.",
        show_default=False,
    ),
]
NormalisationOption = Annotated[
    Literal["imagenet"] | None,
    typer.Option(
        "--normalisation", metavar="imagenet", help="Mean and deviation of the pixels; default: those of the weights.", show_default=False
    ),
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        "--mean", metavar="X,...", help="A mean for each channel: of 0 to 1, or of 0 to 255 where one is above 1.", show_default=False
    ),
]
StdOption = Annotated[
    str | None, typer.Option("--std", metavar="X,...", help="A deviation for each channel, as the mean.", show_default=False)
]
ClassesOption = Annotated[
    Path | None,
    typer.Option(
        "--classes", metavar="FILE", help="Names of the classes, one a line; default: those in the file, else numbers.", show_default=False
    ),
]
ResizeOption = Annotated[
    int | None,
    typer.Option(
        "--resize", min=1, metavar="SIDE", show_default=False,
        help="Scale the shorter side of picture files to this, then cut out the middle; default: by the weights.",
    ),
]  # fmt: skip


def given(quiet: bool, **options: Any) -> Any:
    """The keywords beside `weights=` that were given, and where to say what was done."""
    from resnet_dsl.cli.output import note

    return {name: value for name, value in options.items() if value is not None} | {"tell": lambda text: note(text, quiet=quiet)}


Precision = Literal["auto", "fp32", "bf16"]
WeightsOption = Annotated[Path | None, weights_option("Weights for a spec: a .safetensors or .pth file.")]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="KEY", help="Where in the file the weights are, of several state_dicts: state_dict_ema.", show_default=False
    ),
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Where the data is; default: as in training.", show_default=False)
]
DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to compute.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Set a key before validation (repeatable): shortcut=C, params.k=4, stages.layer3.depth=23.",
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", "-f", help="How the result is written.", metavar="table|json|csv|markdown|latex")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only results and errors: no titles, notes or messages.", show_default=False)
]
OutputsOption = Annotated[
    str | None,
    typer.Option(
        "--outputs",
        metavar="NAME,...",
        help="Give these values in place of the classes, without the layers that they do not need: layer2,layer3,layer4.",
        show_default=False,
    ),
]
PrecisionOption = Annotated[Precision | None, precision_option("Of the arithmetic; auto goes by the device.")]
CompileOption = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Train with torch.compile, or not; default: where it saves time.", show_default=False),
]
PlanOption = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="PART=VALUE,...|RUN",
        help="Fix parts of the device plan: precision=bf16,layout=channels_last,compile=no,fused=yes,data=device,threads=2; "
        "or take a run's whole plan.",
        show_default=False,
    ),
]
OutOption = Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="Where to write; - is standard output.")]
ThemeOption = Annotated[ThemeName, typer.Option(metavar="light|dark|print", help="Colours of a picture or page; print is for paper.")]
