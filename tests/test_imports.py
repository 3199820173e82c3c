"""The architecture, held by two tests: who imports whom, and that nothing heavy is imported where it is not needed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate, pairwise
from math import prod
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNS = Path(__file__).parent / "data" / "runs"

# A line may import only from its own and the lines above it. The longest prefix of a module's name decides.
ORDER = (
    (
        "resnet_dsl.version",
        "resnet_dsl.diagnostics",
        "resnet_dsl.explanations",
        "resnet_dsl.extras",
        "resnet_dsl.filekinds",
        "resnet_dsl.files",
        "resnet_dsl.table",
        "resnet_dsl.specs",
        "resnet_dsl.studies",
    ),
    ("resnet_dsl.ops",),
    ("resnet_dsl.language", "resnet_dsl.datasets"),
    ("resnet_dsl.graph", "resnet_dsl.checkpoints"),
    ("resnet_dsl.analysis", "resnet_dsl.emission"),
    ("resnet_dsl.recovery", "resnet_dsl.records"),
    ("resnet_dsl.pictures",),
    ("resnet_dsl.runtime",),
    ("resnet_dsl.training",),
    ("resnet_dsl.using",),
    ("resnet_dsl.lab",),
    ("resnet_dsl.verbs",),
    ("resnet_dsl.cli",),
    ("resnet_dsl", "resnet_dsl.__main__"),
)
LINE = {name: line for line, names in enumerate(ORDER) for name in names}
TORCH = ("resnet_dsl.runtime", "resnet_dsl.training", "resnet_dsl.using", "resnet_dsl.lab.probes", "resnet_dsl.lab.runs")
"""The folders that compute. Every other one is free of torch."""
HEAVY = {"torch", "numpy", "safetensors", "matplotlib", "PIL"}
"""Imported by the rooms above alone, and by the command line's `doctor` within its function."""


def modules() -> Iterator[tuple[str, Path]]:
    for folder, _, names in os.walk(ROOT / "resnet_dsl", followlinks=True):
        for path in (Path(folder) / name for name in sorted(names) if name.endswith(".py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(p for p in parts if p != "__init__"), path


MODULES = dict(sorted(modules()))


def home(name: str) -> str:
    return max((known for known in LINE if name == known or name.startswith(known + ".")), key=len)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """What a file imports, with whether that happens as soon as the file is imported."""
    tree = ast.parse(path.read_text())
    # What a type checker alone sees is no import.
    unseen = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    late = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            base = node.module or ""
            names = [f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names]
        for name in names:
            yield name, id(node) not in late


@pytest.mark.parametrize("module", list(MODULES))
def test_imports_point_upwards(module: str) -> None:
    wrong = [
        name
        for name, _ in imports(MODULES[module])
        if name.split(".")[0] == "resnet_dsl" and home(name) != "resnet_dsl" and LINE[home(name)] > LINE[home(module)]
    ]
    assert wrong == []


@pytest.mark.parametrize("module", list(MODULES))
def test_only_the_rooms_that_compute_import_torch(module: str) -> None:
    may = module.startswith(TORCH)
    heavy = [
        name
        for name, early in imports(MODULES[module])
        if name.split(".")[0] in HEAVY and (early or not module.startswith("resnet_dsl.cli"))
    ]
    assert may or heavy == []


def loaded_after(*commands: str, cwd: Path) -> set[str]:
    """The top-level packages that a fresh process has imported after running command lines."""
    program = (
        "import contextlib, io, json, sys\n"
        "from resnet_dsl.cli.app import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    codes = [main(line.split()) for line in {list(commands)!r}]\n"
        "print(json.dumps([codes, sorted(m.split('.')[0] for m in sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, done.stderr
    codes, names = json.loads(done.stdout)
    assert set(codes) == {0}, done.stderr
    return set(names)


FREE = (
    "check resnet50", "inspect resnet50 --by op", "inspect resnet18 --symbolic", "inspect resnet50 --explain-count",
    "inspect resnet50 --memory --max-memory 24GiB", "compare resnet18 resnet34 -o c.png", "compare --preset he2015-table6",
    "fit resnet18 --params 5M", "lint resnet50", "transfer resnet20 resnet56 --grow", "inspect resnet50 --resolved", "compare resnet34 --vary shortcut=none,A,B,C",
    "draw resnet18 -o a.svg", "draw resnet18 -o a.png",
    "draw resnet18 plain18 -o a.html", "draw resnet18 -o a.tex", "diff resnet18 resnet18 -o d.svg", "emit resnet50 -o a.py",
    "list specs", "list blocks", "list ops", "list recipes", "list data", "new", "fmt mynet.yaml", "check resnet50 --format sarif",
    "schema", "explain merge-shape", "train --help", "evaluate --help", "predict --help", "demo --help", "probe --help", "probe signals --help", "study --help", "list studies", f"runs {RUNS} -o c.svg",
    f"report {RUNS} -o r.html --no-predictions", "import keys.json -o a.yaml", "import weights.safetensors --input 3x64x64", "weights resnet18 real.safetensors",
)  # fmt: skip
"""Command lines that compute nothing, so they need no torch; `weights_without_numpy` makes two of the files."""


def weights_without_numpy(folder: Path) -> None:
    """The names and shapes of ResNet-18's tensors, as JSON and in the form of safetensors, but of single bytes."""
    keys = json.loads((Path(__file__).parent / "data" / "torchvision_keys.json").read_text())["resnet18"]
    (folder / "keys.json").write_text(json.dumps(keys))
    ends = list(accumulate((prod(shape) for shape in keys.values()), initial=0))
    header = json.dumps(
        {k: {"dtype": "U8", "shape": v, "data_offsets": at} for (k, v), at in zip(keys.items(), pairwise(ends), strict=True)}
    )
    (folder / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(ends[-1]))
    real = header.replace('"U8"', '"F8_E5M2"')
    (folder / "real.safetensors").write_bytes(len(real).to_bytes(8, "little") + real.encode() + bytes(ends[-1]))


def test_commands_that_count_and_draw_need_no_torch(tmp_path: Path) -> None:
    weights_without_numpy(tmp_path)
    assert loaded_after(*FREE, cwd=tmp_path) & {"torch", "numpy", "matplotlib", "PIL", "safetensors"} == set()


def test_counting_needs_neither_networkx_nor_rich(tmp_path: Path) -> None:
    """Each costs more to import than the rest of `inspect` takes."""
    names = loaded_after(
        "check resnet50", "inspect resnet50", "compare resnet18 resnet34", "diff resnet18 resnet18", "emit resnet18",
        "emit resnet18 --outputs layer2", "draw resnet18 -o a.svg", cwd=tmp_path,
    )  # fmt: skip
    assert names & {"networkx", "rich"} == set()


def test_a_strict_check_asks_networkx_and_needs_no_torch(tmp_path: Path) -> None:
    names = loaded_after("check resnet50 --strict", cwd=tmp_path)
    assert "networkx" in names
    assert names & HEAVY == set()


def test_completion_in_the_shell_needs_no_converter(tmp_path: Path) -> None:
    program = (
        "import sys; from resnet_dsl.cli.app import main\n"
        "try:\n    main([])\nexcept SystemExit:\n    pass\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'pydantic', 'rich'}), file=sys.stderr)"
    )
    asked = {"_RESNET_DSL_COMPLETE": "complete_bash", "COMP_WORDS": "resnet-dsl inspect resnet10", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path, env={**os.environ, **asked}
    )
    assert "resnet101" in done.stdout.split()
    assert done.stderr.split() == []


def test_importing_the_package_imports_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; before = set(sys.modules); import resnet_dsl; new = set(sys.modules) - before\n"
        "print(*sorted(m for m in new if m.split('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert done.stdout.split() == ["resnet_dsl", "resnet_dsl.version"]


@pytest.mark.needs("torch")
def test_the_python_interface_is_what_it_says() -> None:
    import resnet_dsl

    assert set(dir(resnet_dsl)) == set(resnet_dsl.__all__)
    assert all(getattr(resnet_dsl, name) for name in resnet_dsl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        resnet_dsl.nothing  # noqa: B018


def test_a_diagnostic_is_made_in_one_place() -> None:
    """`mistake`, `refuse` and `Collector.report` are the ways to say that something is wrong, with one order of arguments."""
    made = [
        name
        for name, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Diagnostic"
    ]
    assert made == ["resnet_dsl.diagnostics"]


def test_no_module_imports_itself_by_way_of_others() -> None:
    """No circle of imports, those under TYPE_CHECKING and within functions counted."""
    graph: dict[str, set[str]] = {}
    for name, path in MODULES.items():
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "resnet_dsl":
                found |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in MODULES else str(node.module) for a in node.names}
            elif isinstance(node, ast.Import):
                found |= {a.name for a in node.names if a.name in MODULES}
        graph[name] = found - {name}
    # What imports nothing that is left is taken away; a circle stays.
    while leaves := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - leaves for name, needs in graph.items() if name not in leaves}
    assert graph == {}


def test_a_class_name_means_one_thing() -> None:
    """Public classes at the top of a module, over the whole package."""
    homes: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(name)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}
