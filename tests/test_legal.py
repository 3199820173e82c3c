"""What the language must accept: small legal specs, and networks from the literature with known costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from cases import DATA, Case, read

from resnet_dsl.analysis.inspect import inspect
from resnet_dsl.graph import compile
from resnet_dsl.graph.verify import verify
from resnet_dsl.language import load

NETWORKS = sorted((DATA / "legal").glob("*.yaml"))
SMALL = read(DATA / "legal" / "small.md")


@pytest.mark.parametrize("path", NETWORKS, ids=lambda path: path.stem)
def test_network(path: Path) -> None:
    """`expect` holds published figures where there are any, else those of a counter that knows nothing of this project."""
    spec = load(str(path))
    report = inspect(verify(compile(spec)))
    believed = {figure.key: figure.value for figure in spec.expect}
    assert {key: getattr(report, key) for key in ("params", "macs", "depth")} == believed


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_accepted(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verify(compile(load(case.write(tmp_path), case.overrides)))


def test_line_endings_and_byte_order_mark(tmp_path: Path) -> None:
    text = SMALL[0].files["spec.yaml"]
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    plain = compile(load(str(path)))
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert compile(load(str(path))).text() == plain.text()


def test_a_parameter_does_not_reach_into_shipped_definitions(tmp_path: Path) -> None:
    """`params: {groups: 2}` leaves the bottleneck's argument `groups` alone."""
    spec = """
        input: {{channels: 3, height: 32, width: 32}}
        classes: 10
        stem: cifar
        block: bottleneck
        shortcut: B
        stages: [{{depth: 2, width: 16}}]
        params: {params}
    """
    texts = []
    for params in ("{}", "{groups: 2, expansion: 2, mid: 3, norm: 0, se: 4}"):
        path = tmp_path / "spec.yaml"
        path.write_text("\n".join(line.strip() for line in spec.format(params=params).splitlines()))
        texts.append(compile(load(str(path))).text())
    assert texts[0] == texts[1]
