"""What a bug report should say of a machine: versions, devices, data, engines and write permissions."""

from __future__ import annotations

import locale
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from resnet_dsl.datasets.catalog import SOURCES
from resnet_dsl.datasets.search import cache, find
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.extras import EXTRAS, is_installed
from resnet_dsl.pictures.drawing.engine import render
from resnet_dsl.version import __version__

MISSING = "missing"
"""What is said of a package that resnet-dsl needs and that is not installed."""


def doctor() -> list[tuple[str, str]]:
    """What there is, as pairs of a heading and a line; a heading may occur more than once."""
    return [
        ("resnet-dsl", __version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("platform", platform.platform()),
        *_packages(),
        *(("extra", found) for found in _extras()),
        *_devices(),
        *(("data", f"{name}: {where}") for name, where in _data()),
        ("drawing", _drawing()),
        *_writable(),
        ("terminal", f"{os.environ.get('TERM', 'none')}, output in {sys.stdout.encoding}, locale {locale.getlocale()[0] or 'C'}"),
    ]


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
        return MISSING


def _extras() -> Iterator[str]:
    """What each extra brings and what of it is here."""
    for extra, modules in EXTRAS.items():
        found = [f"{package} {_installed(package)}" for package in modules.values()]
        missing = any(one.endswith(f" {MISSING}") for one in found)
        yield f"{extra}: {', '.join(found)}" + (f"; pip install 'resnet-dsl[{extra}]'" if missing else "")


def _devices() -> Iterator[tuple[str, str]]:
    if not is_installed("torch"):
        yield "device", "none without torch"
        return
    try:
        from resnet_dsl.training.device.device import described
    except (ImportError, OSError, SpecError) as e:
        yield "device", f"torch cannot be imported: {e}"
        return
    yield from (("device", text) for text in described())


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
