"""Files of weights as people have them, read without torch and without running anything: what is taken, what stays inert, what is refused."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import os
import pickle
import random
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harmful import refused, state
from torch import nn

from resnet_dsl.checkpoints.numbers import first_odd
from resnet_dsl.checkpoints.read import read
from resnet_dsl.checkpoints.tensor import BYTES
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.language import load
from resnet_dsl.runtime import weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.pth"


def same(found: Any, wanted: Any) -> None:
    assert list(found) == list(wanted)
    for name, t in wanted.items():
        assert (found[name].dtype, found[name].shape) == (t.dtype, t.shape), name
        x, y = (torch.empty(v.numel(), dtype=v.dtype).copy_(v.detach().reshape(-1)).view(torch.uint8) for v in (found[name], t))
        assert torch.equal(x, y), name


# --- against torch -------------------------------------------------------------------------------------------


def drawn(draw: random.Random) -> Iterator[torch.Tensor]:
    """Tensors of many types, views of each other among them."""
    pool: list[torch.Tensor] = []
    for _ in range(draw.randint(1, 12)):
        if not pool or draw.random() < 0.7:
            dtype = getattr(torch, draw.choice(list(BYTES)))
            pool.append((torch.randn(draw.randint(0, 40)) * 50).abs().to(dtype))
        base = draw.choice(pool)
        n = base.numel()
        views: list[Callable[[], torch.Tensor]] = [lambda base=base: base]
        if n >= 4:
            views += [
                lambda base=base: base[2:], lambda base=base: base[::3], lambda base=base: base[0], lambda base=base: base[:1].expand(3, 4),
                lambda base=base, n=n: base[: n // 2 * 2].reshape(2, -1).t(), lambda: torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
            ]  # fmt: skip
        yield draw.choice(views)()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_every_tensor_is_that_of_torch(zipped: bool, file: Path) -> None:
    draw, compared = random.Random(5), 0
    for _ in range(60):
        held = collections.OrderedDict((f"m{i}.weight", t) for i, t in enumerate(drawn(draw)))
        held["last"] = nn.Parameter(torch.randn(2))
        torch.save(held, file, _use_new_zipfile_serialization=zipped, pickle_protocol=draw.choice([2, 3]))
        try:
            wanted = torch.load(file, weights_only=True)
        except AttributeError:
            # What torch itself writes and cannot read in its old form: unsigned numbers.
            continue
        same(weights.load(file).tensors, wanted)
        compared += 1
    assert compared > 10


# --- what training scripts save ------------------------------------------------------------------------------


class Mode(enum.Enum):
    FAST = 1


class Config(dict[str, Any]):
    """As omegaconf's and others: a dict of its own, with attributes."""


class Slotted:
    __slots__ = ("a",)

    def __init__(self) -> None:
        self.a = 1


BESIDE: dict[str, Any] = {
    "args": argparse.Namespace(lr=0.1, path=Path("/data")),
    "numpy scalar": np.float64(71.2),
    "numpy array": np.arange(5),
    "numpy type": np.dtype("float32"),
    "numpy state": np.random.RandomState(1).get_state(),
    "enum": Mode.FAST,
    "path": Path("/somewhere"),
    "time": datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
    "config": Config(a=Config(b=[1, 2])),
    "slots": Slotted(),
    "function": os.getcwd,
    "class": nn.Conv2d,
    "set": {1, "a", (2, 3)},
    "frozen set": frozenset({1}),
    "range": range(3),
    "complex": 1j,
    "default": collections.defaultdict(list, {"a": [1]}),
    "counter": collections.Counter("abc"),
    "partial": __import__("functools").partial(max, 1),
    "namespace": types.SimpleNamespace(a=1),
    "bytes": bytearray(b"abc"),
    "long": 1 << 3000,
    "tuple keys": {(1, (2, 3)): 4, None: 5, 1.5: 6},
    "recursive": (lambda x: x.append(x) or x)([]),
    "random": random.Random(1).getstate(),
    "torch things": [torch.float16, torch.device("cpu"), torch.Size([1, 2]), torch.strided],
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_whatever_is_beside_the_weights_is_passed_over(name: str, protocol: int, file: Path) -> None:
    optimizer = {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    held = {"epoch": 3, "before": BESIDE[name], "model": state(), "optimizer": optimizer, "after": [BESIDE[name]]}
    torch.save(held, file, pickle_protocol=protocol)
    same(weights.load(file).tensors, state())
    torch.save(held, file, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    same(weights.load(file).tensors, state())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.layer1 = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
        self.register_buffer("unsaved", torch.ones(2), persistent=False)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_module_that_was_saved_whole(zipped: bool, file: Path) -> None:
    model = Net()
    model.again = model.conv
    for held in (model, {"model": model, "epoch": 1}, nn.DataParallel(model)):
        torch.save(held, file, _use_new_zipfile_serialization=zipped)
        wanted = (held["model"] if isinstance(held, dict) else held).state_dict()
        found = read(file)
        assert found.said == ("its tensors are taken from a module that was saved whole; nothing of it was run",)
        assert {k: t.shape for k, t in found.tensors.items()} == {k: tuple(t.shape) for k, t in wanted.items()}
        assert all(torch.equal(t, weights.load(file).tensors[k]) for k, t in wanted.items())


def test_arrays_of_numpy(tmp_path: Path) -> None:
    arrays = {k: np.asfortranarray(v.numpy()) if v.ndim > 1 else v.numpy() for k, v in state().items()}
    for protocol in range(6):
        (tmp_path / "w.pkl").write_bytes(pickle.dumps({"model": arrays, "__author__": "them"}, protocol))
        same(weights.load(tmp_path / "w.pkl").tensors, state())
    np.savez(tmp_path / "w.npz", **arrays)
    same(weights.load(tmp_path / "w.npz").tensors, state())
    np.savez_compressed(tmp_path / "w.npz", **arrays)
    assert refused(tmp_path / "w.npz") == ("weights-damaged: keeps 'conv1.weight.npy' compressed", 3)


# --- which state_dict ----------------------------------------------------------------------------------------


def test_a_choice_among_several(file: Path) -> None:
    torch.save({"state_dict": state(1), "ema": {"shadow": state(2)}, "optimizer": {"exp_avg": state(3)}, "best": torch.tensor(1.0)}, file)
    said = "weights-several: holds several state_dicts: state_dict (3 tensors), ema.shadow (3 tensors)"
    assert refused(file) == (said, 2)
    same(weights.load(file, "state_dict").tensors, state(1))
    for key in ("ema", "ema.shadow"):
        same(weights.load(file, key).tensors, state(2))
    same(weights.load(file, "optimizer.exp_avg").tensors, state(3))
    assert refused(file, "emma") == (f"unknown-name: {file} has no state_dict at 'emma'", 2)
    assert read(file, "ema").key == "ema.shadow"
    torch.save({"a.b": {"c": state(1)}, "a": {"b": state(2)}}, file)
    same(weights.load(file, "a.b.c").tensors, state(1))
    torch.save(state(), file)
    with pytest.raises(SpecError, match="holds one state_dict, without a key"):
        read(file, "model")


def test_what_is_no_tensor_in_a_state_dict_is_said(file: Path) -> None:
    torch.save({**state(), "epoch": 3, "name": "net"}, file)
    assert read(file).said == ("left out, since they are no tensors: epoch, name",)
    same(weights.load(file).tensors, state())


NONE: dict[str, tuple[Any, str]] = {
    "checkpoint": ({"state_dict": {}, "epoch": 3}, "it is a dict of 'state_dict', 'epoch'"),
    "empty": ({}, "it is something else"),
    "list": ([torch.zeros(1)], "it is a list"),
    "numbers": ({1: torch.zeros(1)}, "it is something else"),
    "floats": ({"a": 1.0}, "it is a dict of 'a'"),
    "tensor": (torch.zeros(3), "it is something else"),
}


@pytest.mark.parametrize("name", NONE)
def test_files_without_tensors_by_name(name: str, file: Path) -> None:
    content, what = NONE[name]
    torch.save(content, file)
    assert refused(file) == (f"not-weights: holds no tensors by name: {what}", 3)


# --- kinds of tensors ----------------------------------------------------------------------------------------

ODD: dict[str, tuple[Callable[[], torch.Tensor], str]] = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "is sparse"),
    "csr": (lambda: torch.eye(3).to_sparse_csr(), "is sparse"),
    "csc": (lambda: torch.eye(3).to_sparse_csc(), "is sparse"),
    "bsr": (lambda: torch.eye(4).to_sparse_bsr((2, 2)), "is sparse"),
    "meta": (lambda: torch.empty(3, 3, device="meta"), "has no numbers (it was saved from the meta device)"),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(3, 3), 0.1, 0, torch.qint8), "is quantized"),
    "complex": (lambda: torch.ones(3, 3, dtype=torch.complex64), "holds complex64 numbers"),
    "conjugate": (lambda: torch.ones(3, 3, dtype=torch.complex64).conj(), "is a complex conjugate or a negative that was not computed"),
    "negative": (lambda: torch.ones(3, dtype=torch.complex64).conj().imag, "is a complex conjugate or a negative that was not computed"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "is nested"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ODD)
def test_tensors_that_a_network_cannot_hold(name: str, file: Path) -> None:
    make, problem = ODD[name]
    torch.save({"conv1.weight": torch.ones(3), "fc.weight": make()}, file)
    assert refused(file) == (f"weights-tensors: 'fc.weight' {problem}", 3)


@pytest.mark.parametrize("dtype", [d for d in BYTES if "float" in d])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_that_are_not_finite(dtype: str, value: str, file: Path) -> None:
    held = torch.randn(5, 7).to(getattr(torch, dtype))
    raw = held.view(torch.uint8).numpy().tobytes()
    assert first_odd(raw, dtype) is None
    assert first_odd(torch.full((3,), torch.finfo(held.dtype).max, dtype=held.dtype).view(torch.uint8).numpy().tobytes(), dtype) is None
    held[2, 3] = float(value)
    if not bool(torch.isfinite(held.float())[2, 3]):
        found = value if dtype != "float8_e4m3fn" else "nan"
        assert first_odd(held.view(torch.uint8).numpy().tobytes(), dtype) == (17, found)
        torch.save({"layer1.0.conv1.weight": held, "fc": torch.ones(2)}, file)
        assert refused(file) == (f"weights-tensors: holds {found} in 'layer1.0.conv1.weight'", 3)
        # A view that leaves it out is finite.
        torch.save({"a": held[:, ::2]}, file)
        assert torch.equal(weights.load(file).tensors["a"].float(), held[:, ::2].float())


def test_a_view_of_much_more_is_refused(file: Path) -> None:
    torch.save({"a": torch.zeros(20 << 20)[:: 1 << 20], "b": torch.ones(2)}, file)
    assert refused(file) == ("weights-tensors: 'a' is a view of 20 numbers spread over 19,922,945", 3)


# --- files that are no weights -------------------------------------------------------------------------------

OTHERS: dict[str, tuple[bytes, str]] = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a git-lfs pointer, and not the file itself"),
    "page": (b"\n<!DOCTYPE html><title>Sign in</title>", "is a web page, and not the file itself"),
    "upper page": (b"<HTML><HEAD>" + bytes(100), "is a web page, and not the file itself"),
    "empty": (b"", "is empty"),
    "zeros": (bytes(5000), "begins with nothing but zeros, so it was never written to its end"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file, as Keras writes them"),
    "gguf": (b"GGUF\3\0\0\0" + bytes(20), "is a GGUF file, which holds language models"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x03" + bytes(20), "is an ONNX network, and not weights"),
    "saved model": (b"\x08\x01\x12\x80\x10" + bytes(20), "is a SavedModel of TensorFlow"),
    "graph": (b"\n\x20\n\x05input\x12\x0bPlaceholder" + bytes(20), "is a graph of TensorFlow"),
    "tf index": (b"\0\0\x0a\x0b" + b"x" * 40 + bytes.fromhex("57fb808b247547db"), "is a checkpoint of TensorFlow"),
    "tf text": (b'model_checkpoint_path: "model.ckpt-1"\n', "is the index of TensorFlow's checkpoints"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(20), "is a network of TensorFlow Lite"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "is packed with gzip"),
    "xz": (b"\xfd7zXZ\0" + bytes(20), "is packed with xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(20), "is packed with zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(20), "is a 7z archive"),
    "tar": (b"weights".ljust(257, b"\0") + b"ustar\x0000" + bytes(250), "is a tar archive"),
    "msgpack": (b"\x81\xa6params\x82\xa5conv1" + bytes(20), "is a msgpack file, as flax writes them"),
    "npy": (b"\x93NUMPY\1\0v\0" + bytes(20), "is one numpy array, without a name"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(20), "is a picture"),
    "program": (b"\x7fELF" + bytes(20), "is a program"),
    "text": (b"conv1.weight 1 2 3\nconv2.weight 4 5 6\n", "is a text file, and not weights"),
    "json": (b'{"error": "not authorised to read it"}', "is a text file, and not weights"),
    "bytes": (b"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7" + bytes(20), "is no file of weights that is known; it begins with f0 f1 f2 f3 f4 f5 f6 f7"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_files_that_are_no_weights(name: str, file: Path) -> None:
    content, what = OTHERS[name]
    file.write_bytes(content)
    assert refused(file) == (f"not-weights: {what}", 3)


@pytest.mark.filterwarnings("ignore")
def test_archives_of_something_else(file: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), file)
    assert refused(file) == ("not-weights: is TorchScript, a program with its weights", 3)
    torch.jit.load(file)
    for names, what in (
        (["config.json", "metadata.json", "model.weights.h5"], "is a Keras file"),
        (["model/archive_format", "model/models/model.json"], "is a program of torch.export"),
        (["folder/w.pth", "a.txt"], "is a zip archive without weights: it holds folder/w.pth, a.txt"),
    ):
        with zipfile.ZipFile(file, "w") as z:
            for name in names:
                z.writestr(name, "x")
        assert refused(file) == (f"not-weights: {what}", 3)


@pytest.mark.parametrize("name", ["lfs", "page", "hdf5", "gzip", "onnx", "picture"])
def test_what_is_no_spec_is_named_too(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(OTHERS[name][0])
    with pytest.raises(SpecError, match="not-a-spec") as e:
        load(str(path))
    assert OTHERS[name][1] in str(e.value)


def test_weights_are_no_spec(file: Path) -> None:
    torch.save({"a": torch.zeros(1 << 20)}, file)
    with pytest.raises(SpecError) as e:
        load(str(file))
    assert f"{str(file)!r} is weights, and not a spec" in str(e.value)
    assert f"rd.recover({str(file)!r})" in str(e.value)
