"""The house rules that a program can check: one door, one word for one thing, no circles, nothing too long."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES, FUNCTION, BODY = 400, 60, 25


def sources(*folders: str) -> list[Path]:
    """Python files, those behind the links at their real place."""
    return sorted(p for f in folders for p in (ROOT / f).rglob("*.py") if "__pycache__" not in p.parts)


PACKAGE = sources("resnet_dsl", "cli")
ALL = sources("resnet_dsl", "cli", "tests", "benchmarks", "docs")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(p for p in (("resnet_dsl", *parts) if parts[0] == "cli" else parts) if p != "__init__")


MODULES = {module(p): p for p in PACKAGE}


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def docstrings(path: Path) -> set[int]:
    """Constants that are a docstring, or a text that stands by itself below what it explains."""
    return {id(n.value) for n in ast.walk(tree(path)) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}


# --- length ---


def test_no_file_is_two_ideas() -> None:
    assert {name(p): n for p in ALL if (n := len(p.read_text().splitlines())) > LINES} == {}


def test_no_function_is_longer_than_a_page() -> None:
    long = {f"{name(p)}:{f.name}": n for p in ALL for f in functions(p) if (n := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION}
    # A command's signature is its table of options.
    assert {k: n for k, n in long.items() if not re.match(r"cli/\w+\.py:command$", k)} == {}


def test_a_command_only_calls() -> None:
    """What a command does below its signature is to call a verb and to print what it gives."""
    long = {}
    for path in sources("cli"):
        for f in functions(path):
            if f.name == "command":
                first = f.body[1] if len(f.body) > 1 and ast.get_docstring(f) else f.body[0]
                if (n := (f.end_lineno or 0) - first.lineno + 1) > BODY:
                    long[name(path)] = n
    assert long == {}


# --- one door ---

CHOICES = {
    "resnet_dsl.analysis.compare", "resnet_dsl.analysis.cost", "resnet_dsl.analysis.figures", "resnet_dsl.analysis.inspect", "resnet_dsl.analysis.lint",
    "resnet_dsl.analysis.memory", "resnet_dsl.analysis.papers", "resnet_dsl.analysis.quantities", "resnet_dsl.datasets.naming",
    "resnet_dsl.pictures.draw", "resnet_dsl.pictures.drawing.theme", "resnet_dsl.pictures.paths",
    # Names for the shell to complete, and the one writer of files.
    "resnet_dsl.language.files", "resnet_dsl.files",
}  # fmt: skip
"""Where the words are kept that an option may have, and what its help lists."""

FRONT = (
    "resnet_dsl.verbs",
    "resnet_dsl.diagnostics",
    "resnet_dsl.table",
    "resnet_dsl.cli",
    "resnet_dsl.version",
    "resnet_dsl.explanations",
)
"""What a file of the command line may import."""


def imported(path: Path, *, types: bool) -> Iterator[str]:
    """The modules of ours that a file imports; with those that a type checker alone sees where `types`."""
    unseen = {
        id(n)
        for block in ast.walk(tree(path))
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for n in ast.walk(block)
    }
    for node in ast.walk(tree(path)):
        if id(node) in unseen and not types:
            continue
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in MODULES else str(node.module) for a in node.names]
        else:
            continue
        yield from (n for n in names if n.split(".")[0] == "resnet_dsl")


def test_the_command_line_uses_the_front_door() -> None:
    others = {
        name(p): sorted({m for m in imported(p, types=False) if m != "resnet_dsl" and not m.startswith(FRONT)} - CHOICES)
        for p in sources("cli")
    }
    assert {k: v for k, v in others.items() if v} == {}


LISTS = {
    "resnet_dsl/diagnostics.py": "writes arguments for both",
    "resnet_dsl/explanations.py": "what `explain` prints",
    "resnet_dsl/lab/table.py": "the probes' help and examples",
    "resnet_dsl/datasets/catalog.py": "what `list data` prints",
    "resnet_dsl/verbs/catalog.py": "what `list` prints",
}
"""Files that are a command's own text."""

OTHERS = re.compile(r"torchrun|--standalone|--porcelain")
"""Options of other programs."""


def for_both(path: Path) -> set[int]:
    """Constants within `either(...)`, which says a thing in Python and on the command line."""
    calls = (n for n in ast.walk(tree(path)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "either")
    return {id(c) for call in calls for c in ast.walk(call)}


def test_the_library_does_not_speak_the_command_line() -> None:
    said = defaultdict(list)
    for path in sources("resnet_dsl"):
        known = docstrings(path) | for_both(path)
        for n in ast.walk(tree(path)):
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in known and re.search(r"(?<![\w-])--[a-z]", n.value):
                said[name(path)].append(n.value)
    assert {k: v for k, found in said.items() if k not in LISTS and (v := [x for x in found if not OTHERS.search(x)])} == {}


def test_diagnostics_are_made_in_one_place() -> None:
    made = {
        name(path)
        for path in PACKAGE
        for n in ast.walk(tree(path))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "Diagnostic"
    }
    assert made == {"resnet_dsl/diagnostics.py"}


# --- one word, one thing ---


def test_a_class_name_occurs_once() -> None:
    homes = defaultdict(list)
    for path in PACKAGE:
        for n in tree(path).body:
            if isinstance(n, ast.ClassDef) and not n.name.startswith("_"):
                homes[n.name].append(name(path))
    assert {k: v for k, v in homes.items() if len(v) > 1} == {}


def test_there_are_no_circles() -> None:
    """Those that a type checker alone sees count as well."""
    uses = {m: {x for x in imported(p, types=True) if x in MODULES and x != m} for m, p in MODULES.items()}
    # A package's own file imports what it offers.
    uses = {m: {x for x in found if not m.startswith(x + ".")} for m, found in uses.items()}
    reach: dict[str, set[str]] = {}
    for start in uses:
        seen: set[str] = set()
        todo = list(uses[start])
        while todo:
            if (x := todo.pop()) not in seen:
                seen.add(x)
                todo += uses[x]
        reach[start] = seen
    circles = sorted({tuple(sorted(y for y in reach[x] if x in reach[y])) for x in uses if x in reach[x]})
    assert circles == []


# --- the checkout ---


def test_a_plain_checkout_works(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); import resnet_dsl as rd; print(rd.load('resnet50').name)"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("resnet50\n", "")
