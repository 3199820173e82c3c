"""`resnet-dsl doctor`."""

from __future__ import annotations

import locale
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from resnet_dsl.cli import line
from resnet_dsl.cli.output import show
from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.datasets.search import cache, find
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.extras import EXTRAS, is_installed
from resnet_dsl.pictures.drawing.engine import render
from resnet_dsl.version import __version__


def command() -> None:
    """Print versions, devices, the data that was found, engines and write permissions, as a block for a bug report.

    Exit code 3 where a package that resnet-dsl needs is missing; the packages of extras may be missing.
    """
    packages = dict(_packages())
    lines = [
        ("resnet-dsl", __version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
        *packages.items(),
        *(("extra", found) for found in _extras()),
        *_devices(),
        *(("data", f"{name}: {where}") for name, where in _data()),
        ("drawing", _drawing()),
        *_writable(),
        ("terminal", f"{os.environ.get('TERM', 'none')}, output in {sys.stdout.encoding}, locale {locale.getlocale()[0] or 'C'}"),
    ]
    width = max(len(key) for key, _ in lines)
    show("".join(f"{key:<{width}}  {value}\n" for key, value in lines))
    if "missing" in packages.values():
        raise line.Exit(3)


def _packages() -> Iterator[tuple[str, str]]:
    """What we depend on, extras left out, by the package's own metadata."""
    for needed in requires("resnet-dsl") or ():
        if "extra ==" not in needed:
            name = needed.partition(";")[0].rstrip("0123456789.,<>=!~ ")
            yield name, _installed(name)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _extras() -> Iterator[str]:
    """What each extra brings and what of it is here."""
    for extra, modules in EXTRAS.items():
        found = [f"{package} {_installed(package)}" for package in modules.values()]
        missing = any(one.endswith(" missing") for one in found)
        yield f"{extra}: {', '.join(found)}" + (f"; pip install 'resnet-dsl[{extra}]'" if missing else "")


def _devices() -> Iterator[tuple[str, str]]:
    if not is_installed("torch"):
        yield "device", "none without torch"
        return
    try:
        import torch
    except (ImportError, OSError) as e:
        yield "device", f"torch cannot be imported: {e}"
        return
    yield (
        "device",
        f"cpu: {platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads",
    )
    for i in range(torch.cuda.device_count()):
        yield "device", f"cuda:{i}: {torch.cuda.get_device_name(i)}, CUDA {torch.version.cuda}"
    if torch.backends.mps.is_available():
        yield "device", "mps"


def _drawing() -> str:
    try:
        return f"the bundled engine works ({len(render('digraph {a -> b}', 'svg')):,} bytes of SVG)"
    except SpecError as e:
        return "; ".join(d.message for d in e.diagnostics)


def _data() -> Iterator[tuple[str, str]]:
    for name, source in SOURCES.items():
        if source.layouts:
            try:
                yield name, str(find(source, None).folder)
            except SpecError:
                yield name, "not found"


def _writable() -> Iterator[tuple[str, str]]:
    home = cache()
    for what, folder in (("this folder", Path.cwd()), *([("cache", home)] if home is not None else [])):
        yield "writable", f"{what}: {'yes' if _may_write(folder) else 'no'} ({folder})"


def _may_write(folder: Path) -> bool:
    """May a file be made there, or the folder itself where it is not there yet?"""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
