"""Files of weights as people have them, read without torch and without running anything: what is taken, what stays inert, what is refused."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import os
import pickle
import random
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resnet_dsl.checkpoints.read import read
from resnet_dsl.checkpoints.tensor import BYTES
from resnet_dsl.diagnostics import SpecError
from resnet_dsl.runtime import weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "w.pth"


def state(seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "conv1.weight": torch.randn(4, 3, 3, 3, generator=draw),
        "bn1.running_var": torch.rand(4, generator=draw),
        "bn1.num_batches_tracked": torch.tensor(7),
    }


def same(found: Any, wanted: Any) -> None:
    assert list(found) == list(wanted)
    for name, t in wanted.items():
        assert (found[name].dtype, found[name].shape) == (t.dtype, t.shape), name
        x, y = (torch.empty(v.numel(), dtype=v.dtype).copy_(v.detach().reshape(-1)).view(torch.uint8) for v in (found[name], t))
        assert torch.equal(x, y), name


def refused(path: Path, key: str | None = None) -> tuple[str, int]:
    """The message of the error, without its help, and its exit code."""
    with pytest.raises(SpecError) as e:
        dict(weights.load(path, key).tensors)
    found = e.value.diagnostics[0]
    return f"{found.code}: {found.message}", e.value.exit_code


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


# --- nothing runs --------------------------------------------------------------------------------------------

TOUCH = b"U\x09touch ran"
PROGRAMS: dict[str, bytes] = {
    "os.system": b"cos\nsystem\n" + TOUCH + b"\x85R.",
    "posix.system": b"cposix\nsystem\n" + TOUCH + b"\x85R.",
    "eval": b"cbuiltins\neval\nU\x0fopen('ran', 'w')\x85R.",
    "python 2": b'c__builtin__\neval\n(S\'open("ran", "w")\'\ntR.',
    "stacked global": b"\x80\x04\x8c\x02os\x8c\x06system\x93" + TOUCH + b"\x85R.",
    "dotted global": b"\x80\x04\x8c\x0ctorch._utils\x8c\x09os.system\x93" + TOUCH + b"\x85R.",
    "through a known module": b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93" + TOUCH + b"\x85R.",
    "a name with a line break": b"\x80\x04\x8c\x02os\x8c\x0bsystem\nx.os\x93" + TOUCH + b"\x85R.",
    "instance": b"(" + TOUCH + b"ios\nsystem\n.",
    "object": b"(cos\nsystem\n" + TOUCH + b"o.",
    "new object": b"cos\nsystem\n" + TOUCH + b"\x85\x81.",
    "new object with names": b"cos\nsystem\n" + TOUCH + b"\x85}\x92.",
    "getattr": b"cbuiltins\ngetattr\ncos\nU\x06system\x86R" + TOUCH + b"\x85R.",
    "nested": b"cbuiltins\nmap\ncos\nsystem\n]" + TOUCH + b"a\x86R.",
    "set state": b"cargparse\nNamespace\n)R}U\x0c__setstate__cos\nsystem\nsb" + TOUCH + b"b.",
    "state of a class": b"cbuiltins\nobject\n)\x81}U\x05__x__" + TOUCH + b"sb.",
    "extension": b"\x82\x01" + TOUCH + b"\x85R.",
    "long extension": b"\x84\x01\x00\x00\x00" + TOUCH + b"\x85R.",
    "copyreg": b"ccopyreg\n_reconstructor\ncos\nsystem\ncbuiltins\nobject\nN\x87R.",
    "memo": b"cos\nsystem\nq\x000h\x00" + TOUCH + b"\x85R.",
    "of torch": b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n" + TOUCH + b"\x85NtR.",
    "load of torch": b"ctorch.storage\n_load_from_bytes\n" + TOUCH + b"\x85R.",
    "import": b"cbuiltins\n__import__\nU\x04this\x85R.",
    "persistent": b"(cos\nsystem\n" + TOUCH + b"tQ.",
    "storage of a program": b"(U\x07storagecos\nsystem\nU\x010U\x03cpuK\x01tQ.",
    "appended to a program": b"cos\nsystem\n(" + TOUCH + b"e.",
}
"""Pickles that would write a file when they are run, each in another way, or import something."""

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


# --- bombs and lies ------------------------------------------------------------------------------------------


def archive(path: Path, pickled: bytes, data: bytes = bytes(64), **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as z:
        for name, content in {"data.pkl": pickled, "data/0": data, **members}.items():
            z.writestr(f"archive/{name}", content)


def tensor(numbers: int, shape: str, stride: str, first: int = 0, kind: str = "Float") -> bytes:
    """A pickle of {"a": a tensor}; shape and stride are opcodes."""
    size = numbers.to_bytes(8, "little")
    storage = f"(U\x07storagectorch\n{kind}Storage\nU\x010U\x03cpu".encode() + b"\x8a\x08" + size + b"tQ"
    n = b"\x8a\x08" + first.to_bytes(8, "little")
    return b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(" + storage + n + shape.encode() + stride.encode() + b"\x89NtRs."


def longs(*numbers: int) -> str:
    return "(" + "".join(f"L{n}L\n" for n in numbers) + "t"


BOMBS: dict[str, tuple[bytes, str]] = {
    "keys of nested tuples": (b"\x80\x02}" + b"Nq\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.", "holds no tensors by name"),
    "lists that double": (b"\x80\x02]q\x00" + b"(h\x00h\x00lq\x00" * 5000 + b".", "holds no tensors by name"),
    "dicts that double": (b"\x80\x02}q\x00" + b"}(U\x01ah\x00U\x01bh\x00uq\x00" * 5000 + b".", "holds no tensors by name"),
    "nested": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "holds no tensors by name"),
    "nested tuples": (b"\x80\x02N" + b"\x85" * 200_000 + b".", "holds no tensors by name"),
    "marks": (b"\x80\x02" + b"(" * 200_000 + b".", "is no sound pickle"),
    "steps": (b"\x80\x02" + b"N0" * 1_000_000 + b"}.", "takes more than 1,500,000 steps to unpickle, which no file of weights needs"),
    "a list again and again": (b"\x80\x02](" + b"N" * 10_000 + b"eq\x00" + b"h\x000" * 10 + b"cx\nxDict\n(h\x00tR0" * 40_000 + b"}.", "steps to unpickle"),
    "a memo of large indices": (b"\x80\x02N" + b"".join(b"r" + (2**32 - 1 - i).to_bytes(4, "little") for i in range(1000)) + b".", "no tensors"),
    "a long text": (b"\x80\x02\x8d" + (1 << 40).to_bytes(8, "little") + b"a.", "is cut short"),
    "a long number": (b"\x80\x02\x8b" + (1 << 20).to_bytes(4, "little") + b"\xff" * (1 << 20) + b".", "holds no tensors by name"),
    "a long decimal": (b"\x80\x02L" + b"9" * 4000 + b"L\n.", "holds no tensors by name"),
    "an endless line": (b"\x80\x02I" + b"9" * 1_000_000, "is no sound pickle"),
    "a frame": (b"\x80\x04\x95" + b"\xff" * 8, "is cut short"),
    "nothing on the stack": (b"\x80\x02.", "is no sound pickle"),
    "no end": (b"\x80\x02}", "is cut short"),
    "an unknown opcode": (b"\x80\x02\xff.", "is no sound pickle"),
    "gibibytes declared": (tensor(3 << 28, longs(3 << 28), longs(1)), "is damaged: a tensor has 3,221,225,472 bytes, and 'archive/data/0' holds 64"),
    "beyond its storage": (tensor(16, longs(4, 5), longs(5, 1)), "'a' reaches beyond its storage of 16 numbers"),
    "beyond by its first": (tensor(16, longs(16), longs(1), 1), "'a' reaches beyond its storage of 16 numbers"),
    "beyond by its stride": (tensor(16, longs(2, 2), longs(1 << 62, 1)), "'a' reaches beyond its storage of 16 numbers"),
    "a negative stride": (tensor(16, longs(2), longs(-1)), "holds a tensor without a shape"),
    "a negative size": (tensor(16, longs(-2), longs(1)), "holds a tensor without a shape"),
    "strides of another length": (tensor(16, longs(2), longs(1, 1)), "holds a tensor without a shape"),
    "a hundred dimensions": (tensor(16, longs(*[1] * 100), longs(*[1] * 100)), "holds a tensor without a shape"),
    "a shape of text": (tensor(16, "(U\x01xt", longs(1)), "holds a tensor without a shape"),
    "an unknown type": (tensor(16, longs(2), longs(1), kind="Odd"), "holds a storage of an unknown type, 'OddStorage'"),
    "no storage": (b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00K\x01\x85K\x01\x85tRs.", "holds a tensor without its numbers"),
    "too few arguments": (b"\x80\x02}U\x01actorch._utils\n_rebuild_tensor_v2\n(K\x01tRs.", "is no sound pickle"),
}  # fmt: skip


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
