"""CIFAR archives and folders of pictures, generated in the real formats; and pickles that want to run code."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_dsl.diagnostics import SpecError
from resnet_dsl.training.data.load import open_dataset

N = 6
RNG = np.random.default_rng(3)
PIXELS = {name: RNG.integers(0, 256, (N, 3072), dtype=np.uint8) for name in ("1", "2", "3", "4", "5", "test")}
LABELS = {name: [int(x) for x in RNG.integers(0, 10, N)] for name in PIXELS}
FINE = [f"class{i}" for i in range(100)]


def refused(call: Callable[[], object], code: str, exit_code: int = 3) -> str:
    with pytest.raises(SpecError) as e:
        call()
    assert e.value.exit_code == exit_code
    assert [d.code for d in e.value.diagnostics] == [code]
    return str(e.value)


def batch(name: str, key: str = "labels", protocol: int = 2) -> bytes:
    return pickle.dumps({"data": PIXELS[name], key: LABELS[name], "filenames": ["x"] * N, "batch_label": "b"}, protocol=protocol)


def python2(array: np.ndarray, labels: list[int]) -> bytes:
    """A batch as Python 2 wrote it, opcode by opcode: byte strings for keys and pixels."""
    text = lambda s: b"T" + len(s).to_bytes(4, "little") + s  # noqa: E731
    number = lambda n: b"J" + n.to_bytes(4, "little", signed=True)  # noqa: E731
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + text(b"b") + b"tR"
    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|") + b"NNN" + number(-1) + number(-1) + b"K\x00tb"
    state = b"(K\x01" + b"(" + number(len(array)) + number(3072) + b"t" + dtype + b"\x89" + text(array.tobytes()) + b"tb"
    return b"\x80\x02}(" + text(b"data") + reconstruct + state + text(b"labels") + b"](" + b"".join(map(number, labels)) + b"e" + b"u."


def cifar_files(kind: str) -> dict[str, bytes]:
    names = {"data_batch_" + k if k != "test" else "test_batch": k for k in PIXELS}
    record = lambda k, lead: b"".join(bytes([*lead, y]) + x.tobytes() for x, y in zip(PIXELS[k], LABELS[k], strict=True))  # noqa: E731
    meta = pickle.dumps({"fine_label_names": FINE, "coarse_label_names": []}, protocol=2)
    return {
        "10-py": {f"cifar-10-batches-py/{n}": batch(k) for n, k in names.items()},
        "10-py2": {f"cifar-10-batches-py/{n}": python2(PIXELS[k], LABELS[k]) for n, k in names.items()},
        "10-bin": {f"cifar-10-batches-bin/{n}.bin": record(k, []) for n, k in names.items()},
        "100-py": {
            "cifar-100-python/train": batch("1", "fine_labels"),
            "cifar-100-python/test": batch("test", "fine_labels"),
            "cifar-100-python/meta": meta,
        },
        "100-bin": {
            "cifar-100-binary/train.bin": record("1", [3]),
            "cifar-100-binary/test.bin": record("test", [3]),
            "cifar-100-binary/fine_label_names.txt": "\n".join(FINE).encode(),
        },
    }[kind]


def put(files: dict[str, bytes], folder: Path, archive: str | None = None) -> None:
    if archive is None:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return
    with tarfile.open(folder / archive, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(
    ("kind", "archive"),
    [
        *((kind, None) for kind in ("10-py", "10-py2", "10-bin", "100-py", "100-bin")),
        ("10-py", "cifar-10-python.tar.gz"),
        ("10-bin", "cifar-10-binary.tar.gz"),
        ("100-py", "cifar-100-python.tar.gz"),
        ("100-bin", "cifar-100-binary.tar.gz"),
    ],
)
def test_cifar(kind: str, archive: str | None, tmp_path: Path) -> None:
    put(cifar_files(kind), tmp_path, archive)
    ten = kind.startswith("10-")
    data = open_dataset("cifar10" if ten else "cifar100", (3, 32, 32), tmp_path)
    train = [str(i) for i in range(1, 6)] if ten else ["1"]
    assert np.array_equal(data.train.pixels, np.concatenate([PIXELS[k] for k in train]).reshape(-1, 3, 32, 32))
    assert data.train.labels.tolist() == [y for k in train for y in LABELS[k]]
    assert np.array_equal(data.test.pixels, PIXELS["test"].reshape(-1, 3, 32, 32))
    assert data.test.labels.tolist() == LABELS["test"]
    assert len(data.classes) == (10 if ten else 100)


class Evil:
    def __init__(self, call: Callable[..., object], *args: object) -> None:
        self.call, self.args = call, args

    def __reduce__(self) -> tuple[object, ...]:
        return self.call, self.args


CANARY = "touched"
EVIL = [
    pickle.dumps(Evil(os.system, f"touch {CANARY}")),
    pickle.dumps(Evil(eval, f"open({CANARY!r}, 'w')")),
    pickle.dumps(Evil(subprocess.call, ["touch", CANARY]), protocol=2),
    pickle.dumps({"data": PIXELS["1"], "labels": [Evil(os.mkdir, CANARY)]}, protocol=2),
    b"\x80\x02cnumpy.testing._private.utils\nrunstring\n.",
    b"\x80\x02c_codecs\ndecode\n.",
    b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
    b"\x80\x02U\x03oneQ.",
    b"\x80\x02c_codecs\nencode\n}b.",
]


@pytest.mark.parametrize("content", EVIL, ids=range(len(EVIL)))
def test_a_pickle_runs_nothing(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(cifar_files("10-py") | {"cifar-10-batches-py/data_batch_1": content}, tmp_path)
    assert "nothing was run" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-unsafe")
    assert not (tmp_path / CANARY).exists()


NESTED = b")" + b"q\x00h\x00\x86" * 60
"""A tuple of twice a tuple of twice ...: its hash, as a key, takes 2**60 steps."""

WRONG = [
    ("a key without end", b"\x80\x02}" + NESTED + b"K\x01s.", "is not a readable pickle: a key is no text"),
    ("a set without end", b"\x80\x04\x8f(" + NESTED + b"\x90.", "is not a readable pickle"),
    ("a place in a memo of 2**31", b"\x80\x02}r\xff\xff\xff\x7f.", "holds no 'data'"),
    ("cut short", batch("1")[:-100], "not a readable pickle"),
    ("empty", b"", "not a readable pickle"),
    ("a list", pickle.dumps([1]), "not of a CIFAR batch"),
    ("no data", pickle.dumps({"labels": [1]}), "holds no 'data'"),
    ("labels missing", pickle.dumps({"data": PIXELS["1"]}, protocol=2), "holds no 'data' and labels"),
    ("fewer labels", pickle.dumps({"data": PIXELS["1"], "labels": [1]}, protocol=2), "holds 1 labels, but 6 images"),
    ("label range", pickle.dumps({"data": PIXELS["1"], "labels": [10] * N}, protocol=2), "label 10 at position 0 is out of range"),
    ("label kind", pickle.dumps({"data": PIXELS["1"], "labels": ["a"] * N}, protocol=2), "not whole numbers"),
    ("floats", pickle.dumps({"data": PIXELS["1"].astype(float), "labels": LABELS["1"]}, protocol=2), "not of bytes"),
    ("other width", pickle.dumps({"data": PIXELS["1"][:, :100].copy(), "labels": LABELS["1"]}, protocol=2), "expected rows of 3,072 bytes"),
    ("binary in its place", b"\x07" * 3073, "not a readable pickle"),
]


@pytest.mark.parametrize(("content", "message"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_damaged_batches(content: bytes, message: str, tmp_path: Path) -> None:
    put(cifar_files("10-py") | {"cifar-10-batches-py/data_batch_1": content}, tmp_path)
    text = refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-damaged")
    assert message in text
    assert "data_batch_1" in text


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "cifar-10-binary.tar.gz"
    files = cifar_files("10-bin")
    put(files | {"cifar-10-batches-bin/test_batch.bin": b"\0" * 3000}, tmp_path, path.name)
    assert "expected records of 3,073 bytes, found 3,000" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-damaged")
    put({k: v for k, v in files.items() if "test" not in k}, tmp_path, path.name)
    assert "has no member test_batch.bin" in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-damaged")
    put(files, tmp_path, path.name)
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        assert str(path) in refused(lambda: open_dataset("cifar10", (3, 32, 32), tmp_path), "data-damaged")


def write_pictures(
    folder: Path, mode: str = "RGB", size: tuple[int, int] = (6, 4), parts: tuple[str, ...] = ("train", "val")
) -> list[np.ndarray]:
    """Two classes, three pictures each; sizes are (width, height) as Pillow has them."""
    made = []
    for part in parts:
        for name in ("cat", "dog"):
            (folder / part / name).mkdir(parents=True)
            for i in range(3):
                array = RNG.integers(0, 256, (size[1], size[0], 3) if mode == "RGB" else size[::-1], dtype=np.uint8)
                Image.fromarray(array).save(folder / part / name / f"{i}.png")
                made.append(array)
    return made


@pytest.mark.parametrize("test_name", ["val", "test"])
def test_imagefolder(test_name: str, tmp_path: Path) -> None:
    made = write_pictures(tmp_path, parts=("train", test_name))
    (tmp_path / "train/cat/notes.txt").write_text("no picture")
    data = open_dataset("imagefolder", (3, 4, 6), tmp_path)
    assert data.classes == ("cat", "dog")
    assert np.array_equal(data.train.pixels, np.stack(made[:6]).transpose(0, 3, 1, 2))
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("channels", "shape"), [(1, (1, 4, 6)), (3, (3, 4, 6)), (5, (1, 4, 6))])
def test_grey_pictures(channels: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    made = write_pictures(tmp_path, "L")
    data = open_dataset("imagefolder", (channels, 4, 6), tmp_path)
    assert data.shape == shape
    assert np.array_equal(data.test.pixels[:, 0], np.stack(made[6:]))


def test_colour_is_never_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path, "RGB")
    assert open_dataset("imagefolder", (1, 4, 6), tmp_path).shape == (3, 4, 6)
    Image.new("L", (6, 4)).save(tmp_path / "train/cat/0.png")
    assert "is in colour" in refused(lambda: open_dataset("imagefolder", (1, 4, 6), tmp_path), "data-size", 2)


def test_nothing_is_resized(tmp_path: Path) -> None:
    write_pictures(tmp_path)
    Image.new("RGB", (6, 5)).save(tmp_path / "val/dog/2.png")
    text = refused(lambda: open_dataset("imagefolder", (3, 4, 6), tmp_path), "data-size", 2)
    assert "5x6, but 0.png is 4x6" in text
    assert "val/dog/2.png" in text


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda d: (d / "train/cat/1.png").write_bytes(b"no picture"), "data-damaged", "not a readable picture"),
        (lambda d: (d / "train/cat/1.png").write_bytes((d / "train/cat/0.png").read_bytes()[:60]), "data-damaged", "1.png"),
        (lambda d: Image.fromarray(np.zeros((4, 6), np.float32)).save(d / "train/dog/1.tif"), "data-damaged", "8-bit"),
        (lambda d: (d / "val/cow").mkdir(), "data-damaged", "has a class cow"),
        (lambda d: (d / "train").rename(d / "trained"), "data-missing", "no folder train/"),
        (lambda d: [p.unlink() for p in d.glob("val/*/*")], "data-missing", "holds no pictures"),
    ],
)
def test_damaged_folders(change: Callable[[Path], object], code: str, message: str, tmp_path: Path) -> None:
    write_pictures(tmp_path)
    change(tmp_path)
    assert message in refused(lambda: open_dataset("imagefolder", (3, 4, 6), tmp_path), code)


def test_a_folder_has_to_be_named() -> None:
    assert "data_dir='FOLDER'" in refused(lambda: open_dataset("imagefolder", (3, 4, 6)), "usage", 2)
