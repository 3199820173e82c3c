"""`resnet-dsl fmt`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from resnet_dsl.cli.options import QuietOption
from resnet_dsl.cli.output import complain, show
from resnet_dsl.diagnostics import SpecError, quote, refuse, visible
from resnet_dsl.files import write_atomic
from resnet_dsl.language.extends import is_path
from resnet_dsl.language.files import read_file, read_stdin
from resnet_dsl.language.format import format_document


def command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Specs' paths; - reads standard input and writes standard output.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; print the files that are not in normal form, and exit 1 if there are any.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Bring specs into their normal form: order of keys, spacing, quotes. Comments stay, and the network stays what it is.

    Keys stand in the order of the language's page; what was written in braces stays in braces where it fits in 100 columns.
    """
    changed, refused = False, []
    for name in files:
        try:
            changed |= _one(name, check, diff, quiet)
        except SpecError as e:
            complain(e)
            refused.append(e.exit_code)
    if refused:
        raise typer.Exit(2 if 2 in refused else refused[0])
    if changed and check:
        raise typer.Exit(1)


def _one(name: str, check: bool, diff: bool, quiet: bool) -> bool:
    """Mend one file, or say what there is to mend; was there anything?"""
    if name != "-" and not is_path(name):
        raise refuse("not-a-file", f"{quote(name)} is a name, and fmt writes files", "give a path that ends in .yaml", at="FILE")
    source = read_stdin() if name == "-" else read_file(name)
    text = format_document(source)
    # As bytes: a source has lost the byte order mark.
    changed = source.text != text if name == "-" else Path(name).read_bytes() != text.encode()
    if diff:
        before, after = source.text.splitlines(), text.splitlines()
        show("".join(f"{line}\n" for line in difflib.unified_diff(before, after, visible(name), visible(name), lineterm="")))
    elif check:
        show(f"{visible(name)}\n" if changed and not quiet else "")
    elif name == "-":
        show(text)
    else:
        if changed:
            path = Path(name).resolve()
            mode = path.stat().st_mode
            write_atomic(path, text.encode())
            path.chmod(mode)
        if not quiet:
            show(f"{'formatted' if changed else 'ok'} {visible(name)}\n")
    return changed
