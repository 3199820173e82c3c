"""Data sets: found where they may lie, read exactly, and every way in which they can be wrong named."""

from __future__ import annotations

import gzip
import http.server
import os
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_dsl.datasets import search
from resnet_dsl.datasets.catalog import IDX_FILES, SOURCES, Download, fitting
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.training.data import idx
from resnet_dsl.training.data.dataset import require_fit
from resnet_dsl.training.data.download import fetch
from resnet_dsl.training.data.load import open_dataset

FMNIST = SOURCES["fashion-mnist"]


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RESNET_DSL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(search, "_SYSTEM", tmp_path / "system")


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_fmnist(folder: Path, ending: str = ".gz", n: int = 20) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    made = {}
    for name in IDX_FILES:
        array = rng.integers(0, 256, (n, 28, 28)) if "images" in name else rng.integers(0, 10, n)
        made[name] = array.astype(np.uint8)
        content = idx_bytes(array)
        (folder / (name + ending)).write_bytes(gzip.compress(content) if ending else content)
    return made


def refused(call: Callable[[], object], code: str, exit_code: int = 3) -> str:
    with pytest.raises(SpecError) as e:
        call()
    assert e.value.exit_code == exit_code
    assert [d.code for d in e.value.diagnostics] == [code]
    return render(e.value.diagnostics, COMMAND_LINE)


def test_digits() -> None:
    data = open_dataset("digits", (1, 8, 8))
    assert (data.shape, len(data.train), len(data.test), len(data.classes)) == ((1, 8, 8), 1437, 360, 10)
    everything = torch.cat([data.train.labels, data.test.labels])
    # The class counts of the data set's own description, and a fifth of each for the test.
    assert torch.bincount(everything).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert all(abs(a - b / 5) < 1.01 for a, b in zip(torch.bincount(data.test.labels), torch.bincount(everything), strict=True))
    assert int(data.train.pixels.max()) == 255
    assert data.sha256 == "c5a48c378bb8" + data.sha256[12:]


@pytest.mark.parametrize("where", ["--data-dir", "environment", "cache", "system"])
@pytest.mark.parametrize("layout", ["fashion-mnist", "FashionMNIST/raw", "."])
def test_fashion_mnist_is_found(where: str, layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = {
        "--data-dir": tmp_path / "d",
        "environment": tmp_path / "e",
        "cache": tmp_path / "cache/resnet-dsl",
        "system": tmp_path / "system",
    }[where]
    if where == "environment":
        monkeypatch.setenv("RESNET_DSL_DATA", str(root))
    made = write_fmnist(root / layout, ending="" if layout == "." else ".gz")
    data = open_dataset("fashion-mnist", (1, 28, 28), root if where == "--data-dir" else None)
    assert np.array_equal(data.train.pixels[:, 0], made[IDX_FILES[0]])
    assert np.array_equal(data.train.labels, made[IDX_FILES[1]])
    assert np.array_equal(data.test.pixels[:, 0], made[IDX_FILES[2]])
    assert np.array_equal(data.test.labels, made[IDX_FILES[3]])
    assert data.origin == str(root / layout)


def test_a_miss_says_where_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESNET_DSL_DATA", str(tmp_path / "e"))
    write_fmnist(tmp_path / "e/fashion-mnist")
    (tmp_path / "e/fashion-mnist/t10k-labels-idx1-ubyte.gz").unlink()
    text = refused(lambda: open_dataset("fashion-mnist", (1, 28, 28)), "data-missing")
    for part in (
        "$RESNET_DSL_DATA",
        "has train-images-idx3-ubyte.gz but not t10k-labels-idx1-ubyte",
        str(tmp_path / "cache/resnet-dsl"),
        str(tmp_path / "system"),
        "apt-get install dataset-fashion-mnist",
        "cp train-images-idx3-ubyte.gz",
        "--data-dir",
        "--download",
    ):
        assert part in text
    text = refused(lambda: open_dataset("fashion-mnist", (1, 28, 28), tmp_path / "nowhere"), "data-missing")
    assert "no such folder" in text
    assert "$RESNET_DSL_DATA" not in text
    assert "did you mean 'fashion-mnist'" in refused(lambda: open_dataset("fashion_mnist", (1, 28, 28)), "unknown-name", 2)


def test_without_a_home_there_is_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert search.cache() is None
    assert "--download" in refused(lambda: open_dataset("cifar10", (3, 32, 32)), "data-missing")


IMAGES, LABELS = IDX_FILES[0], IDX_FILES[1]
GOOD_IMAGES, GOOD_LABELS = idx_bytes(np.zeros((20, 28, 28))), idx_bytes(np.zeros(20))

DAMAGES = [
    ("not gzip", f"{IMAGES}.gz", GOOD_IMAGES, "not what its name says"),
    ("empty", f"{LABELS}.gz", b"", "damaged"),
    ("empty inside", f"{LABELS}.gz", gzip.compress(b""), "damaged"),
    ("swapped", f"{IMAGES}.gz", gzip.compress(GOOD_LABELS), "0x00000801 (labels), expected 0x00000803"),
    ("wrong magic", f"{IMAGES}.gz", gzip.compress(b"\0\0\x0d\x03" + GOOD_IMAGES[4:]), "no IDX file of bytes"),
    ("short", f"{IMAGES}.gz", gzip.compress(GOOD_IMAGES[:-1]), "15,696 with the header, but 15,695 were found"),
    ("long", f"{IMAGES}.gz", gzip.compress(GOOD_IMAGES + b"\0"), "but more than 15,696 were found"),
    ("huge header", f"{IMAGES}.gz", gzip.compress(struct.pack(">4I", 0x803, *[2**32 - 1] * 3)), "announces"),
    ("other size", f"{IMAGES}.gz", gzip.compress(idx_bytes(np.zeros((20, 32, 32)))), "images of 32x32, but fashion-mnist has 28x28"),
    ("fewer labels", f"{LABELS}.gz", gzip.compress(idx_bytes(np.zeros(19))), "holds 19 labels, but train-images-idx3-ubyte.gz holds 20"),
    (
        "label",
        f"{LABELS}.gz",
        gzip.compress(idx_bytes(np.array([1] * 19 + [200]))),
        "label 200 at position 19 is out of range: labels are 0 to 9",
    ),
]


@pytest.mark.parametrize(("file", "content", "message"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_damaged_idx(file: str, content: bytes, message: str, tmp_path: Path) -> None:
    write_fmnist(tmp_path)
    (tmp_path / file).write_bytes(content)
    text = refused(lambda: open_dataset("fashion-mnist", (1, 28, 28), tmp_path), "data-damaged")
    assert message in text
    assert file in text


def test_no_truncation_goes_unnoticed(tmp_path: Path) -> None:
    write_fmnist(tmp_path)
    path = tmp_path / f"{IMAGES}.gz"
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        assert str(path) in refused(lambda: idx.parse(path, 3), "data-damaged")


def test_a_folder_in_place_of_a_file_and_a_vanished_one(tmp_path: Path) -> None:
    refused(lambda: idx.parse(tmp_path, 3), "data-unreadable")
    refused(lambda: idx.parse(tmp_path / "gone", 3), "data-unreadable")


@pytest.mark.needs("fashion-mnist")
def test_the_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SYSTEM", Path("/usr/share/datasets"))
    data = open_dataset("fashion-mnist", (1, 28, 28))
    assert torch.bincount(data.train.labels).tolist() == [6000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    # The mean and deviation that everybody quotes for this data set.
    pixels = data.train.pixels.double() / 255
    assert (round(float(pixels.mean()), 4), round(float(pixels.std()), 4)) == (0.2860, 0.3530)


@pytest.mark.parametrize(
    ("shape", "classes", "mends"),
    [
        ((3, 8, 8), 10, ["--set input='{channels: 1, height: 8, width: 8}'"]),
        ((1, 8, 8), 12, ["--set classes=10"]),
        ((64,), 12, ["--set input='{channels: 1, height: 8, width: 8}'", "--set classes=10"]),
    ],
)
def test_a_network_that_does_not_fit(shape: tuple[int, ...], classes: int, mends: list[str]) -> None:
    data = open_dataset("digits", shape)
    text = refused(lambda: require_fit(data, shape, classes, "mynet"), "data-fit", 2)
    assert all(m in text for m in mends)
    assert require_fit(data, (1, 8, 8), 10, "mynet") is None


def test_the_data_set_that_fits() -> None:
    assert [fitting(s, n).name for s, n in (((1, 8, 8), 10), ((1, 28, 28), 10), ((3, 32, 32), 10), ((3, 32, 32), 100))] == [
        "digits",
        "fashion-mnist",
        "cifar10",
        "cifar100",
    ]
    assert fitting((3, 224, 224), 1000) is None


class _Handler(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}  # noqa: RUF012 - set by the fixture
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        content = self.files.get(self.path)
        self.send_response(200 if content is not None else 404)
        # One byte more is promised than sent for the file that breaks off.
        self.send_header("Content-Length", str(len(content or b"") + (self.path == "/short")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        _Handler.asked.clear()
        yield f"http://127.0.0.1:{s.server_address[1]}"
        s.shutdown()


def served(url: str, tmp_path: Path) -> tuple[object, Path]:
    write_fmnist(tmp_path / "origin")
    _Handler.files = {f"/{name}.gz": (tmp_path / "origin" / f"{name}.gz").read_bytes() for name in IDX_FILES}
    items = tuple(Download(f"{url}{path}", sha256(content).hexdigest()) for path, content in _Handler.files.items())
    return replace(FMNIST, downloads=items), tmp_path / "cache/resnet-dsl/fashion-mnist"


def test_download(server: str, tmp_path: Path) -> None:
    source, folder = served(server, tmp_path)
    said: list[str] = []
    fetch(source, folder, said.append)
    assert len(said) == 4
    assert len(open_dataset("fashion-mnist", (1, 28, 28)).train) == 20
    (folder / f"{LABELS}.gz").write_bytes(b"damaged")
    fetch(source, folder, said.append)
    assert _Handler.asked.count(f"/{LABELS}.gz") == 2
    assert len(_Handler.asked) == 5
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{n}.gz" for n in IDX_FILES)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [("/gone", "download-failed", "404"), ("/short", "download-damaged", "/short"), ("/other", "download-damaged", "expected SHA-256")],
)
def test_a_failed_download_leaves_nothing(path: str, code: str, message: str, server: str, tmp_path: Path) -> None:
    source, folder = served(server, tmp_path)
    _Handler.files |= {"/short": b"x", "/other": b"something else"}
    bad = replace(source, downloads=(Download(server + path, "0" * 64),))
    assert message in refused(lambda: fetch(bad, folder, lambda _: None), code)
    assert list(folder.iterdir()) == []


def test_no_server(tmp_path: Path) -> None:
    nobody = replace(FMNIST, downloads=(Download("http://127.0.0.1:9/x", "0" * 64),))
    assert "--data-dir" in refused(lambda: fetch(nobody, tmp_path, lambda _: None), "download-failed")


@pytest.mark.parametrize("name", ["digits", "imagefolder"])
def test_nothing_to_download(name: str) -> None:
    refused(lambda: open_dataset(name, (1, 8, 8), download=True), "usage", 2)
