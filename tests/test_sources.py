"""Known data sets wherever people have put them, and files that say more than they hold or hold more than they say."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_data import idx_bytes, refused, write_fmnist
from test_pictures import cifar_files, put

from resnet_dsl.datasets import search
from resnet_dsl.datasets.catalog import IDX_FILES
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.data import cifar, idx, reading, tar
from resnet_dsl.training.data.load import open_dataset


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RESNET_DSL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(search, "_SYSTEM", tmp_path / "system")


def pack(files: dict[str, bytes], path: Path, mode: str = "w:gz", prefix: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))


def flat(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name.split("/")[-1]: content for name, content in files.items()}


PLACES: dict[str, tuple[Callable[[Path, dict[str, bytes]], object], str]] = {
    "the folder of the files": (lambda d, f: put(f, d), "cifar-10-batches-py"),
    "above it": (lambda d, f: put(f, d), "."),
    "another name": (lambda d, f: put(flat(f), d / "CIFAR"), "."),
    "a name of their own": (lambda d, f: put(flat(f), d / "my data"), "my data"),
    "far down": (lambda d, f: put(flat(f), d / "a/b/c"), "."),
    "Keras' archive": (lambda d, f: pack(f, d / "cifar-10-batches-py.tar.gz"), "."),
    "a plain tar": (lambda d, f: pack(f, d / "cifar-10-python.tar", "w"), "."),
    "a tgz in a folder": (lambda d, f: pack(f, d / "downloads/cifar-10-python.tgz"), "."),
    "the archive itself": (lambda d, f: pack(f, d / "cifar-10-python.tar.gz"), "cifar-10-python.tar.gz"),
    "an archive of any name": (lambda d, f: pack(flat(f), d / "x.tar", "w"), "x.tar"),
    "an archive of a dot": (lambda d, f: pack(f, d / "cifar-10-python.tar.gz", prefix="./"), "."),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["10-py", "100-bin"])
def test_cifar_wherever_it_lies(kind: str, place: str, tmp_path: Path) -> None:
    make, given = PLACES[place]
    if kind == "100-bin":
        given = given.replace("cifar-10-batches-py", "cifar-100-binary").replace("cifar-10-python", "cifar-100-python")
    name = "cifar10" if kind == "10-py" else "cifar100"
    put(cifar_files(kind), tmp_path / "reference")
    expected = open_dataset(name, (3, 32, 32), tmp_path / "reference").sha256
    make(tmp_path / "d", cifar_files(kind))
    if kind == "100-bin":
        for p in sorted((tmp_path / "d").rglob("cifar-10-*")):
            p.rename(p.with_name(p.name.replace("10-batches-py", "100-binary").replace("cifar-10-python", "cifar-100-python")))
    assert open_dataset(name, (3, 32, 32), tmp_path / "d" / given).sha256 == expected


def test_what_was_seen_in_its_place_is_said(tmp_path: Path) -> None:
    put(cifar_files("100-py"), tmp_path)
    text = refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-missing")
    assert "none of its files there; it holds cache" not in text
    assert "it holds cifar-100-python/" in text
    files = flat(cifar_files("10-py"))
    del files["test_batch"]
    put(files, tmp_path / "ten")
    assert "has data_batch_1 but not test_batch" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-missing")
    (tmp_path / "no.tar.gz").write_text("x")
    assert "not packed with gzip" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path / "no.tar.gz"), "data-damaged")
    (tmp_path / "no.tar").write_text("x" * 600)
    assert "no tar header" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path / "no.tar"), "data-damaged")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
@pytest.mark.parametrize("form", ["dot", "gz", "plain", "folders"])
def test_idx_files_as_people_name_them(name: str, form: str, tmp_path: Path) -> None:
    made = write_fmnist(tmp_path / "d/raw", ".gz" if form == "gz" else "")
    for file in IDX_FILES if form in ("dot", "folders") else ():
        path = tmp_path / "d/raw" / file
        if form == "dot":
            path.rename(path.with_name(file.replace("-idx", ".idx")))
        else:
            content = path.read_bytes()
            path.unlink()
            path.mkdir()
            (path / file).write_bytes(content)
    data = open_dataset(name, (1, 28, 28), tmp_path / "d")
    assert data.train.labels.tolist() == made[IDX_FILES[1]].tolist()
    assert data.classes[0] == {"mnist": "0", "fashion-mnist": "T-shirt/top"}[name]


def test_a_folder_named_for_one_is_not_the_other(tmp_path: Path) -> None:
    write_fmnist(tmp_path / "fashion-mnist", n=20)
    write_fmnist(tmp_path / "MNIST/raw", n=30)
    assert len(open_dataset("mnist", (1, 28, 28), tmp_path).train) == 30
    assert len(open_dataset("fashion-mnist", (1, 28, 28), tmp_path).train) == 20
    shutil.rmtree(tmp_path / "MNIST")
    assert "it holds fashion-mnist/" in refused(lambda: open_dataset("mnist", (1, 28, 28), tmp_path), "data-missing")


def test_files_of_one_do_not_pass_as_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fmnist(tmp_path, "")
    known = hashlib.sha256((tmp_path / IDX_FILES[1]).read_bytes()).hexdigest()
    monkeypatch.setattr(idx, "_TRAINING_LABELS", {known: "mnist"})
    text = refused(lambda: open_dataset("fashion-mnist", (1, 28, 28), tmp_path), "data-damaged")
    assert "is of mnist, not of fashion-mnist" in text
    assert "use --data mnist" in text
    assert open_dataset("mnist", (1, 28, 28), tmp_path).classes == tuple("0123456789")


@pytest.mark.needs("fashion-mnist")
def test_the_real_fashion_mnist_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SYSTEM", Path("/usr/share/datasets"))
    folder = Path("/usr/share/datasets/fashion-mnist")
    assert "is of fashion-mnist, not of mnist" in refused(lambda: open_dataset("mnist", (1, 28, 28), folder), "data-damaged")


def test_what_is_packed_is_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fmnist(tmp_path)
    path = tmp_path / f"{IDX_FILES[0]}.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros((20, 28, 28))) + bytes(1 << 24)))
    assert "but more than 15,696 were found" in refused(lambda: open_dataset("fashion-mnist", (1, 28, 28), tmp_path), "data-damaged")
    path.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 2**20, 28, 28)))
    assert "at most 268,435,456 are read" in refused(lambda: open_dataset("fashion-mnist", (1, 28, 28), tmp_path), "data-damaged")
    monkeypatch.setattr(cifar, "_MOST", 1 << 22)
    pack(cifar_files("10-bin") | {"zeros": bytes(1 << 23)}, tmp_path / "big.tar.gz")
    assert "holds over 4,194,304 bytes" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path / "big.tar.gz"), "data-damaged")
    monkeypatch.setattr(cifar, "_FILES", 20)
    pack({f"{i}": b"" for i in range(30)}, tmp_path / "many.tar")
    assert "holds over 20 files" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path / "many.tar"), "data-damaged")
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    (tmp_path / "plain").write_bytes(bytes(200))
    refused(lambda: reading.rest(reading.Bounded(io.BytesIO(bytes(200)), 100, tmp_path)), "data-damaged")


@pytest.mark.parametrize("name", ["data_batch_1", "cifar-10-python.tar.gz"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name: str, tmp_path: Path) -> None:
    if not name.endswith(".gz"):
        put(flat(cifar_files("10-py")), tmp_path)
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-missing")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_are_read_as_pythons_own_reader_does(form: int, tmp_path: Path) -> None:
    """Long names, names beyond ASCII, folders, links and files of every length of a last block."""
    names = ["a", "d/" * 60 + "x.cls", "ä/日本.png", *(f"{n}.bin" for n in (0, 1, 511, 512, 513))]
    names += [] if form == tarfile.USTAR_FORMAT else ["y" * 200 + ".jpg"]
    with tarfile.open(tmp_path / "x.tar", "w", format=form) as made:
        for i, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = int(name[:-4]) if name.endswith(".bin") else 1000 * i
            info.mtime = 1.5 if form == tarfile.PAX_FORMAT else 1
            made.addfile(info, io.BytesIO(bytes([i]) * info.size))
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"of-kind-{kind.decode()}")
            info.type, info.linkname = kind, "a"
            made.addfile(info)
        made.addfile(tarfile.TarInfo("last"))
    with tarfile.open(tmp_path / "x.tar") as read:
        expected = [(e.name, read.extractfile(e).read()) for e in read if e.isreg()]  # type: ignore[union-attr]
    with open(tmp_path / "x.tar", "rb") as f:
        assert list(tar.files(f, "x.tar", 1 << 20, lambda _: True)) == expected
    with open(tmp_path / "x.tar", "rb") as f:
        assert [n for n, content in tar.files(f, "x.tar", 0, lambda _: False) if content is None] == [n for n, _ in expected]
    whole = (tmp_path / "x.tar").read_bytes()
    for length in range(1, len(whole) - 10240, 499):
        with pytest.raises(SpecError) if length % 512 else contextlib.suppress(SpecError):
            list(tar.files(io.BytesIO(whole[:length]), "x.tar", 1 << 20, lambda _: True))
    for at in range(0, len(whole), 131):
        broken = whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :]
        with contextlib.suppress(SpecError):
            list(tar.files(io.BytesIO(broken), "x.tar", 1 << 20, lambda _: True))


def header(name: str, size: int, kind: bytes = b"0", pax: dict[str, str] | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.pax_headers = size, kind, pax or {}
    return info.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("x.jpg", 5 << 30), "holds 5,368,709,120 bytes, and at most 1,000 are read"),
        (header("x.jpg", 100, b"S"), "is stored as a sparse file"),
        (header("x.jpg", 9, pax={"GNU.sparse.realsize": "5368709120", "GNU.sparse.major": "1"}), "is stored as a sparse file"),
        (header("x.jpg", 1 << 40, b"L"), "says that the name of a file has 1,099,511,627,776 bytes"),
        (header("x.jpg", 1 << 40, b"x"), "says that the name of a file"),
        (header("x.jpg", 9, pax={"size": "9999999999"}), "holds 9,999,999,999 bytes"),
        (header("x.jpg", 9, pax={"size": "-1"}), "a header is damaged"),
        (b"x" * 512, "no tar header"),
    ],
)
def test_archives_that_promise_too_much(content: bytes, message: str) -> None:
    with pytest.raises(SpecError) as e:
        list(tar.files(io.BytesIO(content + bytes(1024)), "x.tar", 1000, lambda _: True))
    assert message in str(e.value)
    assert e.value.exit_code == 3
