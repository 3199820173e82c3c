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

from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, refuse, render, speak
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
        typer.echo(speak(text, COMMAND_LINE), err=True)


def complain(error: SpecError) -> None:
    """What is refused, where a command goes on with the rest."""
    typer.echo(render(error.diagnostics, COMMAND_LINE), err=True)


def styled() -> bool:
    """May standard output carry terminal escapes?"""
    return bool(sys.stdout) and sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def write(path: str, text: str, *, overwrite: bool = True) -> None:
    """Text to a file, or to standard output for `-`. Raises SpecError: exit 3, or 2 where a file is in the way."""
    if path == "-":
        show(text)
        return
    try:
        with open(path, "w" if overwrite else "x", encoding="utf-8", newline="\n") as f:
            f.write(text)
    except FileExistsError:
        raise refuse("file-exists", f"{path} is there already", "choose another name, or delete it first", at="--out") from None
    except OSError as e:
        raise refuse(
            "output",
            f"cannot write {path}: {os.strerror(e.errno or 0)}",
            "check the folder, the disk and the permissions",
            at="--out",
            exit_code=3,
        ) from None
