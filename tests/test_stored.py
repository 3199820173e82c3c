"""The head of a safetensors file, read without the library, and the spec in it."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import NETWORKS, compiled, small
from safetensors import SafetensorError, deserialize
from safetensors.torch import save_file
from test_imports import loaded_after

from resnet_dsl.cli.app import main
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.graph import compile
from resnet_dsl.language import load
from resnet_dsl.language.stored import FORMAT, MAX_HEADER, read_header

SPEC = "".join(f"{key}: {json.dumps(value)}\n" for key, value in small(name="kept").items())


def file(header: Any, tail: int = 0) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(tail)


def entry(shape: Any = (2, 3), offsets: Any = (0, 24), dtype: Any = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


DAMAGED: dict[str, tuple[bytes, str]] = {
    "cut-in-the-length": (b"\x10\0\0", "it is cut short, or is not a safetensors file (3 bytes)"),
    "cut-in-the-header": (file({"a": entry()})[:20], "it is cut short, or is not a safetensors file (20 bytes)"),
    "cut-in-the-tensors": (
        file({"a": entry()}, 23), "its tensors do not fill the 23 bytes that follow the header: it is cut short, or was changed",
    ),
    "more-than-the-tensors": (
        file({"a": entry()}, 25), "its tensors do not fill the 25 bytes that follow the header: it is cut short, or was changed",
    ),
    "hole": (
        file({"a": entry(), "b": entry(offsets=(28, 52))}, 52),
        "its tensors do not fill the 52 bytes that follow the header: it is cut short, or was changed",
    ),
    "overlap": (
        file({"a": entry(), "b": entry(offsets=(20, 44))}, 44),
        "its tensors do not fill the 44 bytes that follow the header: it is cut short, or was changed",
    ),
    "no-json": (file(b"{'a': 1}"), "its header is no JSON with each name once"),
    "no-utf8": (file(b'{"\xff": 1}'), "its header is no JSON with each name once"),
    "nested": (file(b"[" * 100_000), "its header is no JSON with each name once"),
    "list": (file([1]), "its header is no JSON object"),
    "twice": (file(b'{"a": {}, "a": {}}'), "its header is no JSON with each name once"),
    "metadata": (file({"__metadata__": {"spec": 1}}), "its metadata is not a mapping from words to text"),
    "surrogate": (file({"__metadata__": {"format": FORMAT, "spec": "\ud800"}}), "its spec is not text"),
    "entry": (file({"a": [1]}), "'a' has no dtype, shape and data_offsets"),
    "entry-more": (file({"a": entry(more=1)}, 24), "'a' has no dtype, shape and data_offsets"),
    "dtype": (file({"a": entry(dtype="F31")}, 24), "'a' has an unknown dtype, 'F31'"),
    "dtype-list": (file({"a": entry(dtype=["F32"])}, 24), "'a' has an unknown dtype, '['F32']'"),
    "shape": (file({"a": entry(shape=(-2, -3))}, 24), "'a' has no shape or no data_offsets of whole numbers"),
    "shape-condition": (file({"a": entry(shape=(True, 6))}, 24), "'a' has no shape or no data_offsets of whole numbers"),
    "dimensions": (file({"a": entry(shape=[1] * 65, offsets=(0, 4))}, 4), "'a' has no shape or no data_offsets of whole numbers"),
    "offsets": (file({"a": entry(offsets=(0, 24, 48))}, 24), "'a' has no shape or no data_offsets of whole numbers"),
    "size": (file({"a": entry(offsets=(0, 20))}, 20), "the bytes of 'a' are not as many as its shape asks for"),
    "bomb": (file({"a": entry(shape=(2**62, 2**62))}, 24), "the bytes of 'a' are not as many as its shape asks for"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content, problem = DAMAGED[name]
    Path("a.safetensors").write_bytes(content)
    with pytest.raises(SpecError) as e:
        load("a.safetensors")
    said = f"a.safetensors: error[weights-damaged]: not a readable safetensors file: {problem}\n  help: copy the file again"
    assert (str(e.value), e.value.exit_code) == (said, 3)


def test_a_header_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with path.open("wb") as f:
        f.write((MAX_HEADER + 1).to_bytes(8, "little"))
        f.truncate(8 + MAX_HEADER + 1)
    with pytest.raises(SpecError, match=r"its header would have 16,777,217 bytes, over the limit of 16 MiB"):
        read_header(str(path))


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "spec-missing"),
        ({"spec": SPEC}, "spec-missing"),
        ({"format": "pt"}, "spec-missing"),
        ({"format": FORMAT, "spec": SPEC.replace("basic", "basik")}, "unknown-name"),
        ({"format": FORMAT, "spec": f"{SPEC}]"}, "yaml-syntax"),
        ({"format": FORMAT, "spec": "extends: base.yaml\n"}, "extends"),
        ({"format": FORMAT, "spec": " " * 2_000_000}, "too-large"),
    ],
    ids=["none", "foreign", "another-format", "mistake", "syntax", "path", "size"],
)
def test_a_file_without_a_usable_spec(metadata: dict[str, str], problem: str, tmp_path: Path) -> None:
    """A mistake in the spec is shown where it stands in it; a path in it leads nowhere."""
    (tmp_path / "base.yaml").write_text(SPEC)
    path = tmp_path / "a.safetensors"
    path.write_bytes(file({"__metadata__": metadata}))
    with pytest.raises(SpecError) as e:
        load(str(path))
    assert ([d.code for d in e.value.diagnostics], e.value.exit_code) == ([problem], 2)
    assert e.value.diagnostics[0].location.source.name == str(path) or problem == "extends"


def test_without_a_spec_the_help_names_import(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_file({"w": torch.zeros(2)}, "a.safetensors")
    assert main(["inspect", "a.safetensors"]) == 2
    assert capsys.readouterr().err == (
        "a.safetensors: error[spec-missing]: 'a.safetensors': the file holds weights, but no spec\n"
        "  help: `resnet-dsl import a.safetensors` reads one from the names and shapes of its tensors\n"
    )


TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64, "I64": torch.int64, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn}  # fmt: skip


def test_the_library_writes_what_we_read(tmp_path: Path) -> None:
    tensors = {
        f"{kind}.{len(shape)}": torch.zeros(shape, dtype=dtype) for kind, dtype in TYPES.items() for shape in ((), (3,), (2, 0), (2, 3, 1))
    }
    save_file(tensors, tmp_path / "a.safetensors", {"who": "the library"})
    header = read_header(str(tmp_path / "a.safetensors"))
    assert {k: (TYPES[t.dtype], t.shape) for k, t in header.tensors.items()} == {k: (v.dtype, tuple(v.shape)) for k, v in tensors.items()}
    assert header.metadata == {"who": "the library"}


def test_the_library_accepts_what_we_accept(tmp_path: Path) -> None:
    """A thousand damaged files: whichever the library refuses, we refuse, and we fail in no other way."""
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.int64)}, path, {"format": FORMAT, "spec": SPEC})
    whole = path.read_bytes()
    draws = random.Random(0)
    accepted = 0
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(draws.choice((1, 1, 2, 3))):
            damaged[draws.randrange(len(whole) - 64)] = draws.choice(b'0123456789{}[]",:\\ \xffaF')
        if draws.random() < 0.1:
            del damaged[draws.randrange(len(whole)) :]
        path.write_bytes(damaged)
        try:
            found = read_header(str(path))
        except SpecError:
            continue
        try:
            theirs = dict(deserialize(bytes(damaged)))
        except SafetensorError as e:
            raise AssertionError(bytes(damaged[:400])) from e
        assert {k: (t.dtype, list(t.shape)) for k, t in found.tensors.items()} == {k: (t["dtype"], t["shape"]) for k, t in theirs.items()}
        accepted += 1
    assert 100 < accepted < 900


def stored(path: Path, **more: str) -> str:
    path.write_bytes(file({"__metadata__": {"format": FORMAT, "spec": SPEC, **more}}))
    return str(path)


def test_a_stored_spec_is_a_spec(tmp_path: Path) -> None:
    name = stored(tmp_path / "a.safetensors")
    plain = compiled(small(name="kept"), "kept")
    assert compile(load(name)).text() == plain.text()
    assert compile(load(name, {"shortcut": "C"})).text() == compiled(small(name="kept", shortcut="C"), "kept").text()


def test_commands_read_it_without_torch(tmp_path: Path) -> None:
    stored(tmp_path / "a.safetensors")
    stored(tmp_path / "f.safetensors", folded="true")
    names = loaded_after(
        "inspect a.safetensors", "check ./a.safetensors", "draw a.safetensors -o a.svg", "diff a.safetensors a.safetensors",
        "compare a.safetensors f.safetensors", "lint a.safetensors", "emit a.safetensors", "new mine --like f.safetensors",
        cwd=tmp_path,
    )  # fmt: skip
    assert names & {"torch", "numpy", "safetensors"} == set()
    assert compile(load(str(tmp_path / "mine.yaml"))).text() == compiled(small(name="mine"), "mine").text()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_file_compiles_to_the_folded_network(name: str, tmp_path: Path) -> None:
    from resnet_dsl.graph.folding import fold

    path = tmp_path / "a.safetensors"
    path.write_bytes(file({"__metadata__": {"format": FORMAT, "spec": json.dumps({"name": name, **NETWORKS[name]}), "folded": "true"}}))
    assert compile(load(str(path))).text() == fold(compiled({"name": name, **NETWORKS[name]})).text()


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(SpecError, match="not a regular file"):
        load(str(tmp_path / "a.safetensors"))
