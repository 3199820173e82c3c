"""Arrays as a data set: read as what they are, whatever they are called and however their axes lie; every way in which they are wrong named."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_dsl.datasets.naming import Given, named, recorded, short
from resnet_dsl.diagnostics import COMMAND_LINE, SpecError, render
from resnet_dsl.training.batches.measure import measure
from resnet_dsl.training.data import arrays
from resnet_dsl.training.data.arrayrows import ArrayRows
from resnet_dsl.training.data.dataset import Dataset, InMemory
from resnet_dsl.training.data.items import Items
from resnet_dsl.training.data.keys import meaning
from resnet_dsl.training.data.load import open_dataset

INPUT = (1, 8, 8)
DIGITS = open_dataset("digits", INPUT)
X, Y = DIGITS.train.pixels.numpy(), DIGITS.train.labels.numpy()  # type: ignore[attr-defined]
XT, YT = DIGITS.test.pixels.numpy(), DIGITS.test.labels.numpy()  # type: ignore[attr-defined]


def opened(value: Any, input: tuple[int, ...] = INPUT, **how: Any) -> Dataset:
    return open_dataset(value if isinstance(value, str) else Given(value), input, **how)


def refused(call: Callable[[], object], code: str, exit_code: int) -> str:
    with pytest.raises(SpecError) as e:
        call()
    text = render(e.value.diagnostics, COMMAND_LINE)
    assert ([d.code for d in e.value.diagnostics], e.value.exit_code) == ([code], exit_code), text
    return text


class Both(torch.utils.data.Dataset[Any]):
    """Images and labels as a Dataset."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i]


class Three(Both):
    """Items that are no pair."""

    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i], i


def layouts() -> dict[str, Any]:
    x, xt = torch.from_numpy(X), torch.from_numpy(XT)
    return {
        "NCHW": ((X, Y), (XT, YT)),
        "NHWC": {"train": (X.transpose(0, 2, 3, 1), Y), "test": (XT.transpose(0, 2, 3, 1), YT)},
        "NHW": {"x_train": X[:, 0], "y_train": Y, "x_test": XT[:, 0], "y_test": YT},
        "flat": {"train_images": X.reshape(-1, 64), "train_labels": Y.astype(np.uint8), "test_images": XT[:, 0], "test_labels": YT[:, None]},
        "tensors": {"train": (x, torch.from_numpy(Y).to(torch.int32)), "test": (xt, torch.from_numpy(YT))},
        "Fortran": ((np.asfortranarray(X), Y), (np.asfortranarray(XT), YT)),
        "TensorDataset": {"train": torch.utils.data.TensorDataset(x, torch.from_numpy(Y)), "test": (XT, list(YT))},
        "Dataset": {"train": Both(X, Y), "test": Both(xt, YT)},
        "items": {"train": [(a, int(b)) for a, b in zip(X[:, 0], Y, strict=True)], "test": Both(XT, torch.from_numpy(YT))},
        "mappings": {"train": [{"image": a, "label": b} for a, b in zip(X, Y, strict=True)], "val": Both(XT, YT)},
        "Subset": {"train": torch.utils.data.Subset(Both(X, Y), range(len(X))), "test": Both(XT, YT)},
    }  # fmt: skip


@pytest.mark.parametrize("name", layouts())
def test_the_digits_in_any_form_are_the_digits(name: str) -> None:
    found = opened(layouts()[name])
    assert (found.shape, found.classes, found.scale, found.exact) == (INPUT, DIGITS.classes, "bytes", True)
    for part, pixels, labels in ((found.train, X, Y), (found.test, XT, YT)):
        chunks = list(part.chunks(500))
        assert torch.equal(torch.cat([p for p, _ in chunks]), torch.from_numpy(pixels))
        assert torch.equal(torch.cat([y for _, y in chunks]), torch.from_numpy(labels))
    if isinstance(found.train, InMemory):
        assert found.sha256 == DIGITS.sha256
    assert torch.equal(measure(found.train, "channel").mean, measure(DIGITS.train, "channel").mean)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("plain.npz", X_train=X, y_train=Y, X_test=XT, y_test=YT)
    np.savez_compressed("packed.npz", trainX=X, trainY=Y, testX=XT, testY=YT)
    Path("folder").mkdir()
    for name, array in (("x_train", X), ("y_train", Y), ("x_val", XT), ("y_val", YT)):
        np.save(f"folder/{name}.npy", array)
    Path("mine.py").write_text("import numpy as np\ndef make():\n    f = np.load('plain.npz')\n    return {k: f[k] for k in f}\n")
    four = "folder/x_train.npy,folder/y_train.npy,folder/x_val.npy,folder/y_val.npy"
    for name in ("plain.npz", "packed.npz", "folder", four, "mine:make", str(tmp_path / "plain.npz")):
        assert opened(name).sha256 == DIGITS.sha256, name
    assert [opened(n).name for n in ("plain.npz", "folder/", four, "mine:make")] == ["plain", "folder", "folder", "mine:make"]
    # Nothing that a file names is run.
    assert "--data mine:make" in refused(lambda: recorded("mine:make"), "data-code", 2)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int64", "float16", "float32", "float64", "bool"])
def test_other_numbers_are_taken_as_they_are(dtype: str) -> None:
    x = (X > 100) if dtype == "bool" else X.astype(dtype) * (1 if "int" in dtype else np.asarray(0.5, dtype))
    found = opened((x, Y)).whole
    assert isinstance(found, InMemory)
    assert found.pixels.dtype == (torch.uint8 if dtype == "bool" else torch.float32)
    # Black and white are 0 and 255, as in a picture.
    assert np.array_equal(found.pixels.numpy(), x * 255 if dtype == "bool" else x)
    if dtype != "bool":
        normalisation = measure(found, "channel")
        assert normalisation.scale == "numbers"
        wide = x.astype(np.float64)
        assert torch.allclose(normalisation.mean.double(), torch.tensor(wide.mean()))
        assert torch.allclose(normalisation.std.double(), torch.tensor(wide.std()))


def test_large_arrays_stay_in_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGE", 1000)
    np.savez(tmp_path / "a.npz", x=X.transpose(0, 2, 3, 1).astype(np.float32), y=Y)
    found = opened(str(tmp_path / "a.npz"))
    assert isinstance(found.train, ArrayRows)
    assert isinstance(found.train.source.base, np.memmap)
    index = torch.tensor([5, 2, 99, 0])
    pixels, labels = next(found.train.take(index).chunks(10))
    where = found.train.index[index.numpy()]
    assert np.array_equal(pixels.numpy(), X[where].astype(np.float32))
    assert np.array_equal(labels.numpy(), Y[where])
    assert found.bytes is None
    # The same however it is opened; another where a number, a label or the order is another.
    assert opened((X[:, 0].astype(np.float32), Y)).sha256 == found.sha256
    other = X.copy()
    other[0, 0, 0, 0] += 1
    assert len({opened(v).sha256 for v in ((X, Y), (other, Y), (X, np.roll(Y, 1)), (X[::-1], Y[::-1]))} | {found.sha256}) == 5


def test_a_share_is_held_out() -> None:
    from resnet_dsl.training.data.split import HeldOut, held_out

    found = opened((X, Y), held_out=HeldOut(0.25, 3))
    chosen = held_out(Y, 0.25, 3)
    assert found.held_out == HeldOut(0.25, 3)
    assert torch.equal(found.test.pixels, torch.from_numpy(X[chosen]))  # type: ignore[attr-defined]
    assert len(found.train) + len(found.test) == len(X)
    assert found.lines == (
        f"note: arrays has no part for the test: {len(chosen)} of 1,437 images are held out for it (0.25 of each class, by seed 3)",
    )
    lacking = opened(((X, Y), (XT[YT < 9], YT[YT < 9])))
    assert lacking.lines == ("warning: the test part of arrays holds no images of 9: the test says nothing of them",)
    assert opened((X, Y)).sha256 == found.sha256
    items = opened(Both(X, Y), held_out=HeldOut(0.25, 3))
    assert isinstance(items.test, Items)
    assert items.test.index.tolist() == chosen.tolist()


def test_names_of_classes() -> None:
    words = np.array(["cat", "ant", "bee"])
    texts = opened((X[:30], words[np.arange(30) % 3]))
    assert texts.classes == ("ant", "bee", "cat")
    assert texts.whole is not None
    assert texts.whole.labels[:3].tolist() == [2, 0, 1]  # type: ignore[attr-defined]
    said = opened({"x": X[:30], "y": np.arange(30) % 2, "classes": ["b", "a", "never"]})
    assert said.classes == ("b", "a", "never")
    # A network that is trained has its own names: texts are found among them, and fewer classes are no mistake.
    assert opened((X[:4], ["bee", "bee", "cat", "cat"]), names=("ant", "bee", "cat")).whole.labels.tolist() == [1, 1, 2, 2]  # type: ignore[union-attr]
    assert opened((X[:4], [1, 1, 7, 7]), names=DIGITS.classes).classes == DIGITS.classes


def test_signals_and_features() -> None:
    x = np.arange(2 * 6 * 20, dtype=np.float32).reshape(20, 2, 6)
    y = np.arange(20) % 2
    for value in (x, x.transpose(0, 2, 1), x[:, :, None]):
        whole = opened((value, y), (2, 1, 6)).whole
        assert np.array_equal(whole.pixels.numpy()[:, :, 0], x)  # type: ignore[union-attr]
    one = opened((x[:, 0], y), (1, 1, 6)).whole
    assert one is not None
    assert one.shape == (1, 1, 6)
    table = opened((x.reshape(20, 12), y), (12,))
    assert table.shape == (12,)
    found = measure(table.whole, "channel")  # type: ignore[arg-type]
    assert torch.allclose(found.apply(table.whole.pixels, torch.contiguous_format).std(0, correction=0), torch.ones(12))  # type: ignore[union-attr]


MEANINGS = {
    "x": ("all", "images"), "X": ("all", "images"), "images": ("all", "images"), "data": ("all", "images"), "y": ("all", "labels"),
    "target": ("all", "labels"), "X_train": ("train", "images"), "x_train": ("train", "images"), "trainX": ("train", "images"),
    "train_images": ("train", "images"), "testLabels": ("test", "labels"), "y-val": ("spare", "labels"), "xtest": ("test", "images"),
    "training data": ("train", "images"), "class_names": ("all", "names"), "layout": ("all", "layout"), "ids": None, "extra": None,
    "x_train_test": None, "taxes": None,
}  # fmt: skip


@pytest.mark.parametrize("name", MEANINGS)
def test_what_names_mean(name: str) -> None:
    assert meaning(name) == MEANINGS[name]


NAN = X.astype(np.float32)
NAN[7, 0, 1, 2] = np.nan
OBJECTS = np.array([X[0], None], dtype=object)
WRONG: dict[str, tuple[Any, str, int, str]] = {
    "not finite": ((NAN, Y), "data-values", 3, "nan at [7, 0, 1, 2] is not finite"),
    "infinite": ((np.where(X > 250, np.inf, X), Y), "data-values", 3, "inf at ["),
    "too large": ((X.astype(np.int64) * 10**7, Y), "data-values", 3, "beyond what float32 holds exactly"),
    "lengths": ((X, Y[:-1]), "data-damaged", 3, "holds 1,437 images, and there are 1,436 labels"),
    "nothing": ((X[:0], Y[:0]), "data-damaged", 3, "holds no images"),
    "one-hot": ((X, np.eye(10)[Y]), "data-damaged", 3, "y.argmax(1)"),
    "scores": ((X, np.random.default_rng(0).random((len(X), 10))), "data-damaged", 3, "one for each image, (N,), not (1,437, 10)"),
    "floats": ((X, Y.astype(np.float32)), "data-damaged", 3, "y.astype(int)"),
    "a regression": ((X, Y + 0.5), "data-damaged", 3, "whole numbers or names, not float64"),
    "below 0": ((X, np.where(Y == 3, -1, Y)), "data-damaged", 3, "label -1 at position"),
    "from 1": ((X, Y + 1), "data-damaged", 3, "write y - 1"),
    "a gap": ((X, np.where(Y == 4, 5, Y)), "data-damaged", 3, "no image has the label 4"),
    "only in the test": (((X[Y < 5], Y[Y < 5]), (XT, YT)), "data-damaged", 3, "is in no training image"),
    "beyond the names": ({"x": X, "y": Y, "classes": ["a", "b"]}, "data-damaged", 3, "labels are 0 to 1"),
    "objects": ((OBJECTS, [0, 1]), "data-damaged", 3, "np.stack"),
    "ragged": (([[1, 2], [3]], [0, 1]), "data-kind", 2, "is no array"),
    "texts as images": ((np.array([["a"]] * 10), [0, 1] * 5), "data-damaged", 3, "is no number of a pixel"),
    "complex": ((X.astype(np.complex64), Y), "data-damaged", 3, "is no number of a pixel"),
    "another size": ((X[:, :, :7], Y), "data-fit", 2, "--set input='{channels: 1, height: 7, width: 8}'"),
    "channels": ((np.repeat(X, 3, 1), Y), "data-fit", 2, "channels: 3"),
    "no labels": ({"x": X}, "data-keys", 3, "no labels under a name that is understood; it holds x"),
    "unknown names": ({"a": X, "b": Y}, "data-keys", 3, "x=data['a'], y=data['b']"),
    "twice": ({"x": X, "images": X, "y": Y}, "data-keys", 3, "which mean the same"),
    "half a test": ({"x_train": X, "y_train": Y, "x_test": XT}, "data-keys", 3, "no test labels"),
    "four arrays": ((X, XT, Y, YT), "data-kind", 2, "may be in several orders"),
    "a number": (3, "data-kind", 2, "int is no data"),
    "one array": (X, "data-kind", 2, "is no data"),
    "a DataLoader": (torch.utils.data.DataLoader(Both(X, Y)), "data-kind", 2, "loader.dataset"),
    "no pairs": ([*X], "data-kind", 2, "is no data"),
    "items of three": (Three(X, Y), "data-item", 3, "its item 0 is tuple of 3"),
    "empty Dataset": (Both(X[:0], Y[:0]), "data-damaged", 3, "holds no images"),
    "item with a text": (Both(X, ["a"] * len(X)), "data-damaged", 3, "has the label 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named(name: str) -> None:
    value, code, exit_code, said = WRONG[name]
    assert said in refused(lambda: opened(value), code, exit_code)


def test_two_readings_are_refused() -> None:
    x = np.arange(10 * 27).reshape(10, 3, 3, 3)
    text = refused(lambda: opened((x, np.arange(10) % 2), (3, 3, 3)), "data-layout", 2)
    assert "10x3x3x3 can be read as NCHW or NHWC" in text
    for layout, wanted in (("NCHW", x), ("nhwc", x.transpose(0, 3, 1, 2))):
        found = opened({"x": x, "y": np.arange(10) % 2, "layout": layout}, (3, 3, 3)).whole
        assert np.array_equal(found.pixels.numpy(), wanted)  # type: ignore[union-attr]
    # Where both readings give the same images there is nothing to decide.
    assert opened((x[:, :1, :, :1].reshape(10, 1, 3), np.arange(10) % 2), (1, 1, 3)).shape == (1, 1, 3)


def half_a_member(path: Path) -> None:
    """An archive that is whole, of an array that is not."""
    with zipfile.ZipFile(path) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as half:
        half.writestr("x.npy", members["x.npy"][:1000])
        half.writestr("y.npy", members["y.npy"])


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-100]), "is no readable file of arrays"),
    "no zip": (lambda p: p.write_bytes(b"x,y\n1,2\n"), "is no readable file of arrays"),
    "empty": (lambda p: p.write_bytes(b""), "is no readable file of arrays"),
    "a member cut": (lambda p: half_a_member(p), "are there: it is cut short"),
    "objects": (lambda p: np.savez(p, x=OBJECTS, y=Y, allow_pickle=True), "unpickling a file may run anything"),
    "records": (lambda p: np.savez(p, x=np.zeros(5, [("a", "i4")]), y=Y), "records with the fields 'a'"),
    "a pickle": (lambda p: p.write_bytes(pickle.dumps((X, Y))), "is no readable file of arrays"),
    "nothing in it": (lambda p: np.savez(p), "it holds nothing"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_wrong(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=Y)
    FILES[name][0](path)
    with pytest.raises(SpecError, match=r"a\.npz") as e:
        opened(str(path))
    assert FILES[name][1] in render(e.value.diagnostics, COMMAND_LINE)
    assert e.value.exit_code == 3


def test_npy_that_is_cut(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    text = refused(lambda: opened(f"{tmp_path}/x.npy,{tmp_path}/y.npy"), "data-damaged", 3)
    assert "91,968 bytes of numbers, and 91,967 are there" in text


@pytest.mark.parametrize(
    ("text", "code", "exit_code", "said"),
    [
        ("fashion-mnits", "unknown-name", 2, "did you mean 'fashion-mnist'"),
        ("gone.npz", "data-missing", 3, "no such file or folder: 'gone.npz'"),
        ("gone/", "data-missing", 3, "no such file or folder"),
        ("no.such.module:make", "unknown-name", 2, "there is no module 'no'"),
        ("os.path:nothing_there", "unknown-name", 2, "'os.path' has no 'nothing_there'"),
        ("os:getcwd", "data-kind", 2, "str is no data"),
        ("broken:make", "data-code", 3, "raises ZeroDivisionError: division by zero"),
        ("table.csv", "data-kind", 3, 'np.savez("table.npz", x=x, y=y)'),
        ("x.npy", "data-kind", 2, "--data x.npy,y.npy"),
        ("(arrays)", "data-missing", 2, "resnet-dsl train --resume RUN --data FILE.npz"),
    ],
)
def test_names_that_are_wrong(text: str, code: str, exit_code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text("def make():\n    return 1 / 0\n")
    Path("table.csv").write_text("1,2\n")
    np.save("x.npy", X)
    assert said in refused(lambda: opened(text), code, exit_code)


def test_names_are_short_and_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=X, y=Y)
    assert named("a.npz").absolute == str(tmp_path / "a.npz")
    assert [short(t) for t in ("digits", "/d/cells.npz", "/d/x.npy,/d/y.npy", "/d/photos", "a.b:c", "(arrays)")] == [
        "digits", "cells", "d", "photos", "a.b:c", "arrays",
    ]  # fmt: skip


def test_arrays_that_are_not_used_are_said() -> None:
    found = opened({"x": X, "y": Y, "ids": np.arange(len(X)), "DESCR": "digits"})
    assert found.lines[0] == "note: arrays: ids, DESCR are not used"
