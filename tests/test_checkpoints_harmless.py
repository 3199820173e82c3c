"""Files that were made to do harm, or were damaged: nothing of them runs, and nothing of them takes long or much."""

from __future__ import annotations

import argparse
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from harmful import BOMBS, PROGRAMS, archive, longs, refused, state, tensor

from resnet_dsl.checkpoints.read import read
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.runtime import weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.pth"


SEEN: list[str] = []
"""What the interpreter did while a file was read."""


@pytest.fixture(scope="module")
def watched() -> list[str]:
    """Every event of the interpreter that a program could cause. A hook cannot be taken away again."""
    sys.addaudithook(lambda event, args: SEEN.append(event) if event.split(".")[0] in AUDITED else None)
    return SEEN


AUDITED = {"os", "subprocess", "exec", "compile", "pickle", "import", "socket", "ctypes", "shutil", "code"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_of_a_pickle_is_run(name: str, watched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = PROGRAMS[name]
    bare, archive = Path("w.pkl"), Path("w.pth")
    bare.write_bytes((b"" if raw.startswith(b"\x80") else b"\x80\x02") + raw)
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("archive/data.pkl", bare.read_bytes())
        z.writestr("archive/data/0", bytes(4))
    for path in (bare, archive, bare):
        watched.clear()
        with pytest.raises(SpecError) as e:
            read(path)
        assert e.value.exit_code == 3
    # What the last has done: the modules that tell an error were imported before.
    assert watched == []
    assert not Path("ran").exists()


def test_the_programs_are_programs(watched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    watched.clear()
    pickle.loads(b"\x80\x02" + PROGRAMS["os.system"])
    assert Path("ran").exists()
    assert {"pickle.find_class", "os.system"} <= set(watched)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_lies(name: str, file: Path) -> None:
    content, problem = BOMBS[name]
    archive(file, content)
    with pytest.raises(SpecError) as e:
        read(file)
    assert problem in str(e.value)
    # A plain pickle has no storages beside it.
    file.write_bytes(content)
    with pytest.raises(SpecError) as e:
        dict(weights.load(file).tensors)
    assert problem in str(e.value) or "torch" in str(content)


ARCHIVES: dict[str, tuple[Callable[[Path], None], str]] = {}


def made(name: str, problem: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    """A file that is made by a function, and what is wrong with it."""

    def keep(make: Callable[[Path], None]) -> Callable[[Path], None]:
        ARCHIVES[name] = (make, problem)
        return make

    return keep


WHOLE = tensor(16, longs(16), longs(1)) + b"."


@made("a sound one", "")
def _(path: Path) -> None:
    archive(path, WHOLE)


@made("a bomb of zeros", "keeps 'archive/data/0' compressed")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("archive/data.pkl", tensor(3 << 22, longs(3 << 22), longs(1)) + b".", zipfile.ZIP_STORED)
        z.writestr("archive/data/0", bytes(3 << 24))


@made("a compressed pickle", "keeps 'archive/data.pkl' compressed")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("archive/data.pkl", b"\x80\x02" + b"N0" * 1000 + b"}.")


@made("a storage twice", "it has 'archive/data/0' twice")
@pytest.mark.filterwarnings("ignore:Duplicate name")
def _(path: Path) -> None:
    archive(path, WHOLE)
    with zipfile.ZipFile(path, "a") as z:
        z.filename = None
        z.NameToInfo.clear()
        z.writestr("archive/data/0", bytes(64))


@made("a storage that is missing", "lacks the numbers of a tensor, 'archive/data/0'")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", WHOLE)


def directory_changed(path: Path, at: int, by: bytes) -> None:
    """An archive whose second entry in the directory is changed."""
    archive(path, WHOLE)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[entry + at : entry + at + len(by)] = by
    path.write_bytes(content)


@made("a size that is a lie", "its members overlap")
def _(path: Path) -> None:
    directory_changed(path, 20, (1 << 30).to_bytes(4, "little") * 2)


@made("members that overlap", "its members overlap")
def _(path: Path) -> None:
    directory_changed(path, 42, (8).to_bytes(4, "little"))


@made("a place far away", "its members overlap")
def _(path: Path) -> None:
    directory_changed(path, 42, b"\xff\xff\xff\x7f")


@made("an encrypted member", "keeps 'archive/data/0' compressed")
def _(path: Path) -> None:
    directory_changed(path, 8, b"\1")


@made("a zip64 that lies", "is no sound zip archive")
def _(path: Path) -> None:
    archive(path, WHOLE)
    content = path.read_bytes()
    end = content.index(b"PK\x05\x06")
    start = content.index(b"PK\x01\x02")
    record = (
        b"PK\x06\x06"
        + (44).to_bytes(8, "little")
        + bytes(12)
        + (1 << 40).to_bytes(8, "little") * 2
        + (end - start).to_bytes(8, "little")
        + start.to_bytes(8, "little")
    )
    locator = b"PK\x06\x07" + bytes(4) + end.to_bytes(8, "little") + bytes(4)
    path.write_bytes(content[:end] + record + locator + content[end:])


@made("another order of bytes", "was written on a machine with another order of bytes")
def _(path: Path) -> None:
    archive(path, WHOLE, byteorder=b"big")


@made("two of them", "is a zip archive without weights")
def _(path: Path) -> None:
    archive(path, WHOLE)
    with zipfile.ZipFile(path, "a") as z:
        z.writestr("other/data.pkl", WHOLE)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_lie(name: str, file: Path) -> None:
    make, problem = ARCHIVES[name]
    make(file)
    if not problem:
        assert torch.equal(weights.load(file).tensors["a"], torch.zeros(16))
        return
    with pytest.raises(SpecError) as e:
        read(file)
    assert problem in str(e.value)
    assert e.value.exit_code == 3


def test_cut_short_everywhere(file: Path) -> None:
    torch.save(state(), file)
    whole = file.read_bytes()
    for size in range(2, len(whole) - 1, 97):
        file.write_bytes(whole[:size])
        code, _ = refused(file)
        assert code.startswith("weights-damaged: is cut short"), size


def test_flipped_bytes(file: Path) -> None:
    """Whatever is damaged, there are tensors or an error of ours."""
    torch.save({"model": state(), "args": argparse.Namespace(a=1), "best": np.float64(1)}, file)
    whole, draw = file.read_bytes(), random.Random(3)
    for _ in range(500):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        file.write_bytes(content)
        with suppress(SpecError):
            dict(weights.load(file, finite=False).tensors)
