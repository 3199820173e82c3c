"""The program: its table of commands, and the one place where an error becomes an exit code.

Exit codes: 0 done; 1 the run or a requested comparison failed; 2 a mistake in the spec or the request; 3 the
environment; 70 a bug of ours; 75 interrupted and resumable; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from resnet_dsl.diagnostics import SpecError, did_you_mean, quote
from resnet_dsl.version import __version__

ENVIRONMENT, BUG, INTERRUPTED = 3, 70, 130


@dataclass(frozen=True, slots=True)
class Command:
    """A row: `resnet_dsl.cli.<name>` holds the function `command`; its help ends with the examples, which tests run."""

    name: str
    section: str
    summary: str
    examples: tuple[str, ...]


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
    Command("train", "Use a network", "train on a data set, into a run folder", (
        "resnet-dsl train resnet20-digits --data digits --epochs 1",
    )),
    Command("evaluate", "Use a network", "test accuracy of a run, or of a spec with weights", (
        "resnet-dsl evaluate runs/resnet20-digits-001",
    )),
    Command("predict", "Use a network", "the classes of pictures, from a run or a spec with weights", (
        "resnet-dsl predict runs/mine-001 photo.png pictures/",
    )),
    Command("runs", "Use a network", "list runs, and compare their curves", (
        "resnet-dsl runs",
        "resnet-dsl runs runs/first runs/second -o curves.svg",
    )),
    Command("report", "Use a network", "a page about runs: curves, confusion matrix, samples", (
        "resnet-dsl report runs/first -o report.html",
        "resnet-dsl report runs/first runs/second -o report.html --no-predictions",
    )),
    Command("bench", "Use a network", "images a second and memory, against the plain module", (
        "resnet-dsl bench resnet20 --batch 64 --seconds 2",
    )),
    Command("demo", "Use a network", "train a residual network and its plain twin, and compare them", (
        "resnet-dsl demo",
    )),
    Command("new", "Find your way", "a commented spec to start from", (
        "resnet-dsl new mynet",
        "resnet-dsl new wide --like resnet20",
    )),
    Command("list", "Find your way", "what is shipped: specs, blocks, shortcuts, steps, recipes, data sets", (
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

_ROWS = {row.name: row for row in COMMANDS}
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(TyperGroup):
    """Commands out of the table; a command's module is imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the table's order."""
        return list(_ROWS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a row, or None."""
        return _build(_ROWS[cmd_name]) if cmd_name in _ROWS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names."""
        if args[0] not in _ROWS and not ctx.resilient_parsing:
            ctx.fail(f"there is no command {quote(args[0])}: {did_you_mean(args[0], _ROWS, what='a command')}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """One section for each group of rows, without importing what they call."""
        for section in dict.fromkeys(row.section for row in COMMANDS):
            with formatter.section(section):
                formatter.write_dl([(row.name, row.summary) for row in COMMANDS if row.section == section])


def _build(row: Command) -> Any:
    command = import_module(f"resnet_dsl.cli.{row.name}").command
    word = "Example" if len(row.examples) == 1 else "Examples"
    epilog = "\b\n" + "\n".join([f"{word}:", *(f"  {e}" for e in row.examples)])
    one = typer.Typer(add_completion=False, rich_markup_mode=None)
    one.command(row.name, epilog=epilog, short_help=row.summary, context_settings=_CONTEXT)(command)
    return typer.main.get_command(one)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"resnet-dsl {__version__}")
        raise typer.Exit


_EXAMPLES = "\b\nExamples:\n  resnet-dsl inspect resnet50\n  resnet-dsl compare resnet34 --vary shortcut=none,A,B,C"

# Plain help: the same on a terminal, in a pipe and in a test, and nothing to import for it.
app = typer.Typer(
    cls=Commands, name="resnet-dsl", rich_markup_mode=None, invoke_without_command=True, context_settings=_CONTEXT, epilog=_EXAMPLES
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return typer.main.get_command(app).main(args, prog_name="resnet-dsl", standalone_mode=False) or 0
    except SpecError as e:
        return _fail(str(e), e.exit_code)
    except typer.TyperException as e:
        return _fail(_usage(e), e.exit_code)
    except OSError as e:
        return _fail(f"resnet-dsl: error[environment]: {e.strerror or e}{f': {e.filename}' if e.filename else ''}", ENVIRONMENT)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as e:  # noqa: BLE001 - the one edge where a bug of ours becomes an exit code
        return _fail(_bug(e), BUG)


def _fail(message: str, exit_code: int) -> int:
    typer.echo(message, err=True)
    return exit_code


def _usage(e: typer.TyperException) -> str:
    """A mistake in the command line, in the form of all other errors."""
    context = getattr(e, "ctx", None)
    command = context.command_path if context is not None else "resnet-dsl"
    message = e.format_message().replace("Value error, ", "").rstrip(".")
    return f"{command}: error[usage]: {message[:1].lower()}{message[1:]}\n  help: `{command} --help` shows the options"


def _bug(e: Exception) -> str:
    if os.environ.get("RESNET_DSL_DEBUG"):
        return "".join(traceback.format_exception(e)).rstrip()
    at = traceback.extract_tb(e.__traceback__)[-1]
    return (
        f"resnet-dsl: error[bug]: this is a bug in resnet-dsl, not in what you wrote: {type(e).__name__}: {e}\n"
        f"  note: {os.path.basename(at.filename)}:{at.lineno} in {at.name}\n"
        "  help: please report it with the command, the spec and the output of `resnet-dsl doctor`;\n"
        "        RESNET_DSL_DEBUG=1 in the environment shows the whole traceback"
    )
