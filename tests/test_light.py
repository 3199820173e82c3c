"""A light installation: what needs no torch works where no extra is installed, and what needs one names the line to type."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from test_imports import FREE, ROOT, RUNS, TORCH, weights_without_numpy

from resnet_dsl.extras import EXTRAS

BLOCKED = Path(__file__).parent / "blocked.py"
TYPE = "resnet-dsl: error[extra-missing]: this needs torch, numpy and safetensors, which are not installed\n  help: pip install 'resnet-dsl[torch]'\n"


def blocked(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A process in which no extra can be imported."""
    command = [sys.executable, str(BLOCKED), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def test_what_needs_no_torch_works_without_any_extra(tmp_path: Path) -> None:
    weights_without_numpy(tmp_path)
    program = (
        f"from resnet_dsl.cli.app import main\nfor line in {FREE!r}:\n    code = main(line.split())\n    assert code == 0, (line, code)"
    )
    done = blocked("-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "train resnet20-digits",
        "train resnet20-digits --dry-run",
        "train --resume runs/x",
        "evaluate resnet20 --weights x.pth",
        f"evaluate {RUNS / 'residual-digits-001'}",
        "predict resnet20 x.png --weights x.pth",
        "export resnet20 -o a.onnx",
        "transfer resnet20 resnet56 --grow --weights x.pth -o a.safetensors",
        "bench resnet20",
        "demo",
        "probe signals resnet20-digits",
        "study null --quick",
    ],
)
def test_a_command_that_needs_torch_says_the_line_to_type(line: str, tmp_path: Path) -> None:
    done = blocked(*line.split(), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", TYPE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["build", "train"])
def test_python_is_told_the_same(verb: str, tmp_path: Path) -> None:
    program = (
        "import resnet_dsl as rd\n"
        "assert rd.inspect(rd.compile(rd.load('resnet50'))).params == 25557032\n"
        f"for _ in range(2):\n    try:\n        rd.{verb}('resnet20-digits')\n    except rd.SpecError as e:\n        print(e, e.exit_code)"
    )
    done = blocked("-c", program, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (2 * TYPE.replace("]'\n", "]' 3\n"), "")


@pytest.mark.parametrize("room", TORCH)
def test_every_room_that_computes_asks_for_torch(room: str, tmp_path: Path) -> None:
    done = blocked(
        "-c", f"import resnet_dsl.diagnostics as d\ntry:\n    import {room}\nexcept d.SpecError as e:\n    print(e)", cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == (TYPE, "")


def test_a_pdf_names_its_extra(tmp_path: Path) -> None:
    done = blocked("draw", "resnet18", "-o", "a.pdf", cwd=tmp_path)
    assert done.returncode == 3
    assert (
        done.stderr
        == "draw: error[extra-missing]: a PDF needs the package reportlab, which is not installed\n  help: pip install 'resnet-dsl[pdf]'; or write .svg\n"
    )


def test_the_table_of_extras_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        extra: [line for line in lines if not line.startswith("resnet-dsl[")] for extra, lines in project["optional-dependencies"].items()
    }
    for extra, modules in EXTRAS.items():
        names = [line.partition(">=")[0].lower() for line in wanted[extra]]
        assert names == [package.lower() for package in modules.values()]
    light = {line.partition(">=")[0].lower() for line in project["dependencies"]}
    assert not light & {package.lower() for modules in EXTRAS.values() for package in modules.values()}
