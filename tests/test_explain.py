"""Every code is explained, and every example is refused with its code and accepted when corrected."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from resnet_dsl.analysis.expect import check_expect
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.explanations import CODES
from resnet_dsl.graph import compile
from resnet_dsl.language import load

ROOT = Path(__file__).parent.parent
NOT_ERRORS = {
    "Column",
    "Command",
    "Signature",
    "Arg",
    "Argument",
    "PydanticCustomError",
    "Source",
    "DataSource",
    "Probe",
    "Remark",
    "get",
    "_figure",
    "require",
}
BASE = {
    "input": "{channels: 3, height: 32, width: 32}",
    "classes": "10",
    "stem": "cifar",
    "block": "basic",
    "shortcut": "B",
    "stages": "[{depth: 1, width: 16}]",
}


def check(excerpt: str, folder: Path) -> set[str]:
    """The codes that a whole spec around an excerpt is refused with."""
    given = re.findall(r"^(\w+):", excerpt, re.MULTILINE)
    base = {} if "extends" in given else BASE
    path = folder / "spec.yaml"
    path.write_text("".join(f"{k}: {v}\n" for k, v in base.items() if k not in given) + excerpt + "\n")
    try:
        spec = load(str(path))
        check_expect(spec, compile(spec))
    except SpecError as e:
        return {d.code for d in e.diagnostics}
    return set()


@pytest.mark.parametrize("code", [code for code, e in CODES.items() if e.wrong])
def test_example(code: str, tmp_path: Path) -> None:
    assert check(CODES[code].wrong, tmp_path) == {code}
    assert check(CODES[code].right, tmp_path) == set()


def raised() -> set[str]:
    """The codes that the sources give to errors: a call's first argument, before a message."""
    found = set()
    for path in [*(ROOT / "resnet_dsl").rglob("*.py"), *(ROOT / "cli").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and len(node.args) > 1
                and getattr(node.func, "id", getattr(node.func, "attr", "")) not in NOT_ERRORS
            ):
                code, message = node.args[:2]
                spoken = isinstance(message, ast.JoinedStr) or (isinstance(message, ast.Constant) and " " in str(message.value))
                if spoken and isinstance(code, ast.Constant) and re.fullmatch(r"[a-z]+(-[a-z]+)*", str(code.value)):
                    found.add(code.value)
    return found


def test_every_code_is_explained() -> None:
    assert raised() - set(CODES) == set()


def test_every_explanation_is_of_a_code() -> None:
    sources = [*(ROOT / "resnet_dsl").rglob("*.py"), *(ROOT / "cli").glob("*.py")]
    text = "\n".join(p.read_text() for p in sources if p.name != "explanations.py")
    assert [code for code in CODES if f'"{code}"' not in text and f"error[{code}]" not in text] == []
