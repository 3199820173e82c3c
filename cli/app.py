"""The program: its table of commands, and the one place where an error becomes an exit code.

Exit codes: 0 done; 1 the run or a requested comparison failed; 2 a mistake in the spec or the request; 3 the
environment; 70 a bug in resnet-dsl; 75 interrupted and resumable; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any

import typer

from resnet_dsl.cli import groups
from resnet_dsl.cli.quick import quicken
from resnet_dsl.version import __version__

ENVIRONMENT, BUG, INTERRUPTED = 3, 70, 130


@dataclass(frozen=True, slots=True)
class Command:
    """A row: `resnet_dsl.cli.<name>` holds the function `command`; its help ends with the examples, which tests run.

    A name that is a word of Python has a `_` after it there (`import_`). Where it `has_commands` of its own, the module holds
    `commands(row)`, which makes the group of them.
    """

    name: str
    section: str
    summary: str
    examples: tuple[str, ...]
    has_commands: bool = False


COMMANDS = (
    Command("check", "Understand a network", "validate specs and test what they expect", (
        "resnet-dsl check resnet50",
        "resnet-dsl check resnet34 --set shortcut=C",
    )),
    Command("inspect", "Understand a network", "parameters, multiply-accumulates, depth and shapes", (
        "resnet-dsl inspect resnet50",
        "resnet-dsl inspect resnet50 --by op --format csv",
        "resnet-dsl inspect resnet50 --memory --batch 32 --precision bf16",
    )),
    Command("compare", "Understand a network", "networks side by side, with ratios to the first", (
        "resnet-dsl compare resnet34 --vary shortcut=none,A,B,C",
        "resnet-dsl compare resnet18 resnet34 resnet50 --by stage",
    )),
    Command("diff", "Understand a network", "what changed between two networks, and whether weights fit", (
        "resnet-dsl diff resnet50 resnet101",
        "resnet-dsl diff resnet34 resnet34 --set-b shortcut=C",
    )),
    Command("draw", "Understand a network", "a picture, or a page for the browser", (
        "resnet-dsl draw resnet50 -o resnet50.svg",
        "resnet-dsl draw plain34 resnet34 -o twins.html",
    )),
    Command("paths", "Understand a network", "how many paths there are, how long, and where all of them meet", (
        "resnet-dsl paths plain56 resnet56",
        "resnet-dsl paths resnet50 --by cut",
    )),
    Command("fit", "Understand a network", "scale a network to a budget", (
        "resnet-dsl fit resnet50 --params 5M",
        "resnet-dsl fit resnet18 --like resnet34 --over width,depth",
    )),
    Command("lint", "Understand a network", "what is legal and still deserves a second look", (
        "resnet-dsl lint resnet50",
    )),
    Command("emit", "Use a network", "the network as one readable PyTorch file", (
        "resnet-dsl emit resnet18 -o resnet18.py",
    )),
    Command("export", "Use a network", "ONNX, torch.export or safetensors, for other programs", (
        "resnet-dsl export resnet20 -o resnet20.onnx",
        "resnet-dsl export resnet20 --fold-bn -o resnet20.safetensors",
    )),
    Command("import", "Use a network", "the spec of a weights file's network", (
        "resnet-dsl import model.safetensors -o mine.yaml",
        "resnet-dsl import model.pth --input 3x128x128",
    )),
    Command("train", "Use a network", "train on a data set, into a run folder", (
        "resnet-dsl train resnet20-digits --data digits --epochs 1",
    )),
    Command("evaluate", "Use a network", "test accuracy of a run, or of a spec with weights", (
        "resnet-dsl evaluate runs/resnet20-digits-001",
    )),
    Command("predict", "Use a network", "the classes of pictures, from a run or a spec with weights", (
        "resnet-dsl predict runs/mine-001 photo.png pictures/",
    )),
    Command("weights", "Use a network", "how a weights file fits a network, tensor by tensor", (
        "resnet-dsl weights resnet18 resnet18.pth",
        "resnet-dsl weights densenet121 densenet121.pth --format csv",
    )),
    Command("transfer", "Use a network", "begin a network with the weights of another, or grow it", (
        "resnet-dsl transfer resnet50 resnet50d",
        "resnet-dsl transfer resnet20 resnet56 --grow",
    )),
    Command("runs", "Use a network", "list runs, and compare their curves", (
        "resnet-dsl runs",
        "resnet-dsl runs runs/first runs/second -o curves.svg",
    )),
    Command("report", "Use a network", "a page about runs: curves, confusion matrix, samples", (
        "resnet-dsl report runs/first -o report.html",
        "resnet-dsl report runs/first runs/second -o report.html --no-predictions",
    )),
    Command("bench", "Use a network", "images per second and memory, against the plain module", (
        "resnet-dsl bench resnet20 --batch 64 --seconds 2",
    )),
    Command("demo", "Use a network", "train a residual network and its plain twin, and compare them", (
        "resnet-dsl demo",
    )),
    Command("probe", "Experiment", "look inside one network: signals, gradients, shortcuts", (
        "resnet-dsl probe gradients resnet20-digits --steps 0,1,3",
        "resnet-dsl probe signals resnet20-digits",
    ), has_commands=True),
    Command("study", "Experiment", "networks compared by many runs, and a verdict on a claim", (
        "resnet-dsl study degradation --quick",
        "resnet-dsl study null --quick --steps 20 -o dots.svg",
    )),
    Command("new", "Find your way", "a commented spec to start from", (
        "resnet-dsl new mynet",
        "resnet-dsl new wide --like resnet20",
    )),
    Command("list", "Find your way", "what is shipped: specs, blocks, shortcuts, steps, recipes, data sets, studies", (
        "resnet-dsl list",
        "resnet-dsl list shortcuts",
    )),
    Command("fmt", "Find your way", "bring specs into their normal form, keeping comments", (
        "resnet-dsl fmt mynet.yaml",
        "resnet-dsl fmt mynet.yaml --check --diff",
    )),
    Command("schema", "Find your way", "the JSON Schema of specs, for your editor", (
        "resnet-dsl schema -o resnet-dsl.schema.json",
    )),
    Command("explain", "Find your way", "what an error code means, with an example", (
        "resnet-dsl explain unknown-name",
    )),
    Command("doctor", "Find your way", "versions, devices and data found, for a bug report", (
        "resnet-dsl doctor",
    )),
)  # fmt: skip
"""Every command, in the order of the help."""


def _sections() -> dict[str, list[Command]]:
    headings = dict.fromkeys(row.section for row in COMMANDS)
    return {heading: [row for row in COMMANDS if row.section == heading] for heading in headings}


class Commands(groups.Group):
    """Every command; its module is imported when it is called."""

    sections = _sections()

    @staticmethod
    def build(row: Command) -> Any:
        """The command of a row."""
        module = import_module(f"resnet_dsl.cli.{row.name}{'_' if iskeyword(row.name) else ''}")
        return module.commands(row) if row.has_commands else groups.command(row, module.command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"resnet-dsl {__version__}")
        raise typer.Exit


_EXAMPLES = "\b\nExamples:\n  resnet-dsl inspect resnet50\n  resnet-dsl compare resnet34 --vary shortcut=none,A,B,C"

# Plain help: the same on a terminal, in a pipe and in a test, and nothing to import for it.
app = typer.Typer(
    cls=Commands, name="resnet-dsl", rich_markup_mode=None, invoke_without_command=True, context_settings=groups.CONTEXT, epilog=_EXAMPLES
)


@app.callback()
def root(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Describe a residual network in a few lines of YAML; check it, count it, draw it, compare it, train it."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv` without one) and return its exit code."""
    # pydantic would look for plug-ins in every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return quicken(typer.main.get_command(app)).main(args, prog_name="resnet-dsl", standalone_mode=False) or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as e:  # noqa: BLE001 - the one edge where a bug of ours becomes an exit code
        message, exit_code = _told(e, sys.argv[1:] if args is None else args)
        typer.echo(message, err=True)
        return exit_code


def _told(e: Exception, args: Sequence[str]) -> tuple[str, int]:
    """What is said of an error, and the exit code. What says it is imported now: most command lines go well."""
    from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render

    match e:
        case SpecError():
            return render(e.diagnostics, COMMAND_LINE), e.exit_code
        case typer.TyperException():
            from resnet_dsl.cli.mistakes import usage

            return usage(e, args), e.exit_code
        case OSError():
            return f"resnet-dsl: error[environment]: {e.strerror or e}{f': {e.filename}' if e.filename else ''}", ENVIRONMENT
    return _bug(e), BUG


def _bug(e: Exception) -> str:
    import traceback

    if os.environ.get("RESNET_DSL_DEBUG"):
        return "".join(traceback.format_exception(e)).rstrip()
    at = traceback.extract_tb(e.__traceback__)[-1]
    return (
        f"resnet-dsl: error[bug]: this is a bug in resnet-dsl, not in what you wrote: {type(e).__name__}: {e}\n"
        f"  note: {os.path.basename(at.filename)}:{at.lineno} in {at.name}\n"
        "  help: please report it with the command, the spec and the output of `resnet-dsl doctor`;\n"
        "        RESNET_DSL_DEBUG=1 in the environment shows the whole traceback"
    )
