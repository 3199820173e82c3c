"""The notebooks of examples/ run, and are stored with what they show."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SMALL = {"SEEDS": 2, "STEPS": 5, "EPOCHS": 1}
"""What a cell tagged `parameters` sets is made small here: the stored outputs are those of the values in the notebook."""


def small(source: str) -> str:
    names, _, rest = source.partition(" = ")
    values, _, _ = rest.partition("  #")
    shrunk = [repr(SMALL.get(name, value)) for name, value in zip(names.split(", "), values.split(", "), strict=True)]
    return f"{names} = {', '.join(shrunk)}"


def kinds(cell: nbformat.NotebookNode) -> set[str]:
    """What a cell shows: the forms of a value, and text on a stream."""
    found: set[str] = set()
    for out in cell.get("outputs", []):
        found |= {out.name} if out.output_type == "stream" else set(out.get("data", {})) | ({"error"} & {out.output_type})
    return found


def test_there_are_five() -> None:
    assert len(NOTEBOOKS) == 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_its_outputs(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    assert all("error" not in kinds(c) and "stderr" not in kinds(c) for c in code)
    assert not re.search(r"/(home|root|tmp|work|Users)/", path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, 4)
    shown = [kinds(c) for c in notebook.cells]
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = small(cell.source)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert [kinds(c) for c in notebook.cells] == shown
