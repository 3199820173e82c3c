"""What a wheel holds: every module, spec, library file and data set, and nothing at the top but `resnet_dsl`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from resnet_dsl.version import __version__

ROOT = Path(__file__).parent.parent
FOLDERS = {"resnet_dsl": "resnet_dsl", "cli": "resnet_dsl/cli", "specs": "resnet_dsl/specs", "studies": "resnet_dsl/studies"}
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, out], cwd=source, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    assert path.name == f"resnet_dsl-{__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


def test_everything_is_in_it(wheel: zipfile.ZipFile) -> None:
    files = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == files


def test_it_runs_from_there(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import resnet_dsl.cli.app as app; from resnet_dsl.language import load;"
        "assert app.__file__.startswith(sys.argv[1]), app.__file__; print(load('plain20-digits').name)"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path += {sys.path!r}; {program}", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("plain20-digits\n", "")
