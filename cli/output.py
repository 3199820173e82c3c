"""What reaches the terminal: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from typing import Any

import typer

from resnet_dsl.diagnostics import COMMAND_LINE, Argument, SpecError, clean, inline, refuse, render, speak
from resnet_dsl.files import write_output
from resnet_dsl.table import Answer, Format, Layout, Table


def show(text: str) -> None:
    """Results to standard output. A reader that has seen enough (`| head`) ends the command without a word."""
    try:
        typer.echo(speak(text, COMMAND_LINE), nl=False)
    except BrokenPipeError:
        # The interpreter flushes at its end; what is left must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None


def show_json(document: Any) -> None:
    """One JSON document; a list of numbers, such as a shape, stays on one line."""
    text = json.dumps(document, indent=2)
    show(re.sub(r"\[\n\s+(\d[\d,\s]*?)\n\s+\]", lambda m: f"[{' '.join(m[1].split())}]", text) + "\n")


def show_table(table: Table, format: Layout, *, quiet: bool = False) -> None:
    """A table in the format asked for; without its title and notes where `quiet`."""
    show((replace(table, title="", notes=()) if quiet else table).render(format, bold=styled(), width=shutil.get_terminal_size().columns))


def answer(found: Answer, format: Format, *, quiet: bool = False) -> None:
    """A value in the format asked for, as every command ends; without titles and notes where `quiet`."""
    if format == "json":
        show_json(found.to_dict())
    else:
        show(found.render(format, bold=styled(), width=shutil.get_terminal_size().columns, quiet=quiet))


def note(text: str, *, quiet: bool = False) -> None:
    """A message for the person at the terminal."""
    if not quiet:
        typer.echo(clean(speak(text, COMMAND_LINE)), err=True)


def complain(error: SpecError) -> None:
    """Print what is refused, where a command continues with the rest."""
    typer.echo(render(error.diagnostics, COMMAND_LINE), err=True)


def styled() -> bool:
    """May standard output carry terminal escapes?"""
    return bool(sys.stdout) and sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(path: str, text: str, *endings: str, overwrite: bool = True, at: str = "out") -> None:
    """Text to a file that ends in one of `endings`, or to standard output for `-`. Raises SpecError: exit 2 or 3."""
    if path == "-":
        show(text)
        return
    check_ending(path, *endings, at=at)
    write_output(path, text, at=Argument(at), overwrite=overwrite)


def check_ending(path: str | None, *endings: str, at: str = "out") -> None:
    """Refuse a file's name with another ending than the command's own, which is a mistake, and may be a spec's."""
    if path is None or path == "-" or not endings or os.path.isdir(path):
        return
    if not path.lower().endswith(endings):
        help = f"name a file that ends in {' or '.join(endings)}"
        raise refuse("usage", f"{inline(path)} does not end in {endings[0]}", help, at=Argument(at))


def wrote(path: str | os.PathLike[str], more: str = "", *, quiet: bool = False) -> None:
    """Say that a file was written."""
    note(f"wrote {inline(os.fspath(path))}{more}", quiet=quiet)
