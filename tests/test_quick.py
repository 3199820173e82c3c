"""What is taken without typer's converters is what they would have made of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from resnet_dsl.cli.app import COMMANDS, app
from resnet_dsl.cli.quick import plain, unsure

VALUES: tuple[Any, ...] = (
    None, (), [], "", "x", "3", "-3", "007", "+3", " 3", "1e3", "1_000", "٣", "99999999999999999999", "3.5", "nan", "table", "TABLE", "json",
    "stage", "auto", "~", ".", "/dev/null", "a\x00b", "no/such", ("a", "b"), ["a"], 1, 2.5, True,
)  # fmt: skip


@pytest.mark.parametrize("row", [row.name for row in COMMANDS if not row.has_commands])
def test_a_plain_value_is_what_typer_makes_of_it(row: str) -> None:
    program = typer.main.get_command(app)
    context = program.make_context("resnet-dsl", [], resilient_parsing=True)
    command = program.get_command(context, row)
    for param in command.params:
        for value in VALUES:
            found = plain(param, value)
            if not unsure(found):
                slow = param.get_runtime_param().coerce(value, param=param, ctx=context)
                assert (found, type(found)) == (slow, type(slow)), (param.name, value)


@pytest.mark.parametrize("line", ["inspect resnet50 --help", "--help", "list specs", "explain unknown-name"])
def test_a_good_line_loads_no_converter(line: str, tmp_path: Path) -> None:
    program = f"import sys; from resnet_dsl.cli.app import main; main({line.split()!r}); sys.exit('typer._adapters' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
