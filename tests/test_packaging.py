"""What is given out: the checkout works as it lies, the source distribution holds no links, the wheel has one package and works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from resnet_dsl.version import __version__

ROOT = Path(__file__).parent.parent
FOLDERS = {"resnet_dsl": "resnet_dsl", "cli": "resnet_dsl/cli", "specs": "resnet_dsl/specs", "studies": "resnet_dsl/studies"}
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, f'build_{sys.argv[1]}')(sys.argv[2])"
WORKS = "import resnet_dsl as rd; print(rd.__file__); print(rd.load('resnet50').name); rd.inspect(rd.compile(rd.load('plain20-digits')))"

# Every module, spec, library file and data set, by its path in the package.
FILES = {
    f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
    for folder, inside in FOLDERS.items()
    for path in (ROOT / folder).rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}


def build(what: str, source: Path, out: Path) -> Path:
    subprocess.run([sys.executable, "-c", BUILD, what, out], cwd=source, check=True, capture_output=True)
    (path,) = out.iterdir()
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `git clone` gives of it: links are links."""
    source = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def unpacked(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked elsewhere."""
    path = build("sdist", checkout, tmp_path_factory.mktemp("sdist"))
    assert path.name == f"resnet_dsl-{__version__}.tar.gz"
    out = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(path) as tar:
        assert [m.name for m in tar if not (m.isfile() or m.isdir())] == []
        tar.extractall(out, filter="data")
    return out / path.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as an installer builds it: from the source distribution."""
    path = build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))
    assert path.name == f"resnet_dsl-{__version__}-py3-none-any.whl"
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", out, wheel]
    subprocess.run(command, check=True, capture_output=True)
    return out


def run(place: Path, command: list[str], cwd: Path) -> str:
    """What a command prints that finds the package in `place`."""
    # What is compared afterwards is what was packed, not what Python caches there.
    env = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("kind", ["checkout", "unpacked", "installed"])
def test_it_works_from_where_it_lies(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(kind)
    assert run(place, [sys.executable, "-c", WORKS], tmp_path) == f"{place}/resnet_dsl/__init__.py\nresnet50\n"
    assert run(place, [sys.executable, "-m", "resnet_dsl", "--version"], tmp_path) == f"resnet-dsl {__version__}\n"


def test_the_program_is_installed(installed: Path, tmp_path: Path) -> None:
    assert "25,557,032" in run(installed, [str(installed / "bin" / "resnet-dsl"), "inspect", "resnet50"], tmp_path)


def test_the_source_distribution_holds_everything(unpacked: Path) -> None:
    package = {p.relative_to(unpacked).as_posix() for p in (unpacked / "resnet_dsl").rglob("*") if p.is_file()}
    assert package == FILES


def test_the_wheel_holds_everything_in_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as z:
        about = {name for name in z.namelist() if name.startswith(f"resnet_dsl-{__version__}.dist-info/")}
        assert set(z.namelist()) - about == FILES
        assert {"LICENSE"} <= {name.rpartition("/")[2] for name in about}
        described = Parser().parsestr(z.read(f"resnet_dsl-{__version__}.dist-info/METADATA").decode())
    assert described["Description-Content-Type"] == "text/markdown"
    needed = [line for line in described.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not any(line.startswith(("torch", "numpy", "safetensors")) for line in needed)
